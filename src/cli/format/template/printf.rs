//! `printf`, with the verbs that make sense for these values.

use super::Value;

/// As Go's Sprintf: what does not fit is shown as `%!d(string=…)`.
pub fn sprintf(format: &str, args: &[Value]) -> String {
    let mut out = String::new();
    let mut args = args.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '0' | '+' | '#' | ' ')) {
            match flag {
                '-' => spec.left = true,
                '0' => spec.zeros = true,
                '+' => spec.sign = true,
                _ => {}
            }
        }
        let mut number = || {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            digits.parse::<usize>().ok().map(|number| number.min(1 << 16))
        };
        spec.width = number().unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            spec.precision = Some(digits.parse().unwrap_or(0).min(1 << 10));
        }
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match args.next() {
                None => out.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => out.push_str(&spec.pad(&spec.write(verb, value))),
            },
        }
    }
    let extra: Vec<String> = args.map(|value| format!("{}={value}", type_name(value))).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

#[derive(Default)]
struct Spec {
    left: bool,
    zeros: bool,
    sign: bool,
    width: usize,
    precision: Option<usize>,
}

impl Spec {
    fn write(&self, verb: char, value: &Value) -> String {
        let sign = |negative: bool| if self.sign && !negative { "+" } else { "" };
        match (verb, value) {
            ('v', Value::Null) => "<nil>".to_owned(),
            ('v', value) => value.to_string(),
            ('s', Value::Str(text)) => match self.precision {
                Some(length) => text.chars().take(length).collect(),
                None => text.clone(),
            },
            ('s', Value::List(_) | Value::Map(_)) => value.to_string(),
            ('q', Value::Str(text)) => format!("{text:?}"),
            ('d', Value::Int(number)) => format!("{}{number}", sign(*number < 0)),
            ('x', Value::Int(number)) => format!("{number:x}"),
            ('X', Value::Int(number)) => format!("{number:X}"),
            ('o', Value::Int(number)) => format!("{number:o}"),
            ('b', Value::Int(number)) => format!("{number:b}"),
            ('c', Value::Int(number)) => {
                u32::try_from(*number).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER).to_string()
            }
            ('x', Value::Str(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
            ('t', Value::Bool(value)) => value.to_string(),
            ('f' | 'F', Value::Float(number)) => {
                format!("{}{number:.*}", sign(*number < 0.0), self.precision.unwrap_or(6))
            }
            ('g', Value::Float(_)) => value.to_string(),
            ('T', value) => type_name(value).to_owned(),
            (verb, Value::Null) => format!("%!{verb}(<nil>)"),
            (verb, value) => format!("%!{verb}({}={value})", type_name(value)),
        }
    }

    fn pad(&self, text: &str) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        if self.left {
            format!("{text}{}", " ".repeat(missing))
        } else if self.zeros {
            let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
            format!("{sign}{}{digits}", "0".repeat(missing))
        } else {
            format!("{}{text}", " ".repeat(missing))
        }
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "float64",
        Value::Str(_) => "string",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
        Value::Method(_) => "func",
    }
}
