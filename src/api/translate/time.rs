//! Moments and spans as Docker writes them.

use std::time::Duration;

use hoist_proto::{clock::Timestamp, unit};

/// RFC 3339 with as many digits as there are; a moment that never was is Go's zero time.
pub fn moment(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |time| time.to_string())
}

/// With exactly nine digits after the second, as log lines have them.
pub fn nanoseconds(time: Timestamp) -> String {
    let text = time.to_string();
    let (seconds, fraction) = match text.strip_suffix('Z').map(|text| text.split_once('.').unwrap_or((text, ""))) {
        Some(parts) => parts,
        None => return text,
    };
    format!("{seconds}.{fraction:0<9}Z")
}

/// How long ago, in one coarse unit.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    unit::format_age(Duration::try_from(now.duration_since(since)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_digits() {
        let time: Timestamp = "2024-01-02T03:04:05.5Z".parse().unwrap();
        assert_eq!(nanoseconds(time), "2024-01-02T03:04:05.500000000Z");
        assert_eq!(moment(Some(time)), "2024-01-02T03:04:05.5Z");
        assert_eq!(moment(None), "0001-01-01T00:00:00Z");
        assert_eq!(age(time, "2024-01-02T03:06:06Z".parse().unwrap()), "2 minutes");
    }
}
