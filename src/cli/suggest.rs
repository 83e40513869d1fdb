//! "Did you mean": the nearest of the words that exist.

/// The candidates close enough to what was typed to be meant, nearest first, at most three.
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let limit = (typed.chars().count() / 3).max(1);
    let mut found: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter_map(|candidate| {
            let distance = distance(typed, candidate);
            let extends = typed.len() >= 3 && candidate.starts_with(typed);
            (candidate != typed && (distance <= limit || extends)).then_some((distance, candidate))
        })
        .collect();
    found.sort();
    found.dedup_by(|a, b| a.1 == b.1);
    found.into_iter().take(3).map(|(_, candidate)| candidate).collect()
}

/// `did you mean a, b or c?`, when there is something to offer.
pub fn did_you_mean(names: &[&str]) -> Option<String> {
    let (last, rest) = names.split_last()?;
    Some(if rest.is_empty() {
        format!("did you mean {last}?")
    } else {
        format!("did you mean {} or {last}?", rest.join(", "))
    })
}

/// Insertions, removals, replacements and swaps of neighbours that turn one word into the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found() {
        let words = ["ps", "port", "pull", "push", "stats", "start", "stop", "restart"];
        assert_eq!(nearest("psuh", words), ["push"]);
        assert_eq!(nearest("strat", words), ["start"]);
        assert_eq!(nearest("sta", words), ["start", "stats"]);
        assert!(nearest("xyzzy", words).is_empty());
        assert_eq!(did_you_mean(&["a", "b"]).unwrap(), "did you mean a or b?");
        assert_eq!(did_you_mean(&[]), None);
    }
}
