//! What a registry can list: the tags of a repository, and what its search finds.

use http::{Method, header};
use serde::Deserialize;

use super::auth::Authenticator;
use super::client::{Registries, Repository, Site, small_body};
use super::endpoint::Endpoint;
use crate::error::Error;
use crate::images::{Auth, Found};

/// Pages that are asked for at most: a registry that always has another page must not hold us.
const PAGES: usize = 1000;

impl Repository {
    /// All tags (OCI distribution, "Listing Tags"), page by page, in the registry's order.
    pub(crate) async fn tags(&self) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let mut last = None;
        for site in &self.sites {
            match self.tags_at(site, |bytes| Ok(serde_json::from_slice::<Page>(bytes)?.tags.unwrap_or_default())).await
            {
                Ok(tags) => return Ok(tags),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("a repository has at least one site"))
    }

    async fn tags_at(
        &self,
        site: &Site,
        read: impl Fn(&[u8]) -> Result<Vec<String>, serde_json::Error>,
    ) -> Result<Vec<String>, Error> {
        let mut all = Vec::new();
        let mut next = Some(self.path("tags/list"));
        for _ in 0..PAGES {
            let Some(path) = next.take() else { break };
            let answer = site.send(&self.scope, Method::GET, &path, &|request| request).await?;
            if !answer.status().is_success() {
                // Worded as for a manifest: a repository that is not there is an image that is not there.
                let what = "the request for the tags, as for a manifest";
                return Err(site.refused(answer, &self.reference().familiar_name(), what).await);
            }
            next = answer.headers().get(header::LINK).and_then(|value| next_page(value.to_str().ok()?));
            let bytes = small_body(answer, &site.endpoint.name).await?;
            let page = read(&bytes).map_err(|source| Error::Malformed {
                what: format!("list of tags of {}", self.reference().familiar_name()),
                source,
            })?;
            all.extend(page);
        }
        Ok(all)
    }
}

/// The path of `</v2/x/tags/list?last=b>; rel="next"`; only paths at the same registry are followed.
fn next_page(link: &str) -> Option<String> {
    let (target, relation) = link.strip_prefix('<')?.split_once('>')?;
    (relation.contains("rel=\"next\"") && target.starts_with('/')).then(|| target.to_owned())
}

/// A text as a part of a query (RFC 3986, section 2.1).
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl Registries {
    /// Asks a registry's search, which is of the protocol's first version and which few have besides Docker Hub.
    pub(crate) async fn search(
        &self,
        domain: &str,
        words: &str,
        limit: u32,
        auth: Option<Auth>,
    ) -> Result<Vec<Found>, Error> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            results: Vec<Found>,
        }
        let endpoint = self.endpoint(domain, || Endpoint::for_domain(domain, &self.options())).await?;
        let site = Site { endpoint, authenticator: Authenticator::new(auth), mirror: false };
        let path = format!("/v1/search?q={}&n={limit}", encoded(words));
        let answer = site.send("", Method::GET, &path, &|request| request).await?;
        if answer.status() == 404 {
            return Err(Error::NoSearch { registry: domain.to_owned() });
        }
        if !answer.status().is_success() {
            return Err(site.refused(answer, words, "the search").await);
        }
        let bytes = small_body(answer, domain).await?;
        let answer: Answer = serde_json::from_slice(&bytes)
            .map_err(|source| Error::Malformed { what: format!("result of the search at {domain}"), source })?;
        Ok(answer.results)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_page_here_is_followed() {
        assert_eq!(next_page("</v2/a/tags/list?last=b&n=2>; rel=\"next\"").unwrap(), "/v2/a/tags/list?last=b&n=2");
        assert_eq!(next_page("<https://elsewhere/v2/a/tags/list>; rel=\"next\""), None);
        assert_eq!(next_page("</v2/a>; rel=\"prev\""), None);
        assert_eq!(next_page("nonsense"), None);
    }

    #[test]
    fn words_do_not_leave_the_query() {
        assert_eq!(encoded("a b&n=1#\u{e9}"), "a%20b%26n%3D1%23%C3%A9");
    }
}
