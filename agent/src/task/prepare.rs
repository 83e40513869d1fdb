//! Everything that must be there before a container can be started: networks, volumes, secrets, the
//! image, and the container itself: the one that is there, if it is of the same definition.

use std::{net::IpAddr, sync::Arc};

use hoist_engine::ErrorKind;
use hoist_image::{Auth, ImageId, Platform, PullOptions, Reference};
use hoist_proto::spec::{
    ContainerSpec, FileContent, FileMount, Mount, MountKind, NetworkAddresses, NetworkAttachment, PullPolicy,
    RegistryAuth, Task, TaskState,
};

use super::{
    Driver,
    container::{Container, anonymous},
    devices,
    labels::{self, SERVICE, SPEC_HASH},
    template::Values,
};
use crate::{
    progress::PullTeller,
    resources::{chain, has_ipv6},
};

const PROJECT: &str = "com.docker.compose.project";
const COMPOSE_SERVICE: &str = "com.docker.compose.service";

impl Driver {
    /// Makes the task ready. `Err(None)` when it is no longer wanted.
    pub(super) async fn prepare(&mut self, task: &Task) -> Result<(), Option<String>> {
        let (networks, volumes) = self.worker.records(task);
        let mesh = task.mesh().and_then(|given| networks.iter().find(|network| network.id == given.network));
        let mesh = mesh.map(|network| network.spec.name.clone());
        let wanted = task.spec.networks.len() + usize::from(task.mesh().is_some());
        if networks.len() < wanted || volumes.len() < task.spec.volumes.len() {
            return Err(Some("its networks or volumes are not known to the node".into()));
        }
        for network in &networks {
            self.worker.network(network).await.map_err(Some)?;
        }
        for volume in &volumes {
            self.worker.inner.resources.volume(volume).await.map_err(Some)?;
        }
        self.check_wanted()?;
        let mut left = self.worker.take_left_volumes(task);
        match self.present(task).await? {
            Present::Ours(id) => {
                self.container = Some(Container::new(&self.worker, id));
                return Ok(());
            }
            Present::Replaced(volumes) => left.extend(volumes),
            Present::Nothing => {}
        }
        self.fetch(task).await?;
        self.check_wanted()?;
        let mut spec = task.spec.container.clone();
        spec.name.clone_from(&task.name);
        labels::put(&mut spec.labels, task);
        devices::bind(&mut spec, task);
        take_addresses(&mut spec, task);
        if let Some((mesh, given)) = mesh.zip(task.mesh()) {
            join_mesh(&mut spec, mesh, given);
        }
        spec.pull = PullPolicy::Missing;
        if !task.spec.renew_anon_volumes {
            take_over(&mut spec, left);
        }
        let uname = rustix::system::uname();
        let hostname = uname.nodename().to_string_lossy().into_owned();
        let values = Values::new(task, hostname, crate::describe::architecture().to_owned());
        values.fill(&mut spec, task.project.is_none()).map_err(Some)?;
        self.fill_files(&mut spec, &values)?;
        say_where_it_runs(&mut spec, task);
        match self.worker.inner.engine.create(spec).await {
            Ok(created) => {
                for warning in created.warnings {
                    tracing::warn!(task = %task.id, "{warning}");
                }
                self.container = Some(Container::new(&self.worker, created.id.to_string()));
                Ok(())
            }
            Err(error) => Err(Some(chain(&error))),
        }
    }

    fn check_wanted(&self) -> Result<(), Option<String>> {
        if self.desired.borrow().desired > TaskState::Running { Err(None) } else { Ok(()) }
    }

