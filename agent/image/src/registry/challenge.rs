//! `WWW-Authenticate` headers (RFC 9110, 11.6.1): how a registry wants to be authenticated to.

/// One challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Name and password.
    Basic,
    /// A token from another server.
    Bearer {
        /// The server's address.
        realm: String,
        /// Whom the token is for.
        service: Option<String>,
        /// What it should allow.
        scope: Option<String>,
        /// Why the last token was not good, such as `insufficient_scope`.
        error: Option<String>,
    },
}

/// Reads a header's challenges; schemes that are not known are left out.
pub(crate) fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut rest = header.trim_start();
    while !rest.is_empty() {
        let end = rest.find([' ', ',']).unwrap_or(rest.len());
        let (scheme, after) = rest.split_at(end);
        let (params, after) = parameters(after);
        let get = |name: &str| params.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone());
        if scheme.eq_ignore_ascii_case("basic") {
            challenges.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = get("realm")
        {
            challenges.push(Challenge::Bearer {
                realm,
                service: get("service"),
                scope: get("scope"),
                error: get("error"),
            });
        }
        rest = after.trim_start_matches([' ', '\t', ',']);
    }
    challenges
}

/// Reads `name=value` pairs up to the next scheme (a word that no `=` follows). Returns them and the rest.
fn parameters(mut rest: &str) -> (Vec<(String, String)>, &str) {
    let mut params = Vec::new();
    loop {
        let start = rest.trim_start_matches([' ', '\t', ',']);
        let name_end = start.find([' ', '\t', ',', '=']).unwrap_or(start.len());
        let (name, after) = start.split_at(name_end);
        let Some(value) = after.trim_start_matches([' ', '\t']).strip_prefix('=') else {
            return (params, start);
        };
        let value = value.trim_start_matches([' ', '\t']);
        if let Some(quoted) = value.strip_prefix('"') {
            let (text, after) = unquote(quoted);
            params.push((name.to_owned(), text));
            rest = after;
        } else {
            let end = value.find([' ', '\t', ',']).unwrap_or(value.len());
            params.push((name.to_owned(), value[..end].to_owned()));
            rest = &value[end..];
        }
        if rest.is_empty() {
            return (params, rest);
        }
    }
}

fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_registries_send() {
        let bearer = parse(
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
        );
        assert_eq!(
            bearer,
            [Challenge::Bearer {
                realm: "https://auth.docker.io/token".into(),
                service: Some("registry.docker.io".into()),
                scope: Some("repository:a/b:pull,push".into()),
                error: None
            }]
        );
        assert_eq!(parse(r#"Basic realm="a \"b\"""#), [Challenge::Basic]);
        assert_eq!(parse("Negotiate, Basic realm=x").len(), 1);
        assert_eq!(parse(r#"bearer realm = "r" , error="insufficient_scope", basic realm="x""#).len(), 2);
        assert_eq!(parse("Bearer service=x"), []);
        assert_eq!(parse(""), []);
    }

    proptest! {
        #[test]
        fn never_panics_and_ends(header in "\\PC{0,60}") {
            parse(&header);
        }

        #[test]
        fn never_panics_on_likely_text(header in "(Bearer|Basic|,| |=|\"|\\\\|realm|x){0,20}") {
            parse(&header);
        }
    }
}
