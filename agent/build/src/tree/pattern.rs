//! Go's `filepath.Match`: `*`, `?`, `[…]` and `\`, none of which matches a slash.

/// Whether a name (one component) fits a pattern. `None` for a pattern that is malformed.
pub(super) fn fits(pattern: &str, name: &str) -> Option<bool> {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    check(&pattern)?;
    Some(run(&pattern, &name))
}

/// Whether a text has characters that mean something in a pattern.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

fn check(pattern: &[char]) -> Option<()> {
    let mut at = 0;
    while at < pattern.len() {
        at = match pattern[at] {
            '\\' if at + 1 == pattern.len() => return None,
            '\\' => at + 2,
            '[' => class(pattern, at, '\0')?.1,
            _ => at + 1,
        };
    }
    Some(())
}

fn run(pattern: &[char], name: &[char]) -> bool {
    // The last star seen, and how much of the name it has taken: enough, as a later star makes an earlier one final.
    let (mut p, mut n, mut star) = (0, 0, None::<(usize, usize)>);
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => class(pattern, p, name[n]).and_then(|(hit, next)| hit.then_some(next)),
            Some('\\') => (pattern.get(p + 1) == Some(&name[n])).then_some(p + 2),
            Some(c) => (*c == name[n]).then_some(p + 1),
            None => None,
        };
        match (step, star) {
            (Some(next), _) => {
                p = next;
                n += 1;
            }
            (None, Some((after, taken))) => {
                star = Some((after, taken + 1));
                p = after;
                n = taken + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// A class `[^a-z\]]` that begins at `at`: whether it has the character, and where it ends.
fn class(pattern: &[char], at: usize, c: char) -> Option<(bool, usize)> {
    let mut at = at + 1;
    let negated = pattern.get(at) == Some(&'^');
    at += usize::from(negated);
    let (mut hit, mut first) = (false, true);
    loop {
        if pattern.get(at)? == &']' && !first {
            return Some((hit != negated, at + 1));
        }
        first = false;
        let one = |at: &mut usize| -> Option<char> {
            if pattern.get(*at)? == &'\\' {
                *at += 1;
            } else if matches!(pattern.get(*at)?, '-' | ']') {
                return None;
            }
            let c = *pattern.get(*at)?;
            *at += 1;
            Some(c)
        };
        let low = one(&mut at)?;
        let mut high = low;
        if pattern.get(at) == Some(&'-') {
            at += 1;
            high = one(&mut at)?;
        }
        hit |= (low..=high).contains(&c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_has_it() {
        for (pattern, name, want) in [
            ("abc", "abc", Some(true)),
            ("*", "abc", Some(true)),
            ("*c", "abc", Some(true)),
            ("a*", "a", Some(true)),
            ("a*b*c*d", "axbxcxd", Some(true)),
            ("a*b*c*d", "axbxcxe", Some(false)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
            ("ab[c]", "abc", Some(true)),
            ("ab[b-d]", "abc", Some(true)),
            ("ab[^c]", "abc", Some(false)),
            ("ab[^e-g]", "abc", Some(true)),
            ("a\\*b", "a*b", Some(true)),
            ("a\\*b", "ab", Some(false)),
            ("a?b", "a☺b", Some(true)),
            ("[\\]a]", "]", Some(true)),
            ("[\\-]", "-", Some(true)),
            ("[]a]", "]", None),
            ("[-]", "-", None),
            ("[", "a", None),
            ("[a-", "a", None),
            ("a\\", "a", None),
            ("*x", "xxx", Some(true)),
        ] {
            assert_eq!(fits(pattern, name), want, "{pattern} {name}");
        }
    }
}
