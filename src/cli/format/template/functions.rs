//! What can be called: text/template's own functions, and those that Docker adds.

use std::{cmp::Ordering, rc::Rc};

use super::{Value, printf::sprintf};

/// Every function.
pub const NAMES: [&str; 25] = [
    "and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "index", "slice", "print", "printf", "println",
    "json", "join", "split", "title", "lower", "upper", "pad", "truncate", "html", "urlquery",
];

pub fn call(name: &str, args: &[Value]) -> Result<Value, String> {
    Ok(match name {
        "not" => Value::Bool(!one(args)?.is_true()),
        "eq" => {
            let (first, rest) =
                args.split_first().filter(|(_, rest)| !rest.is_empty()).ok_or("two values are needed")?;
            let mut equal = false;
            for other in rest {
                equal |= same(first, other)?;
            }
            Value::Bool(equal)
        }
        "ne" => {
            let [a, b] = two(args)?;
            Value::Bool(!same(a, b)?)
        }
        "lt" | "le" | "gt" | "ge" => {
            let [a, b] = two(args)?;
            let order = a.compare(b).ok_or_else(|| format!("{} and {} have no order", a.kind(), b.kind()))?;
            Value::Bool(match name {
                "lt" => order == Ordering::Less,
                "le" => order != Ordering::Greater,
                "gt" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            })
        }
        "len" => Value::Int(match one(args)? {
            Value::Str(text) => text.len() as i64,
            Value::List(values) => values.len() as i64,
            Value::Map(values) => values.len() as i64,
            Value::Null => 0,
            other => return Err(format!("{} has no length", other.kind())),
        }),
        "index" => {
            let (first, rest) = args.split_first().ok_or("a value is needed")?;
            rest.iter().try_fold(first.clone(), |value, key| index(&value, key))?
        }
        "slice" => slice(args)?,
        "print" => Value::Str(print(args)),
        "println" => {
            let words: Vec<String> = args.iter().map(ToString::to_string).collect();
            Value::Str(words.join(" ") + "\n")
        }
        "printf" => {
            let (format, rest) = args.split_first().ok_or("a format is needed")?;
            Value::Str(sprintf(&format.to_string(), rest))
        }
        "json" => Value::Str(one(args)?.to_json().to_string()),
        "join" => {
            let [list, separator] = two(args)?;
            match list {
                Value::List(values) => {
                    let words: Vec<String> = values.iter().map(ToString::to_string).collect();
                    Value::Str(words.join(&text(separator)?))
                }
                Value::Null => Value::Str(String::new()),
                other => return Err(format!("{} is not a list", other.kind())),
            }
        }
        "split" => {
            let [whole, separator] = two(args)?;
            let (whole, separator) = (text(whole)?, text(separator)?);
            let parts: Vec<Value> = if separator.is_empty() {
                whole.chars().map(|c| Value::Str(c.to_string())).collect()
            } else {
                whole.split(separator.as_str()).map(Value::from).collect()
            };
            Value::List(Rc::new(parts))
        }
        "lower" => Value::Str(text(one(args)?)?.to_lowercase()),
        "upper" => Value::Str(text(one(args)?)?.to_uppercase()),
        "title" => Value::Str(title(&text(one(args)?)?)),
        "pad" => {
            let [value, before, after] = args else { return Err("three values are needed".to_owned()) };
            let spaces = |count: &Value| match count {
                Value::Int(count) => Ok(" ".repeat(usize::try_from(*count).unwrap_or(0).min(1 << 16))),
                other => Err(format!("{} is not a number of spaces", other.kind())),
            };
            let value = text(value)?;
            Value::Str(if value.is_empty() { value } else { format!("{}{value}{}", spaces(before)?, spaces(after)?) })
        }
        "truncate" => {
            let [value, length] = two(args)?;
            let Value::Int(length) = length else { return Err("the length is not a number".to_owned()) };
            Value::Str(text(value)?.chars().take(usize::try_from(*length).unwrap_or(0)).collect())
        }
        "html" => {
            let plain = print(args);
            Value::Str(
                plain
                    .replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace('>', "&gt;")
                    .replace('"', "&#34;")
                    .replace('\'', "&#39;"),
            )
        }
        "urlquery" => {
            let mut out = String::new();
            for byte in print(args).bytes() {
                match byte {
                    b' ' => out.push('+'),
                    byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => out.push(char::from(byte)),
                    byte => out.push_str(&format!("%{byte:02X}")),
                }
            }
            Value::Str(out)
        }
        _ => return Err("there is no such function".to_owned()),
    })
}

