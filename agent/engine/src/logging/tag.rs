//! Tags of log lines: text with `{{.Field}}` in it.

use crate::container::Record;
use crate::{EngineError, Result};

/// What stands for a container when no tag was given.
const DEFAULT: &str = "{{.ID}}";
const FIELDS: [&str; 10] =
    ["ID", "FullID", "Name", "ImageID", "ImageFullID", "ImageName", "Command", "FullCommand", "Hostname", "DaemonName"];

/// Whether a tag can be made.
pub(super) fn check(tag: &str) -> Result<()> {
    fill(tag, |_| String::new()).map(drop)
}

/// The tag of a container.
pub(super) fn expand(tag: &str, record: &Record) -> Result<String> {
    let command: Vec<&str> =
        record.effective.entrypoint.iter().chain(&record.effective.command).map(String::as_str).collect();
    let image = record.image_id.trim_start_matches("sha256:");
    fill(if tag.is_empty() { DEFAULT } else { tag }, |field| match field {
        "ID" => record.id.short().to_owned(),
        "FullID" => record.id.to_string(),
        "Name" => record.name.clone(),
        "ImageID" => image.chars().take(12).collect(),
        "ImageFullID" => record.image_id.clone(),
        "ImageName" => record.spec.image.clone(),
        "Command" => command.first().copied().unwrap_or_default().to_owned(),
        "FullCommand" => command.join(" "),
        "Hostname" => super::host_name(),
        _ => "hoist".to_owned(),
    })
}

fn fill(tag: &str, value: impl Fn(&str) -> String) -> Result<String> {
    let refuse = |what: &str| {
        EngineError::InvalidParameter(format!(
            "log tag {tag:?} cannot be made: {what} is not one of the fields {}",
            FIELDS.map(|field| format!(".{field}")).join(", ")
        ))
    };
    let mut out = String::new();
    let mut rest = tag;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) = after.split_once("}}").ok_or_else(|| refuse("an action without an end"))?;
        out.push_str(before);
        let name = inside.trim_matches(|c: char| c == '-' || c.is_whitespace());
        let field = name.strip_prefix('.').filter(|field| FIELDS.contains(field)).ok_or_else(|| refuse(name))?;
        out.push_str(&value(field));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_filled_in() {
        let value = |field: &str| field.to_lowercase();
        assert_eq!(fill("{{.Name}}/{{ .ID }}!", value).unwrap(), "name/id!");
        assert_eq!(fill("plain", value).unwrap(), "plain");
        for bad in ["{{.Name", "{{.Nope}}", "{{printf 1}}"] {
            assert!(fill(bad, value).is_err(), "{bad}");
        }
    }
}
