//! A command written as one text, split into words as a shell would.

/// Quotes and backslashes as in a POSIX shell; nothing is expanded.
///
/// # Errors
/// For a quote that is not closed and a backslash at the end.
pub fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err(format!("the quote ' is not closed in {text:?}")),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                            Some('\n') => {}
                            Some(c) => word.extend(['\\', c]),
                            None => return Err(format!("the quote \" is not closed in {text:?}")),
                        },
                        Some(c) => word.push(c),
                        None => return Err(format!("the quote \" is not closed in {text:?}")),
                    }
                }
            }
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err(format!("a backslash ends {text:?}")),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_shell_splits() {
        for (text, words) in [
            ("bundle exec thin -p 3000", vec!["bundle", "exec", "thin", "-p", "3000"]),
            ("sh -c 'echo \"hello $HOSTNAME\"'", vec!["sh", "-c", "echo \"hello $HOSTNAME\""]),
            ("a\\ b \"c \\\" d\\n\"", vec!["a b", "c \" d\\n"]),
            ("x'' '' \"\"", vec!["x", "", ""]),
            ("", vec![]),
            (" \n ", vec![]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
        for text in ["'", "\"", "a\\", "\"\\"] {
            assert!(split(text).is_err(), "{text}");
        }
    }
}
