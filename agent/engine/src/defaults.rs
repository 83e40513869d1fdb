//! What the daemon's settings say for containers that say nothing themselves.

use std::net::IpAddr;

use hoist_proto::spec::{ContainerSpec, Logging, NamespaceMode, SeccompChoice, Ulimit};

use crate::EngineError;

/// What the daemon's settings say for containers that say nothing themselves.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerDefaults {
    /// The log driver, and its options for containers that use it.
    pub logging: Logging,
    pub ulimits: Vec<Ulimit>,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: Option<u64>,
    pub init: bool,
    pub dns_search: Vec<String>,
    pub dns_options: Vec<String>,
    pub no_new_privileges: bool,
    /// `private` or `shareable`.
    pub ipc: Option<NamespaceMode>,
    /// `private` or `host`.
    pub cgroup_namespace: Option<NamespaceMode>,
    pub seccomp: SeccompChoice,
    /// What `host-gateway` stands for; the gateway of the container's network where there is none.
    pub host_gateway: Vec<IpAddr>,
}

impl ContainerDefaults {
    /// Whether containers can be run with these.
    ///
    /// # Errors
    /// `InvalidParameter` for a log driver or an option of it that is not supported.
    pub fn check(&self) -> Result<(), EngineError> {
        crate::logging::check(&self.logging)?;
        crate::spec::seccomp(&self.seccomp, false, &[]).map(drop)
    }

    /// Fills in what a container leaves open.
    pub(crate) fn fill(&self, spec: &mut ContainerSpec) {
        let default = self.logging.driver.as_deref().unwrap_or("json-file");
        let chosen = spec.logging.driver.as_deref().unwrap_or(default);
        if chosen == default {
            for (key, value) in &self.logging.options {
                spec.logging.options.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        if spec.logging.driver.is_none() {
            spec.logging.driver.clone_from(&self.logging.driver);
        }
        for limit in &self.ulimits {
            if !spec.ulimits.iter().any(|own| own.name == limit.name) {
                spec.ulimits.push(limit.clone());
            }
        }
        spec.shm_size = spec.shm_size.or(self.shm_size);
        if spec.dns_search.is_empty() {
            spec.dns_search.clone_from(&self.dns_search);
        }
        if spec.dns_options.is_empty() {
            spec.dns_options.clone_from(&self.dns_options);
        }
        if self.init {
            spec.init = spec.init.or(Some(true));
        }
        spec.security.no_new_privileges |= self.no_new_privileges;
        for (own, default) in
            [(&mut spec.namespaces.ipc, &self.ipc), (&mut spec.namespaces.cgroup, &self.cgroup_namespace)]
        {
            if let (NamespaceMode::Default, Some(default)) = (&*own, default) {
                own.clone_from(default);
            }
        }
        if spec.security.seccomp == SeccompChoice::Default && !spec.security.privileged {
            spec.security.seccomp.clone_from(&self.seccomp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_and_filters_are_filled_in_where_a_container_says_nothing() {
        let defaults = ContainerDefaults {
            ipc: Some(NamespaceMode::Shareable),
            cgroup_namespace: Some(NamespaceMode::Host),
            seccomp: SeccompChoice::Unconfined,
            ..ContainerDefaults::default()
        };
        let mut spec = ContainerSpec::default();
        defaults.fill(&mut spec);
        assert_eq!((spec.namespaces.ipc, spec.namespaces.cgroup), (NamespaceMode::Shareable, NamespaceMode::Host));
        assert_eq!(spec.security.seccomp, SeccompChoice::Unconfined);
        let mut spec = ContainerSpec::default();
        spec.namespaces.ipc = NamespaceMode::Private;
        spec.security.seccomp = SeccompChoice::Profile("{}".into());
        defaults.fill(&mut spec);
        assert_eq!(spec.namespaces.ipc, NamespaceMode::Private);
        assert_eq!(spec.security.seccomp, SeccompChoice::Profile("{}".into()));
        let bad = ContainerDefaults { seccomp: SeccompChoice::Profile("x".into()), ..Default::default() };
        assert!(bad.check().is_err());
    }

    #[test]
    fn what_a_container_says_counts() {
        let options = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let defaults = ContainerDefaults {
            logging: Logging {
                driver: Some("local".into()),
                options: options(&[("max-size", "1m"), ("max-file", "2")]),
            },
            ulimits: vec![Ulimit { name: "nofile".into(), soft: 10, hard: 20 }],
            shm_size: Some(1 << 20),
            init: true,
            no_new_privileges: true,
            ..ContainerDefaults::default()
        };
        let mut spec = ContainerSpec::default();
        defaults.fill(&mut spec);
        assert_eq!((spec.logging, spec.ulimits), (defaults.logging.clone(), defaults.ulimits.clone()));
        assert_eq!((spec.shm_size, spec.init), (Some(1 << 20), Some(true)));

        let own = Ulimit { name: "nofile".into(), soft: 1, hard: 1 };
        let mut spec = ContainerSpec {
            logging: Logging { driver: Some("json-file".into()), options: options(&[("max-size", "9m")]) },
            ulimits: vec![own.clone()],
            init: Some(false),
            ..ContainerSpec::default()
        };
        defaults.fill(&mut spec);
        assert_eq!(spec.logging.options, options(&[("max-size", "9m")]));
        assert_eq!((spec.ulimits, spec.init), (vec![own], Some(false)));
        assert!(ContainerDefaults::default().check().is_ok());
        let bad = Logging { driver: Some("nowhere".into()), options: Default::default() };
        assert!(ContainerDefaults { logging: bad, ..Default::default() }.check().is_err());
    }
}
