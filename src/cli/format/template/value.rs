//! What templates work on.

use std::{cmp::Ordering, fmt, rc::Rc};

use indexmap::IndexMap;

/// A method of a row, such as `.Label "key"`.
pub type Method = Rc<dyn Fn(&[Value]) -> Result<Value, String>>;

/// What templates work on.
#[derive(Clone, Default)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    List(Rc<Vec<Value>>),
    Map(Rc<IndexMap<String, Value>>),
    Method(Method),
}

impl Value {
    /// Go's truth: what is empty or zero is false.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Str(value) => !value.is_empty(),
            Self::List(values) => !values.is_empty(),
            Self::Map(values) => !values.is_empty(),
            Self::Method(_) => true,
        }
    }

    /// What kind of value it is, for errors.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Str(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
            Self::Method(_) => "a function",
        }
    }

    /// Order among values of one kind.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Str(a), Self::Str(b)) => Some(a.cmp(b)),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Null, Self::Null) => Some(Ordering::Equal),
            (Self::Int(_) | Self::Float(_), Self::Int(_) | Self::Float(_)) => {
                self.as_f64()?.partial_cmp(&other.as_f64()?)
            }
            _ => None,
        }
    }

    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// As JSON; methods are left out.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null | Self::Method(_) => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Float(value) => (*value).into(),
            Self::Str(value) => value.clone().into(),
            Self::List(values) => values.iter().map(Self::to_json).collect(),
            Self::Map(values) => values
                .iter()
                .filter(|(_, value)| !matches!(value, Self::Method(_)))
                .map(|(key, value)| (key.clone(), value.to_json()))
                .collect(),
        }
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(value),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(value) => Self::Int(value),
                None => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Self::Str(text),
            serde_json::Value::Array(values) => Self::List(Rc::new(values.into_iter().map(Self::from).collect())),
            serde_json::Value::Object(values) => {
                Self::Map(Rc::new(values.into_iter().map(|(key, value)| (key, Self::from(value))).collect()))
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As Go's `%v`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<no value>"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{}", float(*value)),
            Self::Str(value) => f.write_str(value),
            Self::List(values) => {
                f.write_str("[")?;
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        f.write_str(" ")?;
                    }
                    write!(f, "{}", Inner(value))?;
                }
                f.write_str("]")
            }
            Self::Map(values) => {
                // Go prints maps in the order of their keys.
                let mut keys: Vec<&String> = values.keys().collect();
                keys.sort();
                f.write_str("map[")?;
                for (index, key) in keys.into_iter().enumerate() {
                    if index > 0 {
                        f.write_str(" ")?;
                    }
                    write!(f, "{key}:{}", Inner(&values[key]))?;
                }
                f.write_str("]")
            }
            Self::Method(_) => f.write_str("<function>"),
        }
    }
}

/// Inside a list or map, nothing is `<nil>`.
struct Inner<'a>(&'a Value);

impl fmt::Display for Inner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("<nil>"),
            value => write!(f, "{value}"),
        }
    }
}

/// As Go's `%v` of a float64: shortest form, exponents beyond 21 digits.
fn float(value: f64) -> String {
    let exponent = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    if (-4.0..21.0).contains(&exponent) || !value.is_finite() {
        return format!("{value}");
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}
