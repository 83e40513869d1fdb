//! All containers, by id and by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};

use hoist_proto::id::ContainerId;

use super::handle::Handle;
use crate::{EngineError, Result};

/// All containers. A name is taken before its container exists, so that two creates cannot have the same.
#[derive(Default)]
pub(crate) struct Registry {
    inner: RwLock<Maps>,
}

#[derive(Default)]
struct Maps {
    by_id: BTreeMap<ContainerId, Arc<Handle>>,
    by_name: HashMap<String, ContainerId>,
}

impl Registry {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Maps> {
        self.inner.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Maps> {
        self.inner.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// By name, id or unambiguous prefix of an id; a leading slash makes no difference.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Handle>> {
        let maps = self.read();
        let plain = name.strip_prefix('/').unwrap_or(name);
        let missing = || EngineError::NoSuchContainer(name.to_owned());
        if plain.is_empty() {
            return Err(missing());
        }
        if let Some(handle) = maps.by_id.get(plain) {
            return Ok(handle.clone());
        }
        if let Some(handle) = maps.by_name.get(plain).and_then(|id| maps.by_id.get(id)) {
            return Ok(handle.clone());
        }
        let mut matching = maps.by_id.values().filter(|handle| handle.id.as_str().starts_with(plain));
        match (matching.next(), matching.next()) {
            (None, _) => Err(missing()),
            (Some(handle), None) => Ok(handle.clone()),
            (Some(_), Some(_)) => Err(EngineError::Ambiguous(name.to_owned())),
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Handle>> {
        self.read().by_id.values().cloned().collect()
    }

    /// Takes a name; an empty one is chosen.
    pub(crate) fn reserve(&self, name: &str, id: &ContainerId) -> Result<String> {
        let mut maps = self.write();
        let name = if name.is_empty() { free_name(&maps.by_name, id) } else { valid(name)?.to_owned() };
        if let Some(holder) = maps.by_name.get(&name) {
            return Err(EngineError::Conflict(format!(
                "the container name {name:?} is already in use by container {holder}: \
                 remove or rename that container to be able to use its name"
            )));
        }
        maps.by_name.insert(name.clone(), id.clone());
        Ok(name)
    }

    pub(crate) fn release_name(&self, name: &str, id: &ContainerId) {
        let mut maps = self.write();
        if maps.by_name.get(name) == Some(id) {
            maps.by_name.remove(name);
        }
    }

    pub(crate) fn insert(&self, handle: Arc<Handle>) {
        self.write().by_id.insert(handle.id.clone(), handle);
    }

    pub(crate) fn remove(&self, handle: &Handle) {
        let name = handle.record().name.clone();
        self.release_name(&name, &handle.id);
        self.write().by_id.remove(&handle.id);
    }
}

fn valid(name: &str) -> Result<&str> {
    let plain = name.strip_prefix('/').unwrap_or(name);
    let mut bytes = plain.bytes();
    let good = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && plain.len() > 1
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if good && plain.len() <= 255 {
        Ok(plain)
    } else {
        Err(EngineError::InvalidParameter(format!(
            "invalid container name {name:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-]+ is allowed"
        )))
    }
}

/// An adjective and a thing from a building site, picked by the id.
fn free_name(taken: &HashMap<String, ContainerId>, id: &ContainerId) -> String {
    const HOW: [&str; 32] = [
        "able", "amber", "brave", "bright", "calm", "clever", "cosy", "eager", "early", "fair", "fast", "fond",
        "gentle", "glad", "golden", "grand", "happy", "jolly", "keen", "kind", "light", "lucky", "mellow", "merry",
        "neat", "noble", "proud", "quiet", "steady", "sunny", "swift", "warm",
    ];
    const WHAT: [&str; 32] = [
        "anchor", "arch", "barrow", "beam", "block", "boom", "bridge", "cable", "chain", "clamp", "crane", "derrick",
        "girder", "hook", "jack", "jib", "ladder", "lever", "lift", "mast", "pallet", "pillar", "plank", "pulley",
        "ramp", "rope", "sling", "tackle", "tower", "truss", "wheel", "winch",
    ];
    let digits: Vec<usize> = id.as_str().bytes().map(|b| char::from(b).to_digit(16).unwrap_or(0) as usize).collect();
    let pick = |at: usize| digits[at] * 16 + digits[at + 1];
    let name = format!("{}_{}", HOW[pick(0) % 32], WHAT[pick(2) % 32]);
    if taken.contains_key(&name) { format!("{name}_{}", &id.as_str()[4..10]) } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_holder() {
        let registry = Registry::default();
        let (one, two) = (ContainerId::random(), ContainerId::random());
        assert_eq!(registry.reserve("/web", &one).unwrap(), "web");
        let error = registry.reserve("web", &two).unwrap_err().to_string();
        assert!(error.contains(one.as_str()), "{error}");
        registry.release_name("web", &two);
        assert!(registry.reserve("web", &two).is_err());
        registry.release_name("web", &one);
        assert!(registry.reserve("web", &two).is_ok());
        assert!(registry.reserve("", &one).unwrap().contains('_'));
        for bad in ["a", ".web", "we b", "a/b"] {
            assert!(matches!(registry.reserve(bad, &one), Err(EngineError::InvalidParameter(_))), "{bad}");
        }
    }
}
