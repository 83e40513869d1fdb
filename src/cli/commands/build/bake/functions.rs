//! The functions that bake files may call, each as HCL's and Terraform's libraries have it.

use base64::Engine as _;
use serde_json::{Map, Value, json};
use sha2::Digest as _;

use super::eval::{Answer, index, items, shown, text, truth};

/// A number: whole where it is.
pub fn number(value: f64) -> Value {
    // Beyond this, whole numbers are no longer exact.
    if value.fract() == 0.0 && value.abs() < 9.0e15 { json!(value as i64) } else { json!(value) }
}

/// A value where a number is wanted.
pub fn float(value: &Value) -> Answer<f64> {
    let parsed = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    parsed.ok_or_else(|| format!("{} is no number", shown(value)))
}

/// Equality of values; numbers by what they are worth.
pub fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        (a, b) => a == b,
    }
}

fn list(value: &Value) -> Answer<&Vec<Value>> {
    value.as_array().ok_or_else(|| format!("{} is no list", shown(value)))
}

fn object(value: &Value) -> Answer<&Map<String, Value>> {
    value.as_object().ok_or_else(|| format!("{} is no object", shown(value)))
}

fn texts(values: &[Value]) -> Answer<Vec<String>> {
    values.iter().map(text).collect()
}

/// A whole number that counts or places something.
fn whole(value: &Value) -> Answer<i64> {
    let number = float(value)?;
    if number.fract() == 0.0 { Ok(number as i64) } else { Err(format!("{number} is no whole number")) }
}

fn regex(pattern: &str) -> Answer<regex::Regex> {
    regex::Regex::new(pattern).map_err(|error| format!("the pattern {pattern:?} is not valid: {error}"))
}

fn unique(values: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    for value in values {
        if !found.iter().any(|other| equal(other, &value)) {
            found.push(value);
        }
    }
    found
}

