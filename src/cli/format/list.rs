//! Rows as a table, as JSON lines, or through a template.

use std::rc::Rc;

use indexmap::IndexMap;

use super::{Template, Value, table};
use crate::cli::{failure::Failure, printer::Printer};

/// One row: its fields by the names that templates use.
#[derive(Debug, Clone, Default)]
pub struct Row(IndexMap<String, Value>);

impl Row {
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a field.
    pub fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Sets a field that has rows of its own.
    pub fn list(self, name: &str, rows: Vec<Self>) -> Self {
        let rows: Vec<Value> = rows.into_iter().map(|row| Value::Map(Rc::new(row.0))).collect();
        self.set(name, Value::List(Rc::new(rows)))
    }

    /// Sets `Labels` as text, and the method `Label`.
    pub fn labels(mut self, labels: &std::collections::BTreeMap<String, String>) -> Self {
        let text: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        self.0.insert("Labels".to_owned(), text.join(",").into());
        let labels = labels.clone();
        self.method("Label", move |args| match args {
            [Value::Str(key)] => Ok(labels.get(key).cloned().unwrap_or_default().into()),
            _ => Err("Label takes the name of a label".to_owned()),
        })
    }

    fn method(mut self, name: &str, method: impl Fn(&[Value]) -> Result<Value, String> + 'static) -> Self {
        self.0.insert(name.to_owned(), Value::Method(Rc::new(method)));
        self
    }
}

/// How a kind of object is listed.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    /// Field and heading of each column that differs from the field's name in capitals.
    pub headings: &'a [(&'a str, &'a str)],
    /// The columns shown when nothing else is asked for: `{{.ID}}\t{{.Name}}`.
    pub columns: &'a str,
    /// What `--quiet` shows.
    pub quiet: &'a str,
    /// Fields whose column may be cut to fit the terminal.
    pub may_cut: &'a [&'a str],
}

impl List<'_> {
    /// Prints the rows as `--format` and `--quiet` say.
    pub fn print(
        &self,
        printer: Printer,
        format: Option<&str>,
        quiet: bool,
        whole: bool,
        rows: Vec<Row>,
    ) -> Result<(), Failure> {
        let width = if whole { None } else { printer.width() };
        let text = self.render(format, quiet, width, rows)?;
        printer.text(text)
    }

    /// The text of [`print`](Self::print).
    pub fn render(
        &self,
        format: Option<&str>,
        quiet: bool,
        width: Option<usize>,
        rows: Vec<Row>,
    ) -> Result<String, Failure> {
        let rows: Vec<Value> = rows.into_iter().map(|row| Value::Map(Rc::new(row.0))).collect();
        let format = format.filter(|format| !format.is_empty());
        let table = match format {
            None | Some("table") if quiet => return lines(&unescape(self.quiet), &rows),
            None | Some("table") => self.columns.to_owned(),
            Some("json") => {
                return Ok(rows.iter().map(|row| format!("{}\n", row.to_json())).collect());
            }
            Some("raw") => return self.raw(&rows),
            Some(format) => match format.strip_prefix("table ").or_else(|| format.strip_prefix("table\t")) {
                Some(columns) => columns.trim().to_owned(),
                None => return lines(&unescape(format), &rows),
            },
        };
        let columns = unescape(&table);
        let template = Template::parse(&columns)?;
        let mut lines = vec![template.render(&self.heading())?];
        for row in &rows {
            lines.push(template.render(row)?.replace('\n', " "));
        }
        let cut: Vec<usize> = columns
            .split('\t')
            .enumerate()
            .filter(|(_, cell)| self.may_cut.iter().any(|field| cell.contains(&format!(".{field}"))))
            .map(|(at, _)| at)
            .collect();
        Ok(table::align(&lines, width, &cut))
    }

    /// Every field is its own heading.
    fn heading(&self) -> Value {
        let known = self.headings.iter().map(|(field, heading)| ((*field).to_owned(), Value::from(*heading)));
        let mut heading: IndexMap<String, Value> = known.collect();
        let label: super::template::Value = Value::Method(Rc::new(|args: &[Value]| match args {
            [Value::Str(key)] => {
                Ok(key.rsplit('.').next().unwrap_or(key).replace(['-', '_'], " ").to_uppercase().into())
            }
            _ => Err("Label takes the name of a label".to_owned()),
        }));
        heading.insert("Label".to_owned(), label);
        Value::Map(Rc::new(heading))
    }

    /// `field: value` lines, a blank one between objects.
    fn raw(&self, rows: &[Value]) -> Result<String, Failure> {
        let mut out = String::new();
        for row in rows {
            if let Value::Map(fields) = row {
                for (field, value) in fields.iter().filter(|(_, value)| !matches!(value, Value::Method(_))) {
                    out.push_str(&format!("{}: {value}\n", field.to_lowercase()));
                }
            }
            out.push('\n');
        }
        Ok(out)
    }
}

fn lines(format: &str, rows: &[Value]) -> Result<String, Failure> {
    let template = Template::parse(format)?;
    let mut out = String::new();
    for row in rows {
        out.push_str(&template.render(row)?);
        out.push('\n');
    }
    Ok(out)
}

/// A shell hands `\t` and `\n` over as two characters.
pub fn unescape(format: &str) -> String {
    format.replace("\\t", "\t").replace("\\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: List<'_> = List {
        headings: &[("ID", "CONTAINER ID"), ("Name", "NAMES"), ("Labels", "LABELS")],
        columns: "{{.ID}}\t{{.Name}}",
        quiet: "{{.ID}}",
        may_cut: &[],
    };

    fn rows() -> Vec<Row> {
        let labels = std::collections::BTreeMap::from([("a.b-c".to_owned(), "d".to_owned())]);
        vec![
            Row::new().set("ID", "1").set("Name", "web").labels(&labels),
            Row::new().set("ID", "22").set("Name", "db").labels(&labels),
        ]
    }

    #[test]
    fn formats() {
        let render = |format, quiet| LIST.render(format, quiet, None, rows()).unwrap();
        assert_eq!(render(None, false), "CONTAINER ID   NAMES\n1              web\n22             db\n");
        assert_eq!(render(None, true), "1\n22\n");
        assert_eq!(
            render(Some("json"), false).lines().next().unwrap(),
            r#"{"ID":"1","Name":"web","Labels":"a.b-c=d"}"#
        );
        assert_eq!(render(Some("{{.Name}}: {{.Label \"a.b-c\"}}"), false), "web: d\ndb: d\n");
        assert_eq!(
            render(Some("table {{.Name}}\\t{{.Label \"a.b-c\"}}"), false),
            "NAMES     B C\nweb       d\ndb        d\n"
        );
        assert!(LIST.render(Some("{{.Nam}}"), false, None, rows()).unwrap_err().hints[0].contains("Name"));
    }
}
