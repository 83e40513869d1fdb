//! The variable syntax of compose files and of `.env` files
//! (12-interpolation.md): `$V`, `${V}`, `${V:-default}`, `${V-default}`,
//! `${V:?error}`, `${V?error}`, `${V:+other}`, `${V+other}`, nested, and `$$`.

/// A variable that a text mentions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Whether loading fails without it (`:?`, `?`).
    pub required: bool,
    /// What stands in for it (`:-`, `-`), not expanded.
    pub default: Option<String>,
    /// What stands there when it is set (`:+`, `+`), not expanded.
    pub alternate: Option<String>,
}

/// Why a text cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `${` that does not go on as a variable.
    #[error("invalid interpolation \"{0}\"; write $$ for a dollar sign")]
    Invalid(String),
    /// A variable that `?` demands.
    #[error("required variable {name} is missing a value{}{message}", if message.is_empty() { "" } else { ": " })]
    Required {
        /// The variable.
        name: String,
        /// The text after the question mark.
        message: String,
    },
    /// Defaults within defaults without end.
    #[error("variables nest deeper than {MAX_DEPTH}")]
    TooDeep,
    /// Text that grew without measure.
    #[error("the expanded text is longer than {} MiB", MAX_LENGTH >> 20)]
    TooLong,
}

const MAX_DEPTH: usize = 32;
const MAX_LENGTH: usize = 8 << 20;

/// Where values come from, and who is told what was asked.
pub trait Variables {
    /// The value of a variable, if it is set.
    fn get(&self, name: &str) -> Option<String>;
    /// Called for a variable that is unset and has nothing to stand in for it.
    fn unset(&mut self, _name: &str) {}
    /// Called for every variable that a text mentions.
    fn mentioned(&mut self, _variable: Variable) {}
}

/// Replaces every variable of a text.
pub fn expand(text: &str, variables: &mut dyn Variables) -> Result<String, TemplateError> {
    expand_at(text, variables, 0)
}

