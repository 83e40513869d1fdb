//! Lists in the form that `--format` asks for: a table, JSON lines, or a Go template.

use serde_json::Value;

use crate::cli::{
    Context, Exit, Outcome,
    format::{List, Row},
};

/// Prints rows: as a table with these columns (heading, field), or as `--format` says.
pub fn print(context: &Context, format: &str, columns: &[(&str, &str)], rows: &[Value]) -> Outcome {
    let headings: Vec<(&str, &str)> = columns.iter().map(|(heading, field)| (*field, *heading)).collect();
    let cells: Vec<String> = columns.iter().map(|(_, field)| format!("{{{{.{field}}}}}")).collect();
    let list = List { headings: &headings, columns: &cells.join("\t"), quiet: "", may_cut: &["Command", "Ports"] };
    let rows = rows
        .iter()
        .map(|row| {
            let fields = row.as_object().into_iter().flatten();
            fields.fold(Row::new(), |out, (name, value)| out.set(name, value.clone()))
        })
        .collect();
    list.print(context.printer, Some(format), false, false, rows)?;
    Ok(Exit::OK)
}

/// Columns that line up, three spaces between them; the last is not padded.
pub fn columns(titles: &[String], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = titles.iter().map(|title| title.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in std::iter::once(titles).chain(rows.iter().map(Vec::as_slice)) {
        let line: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}   ")).collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let titles = ["NAME".to_owned(), "STATUS".to_owned()];
        let rows = [vec!["web".to_owned(), "running(2)".to_owned()], vec!["a-long-name".to_owned(), String::new()]];
        assert_eq!(columns(&titles, &rows), "NAME          STATUS\nweb           running(2)\na-long-name\n");
    }
}
