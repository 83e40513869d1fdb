//! Values of HCL expressions: the expression language as HCL's specification has it, with variables that are evaluated
//! when they are first needed, and functions that the file defines itself.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use hcl::{
    Expression, Template,
    expr::{
        BinaryOp, BinaryOperator, ForExpr, FuncCall, ObjectKey, Operation, Traversal, TraversalOperator, UnaryOperator,
    },
    template::{Directive, Element, Strip},
};
use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::functions;

/// Why an expression has no value, in words.
pub type Answer<T = Value> = Result<T, String>;

/// Functions that call themselves without end are stopped here.
const DEEPEST: u32 = 100;

/// A function that the file defines.
#[derive(Debug, Clone)]
pub struct Function {
    pub params: Vec<String>,
    /// Takes all further arguments as a list.
    pub variadic: Option<String>,
    pub result: Expression,
}

/// A variable of the file.
#[derive(Debug, Clone)]
pub enum Variable {
    /// As it is written.
    Written(Expression),
    /// Its value.
    Known(Value),
}

/// All that expressions can name.
#[derive(Debug, Default)]
pub struct Scope {
    pub variables: IndexMap<String, Variable>,
    pub functions: IndexMap<String, Function>,
    known: RefCell<BTreeMap<String, Value>>,
    /// Variables that are being evaluated.
    open: RefCell<Vec<String>>,
    depth: Cell<u32>,
}

/// Names that stand for values in a part of an expression only.
pub type Locals = BTreeMap<String, Value>;

impl Scope {
    pub fn new(variables: IndexMap<String, Variable>, functions: IndexMap<String, Function>) -> Self {
        Self { variables, functions, ..Self::default() }
    }

    pub fn variable(&self, name: &str) -> Answer {
        if let Some(value) = self.known.borrow().get(name) {
            return Ok(value.clone());
        }
        let value = match self.variables.get(name) {
            Some(Variable::Known(value)) => value.clone(),
            Some(Variable::Written(expression)) => {
                if self.open.borrow().iter().any(|open| open == name) {
                    return Err(format!("the variable {name} depends on itself: {}", self.open.borrow().join(" → ")));
                }
                self.open.borrow_mut().push(name.to_owned());
                let value = self.value(expression, &Locals::new());
                self.open.borrow_mut().pop();
                value?
            }
            None => {
                let near = crate::cli::suggest::nearest(name, self.variables.keys().map(String::as_str));
                let hint = near.first().map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                return Err(format!("there is no variable {name:?}{hint}"));
            }
        };
        self.known.borrow_mut().insert(name.to_owned(), value.clone());
        Ok(value)
    }

    /// An expression's value.
    pub fn value(&self, expression: &Expression, locals: &Locals) -> Answer {
        Ok(match expression {
            Expression::Null => Value::Null,
            Expression::Bool(value) => Value::Bool(*value),
            Expression::Number(number) => functions::number(number.as_f64().unwrap_or_default()),
            Expression::String(text) => Value::String(text.clone()),
            Expression::Array(items) => {
                Value::Array(items.iter().map(|item| self.value(item, locals)).collect::<Answer<_>>()?)
            }
            Expression::Object(object) => {
                let mut map = Map::new();
                for (key, value) in object.iter() {
                    let key = match key {
                        ObjectKey::Identifier(name) => name.to_string(),
                        ObjectKey::Expression(key) => text(&self.value(key, locals)?)?,
                        other => return Err(format!("an object's key {other} is not supported")),
                    };
                    map.insert(key, self.value(value, locals)?);
                }
                Value::Object(map)
            }
            Expression::TemplateExpr(template) => {
                let template = Template::from_expr(template).map_err(|error| error.to_string())?;
                self.template(&template, locals)?
            }
            Expression::Variable(name) => match locals.get(name.as_str()) {
                Some(value) => value.clone(),
                None => self.variable(name.as_str())?,
            },
            Expression::Traversal(traversal) => self.traversal(traversal, locals)?,
            Expression::FuncCall(call) => self.call(call, locals)?,
            Expression::Parenthesis(inner) => self.value(inner, locals)?,
            Expression::Conditional(conditional) => {
                let chosen = match truth(&self.value(&conditional.cond_expr, locals)?)? {
                    true => &conditional.true_expr,
                    false => &conditional.false_expr,
                };
                self.value(chosen, locals)?
            }
            Expression::Operation(operation) => self.operation(operation, locals)?,
            Expression::ForExpr(each) => self.each(each, locals)?,
            other => return Err(format!("the expression {other} is not supported")),
        })
    }

    /// A template's value: that of its expression if it is one alone, else text.
    pub fn template(&self, template: &Template, locals: &Locals) -> Answer {
        if let [Element::Interpolation(alone)] = template.elements() {
            return self.value(&alone.expr, locals);
        }
        let mut out = String::new();
        self.fill(&mut out, template, locals, (Strip::None, Strip::None))?;
        Ok(Value::String(out))
    }

