//! Words into a tree.

use super::{
    TemplateError, Value, functions,
    lex::{self, Piece, Token, Word},
};
use crate::cli::suggest;

#[derive(Debug, Clone)]
pub enum Node {
    Text(String),
    Print(Pipeline),
    If { condition: Pipeline, then: Vec<Node>, otherwise: Vec<Node> },
    With { value: Pipeline, then: Vec<Node>, otherwise: Vec<Node> },
    Range { over: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
    Break,
    Continue,
}

/// `$a, $b := command | command`
#[derive(Debug, Clone, Default)]
pub struct Pipeline {
    pub at: usize,
    pub variables: Vec<String>,
    pub declares: bool,
    pub commands: Vec<Command>,
}

/// A function or value, with arguments.
#[derive(Debug, Clone)]
pub struct Command {
    pub words: Vec<Operand>,
}

#[derive(Debug, Clone)]
pub struct Operand {
    pub at: usize,
    pub base: Base,
    pub fields: Vec<String>,
}

#[derive(Debug, Clone)]
pub enum Base {
    Dot,
    Variable(String),
    Function(String),
    Literal(Value),
    Group(Pipeline),
}

/// How deep groups and blocks nest; no one writes more, and the stack has an end.
const DEPTH: usize = 100;

pub fn parse(text: &str) -> Result<Vec<Node>, TemplateError> {
    let pieces = lex::pieces(text)?;
    let mut parser = Parser { pieces: pieces.into_iter(), depth: 0, loops: 0, length: text.len() };
    let (nodes, end) = parser.block()?;
    match end {
        None => Ok(nodes),
        Some((at, end)) => {
            Err(TemplateError::new(at, format!("{} without an if, with or range before it", end.name())))
        }
    }
}

/// What closes a block.
enum Closing {
    End,
    /// `else`, and what follows it (`else if …`).
    Else(Vec<Word>),
}

impl Closing {
    fn name(&self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Else(_) => "else",
        }
    }
}

/// What stands in a block, and what closed it, where.
type Block = (Vec<Node>, Option<(usize, Closing)>);

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    depth: usize,
    loops: usize,
    length: usize,
}

impl Parser {
    fn block(&mut self) -> Result<Block, TemplateError> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            match piece {
                Piece::Text(text) => nodes.push(Node::Text(text)),
                Piece::Action { at, words } => {
                    let keyword = match words.first() {
                        Some(Word { token: Token::Name(name), .. }) => name.as_str(),
                        _ => "",
                    };
                    match keyword {
                        "end" if words.len() == 1 => return Ok((nodes, Some((at, Closing::End)))),
                        "else" => return Ok((nodes, Some((at, Closing::Else(words[1..].to_vec()))))),
                        "if" | "with" | "range" => nodes.push(self.control(keyword, at, &words[1..])?),
                        "break" | "continue" if words.len() == 1 => {
                            if self.loops == 0 {
                                return Err(TemplateError::new(at, format!("{keyword} outside a range")));
                            }
                            nodes.push(if keyword == "break" { Node::Break } else { Node::Continue });
                        }
                        "define" | "template" | "block" => {
                            return Err(TemplateError::new(at, format!("{keyword} is not supported")));
                        }
                        _ => nodes.push(Node::Print(pipeline(at, &words, 0)?)),
                    }
                }
            }
        }
        Ok((nodes, None))
    }

    fn control(&mut self, keyword: &str, at: usize, words: &[Word]) -> Result<Node, TemplateError> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(TemplateError::new(at, "blocks are nested too deeply"));
        }
        let pipe = pipeline(at, words, 0)?;
        if pipe.variables.len() > 1 && keyword != "range" {
            return Err(TemplateError::new(at, format!("{keyword} sets one variable at most")));
        }
        let is_range = keyword == "range";
        self.loops += usize::from(is_range);
        let (then, closing) = self.block()?;
        self.loops -= usize::from(is_range);
        let otherwise = match closing {
            None => {
                return Err(TemplateError::new(
                    self.length,
                    format!("the {keyword} is not closed: {{{{end}}}} is missing"),
                ));
            }
            Some((_, Closing::End)) => Vec::new(),
            Some((_, Closing::Else(rest))) if rest.is_empty() => match self.block()? {
                (nodes, Some((_, Closing::End))) => nodes,
                (_, Some((at, closing))) => {
                    return Err(TemplateError::new(at, format!("unexpected {}", closing.name())));
                }
                (_, None) => {
                    return Err(TemplateError::new(
                        self.length,
                        format!("the {keyword} is not closed: {{{{end}}}} is missing"),
                    ));
                }
            },
            // `else if` closes with the same `end`.
            Some((at, Closing::Else(rest))) => match &rest[0].token {
                Token::Name(next) if (next == "if" || next == "with") && !is_range => {
                    vec![self.control(&next.clone(), at, &rest[1..])?]
                }
                _ => return Err(TemplateError::new(rest[0].at, "expected if after else")),
            },
        };
        self.depth -= 1;
        Ok(match keyword {
            "if" => Node::If { condition: pipe, then, otherwise },
            "with" => Node::With { value: pipe, then, otherwise },
            _ => Node::Range { over: pipe, body: then, otherwise },
        })
    }
}