    /// What has the container's name already.
    async fn present(&self, task: &Task) -> Result<Present, Option<String>> {
        let engine = &self.worker.inner.engine;
        let name = &task.name;
        let found = match engine.inspect(name).await {
            Ok(found) if found.name == *name => found,
            Ok(_) => return Ok(Present::Nothing),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Present::Nothing),
            Err(error) => return Err(Some(chain(&error))),
        };
        let label = |key: &str| found.effective.labels.get(key).map(String::as_str);
        let same = label(SERVICE) == Some(task.service.as_str()) && label(SPEC_HASH) == Some(task.spec_hash.as_str());
        if same && has_addresses(&found.spec, task) && devices::are_of(&found.spec, task) {
            return Ok(Present::Ours(found.id.to_string()));
        }
        let same_project = task.project.is_some() && label(PROJECT) == task.project.as_deref();
        if !same_project && label(SERVICE) != Some(task.service.as_str()) {
            return Err(Some(format!("the name {name:?} is in use by container {}", found.id.short())));
        }
        let old = Container::new(&self.worker, found.id.to_string());
        let volumes = anonymous(&found);
        let gone = match old.stop(&self.worker, task).await {
            Ok(()) => old.remove(&self.worker, task).await,
            Err(error) => Err(error),
        };
        self.worker.take_left_volumes(task);
        gone.map_err(|error| Some(format!("the container {name} that it replaces cannot be removed: {error}")))?;
        Ok(Present::Replaced(volumes))
    }

    /// Fetches the image, if it is not here or is to be asked for.
    async fn fetch(&mut self, task: &Task) -> Result<(), Option<String>> {
        let container = &task.spec.container;
        let images = self.worker.inner.engine.images().clone();
        let there = if container.platform.is_none() { images.get(&container.image).await.ok() } else { None };
        let id = task.spec.image.as_ref().filter(|_| container.platform.is_none());
        let id: Option<ImageId> = id.and_then(|image| image.id.parse().ok());
        let here = there.is_some_and(|image| id.as_ref().is_none_or(|id| image.id == *id));
        if here && container.pull != PullPolicy::Always {
            return Ok(());
        }
        let reference: Reference = container.image.parse().map_err(|error| Some(chain(&error)))?;
        let platform: Option<Platform> =
            container.platform.as_deref().map(str::parse).transpose().map_err(|error| Some(chain(&error)))?;
        let policy = match container.pull {
            PullPolicy::Always => hoist_image::PullPolicy::Always,
            PullPolicy::Missing => hoist_image::PullPolicy::Missing,
            PullPolicy::Never => hoist_image::PullPolicy::Never,
        };
        let auth = task.spec.registry_auth.as_ref().and_then(RegistryAuth::login).map(|login| Auth {
            username: login.username,
            password: login.password,
            identity_token: login.identity_token,
            registry_token: login.registry_token,
        });
        let peers = self.worker.image_peers(task).await;
        let options = PullOptions { platform, policy, auth, id, peers };
        let teller = PullTeller::new(self.worker.progress().clone(), task.id.clone(), container.image.clone());
        let mut wishes = self.desired.clone();
        let unwanted = async move {
            loop {
                if wishes.changed().await.is_err() || wishes.borrow().desired > TaskState::Running {
                    return;
                }
            }
        };
        tokio::select! {
            pulled = images.pull(&reference, options, Arc::new(teller)) => match pulled {
                Ok(_) => Ok(()),
                Err(error) => Err(Some(chain(&error))),
            },
            () = unwanted => Err(None),
        }
    }

    /// Puts the bytes of stored secrets and configs in.
    fn fill_files(&self, spec: &mut ContainerSpec, values: &Values<'_>) -> Result<(), Option<String>> {
        let stored = |file: &FileMount| match &file.content {
            FileContent::Stored(id) => self.worker.file(id),
            FileContent::Inline(_) | FileContent::HostPath(_) => None,
        };
        let given = spec.clone();
        let functions = |name: &str, argument: &str| match name {
            "env" => given
                .env
                .iter()
                .find_map(|variable| variable.split_once('=').filter(|(key, _)| *key == argument))
                .map(|(_, value)| value.to_owned()),
            kind => {
                let mut files = given.files.iter().filter(|file| file.secret == (kind == "secret"));
                let file = files.find(|file| file.source == argument || file.target == argument)?;
                stored(file).and_then(|(bytes, _)| String::from_utf8(bytes).ok())
            }
        };
        let templates = values.with(&functions);
        for file in &mut spec.files {
            if !matches!(file.content, FileContent::Stored(_)) {
                continue;
            }
            let kind = if file.secret { "secret" } else { "config" };
            let (mut bytes, templated) =
                stored(file).ok_or_else(|| Some(format!("{kind} {:?} is not known to the node", file.source)))?;
            if templated {
                let text = String::from_utf8(bytes)
                    .map_err(|_| Some(format!("{kind} {:?} is a template, and not text", file.source)))?;
                let filled = templates.expand(&text);
                bytes = filled.map_err(|why| Some(format!("{kind} {:?}: {why}", file.source)))?.into_bytes();
            }
            file.content = FileContent::Inline(bytes);
        }
        Ok(())
    }
}

/// The addresses and names that the cluster gave the task.
fn take_addresses(spec: &mut ContainerSpec, task: &Task) {
    for (id, attachment) in task.spec.networks.iter().zip(&mut spec.networks) {
        let Some(given) = task.addresses.iter().find(|given| given.network == *id) else { continue };
        for address in &given.addresses {
            match address {
                IpAddr::V4(v4) => attachment.ipv4 = Some(*v4),
                IpAddr::V6(v6) => attachment.ipv6 = Some(*v6),
            }
        }
        attachment.aliases.clone_from(&given.names);
    }
}

