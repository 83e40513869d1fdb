//! Text to a tree of nodes: anchors, aliases and merge keys are resolved here,
//! and what would make later stages run out of memory or stack is refused.

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use std::borrow::Cow;
use std::collections::HashMap;

use super::node::{Directive, Entries, Mark, Node, Value};
use super::scalar;

/// Nodes in one file after aliases are copied. A file of ten lines can name
/// billions.
const MAX_NODES: usize = 200_000;
/// Nesting of lists and mappings.
const MAX_DEPTH: usize = 64;
/// Bytes of a file.
const MAX_BYTES: usize = 8 << 20;

/// What is wrong with a file's YAML.
pub(super) struct SyntaxError {
    pub mark: Mark,
    pub message: String,
}

/// Reads every document of a file.
pub(super) fn parse(text: &str, file: u32) -> Result<Vec<Node>, SyntaxError> {
    if text.len() > MAX_BYTES {
        return Err(SyntaxError {
            mark: Mark { file, line: 1, column: 1 },
            message: format!("the file is larger than {} MiB", MAX_BYTES >> 20),
        });
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder { file, open: Vec::new(), anchors: HashMap::new(), documents: Vec::new(), nodes: 0 };
    for event in Parser::<StrInput<'_>>::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker();
            SyntaxError { mark: mark(file, at.line(), at.col()), message: format!("invalid YAML: {}", error.info()) }
        })?;
        builder.event(event, span)?;
    }
    Ok(builder.documents)
}

fn mark(file: u32, line: usize, column: usize) -> Mark {
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Mark { file, line: narrow(line.max(1)), column: narrow(column + 1) }
}

/// A list or mapping whose end has not come yet.
struct Open {
    node: Node,
    anchor: usize,
    /// In a mapping: the key that waits for its value, and whether it is `<<`.
    key: Option<(String, Mark, bool)>,
    /// In a mapping: the values of `<<`, nearest first.
    merges: Vec<Node>,
    /// How many nodes there were when it began.
    nodes_before: usize,
}

