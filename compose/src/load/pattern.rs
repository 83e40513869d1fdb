//! Rules of the loader are tables keyed by a path with `*` for any one step.

use std::collections::HashMap;

/// Rules by pattern, found by the number of steps and the last one.
pub(super) struct Table<T: 'static>(HashMap<(usize, &'static str), Vec<&'static (&'static str, T)>>);

impl<T: Copy> Table<T> {
    pub fn new(rules: &'static [(&'static str, T)]) -> Table<T> {
        let mut table: HashMap<_, Vec<_>> = HashMap::new();
        for rule in rules {
            let steps = rule.0.split('.').count();
            let last = rule.0.rsplit('.').next().unwrap_or_default();
            table.entry((steps, last)).or_default().push(rule);
        }
        Table(table)
    }

    /// The rule whose pattern describes the path.
    pub fn get(&self, path: &Path) -> Option<T> {
        let last = path.0.last()?;
        [last.as_str(), "*"]
            .into_iter()
            .filter_map(|end| self.0.get(&(path.0.len(), end)))
            .flatten()
            .find(|(pattern, _)| path.matches(pattern))
            .map(|(_, rule)| *rule)
    }
}

/// The steps from the root of a file to a value.
#[derive(Debug, Clone, Default)]
pub(super) struct Path(Vec<String>);

impl Path {
    pub fn push(&mut self, step: impl Into<String>) {
        self.0.push(step.into());
    }

    pub fn pop(&mut self) {
        self.0.pop();
    }

    pub fn steps(&self) -> &[String] {
        &self.0
    }

    /// Whether it is what a pattern such as `services.*.ports` describes.
    pub fn matches(&self, pattern: &str) -> bool {
        let mut wanted = pattern.split('.');
        self.0.iter().all(|step| wanted.next().is_some_and(|w| w == "*" || w == step)) && wanted.next().is_none()
    }

    /// Whether a key of the mapping at this path is an extension, and not a
    /// name that a person chose.
    pub fn is_extension(&self, key: &str) -> bool {
        const NAMES: [&str; 4] =
            ["services.*.depends_on", "services.*.models", "services.*.networks", "services.*.ulimits"];
        key.starts_with("x-") && self.0.len() != 1 && !NAMES.iter().any(|pattern| self.matches(pattern))
    }

    /// What the path is about, as an error begins: `service "web": ports[0].target`.
    pub fn subject(&self) -> String {
        subject(self.0.iter().map(String::as_str))
    }
}

pub(super) fn subject<'a>(steps: impl IntoIterator<Item = &'a str>) -> String {
    let mut steps = steps.into_iter();
    let Some(top) = steps.next() else { return String::new() };
    let mut text = String::new();
    let kind = match top {
        "services" => Some("service"),
        "networks" => Some("network"),
        "volumes" => Some("volume"),
        "secrets" => Some("secret"),
        "configs" => Some("config"),
        "models" => Some("model"),
        _ => None,
    };
    match (kind, kind.and_then(|_| steps.next())) {
        (Some(kind), Some(name)) => text.push_str(&format!("{kind} \"{name}\"")),
        _ => text.push_str(top),
    }
    let mut first = kind.is_some();
    for step in steps {
        if step.bytes().all(|b| b.is_ascii_digit()) {
            text.push_str(&format!("[{step}]"));
        } else {
            text.push_str(if first { ": " } else { "." });
            text.push_str(step);
        }
        first = false;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_subjects() {
        let mut path = Path::default();
        for step in ["services", "web", "ports", "0", "target"] {
            path.push(step);
        }
        assert!(path.matches("services.*.ports.*.target"));
        assert!(!path.matches("services.*.ports"));
        assert!(!path.matches("services.*.ports.*.target.x"));
        assert_eq!(path.subject(), "service \"web\": ports[0].target");
        assert_eq!(subject(["include", "0"]), "include[0]");
        assert_eq!(subject(["services"]), "services");
    }
}
