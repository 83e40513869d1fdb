//! The tree between YAML and the model: every value knows where it was written.

use indexmap::IndexMap;

/// A place, with the file as an index into the loader's table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub file: u32,
    pub line: u32,
    pub column: u32,
}

/// What a tag says about merging (13-merge.md).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Directive {
    #[default]
    None,
    /// `!reset`: the key is taken away.
    Reset,
    /// `!override`: the value replaces instead of being merged.
    Override,
}

pub(super) type Entries = IndexMap<String, Node>;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// Wide enough for every integer that YAML's readers keep exact.
    Int(i128),
    Float(f64),
    String(String),
    Seq(Vec<Node>),
    Map(Entries),
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub value: Value,
    /// Where the value begins.
    pub mark: Mark,
    /// Where the key that it hangs on begins; `mark` for items and roots.
    pub key: Mark,
    pub directive: Directive,
    /// Whether a variable went into the text, so that it may stand where the
    /// schema wants a number or a boolean.
    pub interpolated: bool,
    /// Whether variables stay in the text, so that what it is cannot be told.
    pub waiting: bool,
}

/// Equality of content; where it was written does not matter.
impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.value == other.value
    }
}

impl Node {
    pub fn new(value: Value, mark: Mark) -> Node {
        Node { value, mark, key: mark, directive: Directive::None, interpolated: false, waiting: false }
    }

    fn without_value(&self) -> Node {
        Node {
            value: Value::Null,
            mark: self.mark,
            key: self.key,
            directive: self.directive,
            interpolated: self.interpolated,
            waiting: self.waiting,
        }
    }

    /// A value that stands for `self`, at its place.
    pub fn derived(&self, value: Value) -> Node {
        Node { value, ..self.without_value() }
    }

    pub fn string(&self, text: impl Into<String>) -> Node {
        Node { directive: Directive::None, ..self.derived(Value::String(text.into())) }
    }

    pub fn as_map(&self) -> Option<&Entries> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub fn as_map_mut(&mut self) -> Option<&mut Entries> {
        match &mut self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub fn as_seq(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Seq(items) => Some(items),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key)
    }

    /// The node at a path of keys and indices.
    pub fn at<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<&Node> {
        path.into_iter().try_fold(self, |node, step| match &node.value {
            Value::Map(map) => map.get(step),
            Value::Seq(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Takes away what is at a path; nothing happens where nothing is.
    pub fn remove(&mut self, path: &[String]) {
        let Some((step, rest)) = path.split_first() else { return };
        match (&mut self.value, rest.is_empty()) {
            (Value::Map(map), true) => drop(map.shift_remove(step)),
            (Value::Map(map), false) => {
                if let Some(node) = map.get_mut(step) {
                    node.remove(rest);
                }
            }
            (Value::Seq(items), last) => match step.parse::<usize>() {
                Ok(index) if index < items.len() && last => drop(items.remove(index)),
                Ok(index) => {
                    if let Some(node) = items.get_mut(index) {
                        node.remove(rest);
                    }
                }
                Err(_) => {}
            },
            _ => {}
        }
    }

    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// A scalar's text as Go prints the value; `None` for lists, mappings and null.
    pub fn text(&self) -> Option<String> {
        Some(match &self.value {
            Value::Bool(b) => b.to_string(),
            Value::Int(i) => i.to_string(),
            Value::Float(f) => float_text(*f),
            Value::String(text) => text.clone(),
            Value::Null | Value::Seq(_) | Value::Map(_) => return None,
        })
    }

    /// What it is, in a sentence.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "a number",
            Value::Float(_) => "a number",
            Value::String(_) => "text",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Int(i) => match (i64::try_from(*i), u64::try_from(*i)) {
                (Ok(i), _) => i.into(),
                (_, Ok(u)) => u.into(),
                _ => (*i as f64).into(),
            },
            Value::Float(f) => (*f).into(),
            Value::String(text) => Json::String(text.clone()),
            Value::Seq(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(map) => Json::Object(map.iter().map(|(k, v)| (k.clone(), v.to_json())).collect()),
        }
    }
}

/// The shortest text that reads back, with an exponent where Go uses one.
fn float_text(float: f64) -> String {
    if float.is_nan() {
        return "NaN".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let magnitude = float.abs();
    if magnitude != 0.0 && !(1e-4..1e21).contains(&magnitude) {
        let text = format!("{float:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    float.to_string()
}
