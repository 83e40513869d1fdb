//! Which OCI runtimes containers can ask for by name: our own, those of the settings, and what is installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hoist_runtime::supervisor::OtherRuntime;

use crate::{EngineError, Result};

/// Our own runtime's name.
const OWN: &str = "hoist";
/// Runtimes that need no settings where they are installed.
const USUAL: [&str; 2] = ["crun", "runc"];
/// Where programs for administrators are, also when the daemon was started by somebody whose `PATH` lacks them.
const MORE_PLACES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// An OCI runtime beside our own, as the settings have it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OciRuntime {
    /// Its program: a path, or a name to be looked for on `PATH`.
    pub path: PathBuf,
    /// Given before the runtime's own command.
    pub args: Vec<String>,
}

/// The runtimes that containers may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runtimes {
    /// From the settings.
    pub others: BTreeMap<String, OciRuntime>,
    /// Of containers that name none; `None` is our own.
    pub default: Option<String>,
}

impl Runtimes {
    /// Whether the settings make sense.
    ///
    /// # Errors
    /// `InvalidParameter` for a name that is ours, a runtime without a program, a default that nothing has.
    pub fn check(&self) -> Result<()> {
        let refuse = |why: String| Err(EngineError::InvalidParameter(why));
        if self.others.contains_key(OWN) {
            return refuse(format!("runtime name {OWN:?} is reserved"));
        }
        if let Some(name) =
            self.others.iter().find(|(_, other)| other.path.as_os_str().is_empty()).map(|(name, _)| name)
        {
            return refuse(format!("runtime {name:?} has no path"));
        }
        self.find(self.default_name()).map(drop)
    }

    /// What a container gets that names none.
    #[must_use]
    pub fn default_name(&self) -> &str {
        self.default.as_deref().filter(|name| !name.is_empty()).unwrap_or(OWN)
    }

    /// All that can be named now, with the program and its arguments.
    #[must_use]
    pub fn list(&self) -> BTreeMap<String, OciRuntime> {
        let installed = USUAL.into_iter().filter_map(|name| {
            let path = look_for(Path::new(name))?;
            Some((name.to_owned(), OciRuntime { path, args: Vec::new() }))
        });
        let mut all: BTreeMap<String, OciRuntime> = installed.collect();
        all.extend(self.others.clone());
        all.insert(OWN.into(), OciRuntime { path: OWN.into(), args: vec!["oci".into()] });
        all
    }

    /// The runtime of that name; `None` is our own.
    ///
    /// # Errors
    /// `InvalidParameter` when nothing has the name, or its program is not there.
    pub(crate) fn find(&self, name: &str) -> Result<Option<OtherRuntime>> {
        if name == OWN {
            return Ok(None);
        }
        let known = self.others.get(name).cloned();
        let usual = || USUAL.contains(&name).then(|| OciRuntime { path: name.into(), args: Vec::new() });
        let Some(other) = known.or_else(usual) else {
            let names = self.list().into_keys().collect::<Vec<_>>().join(", ");
            return Err(EngineError::InvalidParameter(format!(
                "unknown or invalid runtime name: {name} (this daemon knows {names})"
            )));
        };
        match look_for(&other.path) {
            Some(program) => Ok(Some(OtherRuntime { program, args: other.args })),
            None => Err(EngineError::InvalidParameter(format!(
                "runtime {name:?} cannot be used: there is no program {}",
                other.path.display()
            ))),
        }
    }
}

/// The absolute path of a program, by path or by name.
fn look_for(program: &Path) -> Option<PathBuf> {
    let executable = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if program.components().count() > 1 {
        return std::path::absolute(program).ok().filter(|path| executable(path));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(MORE_PLACES.map(PathBuf::from));
    places.filter(|place| place.is_absolute()).map(|place| place.join(program)).find(|path| executable(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, path: &str, default: Option<&str>) -> Runtimes {
        let other = OciRuntime { path: path.into(), args: vec!["--x".into()] };
        Runtimes { others: [(name.to_owned(), other)].into(), default: default.map(str::to_owned) }
    }

    #[test]
    fn names_become_programs() {
        let known = with("mine", "/bin/sh", Some("mine"));
        known.check().unwrap();
        assert_eq!(known.default_name(), "mine");
        assert_eq!(known.find("hoist").unwrap(), None);
        let found = known.find("mine").unwrap().unwrap();
        assert_eq!((found.program, found.args), ("/bin/sh".into(), vec!["--x".to_owned()]));
        assert!(known.find("nope").unwrap_err().to_string().contains("hoist"));
        assert!(known.list().contains_key("mine"));
        let by_name = with("mine", "sh", None);
        assert!(by_name.find("mine").unwrap().unwrap().program.is_absolute());
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for (runtimes, word) in [
            (with("hoist", "/bin/sh", None), "reserved"),
            (with("mine", "", None), "no path"),
            (with("mine", "/bin/sh", Some("other")), "other"),
            (with("mine", "/no/such", Some("mine")), "/no/such"),
        ] {
            let said = runtimes.check().unwrap_err().to_string();
            assert!(said.contains(word), "{said}");
        }
        Runtimes::default().check().unwrap();
    }
}
