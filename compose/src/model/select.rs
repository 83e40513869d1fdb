//! Profiles, and the choice of some services of a project.

use std::collections::BTreeSet;

use super::{MountKind, Project, Service};

/// Which services come along with the chosen ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependents {
    /// What they depend on, and what that depends on.
    WithDependencies,
    /// Only the chosen ones (`--no-deps`).
    Alone,
}

/// Why services cannot be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// No service has that name.
    #[error("no such service: {0}")]
    NoSuchService(String),
    /// A required dependency that no active profile enables.
    #[error(
        "service \"{service}\" depends on \"{dependency}\", which is not enabled; activate one of its profiles: {}",
        profiles.join(", ")
    )]
    Disabled {
        /// The service that depends on it.
        service: String,
        /// The one that is not enabled.
        dependency: String,
        /// The profiles that would enable it.
        profiles: Vec<String>,
    },
}

impl Service {
    /// Whether one of the active profiles enables it; `*` enables all.
    pub fn is_enabled(&self, active: &[String]) -> bool {
        self.profiles.is_empty() || active.iter().any(|p| p == "*" || self.profiles.contains(p))
    }
}

impl Project {
    /// Makes these the active profiles: services move between enabled and
    /// disabled (15-profiles.md).
    pub fn with_profiles(mut self, active: &[String]) -> Project {
        let mut all = std::mem::take(&mut self.services);
        all.extend(std::mem::take(&mut self.disabled_services));
        all.sort_keys();
        for (name, service) in all {
            let place = if service.is_enabled(active) { &mut self.services } else { &mut self.disabled_services };
            place.insert(name, service);
        }
        self.active_profiles = active.to_vec();
        self
    }

    /// Activates the profiles of services that a command names explicitly.
    pub fn with_targets_enabled(self, names: &[String]) -> Result<Project, SelectError> {
        let mut active = self.active_profiles.clone();
        for name in names {
            match self.disabled_services.get(name) {
                Some(service) => active.extend(service.profiles.iter().cloned()),
                None if self.services.contains_key(name) => {}
                None => return Err(SelectError::NoSuchService(name.clone())),
            }
        }
        if active.len() == self.active_profiles.len() {
            return Ok(self);
        }
        active.sort();
        active.dedup();
        Ok(self.with_profiles(&active))
    }

    /// Drops networks, volumes, secrets, configs and models that no enabled service uses.
    pub fn without_unused_resources(mut self) -> Project {
        let services = || self.services.values();
        let networks: BTreeSet<&String> = services().flat_map(|service| service.networks.keys()).collect();
        let volumes: BTreeSet<&String> = services()
            .flat_map(|service| &service.volumes)
            .filter(|mount| mount.kind == MountKind::Volume)
            .filter_map(|mount| mount.source.as_ref())
            .collect();
        let building = || services().filter_map(|service| service.build.as_ref());
        let secrets: BTreeSet<&String> = services()
            .flat_map(|service| &service.secrets)
            .chain(building().flat_map(|build| &build.secrets))
            .map(|file| &file.source)
            .collect();
        let configs: BTreeSet<&String> =
            services().flat_map(|service| &service.configs).map(|file| &file.source).collect();
        let models: BTreeSet<&String> = services().flat_map(|service| service.models.keys()).collect();
        let unused = |names: Vec<&String>, used: &BTreeSet<&String>| -> Vec<String> {
            names.into_iter().filter(|name| !used.contains(name)).cloned().collect()
        };
        let gone = [
            unused(self.networks.keys().collect(), &networks),
            unused(self.volumes.keys().collect(), &volumes),
            unused(self.secrets.keys().collect(), &secrets),
            unused(self.configs.keys().collect(), &configs),
            unused(self.models.keys().collect(), &models),
        ];
        let [networks, volumes, secrets, configs, models] = &gone;
        self.networks.retain(|name, _| !networks.contains(name));
        self.volumes.retain(|name, _| !volumes.contains(name));
        self.secrets.retain(|name, _| !secrets.contains(name));
        self.configs.retain(|name, _| !configs.contains(name));
        self.models.retain(|name, _| !models.contains(name));
        self
    }

    /// An error for each required dependency on a service that is not enabled.
    pub fn check_enabled(&self) -> Result<(), SelectError> {
        for (name, service) in &self.services {
            for (dependency, how) in &service.depends_on {
                if let Some(disabled) = self.disabled_services.get(dependency)
                    && how.required
                {
                    return Err(SelectError::Disabled {
                        service: name.clone(),
                        dependency: dependency.clone(),
                        profiles: disabled.profiles.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Keeps the named services, and what they depend on if asked. The others
    /// go to the disabled ones. No name keeps all.
    pub fn with_services(self, names: &[String], dependents: Dependents) -> Result<Project, SelectError> {
        if names.is_empty() {
            self.check_enabled()?;
            return Ok(self);
        }
        let mut project = self.with_targets_enabled(names)?;
        let mut keep = BTreeSet::new();
        let mut queue: Vec<String> = names.to_vec();
        while let Some(name) = queue.pop() {
            if let Some(service) = project.services.get(&name)
                && keep.insert(name.clone())
                && dependents == Dependents::WithDependencies
            {
                for (dependency, how) in &service.depends_on {
                    if let Some(disabled) = project.disabled_services.get(dependency)
                        && how.required
                    {
                        return Err(SelectError::Disabled {
                            service: name,
                            dependency: dependency.clone(),
                            profiles: disabled.profiles.clone(),
                        });
                    }
                    queue.push(dependency.clone());
                }
            }
        }
        let services = std::mem::take(&mut project.services);
        for (name, service) in services {
            let place = if keep.contains(&name) { &mut project.services } else { &mut project.disabled_services };
            place.insert(name, service);
        }
        project.disabled_services.sort_keys();
        Ok(project)
    }
}
