//! Byte sizes, durations and ages as people write and read them, in Docker's forms.

use std::time::Duration;

/// A text that is not a size or a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not `NUMBER[b|k|m|g|t|p][b|ib]`.
    #[error("invalid size {0:?}: expected a number with an optional unit, such as 512m or 1.5gb")]
    Size(String),
    /// Not a sequence of `NUMBER UNIT`.
    #[error("invalid duration {0:?}: expected numbers with units, such as 1m30s or 500ms")]
    Duration(String),
}

/// Parses `10`, `64k`, `1.5gb`, `2GiB` into bytes; every unit is a power of 1024, as Docker's are.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    let fail = || UnitError::Size(text.to_owned());
    let lower = text.trim().to_ascii_lowercase();
    let split = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(split);
    let shift = match unit.trim_start() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(fail()),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift).ok_or_else(fail);
    }
    let number: f64 = number.parse().map_err(|_| fail())?;
    let bytes = number * (1_u64 << shift) as f64;
    if bytes.is_finite() && bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(fail()) }
}

/// Parses Go's and Compose's durations: `1h30m`, `1.5s`, `500ms`, `10us`, `2d`, `1w`; a bare `0` is zero.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let fail = || UnitError::Duration(text.to_owned());
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(fail());
    }
    let mut total = 0_f64;
    let mut exact = 0_u128;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(fail)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let nanos: u64 = match unit.trim() {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return Err(fail()),
        };
        if let Ok(whole) = number.parse::<u64>() {
            exact += u128::from(whole) * u128::from(nanos);
        } else {
            total += number.parse::<f64>().map_err(|_| fail())? * nanos as f64;
        }
        rest = tail.trim_start();
    }
    if !total.is_finite() || total > u64::MAX as f64 {
        return Err(fail());
    }
    u64::try_from(exact + total as u128).map(Duration::from_nanos).map_err(|_| fail())
}

/// Writes a duration as Go does: `1h30m0s`, `1.5s`, `500ms`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let fraction = |value: u128, unit: u128, name: &str| {
        let (whole, part) = (value / unit, value % unit);
        if part == 0 {
            format!("{whole}{name}")
        } else {
            let width = unit.ilog10() as usize;
            let digits = format!("{part:0width$}");
            format!("{whole}.{}{name}", digits.trim_end_matches('0'))
        }
    };
    match nanos {
        0 => "0s".into(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => fraction(nanos, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(nanos, 1_000_000, "ms"),
        _ => {
            let seconds = nanos / 1_000_000_000;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let rest = fraction(nanos % 60_000_000_000, 1_000_000_000, "s");
            match (hours, minutes) {
                (0, 0) => rest,
                (0, m) => format!("{m}m{rest}"),
                (h, m) => format!("{h}h{m}m{rest}"),
            }
        }
    }
}

fn scaled(bytes: u64, base: f64, digits: usize, units: &[&str]) -> String {
    let mut value = bytes as f64;
    let mut index = 0;
    while value >= base && index + 1 < units.len() {
        value /= base;
        index += 1;
    }
    // So many significant digits, no trailing zeros: Go's %.4g.
    let decimals = if index == 0 { 0 } else { (digits - 1).saturating_sub(value.log10().max(0.0) as usize) };
    let mut number = format!("{value:.decimals$}");
    if number.contains('.') {
        number.truncate(number.trim_end_matches('0').trim_end_matches('.').len());
    }
    format!("{number}{}", units[index])
}

const DECIMAL: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// Writes a size in powers of 1000 with at most four digits, as summaries do: `1.394GB`.
pub fn format_bytes(bytes: u64) -> String {
    scaled(bytes, 1000.0, 4, &DECIMAL)
}

/// Writes a size in powers of 1000 with at most three digits, as lists do: `1.39GB`.
pub fn format_bytes_short(bytes: u64) -> String {
    scaled(bytes, 1000.0, 3, &DECIMAL)
}

/// Writes a size in powers of 1024, as memory columns do: `23.44GiB`.
pub fn format_bytes_binary(bytes: u64) -> String {
    scaled(bytes, 1024.0, 4, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

/// Writes an age or span in one coarse unit, as Docker's lists do: `About a minute`, `3 weeks`.
pub fn format_age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [("0", 0), ("10b", 10), ("64k", 65536), ("1.5gb", 1_610_612_736), ("2 MiB", 2 << 20)] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "k", "1x", "-1", "1.2.3m", "99999999999p"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
        assert_eq!(format_bytes(999), "999B");
        assert_eq!(format_bytes(1_390_000_000), "1.39GB");
        assert_eq!(format_bytes(123_456), "123.5kB");
        assert_eq!(format_bytes_short(123_456), "123kB");
        assert_eq!(format_bytes_short(999_600), "1000kB");
        assert_eq!(format_bytes_short(1_394_000_000), "1.39GB");
        assert_eq!(format_bytes_binary(24 << 30), "24GiB");
    }

    #[test]
    fn durations() {
        for (text, nanos, go) in [
            ("1m30s", 90_000_000_000_u64, "1m30s"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("500ms", 500_000_000, "500ms"),
            ("10us", 10_000, "10µs"),
            ("0", 0, "0s"),
            ("1h", 3_600_000_000_000, "1h0m0s"),
            ("1d", 86_400_000_000_000, "24h0m0s"),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
            assert_eq!(format_duration(Duration::from_nanos(nanos)), go);
        }
        for text in ["", "5", "s", "1x", "99999999999999h", "1..s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ages() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (59, "59 seconds"),
            (61, "About a minute"),
            (3600, "About an hour"),
            (86400 * 3, "3 days"),
        ] {
            assert_eq!(format_age(Duration::from_secs(seconds)), text);
        }
    }
}