/// Calls a function by its name.
///
/// # Errors
/// A function that is not there, or arguments that it cannot take.
pub fn call(name: &str, arguments: &[Value]) -> Answer {
    let count = |least: usize, most: usize| {
        let given = arguments.len();
        let wanted = match (least, most) {
            (least, usize::MAX) => format!("at least {least}"),
            (least, most) if least == most => least.to_string(),
            (least, most) => format!("{least} to {most}"),
        };
        if (least..=most).contains(&given) {
            Ok(())
        } else {
            Err(format!("takes {wanted} arguments, {given} were given"))
        }
    };
    let at = |number: usize| arguments.get(number).unwrap_or(&Value::Null);
    let exactly = |wanted: usize| count(wanted, wanted);
    let one = || exactly(1).and_then(|()| text(at(0)));
    let two = || exactly(2).and_then(|()| Ok::<_, String>((text(at(0))?, text(at(1))?)));
    let math = || exactly(2).and_then(|()| Ok::<_, String>((float(at(0))?, float(at(1))?)));
    let math1 = || exactly(1).and_then(|()| float(at(0)));
    let hex = |bytes: &[u8]| Value::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
    Ok(match name {
        // Numbers.
        "add" => math().map(|(a, b)| number(a + b))?,
        "subtract" => math().map(|(a, b)| number(a - b))?,
        "multiply" => math().map(|(a, b)| number(a * b))?,
        "divide" | "modulo" => {
            let (a, b) = math()?;
            if b == 0.0 {
                return Err("division by zero".into());
            }
            number(if name == "divide" { a / b } else { a % b })
        }
        "pow" => math().map(|(a, b)| number(a.powf(b)))?,
        "log" => math().map(|(a, b)| number(a.log(b)))?,
        "negate" => number(-math1()?),
        "absolute" | "abs" => number(math1()?.abs()),
        "ceil" => number(math1()?.ceil()),
        "floor" => number(math1()?.floor()),
        "int" => number(math1()?.trunc()),
        "signum" => number(math1()?.partial_cmp(&0.0).map_or(0.0, |order| f64::from(order as i8))),
        "max" | "min" => {
            count(1, usize::MAX)?;
            let mut values = arguments.iter().map(float).collect::<Answer<Vec<_>>>()?;
            values.sort_by(f64::total_cmp);
            number(if name == "max" { values[values.len() - 1] } else { values[0] })
        }
        "parseint" => {
            exactly(2)?;
            let (digits, base) = (text(at(0))?, whole(at(1))?);
            let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base)).ok_or("the base is 2 to 36")?;
            json!(i64::from_str_radix(&digits, base).map_err(|_| format!("{digits:?} is no number of base {base}"))?)
        }
        // Truth.
        "not" => exactly(1).and_then(|()| truth(at(0)).map(|value| Value::Bool(!value)))?,
        "and" => exactly(2).and_then(|()| Ok(Value::Bool(truth(at(0))? && truth(at(1))?)))?,
        "or" => exactly(2).and_then(|()| Ok(Value::Bool(truth(at(0))? || truth(at(1))?)))?,
        "equal" => exactly(2).map(|()| Value::Bool(equal(at(0), at(1))))?,
        "notequal" => exactly(2).map(|()| Value::Bool(!equal(at(0), at(1))))?,
        "greaterthan" => math().map(|(a, b)| Value::Bool(a > b))?,
        "greaterthanorequalto" => math().map(|(a, b)| Value::Bool(a >= b))?,
        "lessthan" => math().map(|(a, b)| Value::Bool(a < b))?,
        "lessthanorequalto" => math().map(|(a, b)| Value::Bool(a <= b))?,
        // Text.
        "upper" => one()?.to_uppercase().into(),
        "lower" => one()?.to_lowercase().into(),
        "title" => {
            let mut start = true;
            let capital = |c: char| {
                let first = std::mem::replace(&mut start, !c.is_alphanumeric()) && c.is_alphabetic();
                if first { c.to_uppercase().collect::<String>() } else { c.to_string() }
            };
            one()?.chars().map(capital).collect::<String>().into()
        }
        "trimspace" => one()?.trim().into(),
        "chomp" => one()?.trim_end_matches(['\n', '\r']).into(),
        "trim" => two().map(|(text, set)| text.trim_matches(|c| set.contains(c)).into())?,
        "trimprefix" => two().map(|(text, prefix)| text.strip_prefix(&prefix).unwrap_or(&text).into())?,
        "trimsuffix" => two().map(|(text, suffix)| text.strip_suffix(&suffix).unwrap_or(&text).into())?,
        "hasprefix" | "startswith" => two().map(|(text, prefix)| text.starts_with(&prefix).into())?,
        "hassuffix" | "endswith" => two().map(|(text, suffix)| text.ends_with(&suffix).into())?,
        "strlen" => one()?.chars().count().into(),
        "strcontains" => two().map(|(text, part)| text.contains(&part).into())?,
        "substr" => {
            exactly(3)?;
            let chars: Vec<char> = text(at(0))?.chars().collect();
            let (offset, length) = (whole(at(1))?, whole(at(2))?);
            let all = i64::try_from(chars.len()).unwrap_or(i64::MAX);
            let from = if offset < 0 { all + offset } else { offset }.clamp(0, all);
            let to = if length < 0 { all } else { (from + length).min(all) };
            chars[from as usize..to as usize].iter().collect::<String>().into()
        }
        "replace" => {
            exactly(3)?;
            text(at(0))?.replace(&text(at(1))?, &text(at(2))?).into()
        }
        "regex_replace" | "regexreplace" => {
            exactly(3)?;
            regex(&text(at(1))?)?.replace_all(&text(at(0))?, text(at(2))?.as_str()).into_owned().into()
        }
        "regex" | "regexall" => {
            let (pattern, subject) = two()?;
            let pattern = regex(&pattern)?;
            let found = pattern.captures_iter(&subject).map(|found| captured(&pattern, &found));
            let found: Vec<Value> = found.collect();
            match name {
                "regexall" => Value::Array(found),
                _ => found.into_iter().next().ok_or_else(|| format!("{pattern} is not found in {subject:?}"))?,
            }
        }
        "split" => two().map(|(separator, text)| text.split(&separator).collect::<Vec<_>>().into())?,
        "join" => {
            count(2, usize::MAX)?;
            let mut all = Vec::new();
            for argument in &arguments[1..] {
                all.extend(texts(list(argument)?)?);
            }
            all.join(&text(at(0))?).into()
        }
        "indent" => {
            exactly(2)?;
            let space = " ".repeat(usize::try_from(whole(at(0))?).unwrap_or(0).min(1000));
            text(at(1))?.replace('\n', &format!("\n{space}")).into()
        }
        "reverse" => match at(0) {
            Value::Array(items) => items.iter().rev().cloned().collect::<Vec<_>>().into(),
            _ => one()?.chars().rev().collect::<String>().into(),
        },
        "sanitize" => one()?
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "_-".contains(c) { c } else { '_' })
            .collect::<String>()
            .into(),
        "basename" => one()?.trim_end_matches('/').rsplit('/').next().unwrap_or_default().into(),
        "dirname" => one()?.rsplit_once('/').map_or(".", |(dir, _)| if dir.is_empty() { "/" } else { dir }).into(),
        "homedir" => exactly(0).map(|()| std::env::var("HOME").unwrap_or_default().into())?,
        "format" => {
            count(1, usize::MAX)?;
            formatted(&text(at(0))?, &arguments[1..])?.into()
        }
        "formatlist" => {
            count(1, usize::MAX)?;
            let pattern = text(at(0))?;
            let length = arguments[1..].iter().filter_map(Value::as_array).map(Vec::len).max().unwrap_or(1);
            let pick = |value: &Value, at: usize| match value {
                Value::Array(items) => items.get(at).cloned().ok_or("its lists have different lengths".to_owned()),
                one => Ok(one.clone()),
            };
            let line = |at: usize| {
                let picked = arguments[1..].iter().map(|value| pick(value, at)).collect::<Answer<Vec<_>>>()?;
                formatted(&pattern, &picked).map(Value::from)
            };
            Value::Array((0..length).map(line).collect::<Answer<_>>()?)
        }
        // Lists and objects.
        "length" => exactly(1).and_then(|()| match at(0) {
            Value::String(text) => Ok(text.chars().count().into()),
            other => items(other).map(|items| items.len().into()),
        })?,
        "concat" => {
            let all = arguments.iter().map(list).collect::<Answer<Vec<_>>>()?;
            all.into_iter().flatten().cloned().collect::<Vec<_>>().into()
        }
        "contains" => exactly(2).and_then(|()| Ok(list(at(0))?.iter().any(|item| equal(item, at(1))).into()))?,
        "coalesce" => {
            let empty = |value: &&Value| !value.is_null() && value.as_str() != Some("");
            arguments.iter().find(empty).cloned().ok_or("all arguments are empty")?
        }
        "coalescelist" => {
            let full = |value: &&Value| value.as_array().is_some_and(|items| !items.is_empty());
            arguments.iter().find(full).cloned().ok_or("all lists are empty")?
        }
        "compact" => {
            exactly(1)?;
            let full = |item: &&Value| !item.is_null() && item.as_str() != Some("");
            list(at(0))?.iter().filter(full).cloned().collect::<Vec<_>>().into()
        }
        "distinct" => exactly(1).and_then(|()| Ok(unique(list(at(0))?.iter().cloned()).into()))?,
        "chunklist" => {
            exactly(2)?;
            let size =
                usize::try_from(whole(at(1))?).ok().filter(|size| *size > 0).ok_or("the size must be above 0")?;
            list(at(0))?.chunks(size).map(|chunk| Value::from(chunk.to_vec())).collect::<Vec<_>>().into()
        }
        "element" => {
            exactly(2)?;
            let (all, number) = (list(at(0))?, whole(at(1))?);
            if all.is_empty() {
                return Err("the list is empty".into());
            }
            all[number.rem_euclid(i64::try_from(all.len()).unwrap_or(i64::MAX)) as usize].clone()
        }
        "index" => exactly(2).and_then(|()| index(at(0), at(1)))?,
        "indexof" => {
            exactly(2)?;
            let found = list(at(0))?.iter().position(|item| equal(item, at(1)));
            found.ok_or_else(|| format!("{} is not in the list", shown(at(1))))?.into()
        }
        "hasindex" => exactly(2).map(|()| index(at(0), at(1)).is_ok().into())?,
        "flatten" => {
            fn flat(value: &Value, out: &mut Vec<Value>) {
                match value {
                    Value::Array(items) => items.iter().for_each(|item| flat(item, out)),
                    other => out.push(other.clone()),
                }
            }
            exactly(1)?;
            let mut out = Vec::new();
            flat(&Value::from(list(at(0))?.clone()), &mut out);
            out.into()
        }
        "keys" => exactly(1)
            .and_then(|()| Ok(sorted(object(at(0))?).into_iter().map(|(k, _)| k.clone()).collect::<Vec<_>>().into()))?,
        "values" => exactly(1)
            .and_then(|()| Ok(sorted(object(at(0))?).into_iter().map(|(_, v)| v.clone()).collect::<Vec<_>>().into()))?,
        "lookup" => {
            count(2, 3)?;
            let found = object(at(0))?.get(&text(at(1))?).cloned();
            found.or(arguments.get(2).cloned()).ok_or_else(|| format!("the object has no {}", shown(at(1))))?
        }
        "merge" => {
            let mut all = Map::new();
            for argument in arguments.iter().filter(|argument| !argument.is_null()) {
                all.extend(object(argument)?.clone());
            }
            all.into()
        }
        "zipmap" => {
            exactly(2)?;
            let (keys, values) = (texts(list(at(0))?)?, list(at(1))?);
            if keys.len() != values.len() {
                return Err("the lists have different lengths".into());
            }
            keys.into_iter().zip(values.iter().cloned()).collect::<Map<_, _>>().into()
        }
        "range" => {
            count(1, 3)?;
            let numbers = arguments.iter().map(float).collect::<Answer<Vec<_>>>()?;
            let (start, end, step) = match numbers.as_slice() {
                [end] => (0.0, *end, if *end < 0.0 { -1.0 } else { 1.0 }),
                [start, end] => (*start, *end, if end < start { -1.0 } else { 1.0 }),
                [start, end, step, ..] => (*start, *end, *step),
                [] => (0.0, 0.0, 1.0),
            };
            let count = ((end - start) / step).ceil();
            if step == 0.0 || count > 1024.0 {
                return Err("more than 1024 numbers".into());
            }
            (0..count.max(0.0) as u32).map(|at| number(start + step * f64::from(at))).collect::<Vec<_>>().into()
        }
        "reverselist" => exactly(1).and_then(|()| Ok(list(at(0))?.iter().rev().cloned().collect::<Vec<_>>().into()))?,
        "slice" => {
            count(2, 3)?;
            let all = list(at(0))?;
            let end = if arguments.len() > 2 { whole(at(2))? } else { i64::try_from(all.len()).unwrap_or(i64::MAX) };
            let place = |number: i64| usize::try_from(number).ok().filter(|number| *number <= all.len());
            match (place(whole(at(1))?), place(end)) {
                (Some(from), Some(to)) if from <= to => all[from..to].to_vec().into(),
                _ => return Err("it reaches beyond the list".into()),
            }
        }
        "sort" => {
            exactly(1)?;
            let mut all = texts(list(at(0))?)?;
            all.sort();
            all.into()
        }
        "setunion" => {
            let all = arguments.iter().map(list).collect::<Answer<Vec<_>>>()?;
            unique(all.into_iter().flatten().cloned()).into()
        }
        "setintersection" | "setsubtract" => {
            exactly(2)?;
            let (left, right) = (list(at(0))?, list(at(1))?);
            let keep = |item: &Value| right.iter().any(|other| equal(item, other)) == (name == "setintersection");
            unique(left.iter().filter(|item| keep(item)).cloned()).into()
        }
        // Forms.
        "jsonencode" => exactly(1).map(|()| at(0).to_string().into())?,
        "jsondecode" => one().and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()))?,
        "base64encode" => base64::prelude::BASE64_STANDARD.encode(one()?).into(),
        "base64decode" => {
            let bytes = base64::prelude::BASE64_STANDARD.decode(one()?).map_err(|error| error.to_string())?;
            String::from_utf8(bytes).map_err(|_| "what it decodes to is not UTF-8")?.into()
        }
        "urlencode" => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            let code = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
            one()?.bytes().map(|byte| if byte == b' ' { "+".to_owned() } else { code(byte) }).collect::<String>().into()
        }
        "sha256" => hex(&sha2::Sha256::digest(one()?)),
        "sha512" => hex(&sha2::Sha512::digest(one()?)),
        "timestamp" => exactly(0).map(|()| jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into())?,
        "uuidv4" => exactly(0).map(|()| uuid().into())?,
        other => return Err(format!("there is no function {other:?} here")),
    })
}

