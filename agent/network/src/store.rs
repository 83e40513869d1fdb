//! What is written down: networks for good, endpoints as long as the machine runs.
//!
//! Every file has a version and is replaced as a whole. A network's file is synced, so that it is
//! there after a power cut. An endpoint's is not: its namespace ends with the machine too, and what
//! is left of its file is recognised by not being readable.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::{DnsConfig, Endpoint, Network, PublishedPort};

const VERSION: u32 = 1;
/// The end of names of files that could not be understood.
const ASIDE: &str = ".corrupt";

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    content: T,
}

/// All that a container has here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) container: String,
    /// Whether it has a namespace: not so on the host's network.
    pub(crate) sandbox: bool,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) ports: Vec<PublishedPort>,
    pub(crate) dns: DnsConfig,
    pub(crate) unhealthy: bool,
}

/// The directories of one daemon.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    networks: PathBuf,
    endpoints: PathBuf,
    namespaces: PathBuf,
}

impl Store {
    pub(crate) fn open(data_root: &Path, run_root: &Path) -> Result<Self, Error> {
        let store = Self {
            networks: data_root.join("networks"),
            endpoints: run_root.join("endpoints"),
            namespaces: run_root.join("netns"),
        };
        for directory in [&store.networks, &store.endpoints, &store.namespaces] {
            fs::create_dir_all(directory).map_err(Error::State)?;
        }
        Ok(store)
    }

    /// Where a container's namespace is pinned.
    pub(crate) fn namespace(&self, container: &str) -> PathBuf {
        self.namespaces.join(container)
    }

    /// The containers that have a pinned namespace, or something at its place.
    pub(crate) fn namespaces(&self) -> Result<Vec<String>, Error> {
        Ok(names(&self.namespaces).map_err(Error::State)?.collect())
    }

    pub(crate) fn save_network(&self, network: &Network) -> Result<(), Error> {
        write(&self.networks, &network.id, network, true).map_err(Error::State)
    }

    pub(crate) fn remove_network(&self, id: &str) -> Result<(), Error> {
        remove(&self.networks, id).map_err(Error::State)
    }

    /// All networks. A file that cannot be understood is set aside under another name: it is a
    /// person's, and not ours to throw away.
    pub(crate) fn load_networks(&self) -> Result<Vec<Network>, Error> {
        let mut all = Vec::new();
        for name in names(&self.networks).map_err(Error::State)? {
            if name.ends_with(ASIDE) {
                continue;
            }
            match read(&self.networks, &name) {
                Ok(network) => all.extend(network),
                Err(error @ Error::Corrupt { .. }) => {
                    tracing::error!(%error, "the network is set aside");
                    let path = self.networks.join(&name);
                    fs::rename(&path, path.with_extension(&ASIDE[1..])).map_err(Error::State)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    pub(crate) fn save_record(&self, record: &Record) -> Result<(), Error> {
        write(&self.endpoints, &record.container, record, false).map_err(Error::State)
    }

    pub(crate) fn remove_record(&self, container: &str) -> Result<(), Error> {
        remove(&self.endpoints, container).map_err(Error::State)
    }

    /// All records; what cannot be understood is from before a power cut, and goes.
    pub(crate) fn load_records(&self) -> Result<Vec<Record>, Error> {
        let mut all = Vec::new();
        for name in names(&self.endpoints).map_err(Error::State)? {
            match read::<Record>(&self.endpoints, &name) {
                Ok(Some(record)) => all.push(record),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "a container's network record is dropped");
                    fs::remove_file(self.endpoints.join(&name)).map_err(Error::State)?;
                }
            }
        }
        Ok(all)
    }
}

fn write<T: Serialize>(directory: &Path, name: &str, content: &T, durable: bool) -> io::Result<()> {
    let temporary = directory.join(format!(".{name}.tmp"));
    let text = serde_json::to_vec_pretty(&Versioned { version: VERSION, content }).map_err(io::Error::other)?;
    let mut file = fs::File::create(&temporary)?;
    let written = file
        .write_all(&text)
        .and_then(|()| if durable { file.sync_all() } else { Ok(()) })
        .and_then(|()| fs::rename(&temporary, directory.join(format!("{name}.json"))));
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    if durable { fs::File::open(directory)?.sync_all() } else { Ok(()) }
}

fn remove(directory: &Path, name: &str) -> io::Result<()> {
    match fs::remove_file(directory.join(format!("{name}.json"))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads a file of ours; what a crash left half-made is removed and is none.
fn read<T: DeserializeOwned>(directory: &Path, name: &str) -> Result<Option<T>, Error> {
    let path = directory.join(name);
    if name.starts_with('.') {
        fs::remove_file(&path).map_err(Error::State)?;
        return Ok(None);
    }
    let text = fs::read(&path).map_err(Error::State)?;
    let corrupt = |reason: String| Error::Corrupt { path: path.clone(), reason };
    let versioned: Versioned<T> = serde_json::from_slice(&text).map_err(|e| corrupt(e.to_string()))?;
    if versioned.version != VERSION {
        return Err(corrupt(format!("version {} is not known", versioned.version)));
    }
    Ok(Some(versioned.content))
}

fn names(directory: &Path) -> io::Result<impl Iterator<Item = String>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        all.extend(entry?.file_name().into_string().ok());
    }
    all.sort();
    Ok(all.into_iter())
}
