//! Making an image of what a container did.

use std::sync::Arc;
use std::time::Duration;

use hoist_image::{CommitOptions, ContainerConfig, Image};
use hoist_proto::spec::ContainerSpec;

use crate::inner::Inner;
use crate::model::{Effective, Status};
use crate::{EngineError, Result};

impl Inner {
    pub(crate) async fn commit(self: &Arc<Self>, name: &str, options: CommitOptions, pause: bool) -> Result<Image> {
        let handle = self.registry.find(name)?;
        let _op = handle.op.lock().await;
        let mut frozen = pause && handle.status() == Status::Running;
        if frozen {
            match self.set_frozen(&handle, true).await {
                // It has ended just now: nothing changes its files any more.
                Err(EngineError::Conflict(_)) => frozen = false,
                done => done?,
            }
        }
        let record = handle.record();
        // An image that was removed meanwhile says nothing any more.
        let image = self.options.images.get(&record.image_id).await;
        let image_env = image.map(|image| image.config.config.env.clone()).unwrap_or_default();
        let base = image_config(&record.effective, &record.spec, &image_env);
        let config = Some(match options.config {
            Some(given) => over(given, base),
            None => base,
        });
        let comment = options.comment.clone().unwrap_or_default();
        let name = options.reference.as_ref().map(hoist_image::Reference::familiar).unwrap_or_default();
        let options = CommitOptions { config, ..options };
        let image = self.options.images.commit(handle.id.as_str(), options).await;
        if frozen {
            match self.set_frozen(&handle, false).await {
                // It was about to end when it was stopped.
                Err(EngineError::Conflict(_)) => {}
                done => done?,
            }
        }
        let image = image?;
        self.image_made(&image.id.to_string());
        let more = [("comment", comment), ("imageID", image.id.to_string()), ("imageRef", name)];
        self.publish(&handle, "commit", &more);
        Ok(image)
    }
}

/// How the container runs, as an image says it. The variables that each container is given stay out.
fn image_config(effective: &Effective, spec: &ContainerSpec, image_env: &[String]) -> ContainerConfig {
    let env = effective.env.iter().filter(|line| spec.env.contains(line) || image_env.contains(line));
    let list = |words: &[String]| Some(words.to_vec()).filter(|words| !words.is_empty());
    let nanos = |time: Option<Duration>| time.map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX));
    ContainerConfig {
        user: effective.user.clone(),
        exposed_ports: effective.exposed_ports.clone(),
        env: env.cloned().collect(),
        entrypoint: list(&effective.entrypoint),
        cmd: list(&effective.command),
        volumes: effective.volumes.clone(),
        working_dir: Some(effective.working_dir.clone()).filter(|dir| dir != "/").unwrap_or_default(),
        labels: effective.labels.clone(),
        stop_signal: Some(effective.stop_signal.clone()).filter(|signal| !signal.is_empty()),
        stop_timeout: effective.stop_timeout.map(|time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX)),
        healthcheck: effective.healthcheck.as_ref().map(|check| hoist_image::Healthcheck {
            test: check.test.clone(),
            interval: nanos(check.interval),
            timeout: nanos(check.timeout),
            start_period: nanos(check.start_period),
            start_interval: nanos(check.start_interval),
            retries: check.retries.map_or(0, i64::from),
        }),
        on_build: effective.on_build.clone(),
        shell: effective.shell.clone(),
        ..ContainerConfig::default()
    }
}

/// What a request says goes before what the container has; lists and tables have both.
fn over(given: ContainerConfig, base: ContainerConfig) -> ContainerConfig {
    let text = |given: String, base: String| if given.is_empty() { base } else { given };
    let both = |mut given: Vec<String>, base: Vec<String>| {
        let missing: Vec<String> = base.into_iter().filter(|one| !given.contains(one)).collect();
        given.extend(missing);
        given
    };
    let name = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
    let mut env = base.env;
    env.retain(|line| !given.env.iter().any(|own| name(own) == name(line)));
    env.extend(given.env);
    ContainerConfig {
        user: text(given.user, base.user),
        exposed_ports: both(given.exposed_ports, base.exposed_ports),
        env,
        // Arguments belong to the program that they were meant for.
        cmd: given.cmd.or(if given.entrypoint.is_some() { None } else { base.cmd }),
        entrypoint: given.entrypoint.or(base.entrypoint),
        volumes: both(given.volumes, base.volumes),
        working_dir: text(given.working_dir, base.working_dir),
        labels: base.labels.into_iter().chain(given.labels).collect(),
        stop_signal: given.stop_signal.or(base.stop_signal),
        stop_timeout: given.stop_timeout.or(base.stop_timeout),
        healthcheck: given.healthcheck.or(base.healthcheck),
        on_build: both(given.on_build, base.on_build),
        shell: if given.shell.is_empty() { base.shell } else { given.shell },
        args_escaped: given.args_escaped,
        extra: given.extra,
    }
}
