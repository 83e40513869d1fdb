//! Columns that stand below each other, as Docker's do, and fit the terminal.

/// Spaces between columns.
const GAP: usize = 3;
/// No column is narrower, the gap included.
const NARROWEST: usize = 10;
/// A column that is cut keeps this much.
const SHORTEST: usize = 12;

/// Aligns lines whose cells are separated by tabs. With a width, the columns that may be cut
/// (by their number) are, the widest first, until the lines fit.
pub fn align(lines: &[String], width: Option<usize>, may_cut: &[usize]) -> String {
    align_at_least(NARROWEST, lines, width, may_cut)
}

/// As [`align`], with columns that are no narrower than this, the gap included.
pub fn align_at_least(narrowest: usize, lines: &[String], width: Option<usize>, may_cut: &[usize]) -> String {
    let rows: Vec<Vec<&str>> = lines.iter().map(|line| line.split('\t').collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    if let Some(width) = width {
        let total = |widths: &[usize]| {
            let last = widths.len().saturating_sub(1);
            widths
                .iter()
                .enumerate()
                .map(|(at, w)| if at == last { *w } else { (w + GAP).max(narrowest) })
                .sum::<usize>()
        };
        while total(&widths) > width {
            let Some(&widest) = may_cut
                .iter()
                .filter(|at| widths.get(**at).is_some_and(|w| *w > SHORTEST))
                .max_by_key(|at| widths[**at])
            else {
                break;
            };
            widths[widest] -= 1;
        }
    }
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let length = cell.chars().count();
            let cell = if length > widths[at] {
                let mut short: String = cell.chars().take(widths[at] - 1).collect();
                short.push('…');
                short
            } else {
                (*cell).to_owned()
            };
            line.push_str(&cell);
            if at + 1 < row.len() {
                let column = (widths[at] + GAP).max(narrowest);
                line.push_str(&" ".repeat(column - length.min(widths[at])));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_cut_where_they_may_be() {
        let lines = ["ID\tCOMMAND\tNAMES".to_owned(), "abc\t\"a very long command line\"\tweb".to_owned()];
        assert_eq!(
            align(&lines, None, &[]),
            "ID        COMMAND                      NAMES\nabc       \"a very long command line\"   web\n"
        );
        assert_eq!(
            align(&lines, Some(36), &[1]),
            "ID        COMMAND              NAMES\nabc       \"a very long comm…   web\n"
        );
    }
}
