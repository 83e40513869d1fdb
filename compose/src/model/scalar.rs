//! Sizes, durations and file modes: how people write them and how they print.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Why a text is not the scalar it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScalarError {
    /// Not an amount with one of the byte units.
    #[error("\"{0}\" is not a byte size such as 512m or 2gb")]
    ByteSize(String),
    /// Not a sequence of amounts with a time unit each.
    #[error("\"{0}\" is not a duration such as 10s or 1m30s")]
    Duration(String),
    /// Not an octal number of at most four digits.
    #[error("\"{0}\" is not an octal file mode such as 0440")]
    FileMode(String),
    /// A number that the type cannot hold.
    #[error("\"{0}\" is too large")]
    TooLarge(String),
}

/// A number of bytes (11-extension.md, "Specifying byte values"); the units
/// are powers of 1024. Negative only where -1 means "no limit".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub i64);

impl FromStr for ByteSize {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let bad = || ScalarError::ByteSize(text.to_owned());
        let trimmed = text.trim();
        let split =
            trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-' || c == '+')).unwrap_or(trimmed.len());
        let (amount, unit) = trimmed.split_at(split);
        let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            "p" | "pb" | "pib" => 50,
            _ => return Err(bad()),
        };
        if let Ok(whole) = amount.parse::<i64>() {
            if whole < -1 {
                return Err(bad());
            }
            return match whole.checked_mul(1 << shift) {
                Some(bytes) => Ok(ByteSize(bytes)),
                None => Err(ScalarError::TooLarge(text.to_owned())),
            };
        }
        if amount.bytes().all(|b| b.is_ascii_digit()) && !amount.is_empty() {
            return Err(ScalarError::TooLarge(text.to_owned()));
        }
        let amount: f64 = amount.parse().map_err(|_| bad())?;
        let bytes = amount * (1_i64 << shift) as f64;
        if !(0.0..9.2e18).contains(&bytes) {
            return Err(bad());
        }
        Ok(ByteSize(bytes as i64))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A span of time in nanoseconds, never negative (11-extension.md,
/// "Specifying durations"; days and weeks are accepted too).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub u64);

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

impl Duration {
    /// As the standard library's type.
    pub fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0)
    }

    /// A whole number of seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Duration(seconds * SECOND)
    }
}

impl FromStr for Duration {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let bad = || ScalarError::Duration(text.to_owned());
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Duration(0));
        }
        if rest.is_empty() {
            return Err(bad());
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
            let (amount, tail) = rest.split_at(digits);
            let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            let nanos = match unit {
                "ns" => 1,
                "us" | "\u{b5}s" | "\u{3bc}s" => MICROSECOND,
                "ms" => MILLISECOND,
                "s" => SECOND,
                "m" => 60 * SECOND,
                "h" => 3600 * SECOND,
                "d" => 86_400 * SECOND,
                "w" => 7 * 86_400 * SECOND,
                _ => return Err(bad()),
            };
            let part = decimal_times(amount, nanos).ok_or_else(bad)?;
            total = total.checked_add(part).filter(|t| *t <= i64::MAX as u64).ok_or_else(bad)?;
            rest = tail;
        }
        Ok(Duration(total))
    }
}

/// `amount` (digits with at most one point) times `unit`, exact to the nanosecond.
fn decimal_times(amount: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let mut value = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.checked_mul(unit)? };
    let mut scale = unit;
    for digit in fraction.bytes() {
        scale /= 10;
        value = value.checked_add(u64::from(digit - b'0') * scale)?;
    }
    Some(value)
}

impl fmt::Display for Duration {
    /// `1m30s`, `1.5s`, `250ms`: the form that Go programs print and read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0;
        if nanos == 0 {
            return f.write_str("0s");
        }
        if nanos < SECOND {
            let (unit, name) = match nanos {
                n if n < MICROSECOND => (1, "ns"),
                n if n < MILLISECOND => (MICROSECOND, "\u{b5}s"),
                _ => (MILLISECOND, "ms"),
            };
            write_decimal(f, nanos, unit)?;
            return f.write_str(name);
        }
        let (hours, minutes) = (nanos / (3600 * SECOND), nanos / (60 * SECOND) % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        write_decimal(f, nanos % (60 * SECOND), SECOND)?;
        f.write_str("s")
    }
}

fn write_decimal(f: &mut fmt::Formatter<'_>, nanos: u64, unit: u64) -> fmt::Result {
    write!(f, "{}", nanos / unit)?;
    let (mut rest, mut scale) = (nanos % unit, unit);
    if rest > 0 {
        f.write_str(".")?;
    }
    while rest > 0 {
        scale /= 10;
        write!(f, "{}", rest / scale)?;
        rest %= scale;
    }
    Ok(())
}

/// Permission bits. Text is read as octal, a YAML number as the number it is
/// (`0440` in YAML is octal already).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileMode(pub u32);

impl FromStr for FileMode {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let bad = || ScalarError::FileMode(text.to_owned());
        let digits = text.trim();
        let digits = digits.strip_prefix("0o").unwrap_or(digits);
        if digits.starts_with(['+', '-']) {
            return Err(bad());
        }
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(FileMode(mode)),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0{:o}", self.0)
    }
}

/// Serde for a scalar that prints as text and is read from text or a number.
macro_rules! text_or_number {
    ($name:ident, $expected:literal, $from_number:expr) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$name, E> {
                        let convert: fn(i64) -> Option<$name> = $from_number;
                        convert(number).ok_or_else(|| E::custom(format_args!("{number} is not {}", $expected)))
                    }
                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$name, E> {
                        match i64::try_from(number) {
                            Ok(number) => self.visit_i64(number),
                            Err(_) => Err(E::custom(ScalarError::TooLarge(number.to_string()))),
                        }
                    }
                }
                deserializer.deserialize_any(Text)
            }
        }
    };
}

text_or_number!(ByteSize, "a byte size", |n| (n >= -1).then_some(ByteSize(n)));
text_or_number!(Duration, "a duration", |n| u64::try_from(n).ok().map(Duration));
text_or_number!(FileMode, "a file mode", |n| u32::try_from(n).ok().filter(|m| *m <= 0o7777).map(FileMode));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_sizes() {
        for (text, bytes) in [
            ("2b", 2),
            ("1024kb", 1 << 20),
            ("2048k", 2 << 20),
            ("300m", 300 << 20),
            ("1gb", 1 << 30),
            ("1.5g", 3 << 29),
            ("-1", -1),
            ("12", 12),
            ("1 MB", 1 << 20),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "m", "12xb", "-5m", "1..2k", "99999999999999999999"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, printed) in [
            ("10ms", "10ms"),
            ("40s", "40s"),
            ("1m30s", "1m30s"),
            ("1h5m30s20ms", "1h5m30.02s"),
            ("90s", "1m30s"),
            ("1.5h", "1h30m0s"),
            ("100us", "100\u{b5}s"),
            ("0", "0s"),
            ("1d", "24h0m0s"),
        ] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), printed, "{text}");
        }
        for text in ["", "10", "s", "1x", "1m 2s", "9999999999999h", "-1s"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }

    #[test]
    fn modes() {
        assert_eq!("0440".parse(), Ok(FileMode(0o440)));
        assert_eq!("0o440".parse(), Ok(FileMode(0o440)));
        assert_eq!(FileMode(0o440).to_string(), "0440");
        assert!("0888".parse::<FileMode>().is_err());
    }
}
