//! Relative paths start from the directory of their project (or of the file
//! that another one extends); `~` is the user's home.

use std::path::{Component, Path as FsPath, PathBuf};
use std::sync::LazyLock;

use super::node::{Node, Value};
use super::pattern::{Path, Table};

/// What a path at a place may also be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A path and nothing else.
    Local,
    /// A path, a URL, or another builder's source.
    Context,
    /// `default` or a path.
    Ssh,
    /// A mount: its source is a path when it is a bind.
    Mount,
    /// A volume: `local`'s `device` is a path when `o` says bind.
    Volume,
}

static PATHS: LazyLock<Table<Kind>> = LazyLock::new(|| {
    Table::new(&[
        ("services.*.build.context", Kind::Context),
        ("services.*.build.additional_contexts.*", Kind::Context),
        ("services.*.build.ssh.*", Kind::Ssh),
        ("services.*.credential_spec.file", Kind::Local),
        ("services.*.develop.watch.*.path", Kind::Local),
        ("services.*.env_file.*.path", Kind::Local),
        ("services.*.label_file.*", Kind::Local),
        ("services.*.volumes.*", Kind::Mount),
        ("volumes.*", Kind::Volume),
        ("configs.*.file", Kind::Local),
        ("secrets.*.file", Kind::Local),
    ])
});

/// Where relative paths start from.
#[derive(Debug, Clone)]
pub(super) struct Base {
    /// The directory; relative itself when paths stay as they are written.
    pub directory: PathBuf,
    /// What `~` means.
    pub home: Option<PathBuf>,
}

impl Base {
    /// The path that a text means.
    pub fn resolve(&self, text: &str) -> String {
        let path = match (text.strip_prefix('~'), &self.home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                home.join(rest.trim_start_matches('/'))
            }
            _ => self.directory.join(text),
        };
        clean(&path).to_string_lossy().into_owned()
    }
}

/// The path without `.` and with each `..` taken together with what is before it.
pub(crate) fn clean(path: &FsPath) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => match clean.components().next_back() {
                Some(Component::Normal(_)) => {
                    clean.pop();
                }
                Some(Component::RootDir) => {}
                _ => clean.push(".."),
            },
            other => clean.push(other),
        }
    }
    if clean.as_os_str().is_empty() {
        clean.push(".");
    }
    clean
}

pub(super) fn resolve(node: &mut Node, base: &Base) {
    walk(node, &mut Path::default(), base);
}

fn walk(node: &mut Node, path: &mut Path, base: &Base) {
    match PATHS.get(path) {
        Some(Kind::Mount) if is_bind(node) => return resolve_field(node, "source", base),
        Some(Kind::Volume) => {
            if let Some(options) = node.as_map_mut().and_then(|map| map.get_mut("driver_opts"))
                && options
                    .get("o")
                    .and_then(Node::as_str)
                    .is_some_and(|o| o.split(',').any(|o| o == "bind" || o == "rbind"))
            {
                resolve_field(options, "device", base);
            }
            return;
        }
        Some(kind) => {
            if let Value::String(text) = &mut node.value
                && is_local(text, kind)
            {
                *text = base.resolve(text);
            }
        }
        None => {}
    }
    match &mut node.value {
        Value::Map(map) => {
            for (key, value) in map.iter_mut() {
                path.push(key.as_str());
                walk(value, path, base);
                path.pop();
            }
        }
        Value::Seq(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push(index.to_string());
                walk(item, path, base);
                path.pop();
            }
        }
        _ => {}
    }
}

fn is_bind(node: &Node) -> bool {
    node.get("type").and_then(Node::as_str) == Some("bind")
}

fn resolve_field(node: &mut Node, field: &str, base: &Base) {
    if let Some(Value::String(text)) = node.as_map_mut().and_then(|map| map.get_mut(field)).map(|n| &mut n.value)
        && !text.is_empty()
    {
        *text = base.resolve(text);
    }
}

fn is_local(text: &str, kind: Kind) -> bool {
    // A path that begins with a variable which was not put in yet is not known.
    if text.starts_with('$') {
        return false;
    }
    match kind {
        Kind::Context => {
            !(text.contains("://")
                || text.starts_with("git@")
                || text.starts_with("github.com/")
                || text.starts_with("service:")
                || text.starts_with("target:"))
        }
        Kind::Ssh => !text.is_empty(),
        _ => !text.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolution() {
        let base = Base { directory: "/p/dir".into(), home: Some("/home/u".into()) };
        for (text, path) in [
            (".", "/p/dir"),
            ("./a", "/p/dir/a"),
            ("../a/./b", "/p/a/b"),
            ("/abs/../x", "/x"),
            ("~", "/home/u"),
            ("~/x", "/home/u/x"),
            ("~other/x", "/p/dir/~other/x"),
            ("../../../..", "/"),
        ] {
            assert_eq!(base.resolve(text), path, "{text}");
        }
        assert_eq!(clean(FsPath::new("../a/..")), PathBuf::from(".."));
        assert!(!is_local("https://github.com/a/b.git#x:y", Kind::Context));
        assert!(is_local("./dir", Kind::Context));
    }
}
