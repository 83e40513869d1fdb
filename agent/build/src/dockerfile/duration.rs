//! Go's durations, as `HEALTHCHECK` takes them.

/// Nanoseconds of `1h30m`, `1.5s`, `300ms`; none if it is no duration, negative, or between 0 and a millisecond.
pub(super) fn go_duration(text: &str) -> Option<u64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if text == "0" {
        return Some(0);
    }
    let mut total: f64 = 0.0;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let number: f64 = number.parse().ok()?;
        let length = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(length);
        total += number
            * match unit {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return None,
            };
        rest = tail;
    }
    let longest = i64::MAX as f64;
    (total == 0.0 || (1e6..longest).contains(&total)).then_some(total as u64)
}

#[cfg(test)]
mod tests {
    use super::go_duration;

    #[test]
    fn as_go_reads_them() {
        assert_eq!(go_duration("1h30m"), Some(5_400_000_000_000));
        assert_eq!(go_duration("1.5s"), Some(1_500_000_000));
        assert_eq!(go_duration("0"), Some(0));
        assert_eq!(go_duration("0s"), Some(0));
        for wrong in ["", "5", "-5s", "10us", "s", "1x", "1..2s", "99999999999h"] {
            assert_eq!(go_duration(wrong), None, "{wrong}");
        }
    }
}