    fn fill(&self, out: &mut String, template: &Template, locals: &Locals, around: (Strip, Strip)) -> Answer<()> {
        let elements = template.elements();
        for (at, element) in elements.iter().enumerate() {
            match element {
                Element::Literal(literal) => {
                    let before = at.checked_sub(1).map_or(around.0, |at| strip(&elements[at]));
                    let after = elements.get(at + 1).map_or(around.1, strip);
                    let mut literal = literal.as_str();
                    if before.strip_end() {
                        literal = literal.trim_start_matches([' ', '\t']);
                        literal = literal.strip_prefix("\r\n").or(literal.strip_prefix('\n')).unwrap_or(literal);
                    }
                    if after.strip_start() {
                        literal = literal.trim_end_matches([' ', '\t']);
                        literal = literal.strip_suffix("\r\n").or(literal.strip_suffix('\n')).unwrap_or(literal);
                    }
                    out.push_str(literal);
                }
                Element::Interpolation(part) => out.push_str(&text(&self.value(&part.expr, locals)?)?),
                Element::Directive(directive) => match directive.as_ref() {
                    Directive::If(part) => {
                        if truth(&self.value(&part.cond_expr, locals)?)? {
                            let end = if part.false_template.is_some() { part.else_strip } else { part.endif_strip };
                            self.fill(out, &part.true_template, locals, (part.if_strip, end))?;
                        } else if let Some(template) = &part.false_template {
                            self.fill(out, template, locals, (part.else_strip, part.endif_strip))?;
                        }
                    }
                    Directive::For(part) => {
                        let collection = self.value(&part.collection_expr, locals)?;
                        for (key, value) in items(&collection)? {
                            let mut locals = locals.clone();
                            locals.extend(part.key_var.as_ref().map(|name| (name.to_string(), key)));
                            locals.insert(part.value_var.to_string(), value);
                            self.fill(out, &part.template, &locals, (part.for_strip, part.endfor_strip))?;
                        }
                    }
                },
            }
        }
        Ok(())
    }

    fn traversal(&self, traversal: &Traversal, locals: &Locals) -> Answer {
        let start = self.value(&traversal.expr, locals)?;
        self.follow(start, &traversal.operators, locals)
    }

    fn follow(&self, value: Value, operators: &[TraversalOperator], locals: &Locals) -> Answer {
        let Some((operator, rest)) = operators.split_first() else { return Ok(value) };
        match operator {
            TraversalOperator::AttrSplat | TraversalOperator::FullSplat => {
                let all = match value {
                    Value::Array(items) => items,
                    Value::Null => Vec::new(),
                    one => vec![one],
                };
                let each = all.into_iter().map(|item| self.follow(item, rest, locals));
                Ok(Value::Array(each.collect::<Answer<_>>()?))
            }
            TraversalOperator::GetAttr(name) => self.follow(index(&value, &Value::from(name.as_str()))?, rest, locals),
            TraversalOperator::Index(key) => {
                let key = self.value(key, locals)?;
                self.follow(index(&value, &key)?, rest, locals)
            }
            TraversalOperator::LegacyIndex(key) => self.follow(index(&value, &Value::from(*key))?, rest, locals),
        }
    }

    fn call(&self, call: &FuncCall, locals: &Locals) -> Answer {
        let name = call.name.name.as_str();
        if call.name.is_namespaced() {
            return Err(format!("functions with a namespace ({}) are not supported", call.name));
        }
        // These two look at whether an expression has a value at all.
        if name == "try" {
            let mut last = "try needs an argument".to_owned();
            for argument in &call.args {
                match self.value(argument, locals) {
                    Ok(value) => return Ok(value),
                    Err(error) => last = error,
                }
            }
            return Err(last);
        }
        if name == "can" {
            let works = call.args.first().is_some_and(|argument| self.value(argument, locals).is_ok());
            return Ok(Value::Bool(works));
        }
        let mut arguments =
            call.args.iter().map(|argument| self.value(argument, locals)).collect::<Answer<Vec<_>>>()?;
        if call.expand_final {
            match arguments.pop() {
                Some(Value::Array(items)) => arguments.extend(items),
                _ => return Err(format!("{name}: what is expanded with ... is no list")),
            }
        }
        let Some(function) = self.functions.get(name) else {
            return functions::call(name, &arguments).map_err(|error| format!("{name}: {error}"));
        };
        let given = arguments.len();
        if given < function.params.len() || (given > function.params.len() && function.variadic.is_none()) {
            return Err(format!("{name} takes {} arguments, {given} were given", function.params.len()));
        }
        let rest = arguments.split_off(function.params.len());
        let mut inside: Locals = function.params.iter().cloned().zip(arguments).collect();
        inside.extend(function.variadic.clone().map(|name| (name, Value::Array(rest))));
        if self.depth.get() >= DEEPEST {
            return Err(format!("{name} calls itself without end"));
        }
        self.depth.set(self.depth.get() + 1);
        let value = self.value(&function.result, &inside);
        self.depth.set(self.depth.get() - 1);
        // Said once, however deep it is.
        value.map_err(|error| if error.starts_with(name) { error } else { format!("{name}: {error}") })
    }

