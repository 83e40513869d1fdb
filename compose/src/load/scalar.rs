//! What a plain scalar is, by the rules of the YAML reader that Compose uses:
//! YAML 1.2's, with the octal and underscored integers of 1.1, and only `true`
//! and `false` as booleans.

use super::node::Value;

pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Value::String(text.to_owned());
    }
    if let Some(integer) = integer(text) {
        return Value::Int(integer);
    }
    if is_float(text)
        && let Ok(float) = text.replace('_', "").parse()
    {
        return Value::Float(float);
    }
    Value::String(text.to_owned())
}

/// Whether a plain scalar of that text is text.
pub(crate) fn is_text(text: &str) -> bool {
    matches!(resolve(text), Value::String(_))
}

/// `12`, `-7`, `1_000`, `0755`, `0o755`, `0x1f`, `0b101`; nothing beyond 64 bits.
fn integer(text: &str) -> Option<i128> {
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let value = if negative { -magnitude } else { magnitude };
    (value >= i128::from(i64::MIN)).then_some(value)
}

/// `[-+]? ( \. digits | digits ( \. digits? )? ) ( [eE] [-+]? digits )?`
fn is_float(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => (&body[..at], Some(&body[at + 1..])),
        None => (body, None),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits(fraction),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['-', '+']).unwrap_or(e);
        !e.is_empty() && e.bytes().all(|b| b.is_ascii_digit())
    });
    mantissa_fits && exponent_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_compose_reads_them() {
        for (text, value) in [
            ("0755", Value::Int(0o755)),
            ("0o440", Value::Int(0o440)),
            ("0x1F", Value::Int(31)),
            ("1_000", Value::Int(1000)),
            ("-5", Value::Int(-5)),
            ("08", Value::Float(8.0)),
            ("1.10", Value::Float(1.1)),
            ("1e3", Value::Float(1000.0)),
            ("22:22", Value::String("22:22".into())),
            ("yes", Value::String("yes".into())),
            ("no", Value::String("no".into())),
            ("on", Value::String("on".into())),
            ("true", Value::Bool(true)),
            ("~", Value::Null),
            ("2001-01-01", Value::String("2001-01-01".into())),
            ("1.2.3", Value::String("1.2.3".into())),
            ("18446744073709551615", Value::Int(u64::MAX.into())),
            (".", Value::String(".".into())),
            ("-", Value::String("-".into())),
        ] {
            assert_eq!(resolve(text), value, "{text}");
        }
    }
}
