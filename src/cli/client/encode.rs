//! Names and filters as they travel in a URL.

use std::collections::BTreeMap;

use crate::cli::failure::Failure;

/// A name as one segment of a path; slashes are kept, as image names have them.
pub fn path_segment(text: &str) -> String {
    percent(text, b"-._~/:@")
}

/// A value in a query.
pub fn query_value(text: &str) -> String {
    percent(text, b"-._~/:@,")
}

fn percent(text: &str, plain: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `--filter key=value` flags as the API's `filters` parameter; `None` when there are none.
pub fn filters(flags: &[String]) -> Result<Option<String>, Failure> {
    let mut map: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for flag in flags {
        let (key, value) = flag
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("invalid filter {flag:?}: expected KEY=VALUE")))?;
        map.entry(key.trim().to_lowercase()).or_default().push(value.trim());
    }
    Ok((!map.is_empty()).then(|| serde_json::json!(map).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_gathered_by_key() {
        let flags = ["label=a=b".to_owned(), "status=running".to_owned(), "status=paused".to_owned()];
        assert_eq!(filters(&flags).unwrap().unwrap(), r#"{"label":["a=b"],"status":["running","paused"]}"#);
        assert_eq!(filters(&[]).unwrap(), None);
        assert_eq!(filters(&["x".to_owned()]).unwrap_err().code, 125);
    }

    #[test]
    fn what_is_not_plain_is_percent_encoded() {
        assert_eq!(path_segment("localhost:5000/a b@sha256:00"), "localhost:5000/a%20b@sha256:00");
        assert_eq!(query_value("{\"a\":1}&"), "%7B%22a%22:1%7D%26");
    }
}
