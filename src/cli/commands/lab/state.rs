//! What a lab is made of, kept in a file beside its machines.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::{Path, PathBuf},
};

use hoist_network::lab::Lab;
use serde::{Deserialize, Serialize};

use crate::cli::failure::Failure;

const VERSION: u32 = 1;
/// The longest path that a socket may have, less the name of the socket itself.
const SOCKET_DIR: usize = 90;

/// Where a lab lies.
#[derive(Debug, Clone)]
pub struct Place {
    pub name: String,
    /// Images, containers and the cluster's state of all machines.
    pub data: PathBuf,
    /// Sockets and namespaces.
    pub run: PathBuf,
}

impl Place {
    /// # Errors
    /// For a name that cannot be part of a link's name, a path and a context's name.
    pub fn of(data_root: &Path, run_root: &Path, name: &str) -> Result<Self, Failure> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 12 || name.starts_with('-') || !name.chars().all(good) {
            let rule = "it has 1 to 12 lower-case letters, digits and '-', and does not begin with '-'";
            return Err(Failure::usage(format!("invalid name of a lab {name:?}: {rule}")));
        }
        let run = run_root.join("lab").join(name);
        if run.as_os_str().len() > SOCKET_DIR {
            let words = format!("{} is too long for the machines' sockets to lie under it", run.display());
            return Err(Failure::new(words).hint("choose a shorter --run-root"));
        }
        Ok(Self { name: name.to_owned(), data: data_root.join("lab").join(name), run })
    }

    fn file(&self) -> PathBuf {
        self.data.join("lab.json")
    }

    pub fn exists(&self) -> bool {
        self.file().exists()
    }

    /// The machines' namespaces.
    pub fn lab(&self) -> Lab {
        Lab::at(&self.run)
    }

    /// The link by which this machine reaches the lab's.
    pub fn link(&self) -> String {
        format!("hl-{}", self.name)
    }

    pub fn data_root(&self, node: &str) -> PathBuf {
        self.data.join(node)
    }

    pub fn run_root(&self, node: &str) -> PathBuf {
        self.run.join(node)
    }

    /// The daemon's settings of one machine.
    pub fn config(&self, node: &str) -> PathBuf {
        self.data.join(format!("{node}.json"))
    }

    /// Parent of the cgroups of a machine's containers.
    pub fn cgroup(&self, node: &str) -> String {
        format!("hoist-lab-{}-{node}", self.name)
    }

    /// The context by which commands reach a machine.
    pub fn context(&self, node: &str) -> String {
        format!("{}-{node}", self.name)
    }
}

/// A lab.
#[derive(Debug, Clone)]
pub struct State {
    pub place: Place,
    pub record: Record,
}

/// What is in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    pub subnet: String,
    /// This machine's own address.
    pub gateway: IpAddr,
    pub nodes: Vec<Node>,
    /// Who does not hear whom: the one that speaks, the one that does not hear.
    pub cuts: BTreeSet<(String, String)>,
}

impl Record {
    pub fn new(subnet: &str, gateway: IpAddr, nodes: Vec<Node>) -> Self {
        Self { version: VERSION, subnet: subnet.to_owned(), gateway, nodes, cuts: BTreeSet::new() }
    }
}

/// A machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Node {
    pub name: String,
    pub address: IpAddr,
    pub manager: bool,
    /// What is wrong with its line, in words; nothing when it is well.
    #[serde(default)]
    pub slow: String,
}

impl State {
    pub fn load(place: Place) -> Result<Self, Failure> {
        if !place.exists() {
            let words = format!("there is no lab {:?}", place.name);
            return Err(Failure::new(words).hint("hoist lab up --managers 3 --workers 4"));
        }
        let file = place.file();
        let record: Record = serde_json::from_slice(&fs_err::read(&file)?)
            .map_err(|err| Failure::new(format!("{} is malformed: {err}", file.display())))?;
        if record.version != VERSION {
            let words = format!("{} has version {}, and this program reads {VERSION}", file.display(), record.version);
            return Err(Failure::new(words));
        }
        Ok(Self { place, record })
    }

    /// Writes the file as a whole or not at all.
    pub fn save(&self) -> Result<(), Failure> {
        let file = self.place.file();
        let partial = file.with_extension("tmp");
        fs_err::write(&partial, serde_json::to_vec_pretty(&self.record)?)?;
        fs_err::rename(&partial, &file)?;
        Ok(())
    }

    /// The machines of these names, in the order given.
    pub fn named(&self, names: &[String]) -> Result<Vec<&Node>, Failure> {
        names
            .iter()
            .map(|name| {
                self.record.nodes.iter().find(|node| node.name == *name).ok_or_else(|| {
                    let all: Vec<&str> = self.record.nodes.iter().map(|node| node.name.as_str()).collect();
                    Failure::new(format!("the lab has no machine {name:?}")).hint(format!("it has {}", all.join(", ")))
                })
            })
            .collect()
    }
}
