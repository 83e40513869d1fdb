//! Points in time: `--since 10m`, `3 weeks ago`, `2026-01-02 13:23:37 +0000 UTC`.

use std::time::Duration;

use hoist_proto::unit;
use jiff::{Timestamp, Zoned, civil, tz::TimeZone};

use crate::cli::failure::Failure;

/// What a person typed for `--since` or `--until`, as the API has it: seconds and nanoseconds since 1970.
pub fn parse(flag: &str, text: &str) -> Result<String, Failure> {
    parse_at(flag, text, Timestamp::now())
}

fn parse_at(flag: &str, text: &str, now: Timestamp) -> Result<String, Failure> {
    let fail = || {
        Failure::new(format!(
            "invalid value {text:?} for --{flag}: expected a time, such as 2026-01-02T13:23:37Z, or an age, such as 42m"
        ))
    };
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && text != "0" {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        let seconds: i64 = seconds.parse().map_err(|_| fail())?;
        let nanos = format!("{fraction:0<9.9}");
        if fraction.contains('.') {
            return Err(fail());
        }
        return Ok(format!("{seconds}.{nanos}"));
    }
    if let Ok(age) = unit::parse_duration(text) {
        let then = now.as_nanosecond() - i128::try_from(age.as_nanos()).map_err(|_| fail())?;
        return Ok(format!("{}.{:09}", then.div_euclid(1_000_000_000), then.rem_euclid(1_000_000_000)));
    }
    let timestamp = if let Ok(timestamp) = text.parse::<Timestamp>() {
        timestamp
    } else {
        // Without a zone, this machine's own is meant.
        let local: civil::DateTime = match text.parse::<civil::DateTime>() {
            Ok(local) => local,
            Err(_) => text.parse::<civil::Date>().map_err(|_| fail())?.to_datetime(civil::Time::midnight()),
        };
        local.to_zoned(TimeZone::system()).map_err(|_| fail())?.timestamp()
    };
    Ok(format!("{}.{:09}", timestamp.as_second(), timestamp.subsec_nanosecond()))
}

/// How long ago: `3 weeks ago`.
pub fn ago(seconds: i64) -> String {
    format!("{} ago", unit::format_age(age(seconds)))
}

fn age(seconds: i64) -> Duration {
    let age = Timestamp::now().as_second() - seconds;
    Duration::from_secs(u64::try_from(age).unwrap_or(0))
}

/// As Go writes a time: `2026-01-02 13:23:37 +0000 UTC`.
pub fn stamp(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(timestamp) => go(&timestamp.to_zoned(TimeZone::system())),
        Err(_) => String::new(),
    }
}

/// A time as the API writes it, as Go prints it: with the fraction that it has.
pub fn stamp_of(text: &str) -> String {
    let Ok(timestamp) = text.parse::<Timestamp>() else { return text.to_owned() };
    let zoned = timestamp.to_zoned(TimeZone::UTC);
    let fraction = format!("{:09}", timestamp.subsec_nanosecond());
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{}{dot}{fraction} +0000 UTC", zoned.strftime("%Y-%m-%d %H:%M:%S"))
}

/// As RFC 3339 has it, in this machine's zone: `2026-01-02T13:23:37Z`.
pub fn rfc3339(seconds: i64) -> String {
    let Ok(timestamp) = Timestamp::from_second(seconds) else { return String::new() };
    let text = timestamp.to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    text.strip_suffix("+00:00").map(|text| format!("{text}Z")).unwrap_or(text)
}

fn go(zoned: &Zoned) -> String {
    zoned.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// With nanoseconds and zone, as `events` shows it: `2026-01-02T13:23:37.123456789Z`.
pub fn precise(nanos: i64) -> String {
    match Timestamp::from_nanosecond(i128::from(nanos)) {
        Ok(timestamp) => {
            let text = timestamp.to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S.%9f%:z").to_string();
            text.strip_suffix("+00:00").map(|text| format!("{text}Z")).unwrap_or(text)
        }
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_go_prints_them() {
        assert_eq!(stamp_of("2026-01-02T13:23:37.120Z"), "2026-01-02 13:23:37.12 +0000 UTC");
        assert_eq!(stamp_of("1970-01-01T00:00:00Z"), "1970-01-01 00:00:00 +0000 UTC");
        assert_eq!(stamp_of("never"), "never");
    }

    #[test]
    fn points_in_time() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let parse = |text| parse_at("since", text, now);
        assert_eq!(parse("10m").unwrap(), "999400.000000000");
        assert_eq!(parse("1.5s").unwrap(), "999998.500000000");
        assert_eq!(parse("0s").unwrap(), "1000000.000000000");
        assert_eq!(parse("1136073600").unwrap(), "1136073600.000000000");
        assert_eq!(parse("1136073600.000000001").unwrap(), "1136073600.000000001");
        assert_eq!(parse("2013-01-02T13:23:37Z").unwrap(), "1357133017.000000000");
        assert_eq!(parse("2013-01-02T13:23:37.5+01:00").unwrap(), "1357129417.500000000");
        assert_eq!(parse("yesterday").unwrap_err().code, 1);
        assert!(parse("2013-01-02").is_ok());
    }
}