/// In the order of the keys, as HCL's objects are.
fn sorted(object: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut all: Vec<_> = object.iter().collect();
    all.sort_by_key(|(key, _)| *key);
    all
}

/// What a pattern's groups hold: by name if they have names, else a list, else the whole.
fn captured(pattern: &regex::Regex, found: &regex::Captures<'_>) -> Value {
    let part = |at: usize| found.get(at).map_or(Value::Null, |part| part.as_str().into());
    let names: Vec<(usize, &str)> =
        pattern.capture_names().enumerate().filter_map(|(at, name)| Some((at, name?))).collect();
    match (names.is_empty(), found.len()) {
        (false, _) => names.into_iter().map(|(at, name)| (name.to_owned(), part(at))).collect::<Map<_, _>>().into(),
        (true, 1) => part(0),
        (true, count) => Value::Array((1..count).map(part).collect()),
    }
}

/// C's format, as far as HCL has it: `%s`, `%v`, `%d`, `%q`, `%t`, `%x`, `%f`, with width, zeros and precision.
fn formatted(pattern: &str, arguments: &[Value]) -> Answer<String> {
    let (mut out, mut arguments) = (String::new(), arguments.iter());
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            out.push('%');
            continue;
        }
        let mut flags = String::new();
        while let Some(flag) = chars.next_if(|c| "-+0# ".contains(*c)) {
            flags.push(flag);
        }
        let mut digits = || {
            let mut found = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                found.push(digit);
            }
            found.parse::<usize>().ok().map(|number| number.min(1000))
        };
        let width = digits().unwrap_or(0);
        let precision = if chars.next_if_eq(&'.').is_some() { Some(digits_of(&mut chars)) } else { None };
        let verb = chars.next().ok_or("the format ends behind a %")?;
        let value = arguments.next().ok_or_else(|| format!("there is no argument for %{verb}"))?;
        let shown = match verb {
            's' | 'v' => match value {
                Value::Array(_) | Value::Object(_) | Value::Null => value.to_string(),
                other => text(other)?,
            },
            'q' => Value::String(text(value)?).to_string(),
            'd' => whole(value)?.to_string(),
            'x' => format!("{:x}", whole(value)?),
            't' => truth(value)?.to_string(),
            'f' => format!("{:.*}", precision.unwrap_or(6), float(value)?),
            other => return Err(format!("%{other} is not supported")),
        };
        let pad = width.saturating_sub(shown.chars().count());
        match (flags.contains('-'), flags.contains('0')) {
            (true, _) => out.push_str(&(shown + &" ".repeat(pad))),
            (false, true) => out.push_str(&("0".repeat(pad) + &shown)),
            _ => out.push_str(&(" ".repeat(pad) + &shown)),
        }
    }
    match arguments.next() {
        Some(_) => Err("there are more arguments than the format needs".into()),
        None => Ok(out),
    }
}

fn digits_of(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> usize {
    let mut found = String::new();
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        found.push(digit);
    }
    found.parse::<usize>().unwrap_or(0).min(100)
}

/// A random identifier (RFC 9562, version 4).
fn uuid() -> String {
    let id = hoist_proto::id::ContainerId::random().to_string();
    let (a, b, c, d, e) = (&id[..8], &id[8..12], &id[13..16], &id[17..20], &id[20..32]);
    format!("{a}-{b}-4{c}-a{d}-{e}")
}