fn expand_at(text: &str, variables: &mut dyn Variables, depth: usize) -> Result<String, TemplateError> {
    if depth > MAX_DEPTH {
        return Err(TemplateError::TooDeep);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        rest = if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            tail
        } else if let Some(body) = after.strip_prefix('{') {
            let end = closing_brace(body).ok_or_else(|| TemplateError::Invalid(rest[dollar..].to_owned()))?;
            let braced = Braced::parse(&body[..end])
                .ok_or_else(|| TemplateError::Invalid(rest[dollar..dollar + end + 3].to_owned()))?;
            out.push_str(&braced.evaluate(variables, depth)?);
            &body[end + 1..]
        } else {
            let length = name_length(after);
            if length == 0 {
                out.push('$');
            } else {
                let plain = Braced { name: &after[..length], operator: None };
                out.push_str(&plain.evaluate(variables, depth)?);
            }
            &after[length..]
        };
        if out.len() > MAX_LENGTH {
            return Err(TemplateError::TooLong);
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Letters, digits and underscores, not beginning with a digit.
fn name_length(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// The offset of the brace that closes what `${` opened.
fn closing_brace(body: &str) -> Option<usize> {
    let bytes = body.as_bytes();
    let (mut depth, mut i) = (0, 0);
    while i < bytes.len() {
        match bytes[i] {
            b'$' if bytes.get(i + 1) == Some(&b'$') => i += 1,
            b'$' if bytes.get(i + 1) == Some(&b'{') => {
                depth += 1;
                i += 1;
            }
            b'}' if depth == 0 => return Some(i),
            b'}' => depth -= 1,
            _ => {}
        }
        i += 1;
    }
    None
}

/// What stands between the braces.
struct Braced<'a> {
    name: &'a str,
    /// The operator's character, whether a colon comes before it, and the word after it.
    operator: Option<(u8, bool, &'a str)>,
}

impl<'a> Braced<'a> {
    fn parse(body: &'a str) -> Option<Braced<'a>> {
        let length = name_length(body);
        let (name, rest) = body.split_at(length);
        if name.is_empty() {
            return None;
        }
        if rest.is_empty() {
            return Some(Braced { name, operator: None });
        }
        let (colon, rest) = match rest.strip_prefix(':') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        match rest.as_bytes().first() {
            Some(operator @ (b'-' | b'?' | b'+')) => {
                Some(Braced { name, operator: Some((*operator, colon, &rest[1..])) })
            }
            _ => None,
        }
    }

    fn evaluate(&self, variables: &mut dyn Variables, depth: usize) -> Result<String, TemplateError> {
        let word = |wanted: u8| self.operator.and_then(|(op, _, word)| (op == wanted).then(|| word.to_owned()));
        variables.mentioned(Variable {
            name: self.name.to_owned(),
            required: word(b'?').is_some(),
            default: word(b'-'),
            alternate: word(b'+'),
        });
        let value = variables.get(self.name);
        let Some((operator, colon, word)) = self.operator else {
            return Ok(value.unwrap_or_else(|| {
                variables.unset(self.name);
                String::new()
            }));
        };
        let present = value.filter(|v| !(colon && v.is_empty()));
        let used = (operator == b'+') == present.is_some();
        // A word that is not used is looked into all the same, so that the
        // variables in it are known.
        let expanded = match used {
            true => expand_at(word, variables, depth + 1)?,
            false => expand_at(word, &mut Quiet(variables), depth + 1).unwrap_or_default(),
        };
        match (operator, present) {
            (b'+', Some(_)) | (b'-', None) => Ok(expanded),
            (b'+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value),
            (_, None) => Err(TemplateError::Required { name: self.name.to_owned(), message: expanded }),
        }
    }
}

/// Passes on what is mentioned, but not what is unset.
struct Quiet<'a>(&'a mut dyn Variables);

impl Variables for Quiet<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name)
    }

    fn mentioned(&mut self, variable: Variable) {
        self.0.mentioned(variable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Env(Vec<String>);
    impl Variables for Env {
        fn get(&self, name: &str) -> Option<String> {
            match name {
                "SET" => Some("value".into()),
                "EMPTY" => Some(String::new()),
                _ => None,
            }
        }
        fn unset(&mut self, name: &str) {
            self.0.push(name.into());
        }
    }

    fn of(text: &str) -> Result<String, TemplateError> {
        expand(text, &mut Env::default())
    }

    #[test]
    fn forms() {
        for (text, expanded) in [
            ("$SET", "value"),
            ("a-${SET}-b", "a-value-b"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${NONE-d}", "d"),
            ("${NONE:-${ALSO:-${SET}}}", "value"),
            ("${SET:+r}", "r"),
            ("${EMPTY:+r}", ""),
            ("${EMPTY+r}", "r"),
            ("${NONE+r}", ""),
            ("${SET?e}", "value"),
            ("${EMPTY?e}", ""),
            ("$$SET", "$SET"),
            ("$${SET}", "${SET}"),
            ("$1 $ $-", "$1 $ $-"),
            ("${NONE:-a}b}", "ab}"),
            ("${NONE:-{\"a\": 1}}", "{\"a\": 1}"),
        ] {
            assert_eq!(of(text).as_deref(), Ok(expanded), "{text}");
        }
    }

    #[test]
    fn errors() {
        assert_eq!(of("${NONE:?say so}").unwrap_err().to_string(), "required variable NONE is missing a value: say so");
        assert_eq!(of("${EMPTY:?}").unwrap_err().to_string(), "required variable EMPTY is missing a value");
        assert_eq!(of("${NONE?$SET}").unwrap_err().to_string(), "required variable NONE is missing a value: value");
        assert!(matches!(of("${"), Err(TemplateError::Invalid(_))));
        assert!(matches!(of("${SET"), Err(TemplateError::Invalid(_))));
        assert!(matches!(of("x ${SET/a/b} y"), Err(TemplateError::Invalid(t)) if t == "${SET/a/b}"));
        assert!(matches!(of("${}"), Err(TemplateError::Invalid(_))));
    }
}
