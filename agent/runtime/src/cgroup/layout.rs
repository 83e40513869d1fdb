//! Which cgroup hierarchies this host has, and where.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::CgroupPath;

const ROOT: &str = "/sys/fs/cgroup";

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    mount: PathBuf,
    /// The name of its directory under `/sys/fs/cgroup`.
    name: String,
    controllers: Vec<String>,
    /// `name=…`: a hierarchy without controllers, of another program.
    named: Option<String>,
    v2: bool,
}

impl Hierarchy {
    pub(crate) fn is_v2(&self) -> bool {
        self.v2
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|known| known == controller)
    }

    /// Where a cgroup is.
    pub(crate) fn directory(&self, path: &CgroupPath) -> PathBuf {
        self.mount.join(path.as_str())
    }

    pub(crate) fn root(&self) -> &Path {
        &self.mount
    }

    /// Whether containers are put here: a hierarchy of controllers, or the unified one.
    pub(crate) fn is_ours(&self) -> bool {
        self.named.is_none()
    }

    /// Further names of the directory: of hierarchies that have several controllers, each is one.
    pub(crate) fn aliases(&self) -> impl Iterator<Item = &str> {
        let several = !self.v2 && self.controllers.len() > 1;
        self.controllers.iter().map(String::as_str).filter(move |name| several && *name != self.name)
    }

    /// What `mount` takes to show this hierarchy.
    pub(crate) fn mount_options(&self) -> Vec<String> {
        if self.v2 {
            return Vec::new();
        }
        match &self.named {
            Some(name) => vec!["none".into(), format!("name={name}")],
            None => self.controllers.clone(),
        }
    }
}

/// All hierarchies of the host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Layout {
    hierarchies: Vec<Hierarchy>,
}

impl Layout {
    /// Looks once and remembers: mounts of cgroup hierarchies do not change under a running program.
    pub(crate) fn get() -> io::Result<&'static Layout> {
        static LAYOUT: OnceLock<Layout> = OnceLock::new();
        if let Some(layout) = LAYOUT.get() {
            return Ok(layout);
        }
        let found = Self::detect()?;
        Ok(LAYOUT.get_or_init(|| found))
    }

    pub(crate) fn hierarchies(&self) -> &[Hierarchy] {
        &self.hierarchies
    }

    /// The only hierarchy, where all is unified.
    pub(crate) fn pure_v2(&self) -> Option<&Hierarchy> {
        match self.hierarchies.as_slice() {
            [only] if only.v2 => Some(only),
            _ => None,
        }
    }

    /// The unified hierarchy, if the host has one, alone or beside others.
    pub(crate) fn v2(&self) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|hierarchy| hierarchy.v2)
    }

    /// The hierarchy that has a controller.
    pub(crate) fn with(&self, controller: &str) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|hierarchy| hierarchy.has(controller))
    }

    fn detect() -> io::Result<Self> {
        if magic(Path::new(ROOT)) == Some(libc::CGROUP2_SUPER_MAGIC) {
            return Ok(Self { hierarchies: vec![unified(Path::new(ROOT), "")?] });
        }
        let list = std::fs::read_to_string("/proc/self/cgroup")?;
        let mut hierarchies = Vec::new();
        for line in list.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(number), Some(controllers)) = (fields.next(), fields.next()) else {
                continue;
            };
            if number == "0" {
                let found = ["unified", "systemd"].into_iter().find_map(|name| {
                    let path = Path::new(ROOT).join(name);
                    (magic(&path) == Some(libc::CGROUP2_SUPER_MAGIC)).then_some((path, name))
                });
                if let Some((path, name)) = found {
                    hierarchies.push(unified(&path, name)?);
                }
                continue;
            }
            if let Some(hierarchy) = legacy(controllers) {
                hierarchies.push(hierarchy);
            }
        }
        if hierarchies.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no cgroup hierarchy is mounted under /sys/fs/cgroup"));
        }
        Ok(Self { hierarchies })
    }
}

fn magic(path: &Path) -> Option<libc::c_long> {
    rustix::fs::statfs(path).ok().map(|stat| stat.f_type)
}

fn unified(mount: &Path, name: &str) -> io::Result<Hierarchy> {
    let controllers = std::fs::read_to_string(mount.join("cgroup.controllers"))?;
    Ok(Hierarchy {
        mount: mount.to_owned(),
        name: name.to_owned(),
        controllers: controllers.split_whitespace().map(str::to_owned).collect(),
        named: None,
        v2: true,
    })
}

/// A v1 hierarchy from its list of controllers. Its directory has the name of the list, or of one of them.
fn legacy(list: &str) -> Option<Hierarchy> {
    let named = list.strip_prefix("name=");
    let controllers: Vec<String> =
        if named.is_some() { Vec::new() } else { list.split(',').map(str::to_owned).collect() };
    let names = named.into_iter().chain([list]).chain(controllers.iter().map(String::as_str));
    let name = names.into_iter().find(|name| magic(&Path::new(ROOT).join(name)) == Some(libc::CGROUP_SUPER_MAGIC))?;
    Some(Hierarchy {
        mount: Path::new(ROOT).join(name),
        name: name.to_owned(),
        named: named.map(str::to_owned),
        controllers: controllers.clone(),
        v2: false,
    })
}
