//! Walking the tree.

use std::fmt::Write;

use super::{
    TemplateError, Value, functions,
    parse::{Base, Command, Node, Operand, Pipeline},
};
use crate::cli::suggest;

/// Objects whose keys are data, not fields: one that is not there is nothing rather than a mistake.
const OPEN: [&str; 18] = [
    "Labels",
    "Annotations",
    "Ports",
    "PortBindings",
    "ExposedPorts",
    "Networks",
    "Options",
    "Sysctls",
    "Tmpfs",
    "Volumes",
    "Containers",
    "DriverOpts",
    "Attributes",
    "Data",
    "StorageOpt",
    "Config.Env",
    "Status",
    "AuxiliaryAddresses",
];

pub fn render(nodes: &[Node], data: &Value) -> Result<String, TemplateError> {
    let mut scope = Scope { variables: vec![(String::new(), data.clone())], out: String::new() };
    scope.walk(nodes, data)?;
    Ok(scope.out)
}

struct Scope {
    variables: Vec<(String, Value)>,
    out: String,
}

/// What a range does next.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl Scope {
    fn walk(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, TemplateError> {
        for node in nodes {
            let flow = match node {
                Node::Text(text) => {
                    self.out.push_str(text);
                    Flow::On
                }
                Node::Print(pipe) => {
                    let value = self.pipeline(pipe, dot, false)?;
                    if pipe.variables.is_empty() {
                        let _ = write!(self.out, "{value}");
                    }
                    Flow::On
                }
                Node::If { condition, then, otherwise } => self.scoped(|scope| {
                    let holds = scope.pipeline(condition, dot, true)?.is_true();
                    scope.walk(if holds { then } else { otherwise }, dot)
                })?,
                Node::With { value, then, otherwise } => self.scoped(|scope| {
                    let value = scope.pipeline(value, dot, true)?;
                    if value.is_true() { scope.walk(then, &value) } else { scope.walk(otherwise, dot) }
                })?,
                Node::Range { over, body, otherwise } => {
                    self.scoped(|scope| scope.range(over, body, otherwise, dot))?
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn scoped<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, TemplateError>) -> Result<T, TemplateError> {
        let known = self.variables.len();
        let result = run(self);
        self.variables.truncate(known);
        result
    }

    fn range(
        &mut self,
        over: &Pipeline,
        body: &[Node],
        otherwise: &[Node],
        dot: &Value,
    ) -> Result<Flow, TemplateError> {
        let plain = Pipeline { variables: Vec::new(), ..over.clone() };
        let items: Vec<(Value, Value)> = match self.pipeline(&plain, dot, true)? {
            Value::Null => Vec::new(),
            Value::List(values) => {
                values.iter().enumerate().map(|(index, value)| (Value::Int(index as i64), value.clone())).collect()
            }
            Value::Map(values) => {
                // Go goes through maps in the order of their keys.
                let mut pairs: Vec<_> = values.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
                pairs.sort_by(|a, b| a.0.cmp(&b.0));
                pairs.into_iter().map(|(key, value)| (Value::Str(key), value)).collect()
            }
            Value::Int(count) => {
                (0..count.clamp(0, 1 << 20)).map(|index| (Value::Int(index), Value::Int(index))).collect()
            }
            other => return Err(TemplateError::new(over.at, format!("cannot range over {}", other.kind()))),
        };
        if items.is_empty() {
            return self.walk(otherwise, dot);
        }
        for (key, value) in items {
            let flow = self.scoped(|scope| {
                match over.variables.as_slice() {
                    [] => {}
                    [one] => scope.set(one, value.clone(), over)?,
                    [first, second, ..] => {
                        scope.set(first, key.clone(), over)?;
                        scope.set(second, value.clone(), over)?;
                    }
                }
                scope.walk(body, &value)
            })?;
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn set(&mut self, name: &str, value: Value, pipe: &Pipeline) -> Result<(), TemplateError> {
        if pipe.declares {
            self.variables.push((name.to_owned(), value));
            return Ok(());
        }
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, old)) => {
                *old = value;
                Ok(())
            }
            None => Err(TemplateError::new(pipe.at, format!("there is no variable ${name}"))),
        }
    }

    /// `lenient`: what is not there is nothing, as in a condition.
    fn pipeline(&mut self, pipe: &Pipeline, dot: &Value, lenient: bool) -> Result<Value, TemplateError> {
        let mut piped = None;
        for command in &pipe.commands {
            piped = Some(self.command(command, dot, piped, lenient)?);
        }
        let value = piped.unwrap_or_default();
        if let [name] = pipe.variables.as_slice() {
            self.set(name, value.clone(), pipe)?;
        }
        Ok(value)
    }

    fn command(
        &mut self,
        command: &Command,
        dot: &Value,
        piped: Option<Value>,
        lenient: bool,
    ) -> Result<Value, TemplateError> {
        let (first, rest) = (&command.words[0], &command.words[1..]);
        if let Base::Function(name) = &first.base {
            let lenient = lenient || matches!(name.as_str(), "and" | "or" | "not");
            if matches!(name.as_str(), "and" | "or") {
                // The first that decides; what follows is not looked at.
                let mut last = Value::Null;
                for word in rest {
                    last = self.operand(word, dot, lenient)?;
                    if last.is_true() == (name == "or") {
                        return Ok(last);
                    }
                }
                return Ok(piped.unwrap_or(last));
            }
            let mut args = rest.iter().map(|word| self.operand(word, dot, lenient)).collect::<Result<Vec<_>, _>>()?;
            args.extend(piped);
            return functions::call(name, &args)
                .map_err(|message| TemplateError::new(first.at, format!("{name}: {message}")));
        }
        let value = self.operand(first, dot, lenient)?;
        if let Value::Method(method) = &value {
            let mut args = rest.iter().map(|word| self.operand(word, dot, lenient)).collect::<Result<Vec<_>, _>>()?;
            args.extend(piped);
            return method(&args).map_err(|message| TemplateError::new(first.at, message));
        }
        if !rest.is_empty() || piped.is_some() {
            return Err(TemplateError::new(first.at, format!("{} takes no arguments", value.kind())));
        }
        Ok(value)
    }

    fn operand(&mut self, operand: &Operand, dot: &Value, lenient: bool) -> Result<Value, TemplateError> {
        let mut value = match &operand.base {
            Base::Dot => dot.clone(),
            Base::Variable(name) => self
                .variables
                .iter()
                .rev()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.clone())
                .ok_or_else(|| TemplateError::new(operand.at, format!("there is no variable ${name}")))?,
            Base::Literal(value) => value.clone(),
            Base::Group(pipe) => self.pipeline(pipe, dot, lenient)?,
            Base::Function(name) => functions::call(name, &[])
                .map_err(|message| TemplateError::new(operand.at, format!("{name}: {message}")))?,
        };
        let mut parent = "";
        for name in &operand.fields {
            value = field(&value, name, parent, lenient).map_err(|err| err(operand.at))?;
            parent = name;
        }
        Ok(value)
    }
}

type Late = Box<dyn Fn(usize) -> TemplateError>;

fn field(value: &Value, name: &str, parent: &str, lenient: bool) -> Result<Value, Late> {
    let fail = |message: String, hint: Option<String>| -> Late {
        Box::new(move |at| TemplateError::new(at, message.clone()).hint(hint.clone()))
    };
    match value {
        Value::Map(fields) => {
            // Docker's own names differ from the JSON's in case here and there (.ID is Id).
            let found = fields
                .get(name)
                .or_else(|| fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value));
            match found {
                Some(found) => Ok(found.clone()),
                None if lenient || OPEN.contains(&parent) => Ok(Value::Null),
                None => {
                    let near = suggest::nearest(name, fields.keys().map(String::as_str));
                    let hint = suggest::did_you_mean(&near).unwrap_or_else(|| {
                        let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
                        names.sort_unstable();
                        format!("there are {}", names.join(", "))
                    });
                    Err(fail(format!("there is no field .{name}"), Some(hint)))
                }
            }
        }
        Value::Null if lenient => Ok(Value::Null),
        other => Err(fail(format!("{} has no field .{name}", other.kind()), None)),
    }
}
