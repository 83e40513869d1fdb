//! The project's name (04-version-and-name.md): `-p`, `COMPOSE_PROJECT_NAME`,
//! the last `name:` of the files, the directory.

use super::discover::Found;
use super::layers::Document;
use super::node::Mark;
use super::options::LoadOptions;
use super::report::Report;
use super::template;

/// The name; `None` after an error was reported.
pub(super) fn project_name(
    options: &LoadOptions,
    found: &Found,
    documents: &[Document],
    report: &mut Report,
) -> Option<String> {
    let named = options.project_name.as_deref().filter(|name| !name.is_empty());
    let variable = || found.environment.get("COMPOSE_PROJECT_NAME").map(String::as_str).filter(|name| !name.is_empty());
    if let Some(name) = named.or_else(variable) {
        return valid(name, None, report);
    }
    let in_files = documents.iter().rev().flat_map(|d| d.roots.iter().rev()).find_map(|root| {
        let name = root.get("name")?;
        Some((name.as_str()?.to_owned(), name.mark))
    });
    if let Some((text, mark)) = in_files {
        if !options.interpolate {
            return Some(text);
        }
        struct Environment<'a>(&'a Found);
        impl template::Variables for Environment<'_> {
            fn get(&self, name: &str) -> Option<String> {
                self.0.environment.get(name).cloned()
            }
        }
        return match template::expand(&text, &mut Environment(found)) {
            Ok(name) => valid(&name, Some(mark), report),
            Err(error) => {
                report.error(mark, format!("name: {error}"));
                None
            }
        };
    }
    let directory = found.working_dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = normalize(&directory);
    if name.is_empty() {
        report.plain_error(format!(
            "no project name can be made of the directory {}; give one with -p or with \"name:\" in the file",
            found.working_dir.display()
        ));
        return None;
    }
    Some(name)
}

fn valid(name: &str, mark: Option<Mark>, report: &mut Report) -> Option<String> {
    if is_valid(name) {
        return Some(name.to_owned());
    }
    let near = normalize(name);
    let hint = if near.is_empty() { String::new() } else { format!(", such as \"{near}\"") };
    let message = format!(
        "invalid project name \"{name}\": lowercase letters, digits, \"-\" and \"_\" only, beginning with a letter or digit{hint}"
    );
    match mark {
        Some(mark) => report.error(mark, message),
        None => report.plain_error(message),
    }
    None
}

fn is_valid(name: &str) -> bool {
    !name.is_empty() && normalize(name) == name
}

/// The nearest valid name: lowercase, other characters left out, no `-` or `_` first.
pub(crate) fn normalize(name: &str) -> String {
    let kept: String = name
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c))
        .collect();
    kept.trim_start_matches(['-', '_']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(normalize("My App.v2"), "myappv2");
        assert_eq!(normalize("_x-1"), "x-1");
        assert!(is_valid("a_b-1"));
        assert!(!is_valid("A"));
        assert!(!is_valid("-a"));
        assert!(!is_valid(""));
    }
}
