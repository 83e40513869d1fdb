//! The order in which services start, from what they depend on.

use std::collections::{BTreeMap, BTreeSet};

use super::Project;

/// Services that wait for each other in a circle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("dependency cycle: {}", path.join(" -> "))]
pub struct CycleError {
    /// The circle; the first name is also the last.
    pub path: Vec<String>,
}

/// The services in layers: each depends on services of earlier layers only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DependencyOrder {
    /// Names by layer, each layer by name.
    pub layers: Vec<Vec<String>>,
}

impl DependencyOrder {
    /// All names, dependencies first.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.layers.iter().flatten().map(String::as_str)
    }
}

impl Project {
    /// The order of starting; stopping goes the other way. Dependencies on
    /// services that are not enabled are passed over.
    pub fn dependency_order(&self) -> Result<DependencyOrder, CycleError> {
        let enabled = |name: &&String| self.services.contains_key(*name);
        let mut waits_for: BTreeMap<&str, usize> = BTreeMap::new();
        let mut wanted_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, service) in &self.services {
            let mut count = 0;
            for dependency in service.depends_on.keys().filter(enabled) {
                wanted_by.entry(dependency).or_default().push(name);
                count += 1;
            }
            waits_for.insert(name, count);
        }
        let mut layers = Vec::new();
        let mut ready: Vec<&str> = waits_for.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
        while !ready.is_empty() {
            let mut next = BTreeSet::new();
            for name in &ready {
                waits_for.remove(name);
                for dependent in wanted_by.get(name).into_iter().flatten() {
                    if let Some(count) = waits_for.get_mut(dependent) {
                        *count -= 1;
                        if *count == 0 {
                            next.insert(*dependent);
                        }
                    }
                }
            }
            layers.push(ready.into_iter().map(str::to_owned).collect());
            ready = next.into_iter().collect();
        }
        if let Some(start) = waits_for.keys().next() {
            return Err(self.circle_from(start, &waits_for));
        }
        Ok(DependencyOrder { layers })
    }

    /// A circle among services that all wait for another one of them.
    fn circle_from<'a>(&'a self, start: &'a str, waiting: &BTreeMap<&str, usize>) -> CycleError {
        let mut path: Vec<&str> = Vec::new();
        let mut next = Some(start);
        while let Some(name) = next {
            if let Some(start) = path.iter().position(|on_path| *on_path == name) {
                let circle = path[start..].iter().chain([&name]).map(|s| (*s).to_owned()).collect();
                return CycleError { path: circle };
            }
            path.push(name);
            let dependencies = self.services.get(name).into_iter().flat_map(|service| service.depends_on.keys());
            next = dependencies.map(String::as_str).find(|dependency| waiting.contains_key(dependency));
        }
        CycleError { path: path.into_iter().map(str::to_owned).collect() }
    }

    /// The services that wait for this one, by name.
    pub fn dependents<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.services
            .iter()
            .filter(move |(_, service)| service.depends_on.contains_key(name))
            .map(|(dependent, _)| dependent.as_str())
    }
}
