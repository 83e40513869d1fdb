//! The placeholders of a service's definition that only its task and its node can fill in: `{{.Node.Hostname}}`.
//!
//! A small part of Go's templates: fields, `index`, and for configs and secrets that are templates `env`, `secret` and
//! `config`. Anything else is refused by name rather than left in the text.

use std::collections::BTreeMap;

use hoist_proto::spec::{ContainerSpec, Task};

/// What a function gives for its argument: the function's name, the argument.
type Functions<'a> = dyn Fn(&str, &str) -> Option<String> + Sync + 'a;

/// What placeholders stand for.
pub(super) struct Values<'a> {
    fields: BTreeMap<&'static str, String>,
    labels: &'a BTreeMap<String, String>,
    /// What functions know; `None` where there are none.
    functions: Option<&'a Functions<'a>>,
}

impl<'a> Values<'a> {
    pub(super) fn new(task: &'a Task, hostname: String, architecture: String) -> Self {
        let node = task.node.as_ref().map(ToString::to_string).unwrap_or_default();
        let slot = if task.slot == 0 { node.clone() } else { task.slot.to_string() };
        let fields = BTreeMap::from([
            (".Service.ID", task.service.to_string()),
            (".Service.Name", task.service_name.clone()),
            (".Node.ID", node),
            (".Node.Hostname", hostname),
            (".Node.Platform.OS", "linux".to_owned()),
            (".Node.Platform.Architecture", architecture),
            (".Task.ID", task.id.to_string()),
            (".Task.Name", task.name.clone()),
            (".Task.Slot", slot),
        ]);
        Self { fields, labels: &task.spec.container.labels, functions: None }
    }

    /// The same, with functions for the contents of configs and secrets.
    pub(super) fn with<'b>(&'b self, functions: &'b Functions<'b>) -> Values<'b> {
        Values { fields: self.fields.clone(), labels: self.labels, functions: Some(functions) }
    }

    /// Fills a text in.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((inside, after)) = after.split_once("}}") else {
                return Err(format!("template {text:?}: {{{{ is not closed"));
            };
            let (cut_before, inside) = match inside.strip_prefix('-') {
                Some(inside) => (true, inside),
                None => (false, inside),
            };
            let (cut_after, inside) = match inside.strip_suffix('-') {
                Some(inside) => (true, inside),
                None => (false, inside),
            };
            out.push_str(if cut_before { before.trim_end() } else { before });
            out.push_str(&self.value(inside.trim())?);
            rest = if cut_after { after.trim_start() } else { after };
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value(&self, inside: &str) -> Result<String, String> {
        let unknown = || format!("template {{{{{inside}}}}}: it is none of the placeholders that a service may have");
        if let Some(value) = self.fields.get(inside) {
            return Ok(value.clone());
        }
        let words = words(inside).ok_or_else(unknown)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["index", ".Service.Labels", label] => Ok(self.labels.get(*label).cloned().unwrap_or_default()),
            [name @ ("env" | "secret" | "config"), argument] => {
                let functions = self.functions.ok_or_else(unknown)?;
                let found = functions(name, argument);
                found.ok_or_else(|| format!("template {{{{{inside}}}}}: the service has no {name} {argument:?}"))
            }
            _ => Err(unknown()),
        }
    }

    /// Fills in what may have placeholders: variables, the host's name, mounts.
    ///
    /// A compose file's own texts may have braces of others, so that there only what is known is filled in.
    pub(super) fn fill(&self, spec: &mut ContainerSpec, strictly: bool) -> Result<(), String> {
        let sources = spec.mounts.iter_mut().flat_map(|mount| mount.source.iter_mut().chain([&mut mount.target]));
        let texts = spec.env.iter_mut().chain(spec.hostname.iter_mut()).chain(sources);
        for text in texts.filter(|text| text.contains("{{")) {
            match self.expand(text) {
                Ok(filled) => *text = filled,
                Err(error) if strictly => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Words, some of them in double quotes; `None` when a quote is not closed.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    Some(words)
}

#[cfg(test)]
pub(super) mod tests {
    use hoist_proto::{
        id::{ServiceId, TaskId},
        spec::{Meta, TaskState, TaskStatus},
    };

    use super::*;

    pub(in crate::task) fn task() -> Task {
        Task {
            id: TaskId::random(),
            meta: Meta::default(),
            service: ServiceId::random(),
            service_name: "web".into(),
            project: None,
            slot: 2,
            node: None,
            name: String::new(),
            spec: Default::default(),
            spec_hash: String::new(),
            desired: TaskState::Running,
            status: TaskStatus::default(),
            start_after: None,
            restarts: 0,
            started_with: Default::default(),
            addresses: Vec::new(),
            devices: Vec::new(),
            signal: None,
            checkpoint_on_stop: false,
        }
    }

    #[test]
    fn placeholders() {
        let task = task();
        let values = Values::new(&task, "box".into(), "amd64".into());
        let filled = values.expand("{{.Service.Name}}-{{ .Task.Slot }}@{{.Node.Hostname}} {x}").unwrap();
        assert_eq!(filled, "web-2@box {x}");
        for text in [
            "{{.Task.Slot",
            "{{.Nope}}",
            "{{if .Task.Slot}}x{{end}}",
            "{{secret \"x\"}}",
            "{{index .Service.Labels \"x}}",
        ] {
            assert!(values.expand(text).is_err(), "{text}");
        }
        let functions = |name: &str, argument: &str| (argument == "key").then(|| format!("<{name}>"));
        let values = values.with(&functions);
        assert_eq!(values.expand("a {{- secret \"key\" -}} b").unwrap(), "a<secret>b");
        assert!(values.expand("{{env \"x\"}}").unwrap_err().contains("no env \"x\""));
    }

    #[test]
    fn a_compose_file_s_own_braces_stay() {
        let task = task();
        let values = Values::new(&task, "box".into(), "amd64".into());
        let mut spec = ContainerSpec {
            env: vec!["A={{.Other}}".into(), "B={{.Task.Slot}}".into()],
            hostname: Some("h{{.Task.Slot}}".into()),
            ..ContainerSpec::default()
        };
        assert!(values.fill(&mut spec.clone(), true).unwrap_err().contains(".Other"));
        values.fill(&mut spec, false).unwrap();
        assert_eq!(spec.env, ["A={{.Other}}", "B=2"]);
        assert_eq!(spec.hostname.as_deref(), Some("h2"));
    }
}
