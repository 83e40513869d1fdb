//! Files from the web that are no image's.

use std::path::Path;

use futures_util::StreamExt as _;
use http::header;
use tokio::io::AsyncWriteExt as _;

use super::Images;
use crate::error::Error;

impl Images {
    /// Downloads a file over HTTP or HTTPS with the settings that registries are spoken to with, but no credentials
    /// of theirs: `auth` is a whole `Authorization` header, which no other host is told. Returns when it was last changed (seconds since 1970), if the server says. `report` hears of bytes, and of all
    /// bytes if their number is known.
    pub async fn fetch(
        &self,
        url: &str,
        auth: Option<&[u8]>,
        to: &Path,
        report: &(dyn Fn(u64, Option<u64>) + Send + Sync),
    ) -> Result<Option<i64>, Error> {
        let parsed = reqwest::Url::parse(url).map_err(|e| Error::invalid(format!("address {url}"), e.to_string()))?;
        let host = parsed.host_str().unwrap_or_default().to_owned();
        let authority = parsed.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let client = self.inner.registries.client(&authority)?;
        let fail = |e: reqwest::Error| Error::invalid(url, crate::registry::describe(&e));
        let mut request = client.get(parsed);
        if let Some(auth) = auth {
            let mut value = header::HeaderValue::from_bytes(auth.trim_ascii())
                .map_err(|_| Error::invalid(url, "the secret for the server is no value of a header"))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let answer = request.send().await.map_err(fail)?;
        if !answer.status().is_success() {
            return Err(Error::invalid(url, format!("the server answered {}", answer.status())));
        }
        let modified = answer
            .headers()
            .get(header::LAST_MODIFIED)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| jiff::fmt::rfc2822::parse(text).ok())
            .map(|time| time.timestamp().as_second());
        let total = answer.content_length();
        let mut file = tokio::fs::File::create(to).await.map_err(|e| Error::io("create", to, e))?;
        let mut stream = answer.bytes_stream();
        let mut done = 0;
        while let Some(part) = stream.next().await {
            let part = part.map_err(fail)?;
            file.write_all(&part).await.map_err(|e| Error::io("write", to, e))?;
            done += part.len() as u64;
            report(done, total);
        }
        file.flush().await.map_err(|e| Error::io("write", to, e))?;
        Ok(modified)
    }
}
