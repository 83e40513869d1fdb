//! Secrets and configs as the Engine API asks for them.

use std::{collections::BTreeMap, sync::Arc};

use hoist_proto::{
    id::{ConfigId, SecretId, ServiceId},
    spec::{Config, DriverChoice, FileContent, Meta, Secret, Service},
};
use hoist_store::{Record, StoreError, Tables};

use super::{Control, ControlError, RegistryAuthFrom, convert::PROJECT, services};

/// The label of a record whose name another has taken.
pub(crate) const REPLACED: &str = "hoist.replaced";

/// The longest name of a secret or config.
const LONGEST: usize = 64;
/// The most bytes that a secret has.
const LARGEST_SECRET: usize = 500 << 10;
/// The most bytes that a config has.
const LARGEST_CONFIG: usize = 1000 << 10;

/// What can be changed of a record whose content is fixed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileChange {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// `None` when the caller did not repeat it.
    pub data: Option<Vec<u8>>,
}

/// What secrets and configs have in common.
pub trait StoredFile: Record {
    const WORD: &'static str;
    const LARGEST: usize;
    /// Whether it may have no bytes at all.
    const MAY_BE_EMPTY: bool;

    fn make(name: String, labels: BTreeMap<String, String>, data: Vec<u8>, templating: Option<DriverChoice>) -> Self;
    fn name(&self) -> &str;
    fn set_name(&mut self, name: String);
    fn labels(&self) -> &BTreeMap<String, String>;
    fn labels_mut(&mut self) -> &mut BTreeMap<String, String>;
    fn data(&self) -> &[u8];
    fn templating(&self) -> Option<&DriverChoice>;
}

macro_rules! stored_file {
    ($type:ty, $id:ty, $word:literal, $largest:expr, $empty:literal) => {
        impl StoredFile for $type {
            const WORD: &'static str = $word;
            const LARGEST: usize = $largest;
            const MAY_BE_EMPTY: bool = $empty;

            fn make(
                name: String,
                labels: BTreeMap<String, String>,
                data: Vec<u8>,
                templating: Option<DriverChoice>,
            ) -> Self {
                Self { id: <$id>::random(), meta: Meta::default(), name, labels, data, templating }
            }
            fn name(&self) -> &str {
                &self.name
            }
            fn set_name(&mut self, name: String) {
                self.name = name;
            }
            fn labels(&self) -> &BTreeMap<String, String> {
                &self.labels
            }
            fn labels_mut(&mut self) -> &mut BTreeMap<String, String> {
                &mut self.labels
            }
            fn data(&self) -> &[u8] {
                &self.data
            }
            fn templating(&self) -> Option<&DriverChoice> {
                self.templating.as_ref()
            }
        }
    };
}

stored_file!(Secret, SecretId, "secret", LARGEST_SECRET, false);
stored_file!(Config, ConfigId, "config", LARGEST_CONFIG, true);

impl Control {
    /// Every secret or config, by name.
    pub fn files<T: StoredFile>(&self) -> Vec<Arc<T>> {
        let mut files: Vec<Arc<T>> = self.inner.store.view(|tables| tables.of::<T>().iter().cloned().collect());
        files.sort_by(|a, b| a.name().cmp(b.name()));
        files
    }

    /// One secret or config, by id, name or the beginning of its id.
    pub fn file<T: StoredFile>(&self, name: &str) -> Result<Arc<T>, ControlError>
    where
        T::Id: std::str::FromStr,
    {
        self.inner.store.view(|tables| find::<T>(tables, name).cloned())
    }

    /// Keeps a secret or config.
    pub async fn create_file<T: StoredFile>(
        &self,
        name: String,
        labels: BTreeMap<String, String>,
        data: Vec<u8>,
        templating: Option<DriverChoice>,
    ) -> Result<T::Id, ControlError> {
        services::check_name(&name, LONGEST, T::WORD)?;
        check_size::<T>(&data)?;
        check_templating(templating.as_ref())?;
        let record = T::make(name.clone(), labels, data, templating);
        let id = record.id().clone();
        self.inner
            .store
            .update(|tx| {
                tx.put(record).map_err(|error| match error {
                    StoreError::NameTaken { .. } => ControlError::Conflict(format!(
                        "name conflicts with an existing object: {} {name} already exists",
                        T::WORD
                    )),
                    other => other.into(),
                })
            })
            .await?;
        Ok(id)
    }

    /// Changes the labels; content and name are fixed.
    pub async fn update_file<T: StoredFile>(
        &self,
        name: &str,
        version: u64,
        change: FileChange,
    ) -> Result<(), ControlError>
    where
        T::Id: std::str::FromStr,
    {
        self.inner
            .store
            .update(|tx| {
                let mut file = T::clone(find::<T>(tx, name)?);
                let same_name = change.name.is_empty() || change.name == file.name();
                let same_data = change.data.as_deref().is_none_or(|data| data == file.data());
                if !same_name || !same_data {
                    return Err(ControlError::Refused("only updates to Labels are allowed".into()));
                }
                if file.meta().version != version {
                    return Err(ControlError::OutOfSequence { name: file.name().to_owned() });
                }
                *file.labels_mut() = change.labels;
                Ok(tx.put(file)?)
            })
            .await
    }