/// Ports that every node has lead here over the mesh's network, and are not published by this node alone.
fn join_mesh(spec: &mut ContainerSpec, network: String, given: &NetworkAddresses) {
    spec.ports.retain(|port| !port.is_meshed());
    let (mut ipv4, mut ipv6) = (None, None);
    for address in &given.addresses {
        match address {
            IpAddr::V4(v4) => ipv4 = Some(*v4),
            IpAddr::V6(v6) if has_ipv6() => ipv6 = Some(*v6),
            IpAddr::V6(_) => {}
        }
    }
    // What a server answers from any of its addresses leaves from that of the way out, so the mesh is it,
    // unless somebody has chosen another.
    let chosen = spec.networks.iter().any(|attachment| attachment.gateway_priority > 0);
    let gateway_priority = if chosen { i32::MIN } else { i32::MAX };
    // Interfaces keep the order that they have without it.
    let priority = i32::MIN;
    let to_mesh = NetworkAttachment { network, ipv4, ipv6, gateway_priority, priority, ..NetworkAttachment::default() };
    spec.networks.push(to_mesh);
}

/// Whether a container that is there has them already.
fn has_addresses(there: &ContainerSpec, task: &Task) -> bool {
    let mut wanted = ContainerSpec { networks: task.spec.container.networks.clone(), ..ContainerSpec::default() };
    take_addresses(&mut wanted, task);
    if let Some(mesh) = task.mesh() {
        let has = |address: &IpAddr| {
            let of = |a: &NetworkAttachment| {
                a.ipv4.map(IpAddr::V4) == Some(*address) || a.ipv6.map(IpAddr::V6) == Some(*address)
            };
            there.networks.iter().any(of) || address.is_ipv6() && !has_ipv6()
        };
        if !mesh.addresses.iter().all(has) {
            return false;
        }
    }
    let mut pairs = task.spec.networks.iter().zip(wanted.networks.iter().zip(&there.networks));
    pairs.all(|(id, (wanted, there))| {
        let given = task.addresses.iter().any(|given| given.network == *id);
        !given || (wanted.ipv4, wanted.ipv6) == (there.ipv4, there.ipv6)
    })
}

/// Tells the container which service, task and node it is, unless its definition says otherwise.
fn say_where_it_runs(spec: &mut ContainerSpec, task: &Task) {
    let service = spec.labels.get(COMPOSE_SERVICE).unwrap_or(&task.service_name).clone();
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for (name, value) in [("HOIST_SERVICE", service), ("HOIST_TASK", spec.name.clone()), ("HOIST_NODE", node)] {
        let said = spec.env.iter().any(|variable| variable.split('=').next() == Some(name));
        if !said {
            spec.env.push(format!("{name}={value}"));
        }
    }
}

/// What has a container's name.
enum Present {
    Nothing,
    /// A container of the same definition.
    Ours(String),
    /// One of another definition, which was removed; it left these volumes.
    Replaced(Vec<(String, String)>),
}

/// Mounts the anonymous volumes of the container that this one replaces.
fn take_over(spec: &mut ContainerSpec, left: Vec<(String, String)>) {
    for (target, volume) in left {
        match spec.mounts.iter_mut().find(|mount| mount.target == target) {
            Some(mount) if mount.kind == MountKind::Volume && mount.source.is_none() => mount.source = Some(volume),
            // Something else is mounted there now.
            Some(_) => {}
            None => {
                spec.mounts.push(Mount { kind: MountKind::Volume, source: Some(volume), target, ..Mount::default() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_volumes_pass_on_unless_something_else_is_mounted() {
        let mut spec = ContainerSpec {
            mounts: vec![
                Mount { target: "/data".into(), ..Mount::default() },
                Mount { target: "/etc".into(), kind: MountKind::Bind, source: Some("/x".into()), ..Mount::default() },
            ],
            ..ContainerSpec::default()
        };
        let left = [("/data", "a"), ("/etc", "b"), ("/image", "c")];
        take_over(&mut spec, left.iter().map(|(t, v)| ((*t).to_owned(), (*v).to_owned())).collect());
        let mounts: Vec<_> = spec.mounts.iter().map(|m| (m.target.as_str(), m.source.as_deref())).collect();
        assert_eq!(mounts, [("/data", Some("a")), ("/etc", Some("/x")), ("/image", Some("c"))]);
    }
}
