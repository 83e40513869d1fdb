//! A container comes into being: names, snapshot, volumes, record.

use std::collections::BTreeMap;
use std::sync::Arc;

use hoist_proto::id::ContainerId;
use hoist_proto::spec::{ContainerSpec, FileContent, NamespaceMode, NetworkMode, RestartPolicy, SeccompChoice};
use hoist_proto::unit::parse_bytes;

use super::mounts;
use crate::container::{Handle, PlannedMount, Record, effective, write_json};
use crate::inner::Inner;
use crate::model::{Created, Health, RemoveOptions, State};
use crate::spec::{capabilities, find_blocks, limits, seccomp};
use crate::{EngineError, Result};

/// What was made so far, to be unmade when the next thing fails.
#[derive(Default)]
struct Made {
    name: Option<String>,
    snapshot: bool,
    volumes: Vec<PlannedMount>,
    dir: bool,
}

impl Inner {
    pub(crate) async fn create(self: &Arc<Self>, spec: ContainerSpec) -> Result<Created> {
        let created = self.create_to_start(spec).await?;
        let handle = self.registry.find(created.id.as_str())?;
        if let Err(error) = handle.settled().await {
            self.remove_handle(&handle, RemoveOptions { force: true, volumes: true }).await?;
            return Err(error);
        }
        Ok(created)
    }

    /// The same for who starts it next: the record is on its way to the disk, and the start waits for it.
    pub(crate) async fn create_to_start(self: &Arc<Self>, spec: ContainerSpec) -> Result<Created> {
        let id = ContainerId::random();
        let mut made = Made::default();
        match self.create_all(&id, spec, &mut made).await {
            Ok(created) => Ok(created),
            Err(error) => {
                self.unmake(&id, made).await;
                Err(error)
            }
        }
    }

    async fn create_all(
        self: &Arc<Self>,
        id: &ContainerId,
        mut spec: ContainerSpec,
        made: &mut Made,
    ) -> Result<Created> {
        let warnings = check(&spec)?;
        self.choose_runtime(&mut spec)?;
        let image = self.options.images.get_for(&spec.image, platform(&spec)?.as_ref()).await?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let effective = effective(&spec, &image.config.config, id, &host)?;
        // Wrong limits and profiles are told now, not at the first start.
        limits(&spec.resources, spec.oom_kill_disable, &find_blocks(&spec.resources))?;
        seccomp(&spec.security.seccomp, spec.security.privileged, &capabilities(&spec.security)?)?;
        crate::logging::check(&spec.logging)?;
        self.check_others(&spec)?;
        self.check_devices(&spec).await?;
        let name = self.registry.reserve(&spec.name, id)?;
        made.name = Some(name.clone());
        spec.name.clone_from(&name);

        self.options.images.prepare(id.as_str(), &image.id).await?;
        made.snapshot = true;
        if let Some(bytes) = storage_size(&spec.storage_options)? {
            self.options.images.limit_snapshot(id.as_str(), bytes).await?;
        }
        let planned = mounts::plan(self, id, &spec, &effective.volumes, &mut made.volumes)?;
        let dir = self.container_dir(id);
        fs_err::create_dir_all(&dir)?;
        made.dir = true;
        self.keep_files(id, &mut spec)?;

        let health = effective.healthcheck.is_some().then(Health::default);
        let record = Record {
            version: crate::container::RECORD_VERSION,
            id: id.clone(),
            name: name.clone(),
            created: self.options.clock.now(),
            image_id: image.id.to_string(),
            platform: "linux".into(),
            effective,
            mounts: planned,
            spec,
        };
        let state = State { health, ..State::default() };
        // A container that goes when it stops has nothing to survive a power cut for.
        let durable = !record.spec.auto_remove;
        let handle = Arc::new(Handle::new(dir, self.run_dir(id), record.clone(), state));
        // A part of a first record is no record: what a power cut leaves of it is removed.
        write_json(&handle.record_path(), &record, false)?;
        if durable {
            handle.begin_settling().await;
        }
        self.registry.insert(handle.clone());
        self.publish(&handle, "create", &[]);
        Ok(Created { id: id.clone(), warnings })
    }

    async fn unmake(&self, id: &ContainerId, made: Made) {
        if made.dir {
            let _ = std::fs::remove_dir_all(self.container_dir(id));
            let _ = std::fs::remove_dir_all(self.secrets.dir(id));
        }
        mounts::release(self, id, &made.volumes, true);
        if made.snapshot {
            let _ = self.options.images.remove_snapshot(id.as_str()).await;
        }
        if let Some(name) = made.name {
            self.registry.release_name(&name, id);
        }
    }

    /// Writes down which runtime it is, so that another default changes nothing for it.
    fn choose_runtime(&self, spec: &mut ContainerSpec) -> Result<()> {
        let runtimes = self.runtimes();
        let name = spec.runtime.as_deref().filter(|name| !name.is_empty()).unwrap_or(runtimes.default_name());
        if runtimes.find(name)?.is_some() && spec.init == Some(true) {
            return Err(EngineError::InvalidParameter(format!(
                "an init is a part of runtime \"hoist\": runtime {name:?} has none"
            )));
        }
        spec.runtime = Some(name.to_owned());
        Ok(())
    }

