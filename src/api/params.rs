//! The parameters of a request's query, read as Docker reads them.

use std::collections::BTreeMap;

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use hoist_proto::{clock::Timestamp, unit};

use super::error::ApiError;

/// The query of a request. A name may occur several times; unknown ones are ignored, as the API says.
#[derive(Debug, Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map(|Query(pairs)| Self(pairs))
            .map_err(|err| ApiError::bad_request(format!("invalid query: {err}")))
    }
}

impl Params {
    /// The first value, if given and not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    /// The first value, which may be empty.
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Docker's notion of true: given, and none of `0`, `no`, `false`, `none`.
    pub fn flag(&self, name: &str) -> bool {
        self.raw(name).is_some_and(truth)
    }

    /// As [`flag`](Self::flag), with another answer when it is not given.
    pub fn flag_or(&self, name: &str, default: bool) -> bool {
        self.raw(name).map_or(default, truth)
    }

    /// A number.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, ApiError> {
        self.text(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| ApiError::bad_request(format!("invalid value {text:?} of {name}: expected a number")))
            })
            .transpose()
    }

    /// A moment: seconds since the epoch with an optional fraction, RFC 3339, a date, or a duration that lies back.
    pub fn moment(&self, name: &str, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
        self.text(name).filter(|text| *text != "0").map(|text| moment(text, name, now)).transpose()
    }

    /// The `filters` parameter.
    pub fn filters(&self) -> Result<Filters, ApiError> {
        self.text("filters").map_or(Ok(Filters::default()), Filters::parse)
    }
}

fn truth(text: &str) -> bool {
    !matches!(text.trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
}

/// Reads a moment in any of the forms that Docker takes.
pub fn moment(text: &str, name: &str, now: Timestamp) -> Result<Timestamp, ApiError> {
    let fail = || {
        ApiError::bad_request(format!(
            "invalid value {text:?} of {name}: expected seconds since the epoch, RFC 3339 or a duration"
        ))
    };
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-')
        && text.bytes().filter(|byte| *byte == b'-').count() <= 1
        && !text.contains("-0")
    {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        if let Ok(seconds) = seconds.parse::<i64>() {
            let nanos = if fraction.is_empty() {
                0
            } else {
                format!("{fraction:0<9}").get(..9).and_then(|digits| digits.parse::<i32>().ok()).ok_or_else(fail)?
            };
            return Timestamp::new(seconds, nanos).map_err(|_| fail());
        }
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    if let Ok(civil) = text.parse::<jiff::civil::DateTime>() {
        return civil.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp()).map_err(|_| fail());
    }
    let back = unit::parse_duration(text).map_err(|_| fail())?;
    let back = jiff::SignedDuration::try_from(back).map_err(|_| fail())?;
    now.checked_sub(back).map_err(|_| fail())
}

/// `{"label": ["a=b"], "status": ["running"]}`: any of the values of each key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Reads both forms: lists, and the older `{"label": {"a=b": true}}`.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        use serde_json::Value;
        let fail = || ApiError::bad_request(format!("invalid filter: {text:?} is not a map of lists of strings"));
        let Ok(Value::Object(map)) = serde_json::from_str(text) else { return Err(fail()) };
        let mut filters = BTreeMap::new();
        for (key, value) in map {
            let values = match value {
                Value::Array(items) => items
                    .into_iter()
                    .map(|item| match item {
                        Value::String(text) => Ok(text),
                        _ => Err(fail()),
                    })
                    .collect::<Result<_, _>>()?,
                Value::Object(items) => {
                    items.into_iter().filter(|(_, on)| on.as_bool() == Some(true)).map(|(text, _)| text).collect()
                }
                Value::Null => Vec::new(),
                _ => return Err(fail()),
            };
            filters.insert(key, values);
        }
        Ok(Self(filters))
    }

    /// Refuses filters that the resource does not have.
    pub fn only(self, allowed: &[&str]) -> Result<Self, ApiError> {
        match self.0.keys().find(|key| !allowed.contains(&key.as_str())) {
            Some(key) => Err(ApiError::bad_request(format!("invalid filter '{key}'"))),
            None => Ok(self),
        }
    }

    /// The values of a filter; none when it was not given.
    pub fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether the filter was given with a value.
    pub fn has(&self, key: &str) -> bool {
        !self.get(key).is_empty()
    }

    /// Whether the filter was not given or one of its values fits.
    pub fn any(&self, key: &str, fits: impl FnMut(&String) -> bool) -> bool {
        let values = self.get(key);
        values.is_empty() || values.iter().any(fits)
    }

    /// The filter as a boolean; several contradicting values are refused.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, ApiError> {
        let mut answer = None;
        for value in self.get(key) {
            let this = match value.to_ascii_lowercase().as_str() {
                "1" | "true" | "t" => true,
                "0" | "false" | "f" => false,
                _ => return Err(ApiError::bad_request(format!("invalid filter '{key}={value}'"))),
            };
            if answer.is_some_and(|answer| answer != this) {
                return Err(ApiError::bad_request(format!("invalid filter '{key}': contradicting values")));
            }
            answer = Some(this);
        }
        Ok(answer)
    }

    /// Whether all `label` filters fit and no `label!` filter does.
    pub fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let holds = |filter: &String| match filter.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|have| have == value),
            None => labels.contains_key(filter.as_str()),
        };
        self.get("label").iter().all(holds) && !self.get("label!").iter().any(holds)
    }

    /// The `until` filter.
    pub fn until(&self, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
        match self.get("until") {
            [] => Ok(None),
            [text] => moment(text, "until", now).map(Some),
            _ => Err(ApiError::bad_request("more than one until filter specified")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        let uri = format!("/x?{query}").parse().unwrap();
        Params(Query::try_from_uri(&uri).unwrap().0)
    }

    #[test]
    fn truth_is_docker_s() {
        let params = params("a=1&b=0&c=&d=True&e=none&f=yes");
        let flags: Vec<bool> = ["a", "b", "c", "d", "e", "f", "g"].iter().map(|name| params.flag(name)).collect();
        assert_eq!(flags, [true, false, false, true, false, true, false]);
        assert!(params.flag_or("g", true));
    }

    #[test]
    fn moments_in_all_forms() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        for (text, millis) in [
            ("5", 5000),
            ("5.25", 5250),
            ("1970-01-01T00:00:05Z", 5000),
            ("1970-01-01T00:00:05.5+00:00", 5500),
            ("1970-01-02", 86_400_000),
            ("10s", 999_990_000),
        ] {
            assert_eq!(moment(text, "since", now).unwrap().as_millisecond(), millis, "{text}");
        }
        for text in ["x", "99999999999999999999", "1.x", "--1"] {
            assert!(moment(text, "since", now).is_err(), "{text}");
        }
    }

    #[test]
    fn filters_in_both_forms() {
        let new = Filters::parse(r#"{"label":["a=b","c"],"status":["running"]}"#).unwrap();
        let old = Filters::parse(r#"{"label":{"a=b":true,"c":true},"status":{"running":true}}"#).unwrap();
        assert_eq!(new, old);
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned()), ("c".to_owned(), String::new())]);
        assert!(new.labels(&labels));
        assert!(!Filters::parse(r#"{"label!":["c"]}"#).unwrap().labels(&labels));
        assert!(new.clone().only(&["label"]).unwrap_err().message.contains("'status'"));
        for text in ["[]", "{", r#"{"a":1}"#, r#"{"a":[1]}"#] {
            assert!(Filters::parse(text).is_err(), "{text}");
        }
    }
}
