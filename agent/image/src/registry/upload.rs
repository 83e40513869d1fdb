//! Pushing: blobs that the registry lacks, then the manifest (OCI distribution, "Push").

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, StatusCode, header};
use tokio::io::AsyncReadExt as _;

use super::client::{Repository, retried};
use crate::digest::Digest;
use crate::error::Error;

const ATTEMPTS: u32 = 3;
const CHUNK: usize = 256 * 1024;

/// What became of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Uploaded {
    /// The registry had it.
    Existed,
    /// The registry took it from another repository.
    Mounted,
    /// It was sent.
    Sent,
}

impl Repository {
    /// Makes sure that the registry has a blob. `from` is another repository of the same registry that has it.
    pub(crate) async fn upload_blob(
        &self,
        digest: &Digest,
        size: u64,
        path: &std::path::Path,
        from: Option<&str>,
        sent: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Uploaded, Error> {
        retried(ATTEMPTS, || self.try_upload(digest, size, path, from, sent)).await
    }

    async fn try_upload(
        &self,
        digest: &Digest,
        size: u64,
        path: &std::path::Path,
        from: Option<&str>,
        sent: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Uploaded, Error> {
        let site = self.main_site();
        let what = "the upload of a blob";
        let head = site.send(&self.scope, Method::HEAD, &self.path(&format!("blobs/{digest}")), &|r| r).await?;
        match head.status() {
            StatusCode::OK => return Ok(Uploaded::Existed),
            StatusCode::NOT_FOUND => {}
            _ => return Err(site.refused(head, &self.reference().familiar(), what).await),
        }
        let start = match from {
            Some(from) => self.path(&format!("blobs/uploads/?mount={digest}&from={from}")),
            None => self.path("blobs/uploads/"),
        };
        let answer = site.send(&self.scope, Method::POST, &start, &|r| r.header(header::CONTENT_LENGTH, 0)).await?;
        match answer.status() {
            StatusCode::CREATED => return Ok(Uploaded::Mounted),
            StatusCode::ACCEPTED => {}
            _ => return Err(site.refused(answer, &self.reference().familiar(), what).await),
        }
        let location = self.location(&answer, &site.endpoint.name)?;
        let mut target = location;
        target.query_pairs_mut().append_pair("digest", &digest.to_string());
        // One request with the whole blob. The body cannot be sent twice, so the token must be good: it was used just now.
        let file = fs_err::tokio::File::open(path).await.map_err(|e| Error::io("open blob", path, e))?;
        let body = std::sync::Mutex::new(Some((file, 0u64)));
        let progress: std::sync::Arc<std::sync::atomic::AtomicU64> = std::sync::Arc::default();
        let build = |request: reqwest::RequestBuilder| {
            let request =
                request.header(header::CONTENT_LENGTH, size).header(header::CONTENT_TYPE, "application/octet-stream");
            let taken = body.lock().ok().and_then(|mut b| b.take());
            let Some(start) = taken else { return request };
            let progress = std::sync::Arc::clone(&progress);
            let stream = futures_util::stream::try_unfold(start, move |(mut file, done)| {
                let progress = std::sync::Arc::clone(&progress);
                async move {
                    let mut chunk = vec![0; CHUNK];
                    let n = file.read(&mut chunk).await?;
                    if n == 0 {
                        return Ok::<_, std::io::Error>(None);
                    }
                    chunk.truncate(n);
                    let done = done + n as u64;
                    progress.store(done, std::sync::atomic::Ordering::Relaxed);
                    Ok(Some((Bytes::from(chunk), (file, done))))
                }
            });
            request.body(reqwest::Body::wrap_stream(stream.boxed()))
        };
        let url = target.to_string();
        let put = site.send(&self.scope, Method::PUT, &url, &build);
        tokio::pin!(put);
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
        let answer = loop {
            tokio::select! {
                answer = &mut put => break answer?,
                _ = tick.tick() => sent(progress.load(std::sync::atomic::Ordering::Relaxed)),
            }
        };
        if !answer.status().is_success() {
            return Err(site.refused(answer, &self.reference().familiar(), what).await);
        }
        sent(size);
        Ok(Uploaded::Sent)
    }

    /// Where an upload goes on; relative addresses are relative to the request's.
    fn location(&self, answer: &reqwest::Response, registry: &str) -> Result<reqwest::Url, Error> {
        let bad =
            || Error::Protocol { registry: registry.to_owned(), message: "an upload without a valid Location".into() };
        let text = answer.headers().get(header::LOCATION).and_then(|v| v.to_str().ok()).ok_or_else(bad)?;
        answer.url().join(text).map_err(|_| bad())
    }

    /// Stores a manifest under a tag or its digest.
    pub(crate) async fn upload_manifest(
        &self,
        tag_or_digest: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let site = self.main_site();
        let path = self.path(&format!("manifests/{tag_or_digest}"));
        retried(ATTEMPTS, || async {
            let build = |r: reqwest::RequestBuilder| r.header(header::CONTENT_TYPE, media_type).body(bytes.to_vec());
            let answer = site.send(&self.scope, Method::PUT, &path, &build).await?;
            if !answer.status().is_success() {
                return Err(site.refused(answer, &self.reference().familiar(), "the upload of an image").await);
            }
            Ok(())
        })
        .await
    }
}
