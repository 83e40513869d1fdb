//! Whole objects: JSON for people, JSON for programs, or a template.

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::{Template, Value, list::unescape};
use crate::cli::failure::Failure;

/// What a command ends with whose template cannot be read.
const TEMPLATE: u8 = 64;

/// Renders what `inspect` found: a JSON array, or one line for each object.
pub fn render(format: Option<&str>, objects: Vec<serde_json::Value>) -> Result<String, Failure> {
    match format.filter(|format| !format.is_empty()) {
        None => Ok(pretty(&objects) + "\n"),
        Some("json") => Ok(serde_json::to_string(&objects)? + "\n"),
        Some(format) => {
            let template = Template::parse(&unescape(format)).map_err(|error| Failure::from(error).code(TEMPLATE))?;
            let mut out = String::new();
            for object in objects {
                out.push_str(&template.render(&Value::from(object))?);
                out.push('\n');
            }
            Ok(out)
        }
    }
}

/// Renders one object, as `info` and `version` do.
pub fn one(format: &str, object: serde_json::Value) -> Result<String, Failure> {
    if format == "json" {
        return Ok(serde_json::to_string(&object)? + "\n");
    }
    Ok(Template::parse(&unescape(format))?.render(&Value::from(object))? + "\n")
}

/// JSON as Docker prints it: four spaces a level.
fn pretty(value: &impl Serialize) -> String {
    let mut out = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut out, PrettyFormatter::with_indent(b"    "));
    // Values that came out of JSON go back into it.
    let _ = value.serialize(&mut serializer);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects() {
        let objects = || vec![serde_json::json!({"Id": "1", "Labels": {}})];
        assert_eq!(
            render(None, objects()).unwrap(),
            "[\n    {\n        \"Id\": \"1\",\n        \"Labels\": {}\n    }\n]\n"
        );
        assert_eq!(render(Some("json"), objects()).unwrap(), "[{\"Id\":\"1\",\"Labels\":{}}]\n");
        assert_eq!(render(Some("{{.ID}}"), objects()).unwrap(), "1\n");
    }
}