fn pipeline(at: usize, words: &[Word], depth: usize) -> Result<Pipeline, TemplateError> {
    if depth > DEPTH {
        return Err(TemplateError::new(at, "groups are nested too deeply"));
    }
    let mut pipe = Pipeline { at, ..Pipeline::default() };
    let mut words = words;
    match words {
        [
            Word { token: Token::Variable(name), .. },
            Word { token: token @ (Token::Declare | Token::Assign), .. },
            rest @ ..,
        ] => {
            pipe.variables.push(name.clone());
            pipe.declares = *token == Token::Declare;
            words = rest;
        }
        [
            Word { token: Token::Variable(first), .. },
            Word { token: Token::Comma, .. },
            Word { token: Token::Variable(second), .. },
            Word { token: token @ (Token::Declare | Token::Assign), .. },
            rest @ ..,
        ] => {
            pipe.variables = vec![first.clone(), second.clone()];
            pipe.declares = *token == Token::Declare;
            words = rest;
        }
        _ => {}
    }
    let mut operands: Vec<Operand> = Vec::new();
    let mut index = 0;
    while let Some(word) = words.get(index) {
        index += 1;
        match &word.token {
            Token::Pipe => {
                if operands.is_empty() {
                    return Err(TemplateError::new(word.at, "nothing stands before |"));
                }
                pipe.commands.push(Command { words: std::mem::take(&mut operands) });
            }
            Token::Field(name) => match operands.last_mut() {
                Some(last) if !word.spaced => last.fields.push(name.clone()),
                _ => operands.push(Operand { at: word.at, base: Base::Dot, fields: vec![name.clone()] }),
            },
            Token::Open => {
                let close = closing(words, index).ok_or_else(|| TemplateError::new(word.at, ") is missing"))?;
                let group = pipeline(word.at, &words[index..close], depth + 1)?;
                operands.push(Operand { at: word.at, base: Base::Group(group), fields: Vec::new() });
                index = close + 1;
            }
            Token::Close => return Err(TemplateError::new(word.at, "unexpected )")),
            Token::Comma | Token::Declare | Token::Assign => {
                return Err(TemplateError::new(word.at, "only a variable can be set, with $name := …"));
            }
            token => operands.push(Operand { at: word.at, base: base(token, word.at)?, fields: Vec::new() }),
        }
    }
    if operands.is_empty() {
        return Err(TemplateError::new(at, "a value is missing"));
    }
    pipe.commands.push(Command { words: operands });
    for (number, command) in pipe.commands.iter().enumerate() {
        let first = &command.words[0];
        if (number > 0 || command.words.len() > 1) && matches!(first.base, Base::Literal(_)) {
            return Err(TemplateError::new(first.at, "this is not a function"));
        }
    }
    Ok(pipe)
}

fn closing(words: &[Word], from: usize) -> Option<usize> {
    let mut depth = 0;
    for (offset, word) in words[from..].iter().enumerate() {
        match word.token {
            Token::Open => depth += 1,
            Token::Close if depth == 0 => return Some(from + offset),
            Token::Close => depth -= 1,
            _ => {}
        }
    }
    None
}

fn base(token: &Token, at: usize) -> Result<Base, TemplateError> {
    Ok(match token {
        Token::Dot => Base::Dot,
        Token::Variable(name) => Base::Variable(name.clone()),
        Token::Text(text) => Base::Literal(Value::Str(text.clone())),
        Token::Int(value) => Base::Literal(Value::Int(*value)),
        Token::Float(value) => Base::Literal(Value::Float(*value)),
        Token::Name(name) => match name.as_str() {
            "true" => Base::Literal(Value::Bool(true)),
            "false" => Base::Literal(Value::Bool(false)),
            "nil" => Base::Literal(Value::Null),
            name if functions::NAMES.contains(&name) => Base::Function(name.to_owned()),
            name => {
                let field = format!("fields start with a dot: .{name}");
                let near = suggest::nearest(name, functions::NAMES.iter().copied());
                return Err(TemplateError::new(at, format!("there is no function {name:?}"))
                    .hint(Some(suggest::did_you_mean(&near).unwrap_or(field))));
            }
        },
        _ => return Err(TemplateError::new(at, "a value is missing")),
    })
}