    fn operation(&self, operation: &Operation, locals: &Locals) -> Answer {
        let BinaryOp { lhs_expr, operator, rhs_expr } = match operation {
            Operation::Unary(unary) => {
                let value = self.value(&unary.expr, locals)?;
                return Ok(match unary.operator {
                    UnaryOperator::Not => Value::Bool(!truth(&value)?),
                    UnaryOperator::Neg => functions::number(-functions::float(&value)?),
                });
            }
            Operation::Binary(binary) => binary,
        };
        let left = self.value(lhs_expr, locals)?;
        // As HCL has it, both sides are evaluated.
        let right = self.value(rhs_expr, locals)?;
        let numbers = || Ok::<_, String>((functions::float(&left)?, functions::float(&right)?));
        Ok(match operator {
            BinaryOperator::Eq => Value::Bool(functions::equal(&left, &right)),
            BinaryOperator::NotEq => Value::Bool(!functions::equal(&left, &right)),
            BinaryOperator::And => Value::Bool(truth(&left)? && truth(&right)?),
            BinaryOperator::Or => Value::Bool(truth(&left)? || truth(&right)?),
            BinaryOperator::LessEq => numbers().map(|(a, b)| Value::Bool(a <= b))?,
            BinaryOperator::GreaterEq => numbers().map(|(a, b)| Value::Bool(a >= b))?,
            BinaryOperator::Less => numbers().map(|(a, b)| Value::Bool(a < b))?,
            BinaryOperator::Greater => numbers().map(|(a, b)| Value::Bool(a > b))?,
            BinaryOperator::Plus => numbers().map(|(a, b)| functions::number(a + b))?,
            BinaryOperator::Minus => numbers().map(|(a, b)| functions::number(a - b))?,
            BinaryOperator::Mul => numbers().map(|(a, b)| functions::number(a * b))?,
            BinaryOperator::Div | BinaryOperator::Mod => {
                let (a, b) = numbers()?;
                if b == 0.0 {
                    return Err("division by zero".into());
                }
                functions::number(if *operator == BinaryOperator::Div { a / b } else { a % b })
            }
        })
    }

    fn each(&self, each: &ForExpr, locals: &Locals) -> Answer {
        let collection = self.value(&each.collection_expr, locals)?;
        let (mut list, mut map) = (Vec::new(), Map::new());
        for (key, value) in items(&collection)? {
            let mut locals = locals.clone();
            locals.extend(each.key_var.as_ref().map(|name| (name.to_string(), key)));
            locals.insert(each.value_var.to_string(), value);
            if let Some(condition) = &each.cond_expr
                && !truth(&self.value(condition, &locals)?)?
            {
                continue;
            }
            let value = self.value(&each.value_expr, &locals)?;
            let Some(key) = &each.key_expr else {
                list.push(value);
                continue;
            };
            let key = text(&self.value(key, &locals)?)?;
            if each.grouping {
                if let Value::Array(group) = map.entry(key).or_insert_with(|| Value::Array(Vec::new())) {
                    group.push(value);
                }
            } else if map.insert(key.clone(), value).is_some() {
                return Err(format!("two items have the key {key:?}"));
            }
        }
        Ok(if each.key_expr.is_some() { Value::Object(map) } else { Value::Array(list) })
    }
}

fn strip(element: &Element) -> Strip {
    match element {
        Element::Literal(_) => Strip::None,
        Element::Interpolation(part) => part.strip,
        Element::Directive(directive) => {
            let (start, end) = match directive.as_ref() {
                Directive::If(part) => (part.if_strip, part.endif_strip),
                Directive::For(part) => (part.for_strip, part.endfor_strip),
            };
            Strip::from((start.strip_start(), end.strip_end()))
        }
    }
}

/// Keys and values of a list or an object.
pub fn items(collection: &Value) -> Answer<Vec<(Value, Value)>> {
    match collection {
        Value::Array(items) => Ok(items.iter().enumerate().map(|(at, item)| (Value::from(at), item.clone())).collect()),
        Value::Object(map) => Ok(map.iter().map(|(key, value)| (Value::from(key.as_str()), value.clone())).collect()),
        other => Err(format!("{} is neither a list nor an object", shown(other))),
    }
}

/// An item by its key or number.
pub fn index(value: &Value, key: &Value) -> Answer {
    let found = match value {
        Value::Array(items) => {
            let at = functions::float(key)?;
            if at.fract() == 0.0 && at >= 0.0 { items.get(at as usize) } else { None }
        }
        Value::Object(map) => map.get(&text(key)?),
        other => return Err(format!("{} has no items", shown(other))),
    };
    found.cloned().ok_or_else(|| format!("{} has no item {}", shown(value), shown(key)))
}

/// A value where text is wanted.
pub fn text(value: &Value) -> Answer<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        other => Err(format!("{} is no text", shown(other))),
    }
}

/// A value where true or false is wanted.
pub fn truth(value: &Value) -> Answer<bool> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        other => Err(format!("{} is neither true nor false", shown(other))),
    }
}

/// A value in a message, cut where it is long.
pub fn shown(value: &Value) -> String {
    let whole = value.to_string();
    match whole.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}