struct Builder {
    file: u32,
    open: Vec<Open>,
    /// By anchor: the value and the number of nodes in it.
    anchors: HashMap<usize, (Node, usize)>,
    documents: Vec<Node>,
    nodes: usize,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), SyntaxError> {
        let at = mark(self.file, span.start.line(), span.start.col());
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if self.wants_key() {
                    let merge = text == "<<" && style == ScalarStyle::Plain;
                    self.count(1, at)?;
                    if anchor > 0 {
                        self.anchors.insert(anchor, (Node::new(Value::String(text.to_string()), at), 1));
                    }
                    return self.key(text.into_owned(), at, merge);
                }
                let node = scalar_node(text, style, tag.as_deref(), at)?;
                self.count(1, at)?;
                self.value(node, anchor, 1)
            }
            Event::SequenceStart(anchor, tag) => self.begin(Value::Seq(Vec::new()), anchor, tag, at),
            Event::MappingStart(anchor, tag) => self.begin(Value::Map(Entries::new()), anchor, tag, at),
            Event::SequenceEnd | Event::MappingEnd => self.end(at),
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return self.error(at, "an alias inside the value that it names");
                };
                self.count(size, at)?;
                if self.wants_key() {
                    return match node.text() {
                        Some(text) => self.key(text, at, false),
                        None => self.error(at, "a key must be text"),
                    };
                }
                self.value(node, 0, size)
            }
            Event::DocumentStart(_) | Event::DocumentEnd | Event::StreamStart | Event::StreamEnd | Event::Nothing => {
                Ok(())
            }
        }
    }

    fn error<T>(&self, mark: Mark, message: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError { mark, message: message.into() })
    }

    fn count(&mut self, nodes: usize, at: Mark) -> Result<(), SyntaxError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return self.error(at, format!("more than {MAX_NODES} values in one file, aliases included"));
        }
        Ok(())
    }

    fn wants_key(&self) -> bool {
        self.open.last().is_some_and(|open| open.key.is_none() && matches!(open.node.value, Value::Map(_)))
    }

    fn begin(&mut self, value: Value, anchor: usize, tag: Option<Cow<'_, Tag>>, at: Mark) -> Result<(), SyntaxError> {
        if self.wants_key() {
            return self.error(at, "a key must be text, not a list or a mapping");
        }
        if self.open.len() >= MAX_DEPTH {
            return self.error(at, format!("lists and mappings nest deeper than {MAX_DEPTH}"));
        }
        self.count(1, at)?;
        let mut node = Node::new(value, at);
        node.directive = match tag.as_deref().map(tag_name).as_deref() {
            None | Some("!" | "!!map" | "!!seq") => Directive::None,
            Some("!reset") => Directive::Reset,
            Some("!override") => Directive::Override,
            Some(other) => return self.error(at, unknown_tag(other)),
        };
        self.open.push(Open { node, anchor, key: None, merges: Vec::new(), nodes_before: self.nodes - 1 });
        Ok(())
    }

    fn key(&mut self, text: String, at: Mark, merge: bool) -> Result<(), SyntaxError> {
        if let Some(open) = self.open.last_mut() {
            if let Some(first) = open.node.as_map().and_then(|map| map.get(&text))
                && !merge
            {
                let line = first.key.line;
                return self.error(at, format!("the key \"{text}\" is there twice; the first is on line {line}"));
            }
            open.key = Some((text, at, merge));
        }
        Ok(())
    }

    fn end(&mut self, at: Mark) -> Result<(), SyntaxError> {
        let Some(mut open) = self.open.pop() else {
            return self.error(at, "the end of something that did not begin");
        };
        let merged = open.merges;
        if let Some(map) = open.node.as_map_mut() {
            for source in merged {
                if let Value::Map(source) = source.value {
                    for (key, value) in source {
                        map.entry(key).or_insert(value);
                    }
                }
            }
        }
        let size = self.nodes - open.nodes_before;
        self.value(open.node, open.anchor, size)
    }

    /// Puts a finished value where it belongs.
    fn value(&mut self, mut node: Node, anchor: usize, size: usize) -> Result<(), SyntaxError> {
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            self.anchors.clear();
            return Ok(());
        };
        match &mut open.node.value {
            Value::Seq(items) => {
                node.key = node.mark;
                items.push(node);
            }
            Value::Map(map) => {
                let Some((key, at, merge)) = open.key.take() else {
                    return self.error(node.mark, "a value without a key");
                };
                if !merge {
                    node.key = at;
                    map.insert(key, node);
                    return Ok(());
                }
                match node.value {
                    Value::Map(_) => open.merges.push(node),
                    Value::Seq(items) if items.iter().all(|item| item.as_map().is_some()) => open.merges.extend(items),
                    Value::Null => {}
                    _ => return self.error(node.mark, "\"<<\" takes a mapping or a list of mappings"),
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn scalar_node(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>, at: Mark) -> Result<Node, SyntaxError> {
    let error = |message: String| Err(SyntaxError { mark: at, message });
    let resolved =
        |text: &str| if style == ScalarStyle::Plain { scalar::resolve(text) } else { Value::String(text.to_owned()) };
    let Some(tag) = tag.map(tag_name) else {
        return Ok(Node::new(resolved(&text), at));
    };
    let mut node = match tag.as_str() {
        "!" | "!!str" => Node::new(Value::String(text.into_owned()), at),
        "!!int" | "!!float" | "!!bool" | "!!null" => {
            let value = scalar::resolve(&text);
            let fits = match tag.as_str() {
                "!!int" => matches!(value, Value::Int(_)),
                "!!float" => matches!(value, Value::Int(_) | Value::Float(_)),
                "!!bool" => matches!(value, Value::Bool(_)),
                _ => value == Value::Null,
            };
            if !fits {
                return error(format!("\"{text}\" is not what its tag {tag} says"));
            }
            Node::new(value, at)
        }
        "!reset" | "!override" => Node::new(resolved(&text), at),
        other => return error(unknown_tag(other)),
    };
    node.directive = match tag.as_str() {
        "!reset" => Directive::Reset,
        "!override" => Directive::Override,
        _ => Directive::None,
    };
    Ok(node)
}

/// The tag as people write it: `!!str`, `!reset`.
fn tag_name(tag: &Tag) -> String {
    let full = format!("{}{}", tag.handle, tag.suffix);
    match full.strip_prefix("tag:yaml.org,2002:") {
        Some(core) => format!("!!{core}"),
        None => full,
    }
}

fn unknown_tag(tag: &str) -> String {
    format!("unknown tag {tag}; those of a compose file are !reset and !override")
}