fn one(args: &[Value]) -> Result<&Value, String> {
    match args {
        [value] => Ok(value),
        _ => Err(format!("one value is needed, {} are given", args.len())),
    }
}

fn two(args: &[Value]) -> Result<[&Value; 2], String> {
    match args {
        [a, b] => Ok([a, b]),
        _ => Err(format!("two values are needed, {} are given", args.len())),
    }
}

fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::Str(text) => Ok(text.clone()),
        Value::Null => Ok(String::new()),
        other => Err(format!("{} is not text", other.kind())),
    }
}

fn same(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Null, _) | (_, Value::Null) => Ok(matches!((a, b), (Value::Null, Value::Null))),
        _ => a
            .compare(b)
            .map(|order| order == Ordering::Equal)
            .ok_or_else(|| format!("{} and {} cannot be compared", a.kind(), b.kind())),
    }
}

fn index(value: &Value, key: &Value) -> Result<Value, String> {
    match (value, key) {
        (Value::Map(fields), Value::Str(key)) => Ok(fields.get(key).cloned().unwrap_or_default()),
        (Value::List(values), Value::Int(at)) => usize::try_from(*at)
            .ok()
            .and_then(|at| values.get(at).cloned())
            .ok_or_else(|| format!("{at} is not one of {} entries", values.len())),
        (Value::Str(text), Value::Int(at)) => usize::try_from(*at)
            .ok()
            .and_then(|at| text.as_bytes().get(at).map(|byte| Value::Int(i64::from(*byte))))
            .ok_or_else(|| format!("{at} is not one of {} bytes", text.len())),
        (Value::Null, _) => Err("there is nothing to look into".to_owned()),
        (value, key) => Err(format!("{} cannot be looked up in {}", key.kind(), value.kind())),
    }
}

fn slice(args: &[Value]) -> Result<Value, String> {
    let (value, bounds) = args.split_first().ok_or("a value is needed")?;
    let length = match value {
        Value::Str(text) => text.len(),
        Value::List(values) => values.len(),
        other => return Err(format!("{} cannot be cut", other.kind())),
    };
    let bound = |at: usize, default: usize| match bounds.get(at) {
        None => Ok(default),
        Some(Value::Int(value)) => usize::try_from(*value)
            .ok()
            .filter(|value| *value <= length)
            .ok_or_else(|| format!("{value} is outside 0 to {length}")),
        Some(other) => Err(format!("{} is not a number", other.kind())),
    };
    let (from, to) = (bound(0, 0)?, bound(1, length)?);
    if from > to {
        return Err(format!("{from} is after {to}"));
    }
    Ok(match value {
        Value::Str(text) => Value::Str(text.get(from..to).ok_or("this would cut a character in two")?.to_owned()),
        Value::List(values) => Value::List(Rc::new(values[from..to].to_vec())),
        _ => Value::Null,
    })
}

/// As Go's Sprint: a space between two values when neither is text.
fn print(args: &[Value]) -> String {
    let mut out = String::new();
    for (at, value) in args.iter().enumerate() {
        let text = |value: &Value| matches!(value, Value::Str(_));
        if at > 0 && !text(value) && !text(&args[at - 1]) {
            out.push(' ');
        }
        out.push_str(&value.to_string());
    }
    out
}

fn title(text: &str) -> String {
    let mut start = true;
    text.chars()
        .map(|c| {
            let letter = if start { c.to_ascii_uppercase() } else { c };
            start = !c.is_alphanumeric() && c != '\'' && c != '_';
            letter
        })
        .collect()
}