    /// Puts a new content in place of the one under that name: the services that use it are changed to the new record
    /// in the same write, and replace their tasks as their update settings say.
    ///
    /// Gives the new record's id and the services.
    pub async fn rotate_file<T: StoredFile>(
        &self,
        name: &str,
        data: Vec<u8>,
    ) -> Result<(T::Id, Vec<ServiceId>), ControlError>
    where
        T::Id: std::str::FromStr,
    {
        check_size::<T>(&data)?;
        self.inner
            .store
            .update(|tx| {
                let old = find::<T>(tx, name)?.clone();
                if old.labels().contains_key(REPLACED) || old.labels().contains_key(PROJECT) {
                    return Err(ControlError::Refused(format!(
                        "{} {} is not changed by itself: {}",
                        T::WORD,
                        old.name(),
                        if old.labels().contains_key(PROJECT) {
                            "its compose project changes it, by up"
                        } else {
                            "another has taken its place"
                        }
                    )));
                }
                let name = old.name().to_owned();
                tx.modify::<T>(old.id(), |file| {
                    // The name is the new one's; the old content stays for rollbacks, as long as anything can need it.
                    let id = file.id().to_string();
                    file.set_name(format!("{name}.{}", &id[..12]));
                    file.labels_mut().insert(REPLACED.into(), name.clone());
                })?;
                let new = T::make(name, old.labels().clone(), data, old.templating().cloned());
                let (old_id, new_id) = (old.id().to_string(), new.id().clone());
                tx.put(new)?;
                let users: Vec<Service> = tx
                    .services()
                    .iter()
                    .filter(|service| services::is_kept(service) && uses(service, &old_id))
                    .map(|service| (**service).clone())
                    .collect();
                let ids = users.iter().map(|service| service.id.clone()).collect();
                for service in users {
                    let mut spec = service.spec.clone();
                    for file in &mut spec.task.container.files {
                        if matches!(&file.content, FileContent::Stored(id) if *id == old_id) {
                            file.content = FileContent::Stored(new_id.to_string());
                        }
                    }
                    let changed = services::changed(tx, &service, spec, RegistryAuthFrom::Spec)?;
                    tx.put(changed)?;
                }
                Ok((new_id, ids))
            })
            .await
    }

    /// Removes a secret or config that no service uses.
    pub async fn remove_file<T: StoredFile>(&self, name: &str) -> Result<Arc<T>, ControlError>
    where
        T::Id: std::str::FromStr,
    {
        self.inner
            .store
            .update(|tx| {
                let file = find::<T>(tx, name)?.clone();
                let id = file.id().to_string();
                let users: Vec<String> = tx
                    .services()
                    .iter()
                    .filter(|service| services::is_kept(service) && uses(service, &id))
                    .map(|service| service.spec.name.clone())
                    .collect();
                if !users.is_empty() {
                    let (word, noun) = (T::WORD, if users.len() == 1 { "service" } else { "services" });
                    return Err(ControlError::Refused(format!(
                        "{word} '{}' is in use by the following {noun}: {}",
                        file.name(),
                        users.join(", ")
                    )));
                }
                tx.remove::<T>(file.id())?;
                Ok(file)
            })
            .await
    }
}

/// Whether a service has this secret or config.
fn uses(service: &Service, id: &str) -> bool {
    service
        .spec
        .task
        .container
        .files
        .iter()
        .any(|file| matches!(&file.content, FileContent::Stored(used) if used == id))
}

fn check_size<T: StoredFile>(data: &[u8]) -> Result<(), ControlError> {
    let fits = data.len() <= T::LARGEST && (T::MAY_BE_EMPTY || !data.is_empty());
    if fits {
        return Ok(());
    }
    let (word, least) = (T::WORD, if T::MAY_BE_EMPTY { 0 } else { 1 });
    Err(ControlError::Refused(format!(
        "{word} data must be between {least} and {} bytes, and {} were given",
        T::LARGEST,
        data.len()
    )))
}

fn check_templating(driver: Option<&DriverChoice>) -> Result<(), ControlError> {
    match driver {
        Some(driver) if driver.name != "golang" => {
            Err(ControlError::Refused(format!("unknown template driver {:?}: there is golang", driver.name)))
        }
        _ => Ok(()),
    }
}

fn find<'a, T: StoredFile>(tables: &'a Tables, name: &str) -> Result<&'a Arc<T>, ControlError>
where
    T::Id: std::str::FromStr,
{
    let table = tables.of::<T>();
    let by_id = name.parse::<T::Id>().ok().and_then(|id| table.get(&id));
    if let Some(file) = by_id.or_else(|| table.named(name)) {
        return Ok(file);
    }
    let mut found = table.iter().filter(|file| !name.is_empty() && file.id().to_string().starts_with(name));
    match (found.next(), found.next()) {
        (Some(file), None) => Ok(file),
        (Some(_), Some(_)) => Err(ControlError::Ambiguous { kind: T::WORD, name: name.to_owned() }),
        _ => Err(ControlError::NoSuchFile { kind: T::WORD, name: name.to_owned() }),
    }
}