    /// Containers that this one refers to must exist.
    fn check_others(&self, spec: &ContainerSpec) -> Result<()> {
        let namespaces = &spec.namespaces;
        let modes = [&namespaces.pid, &namespaces.ipc, &namespaces.uts];
        let mut others: Vec<&str> = modes
            .iter()
            .filter_map(|mode| match mode {
                NamespaceMode::Container(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        if let NetworkMode::Container(name) = &spec.network_mode {
            others.push(name);
        }
        others.extend(spec.links.iter().map(|link| link.split(':').next().unwrap_or(link)));
        others.extend(spec.volumes_from.iter().map(|other| other.split(':').next().unwrap_or(other)));
        // Not the error for a container that a call is about: to clients that one means that the image is missing.
        let missing = |error: EngineError| match error {
            EngineError::NoSuchContainer(_) => EngineError::InvalidParameter(error.to_string()),
            error => error,
        };
        others.iter().try_for_each(|name| self.registry.find(name).map(drop).map_err(missing))
    }

    /// Writes down what a file's bytes are: secrets where nothing is written to a disk, configs beside the record.
    /// The spec that is kept has no bytes.
    fn keep_files(&self, id: &ContainerId, spec: &mut ContainerSpec) -> Result<()> {
        for (index, file) in spec.files.iter_mut().enumerate() {
            match &mut file.content {
                FileContent::Inline(bytes) => {
                    let dir = if file.secret { self.secrets.make(id)? } else { self.container_dir(id).join("files") };
                    fs_err::create_dir_all(&dir)?;
                    fs_err::write(dir.join(format!("{index}.content")), &*bytes)?;
                    bytes.clear();
                }
                FileContent::HostPath(path) => {
                    if let Err(error) = std::fs::metadata(&*path) {
                        return Err(EngineError::InvalidParameter(format!(
                            "file {path} of {:?} cannot be read: {error}",
                            file.source
                        )));
                    }
                }
                FileContent::Stored(stored) => {
                    return Err(EngineError::InvalidParameter(format!("the bytes of {stored:?} were not put in")));
                }
            }
        }
        Ok(())
    }
}

/// The one option of the storage that there is: how many bytes a container's own files may take.
fn storage_size(options: &BTreeMap<String, String>) -> Result<Option<u64>> {
    let refuse = |why: String| Err(EngineError::InvalidParameter(why));
    let mut size = None;
    for (option, value) in options {
        if !option.eq_ignore_ascii_case("size") {
            return refuse(format!("storage option {option:?} is not supported: there is only \"size\""));
        }
        match parse_bytes(value) {
            Ok(0) => return refuse("storage option size: it must be above zero".into()),
            Ok(bytes) => size = Some(bytes),
            Err(error) => return refuse(format!("storage option size: {error}")),
        }
    }
    Ok(size)
}

/// The platform that was asked for.
fn platform(spec: &ContainerSpec) -> Result<Option<hoist_image::Platform>> {
    let wanted = spec.platform.as_deref().filter(|wanted| !wanted.is_empty()).map(str::parse).transpose();
    wanted.map_err(|error: hoist_image::PlatformError| EngineError::InvalidParameter(error.to_string()))
}

/// What can be seen to be wrong from the spec alone. Answers warnings.
fn check(spec: &ContainerSpec) -> Result<Vec<String>> {
    let refuse = |why: String| Err(EngineError::InvalidParameter(why));
    let mut warnings = Vec::new();
    storage_size(&spec.storage_options)?;
    if spec.auto_remove && spec.restart != RestartPolicy::No {
        return refuse("can't create 'AutoRemove' container with restart policy".into());
    }
    let namespaces = &spec.namespaces;
    if let NamespaceMode::Private | NamespaceMode::Shareable | NamespaceMode::None | NamespaceMode::Container(_) =
        &namespaces.user
    {
        return refuse("invalid user namespace mode: only \"host\" is, as users of containers are the host's".into());
    }
    if let NamespaceMode::Container(_) | NamespaceMode::Shareable | NamespaceMode::None = &namespaces.cgroup {
        return refuse("cgroup namespace mode must be \"host\" or \"private\"".into());
    }
    for (kind, mode) in [("pid", &namespaces.pid), ("uts", &namespaces.uts)] {
        if let NamespaceMode::Shareable | NamespaceMode::None = mode {
            return refuse(format!("invalid {kind} mode"));
        }
    }
    if namespaces.uts == NamespaceMode::Host && spec.hostname.as_deref().is_some_and(|name| !name.is_empty()) {
        return refuse("conflicting options: hostname and the UTS mode".into());
    }
    if let NetworkMode::Container(_) = &spec.network_mode {
        let conflict = |what: &str| format!("conflicting options: {what} and the network mode \"container\"");
        if spec.hostname.as_deref().is_some_and(|name| !name.is_empty()) {
            return refuse(conflict("hostname"));
        }
        if !spec.ports.is_empty() || spec.publish_all {
            return refuse(conflict("port publishing"));
        }
        if !spec.extra_hosts.is_empty() {
            return refuse(conflict("custom host-to-IP mapping"));
        }
        if !spec.dns.is_empty() {
            return refuse(conflict("dns"));
        }
    }
    if matches!(spec.network_mode, NetworkMode::Host | NetworkMode::None) && !spec.ports.is_empty() {
        warnings.push("Published ports are discarded when using host or none network mode".into());
    }
    if spec.security.seccomp == SeccompChoice::Unconfined && spec.security.no_new_privileges {
        tracing::debug!(container = %spec.name, "no system call filter");
    }
    if let Some(size) = spec.hostname.as_ref().map(String::len).filter(|len| *len > 63) {
        return refuse(format!("invalid hostname: {size} characters are more than 63"));
    }
    for hook in spec.post_start.iter().chain(&spec.pre_stop) {
        if hook.command.is_empty() {
            return refuse("a hook has no command".into());
        }
    }
    Ok(warnings)
}
