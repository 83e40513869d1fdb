//! Everything that has to be read or fetched before a project can be planned.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use hoist_compose::model::{Dependents, Project};
use hoist_proto::spec::{PlanAction, ProjectEvent, PullPolicy, RegistryAuth, UpOptions, UpRequest};
use tokio::sync::mpsc;

use crate::control::{
    Control, ControlError, Wanted,
    convert::{Desired, Inputs, convert, needed_files, pre_start},
    plan::{Known, Planned, plan},
};

/// A request, read and checked.
pub(super) struct Prepared {
    pub(super) desired: Desired,
    pub(super) options: UpOptions,
    pub(super) known: Known,
    credentials: BTreeMap<String, String>,
}

/// The largest secret or config.
const MAX_FILE: u64 = 1 << 20;

impl Control {
    /// Reads the project and what it names; changes nothing.
    pub(super) async fn prepare(&self, name: &str, request: UpRequest) -> Result<Prepared, ControlError> {
        let mut project: Project = serde_json::from_value(request.project).map_err(ControlError::Malformed)?;
        if !is_name(name) {
            return Err(ControlError::Conflict(format!(
                "invalid project name {name:?}: it may hold lower-case letters, digits, - and _, and begins with a letter or digit"
            )));
        }
        project.name = name.to_owned();
        let options = request.options;
        if options.force_recreate && options.no_recreate {
            return Err(ControlError::Conflict("--force-recreate and --no-recreate are incompatible".into()));
        }
        if options.always_recreate_deps && options.no_recreate {
            return Err(ControlError::Conflict("--always-recreate-deps and --no-recreate are incompatible".into()));
        }
        let dependents = if options.no_deps { Dependents::Alone } else { Dependents::WithDependencies };
        let mut project = project
            .with_services(&options.services, dependents)
            .map_err(|error| ControlError::Conflict(error.to_string()))?;
        let steps = pre_start::expand(&mut project).map_err(ControlError::Invalid)?;
        let steps_of = |name: &String| steps.get(name).into_iter().flatten().cloned();
        let chosen: Vec<String> =
            options.services.iter().flat_map(|name| std::iter::once(name.clone()).chain(steps_of(name))).collect();
        let mut inputs = Inputs { built: options.to_be_built.clone(), ..Inputs::default() };
        for path in needed_files(&project) {
            let bytes = read(&path).await;
            inputs.files.insert(path, bytes);
        }
        let mut known = Known { node: Some(self.inner.node.clone()), ..Known::default() };
        for service in project.services.values() {
            let image = project.image_of(service);
            let found = match service.build.is_some() {
                true => self.inner.images.find_built(&image, request.passed_by.as_ref()).await,
                false => self.inner.images.find(&image).await,
            };
            if let Some(id) = found {
                inputs.built.push(image.clone());
                known.images.insert(image, id);
            }
        }
        let mut desired = convert(&project, &chosen, &inputs).map_err(ControlError::Invalid)?;
        if options.with_registry_auth {
            for service in &mut desired.services {
                let task = &mut service.spec.task;
                task.registry_auth = request.credentials.get(&task.container.image).cloned().map(RegistryAuth);
            }
        }
        Ok(Prepared { desired, options, known, credentials: request.credentials })
    }

    /// The plan as of now, without doing any of it.
    pub(super) fn preview(&self, prepared: &Prepared) -> Result<Planned, ControlError> {
        self.inner.store.view(|tables| plan(tables, &prepared.desired, &prepared.options, &prepared.known))
    }

    /// Fetches the images of containers that will be made, so that nothing is stopped for an image
    /// that cannot be had.
    pub(super) async fn fetch(
        &self,
        prepared: &mut Prepared,
        events: &mpsc::Sender<ProjectEvent>,
    ) -> Result<(), ControlError> {
        let planned = self.preview(prepared)?;
        let mut wanted: BTreeMap<(String, Option<String>), PullPolicy> = BTreeMap::new();
        for service in &prepared.desired.services {
            let container = &service.spec.task.container;
            let policy = prepared.options.pull.unwrap_or(container.pull);
            let made = planned.plan.steps.iter().any(|step| {
                step.service.as_ref() == Some(&service.key)
                    && matches!(step.action, PlanAction::Create | PlanAction::Recreate | PlanAction::Start)
            });
            let here = prepared.known.images.contains_key(&container.image) && container.platform.is_none();
            if policy == PullPolicy::Always || (made && !here) {
                wanted.insert((container.image.clone(), container.platform.clone()), policy);
            }
        }
        let credentials = &prepared.credentials;
        let fetches = wanted.iter().map(|((image, platform), policy)| async move {
            let wanted = Wanted {
                image,
                platform: platform.as_deref(),
                policy: *policy,
                credentials: credentials.get(image).map(String::as_str),
            };
            let fetched = self.inner.images.ensure(wanted, events).await;
            (image.clone(), fetched)
        });
        let mut problems = Vec::new();
        for (image, fetched) in join_all(fetches).await {
            match fetched {
                Ok(id) => drop(prepared.known.images.insert(image, id)),
                Err(error) if error.contains(&image) => problems.push(error),
                Err(error) => problems.push(format!("image {image}: {error}")),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(ControlError::Invalid(problems)) }
    }
}

async fn read(path: &str) -> Result<Vec<u8>, String> {
    let metadata = fs_err::tokio::metadata(path).await.map_err(|error| error.to_string())?;
    if metadata.is_dir() {
        return Err(format!("{path} is a directory, and secrets and configs are files"));
    }
    if metadata.len() > MAX_FILE {
        return Err(format!("{path} is {} bytes long, and secrets and configs may have {MAX_FILE}", metadata.len()));
    }
    fs_err::tokio::read(path).await.map_err(|error| error.to_string())
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.bytes().next().is_some_and(plain) && name.bytes().all(|byte| plain(byte) || byte == b'-' || byte == b'_')
}
