//! `--chmod`: octal numbers and chmod(1)'s symbolic words.

/// A change of permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ModeChange {
    Exact(u32),
    Clauses(Vec<Clause>),
}

/// `u+rwX`: whose bits, what is done, which ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clause {
    who: u32,
    operator: char,
    permissions: Vec<char>,
}

const USER: u32 = 0o4700;
const GROUP: u32 = 0o2070;
const OTHER: u32 = 0o1007;

impl ModeChange {
    /// Reads `0755`, `u=rwX,go=rX`, `+x`, `g=u`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte)) {
            return u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777).map(Self::Exact);
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            let start = part.find(['+', '-', '='])?;
            let (who, mut rest) = part.split_at(start);
            let mut bits = 0;
            for c in who.chars() {
                bits |= match c {
                    'u' => USER,
                    'g' => GROUP,
                    'o' => OTHER,
                    'a' => USER | GROUP | OTHER,
                    _ => return None,
                };
            }
            if bits == 0 {
                bits = USER | GROUP | OTHER;
            }
            // `u+r-w` is two changes of the same bits.
            while let Some(operator) = rest.chars().next() {
                let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |at| at + 1);
                let permissions: Vec<char> = rest[1..end].chars().collect();
                let copies = permissions.iter().any(|c| "ugo".contains(*c));
                if permissions.iter().any(|c| !"rwxXstugo".contains(*c)) || (copies && permissions.len() > 1) {
                    return None;
                }
                clauses.push(Clause { who: bits, operator, permissions });
                rest = &rest[end..];
            }
        }
        Some(Self::Clauses(clauses))
    }

    /// The permissions that something gets which has `mode`.
    pub(crate) fn apply(&self, mode: u32, directory: bool) -> u32 {
        let mut mode = mode & 0o7777;
        let clauses = match self {
            Self::Exact(exact) => return *exact,
            Self::Clauses(clauses) => clauses,
        };
        for clause in clauses {
            let mut bits = 0;
            for permission in &clause.permissions {
                let spread = |three: u32| three << 6 | three << 3 | three;
                bits |= match permission {
                    'r' => 0o444,
                    'w' => 0o222,
                    'x' => 0o111,
                    'X' if directory || mode & 0o111 != 0 => 0o111,
                    's' => 0o6000,
                    't' => 0o1000,
                    'u' => spread(mode >> 6 & 7),
                    'g' => spread(mode >> 3 & 7),
                    'o' => spread(mode & 7),
                    _ => 0,
                };
            }
            bits &= clause.who;
            mode = match clause.operator {
                '+' => mode | bits,
                '-' => mode & !bits,
                _ => mode & !(clause.who & 0o777) & !(if directory { 0 } else { clause.who & 0o7000 }) | bits,
            };
        }
        mode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_chmod_has_it() {
        for (text, mode, directory, want) in [
            ("755", 0o600, false, 0o755),
            ("0644", 0o777, true, 0o644),
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("go=", 0o755, false, 0o700),
            ("a=rX", 0o755, false, 0o555),
            ("a=rX", 0o644, false, 0o444),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("g=u", 0o740, false, 0o770),
            ("u+r-w", 0o200, false, 0o400),
            ("u+s", 0o755, false, 0o4755),
            ("+t", 0o777, true, 0o1777),
        ] {
            assert_eq!(ModeChange::parse(text).unwrap().apply(mode, directory), want, "{text} on {mode:o}");
        }
        for bad in ["", "8", "99999", "u", "z+x", "u+y", "u+rg", ","] {
            assert_eq!(ModeChange::parse(bad), None, "{bad}");
        }
    }
}
