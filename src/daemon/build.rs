//! From settings to rooms that run: images, networks, volumes, the engine.

use std::sync::{Arc, OnceLock};

use hoist_engine::{Engine, EngineOptions};
use hoist_image::Images;
use hoist_network::Networks;
use hoist_proto::clock;
use hoist_volume::Volumes;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{DaemonError, DaemonSettings, facts, images::LocalImages, roots::Roots};
use crate::{
    api::{Elsewhere, Parts, State, build::Builds},
    member::Supervisor,
};

/// Everything that runs.
pub struct Rooms {
    pub state: State,
    supervisor: Supervisor,
}

/// Opens the rooms from the lowest floor up.
pub async fn build(settings: &DaemonSettings, roots: &Roots, stop: CancellationToken) -> Result<Rooms, DaemonError> {
    let usual = hoist_image::Options::default();
    let images_options = hoist_image::Options {
        insecure_registries: settings.insecure_registries.clone(),
        mirrors: settings.registry_mirrors.clone(),
        proxies: hoist_image::Proxies {
            http: settings.proxies.http_proxy.clone(),
            https: settings.proxies.https_proxy.clone(),
            none_for: settings.proxies.no_proxy.clone(),
        },
        max_downloads: settings.max_concurrent_downloads.unwrap_or(usual.max_downloads),
        max_uploads: settings.max_concurrent_uploads.unwrap_or(usual.max_uploads),
        max_attempts: settings.max_download_attempts.unwrap_or(usual.max_attempts),
        ..usual
    };
    let mut networks_options = hoist_network::Options::new(&roots.data, &roots.run);
    networks_options.instance.clone_from(&roots.instance);
    super::network::apply(settings, &mut networks_options)?;
    let pools = networks_options.pools.iter().map(|pool| (pool.base.to_string(), pool.size)).collect();
    // They do not know each other, so they open side by side.
    let (images, networks) = tokio::join!(Images::open(&roots.data, images_options), Networks::open(networks_options));
    let images = images.map_err(DaemonError::part("the images"))?;
    let networks = networks.map_err(DaemonError::part("the networks"))?;
    tracing::debug!("images and networks are open");
    let volumes = Volumes::open(&roots.data).map_err(DaemonError::part("the volumes"))?;
    let clock = clock::system();
    let mut options = EngineOptions::new(&roots.data, &roots.run, images, networks, volumes);
    options.clock = clock.clone();
    if !roots.instance.is_empty() {
        options.cgroup_parent = format!("hoist-{}", roots.instance);
    }
    if let Some(parent) = &settings.cgroup_parent {
        options.cgroup_parent.clone_from(parent);
    }
    options.defaults = settings.defaults()?;
    options.runtimes = settings.runtimes();
    options.devices = settings.devices()?;
    let engine = Engine::open(options).await.map_err(DaemonError::part("the engine"))?;
    tracing::debug!("the engine is open");
    crate::builtin::install(engine.images()).await.map_err(DaemonError::part("the built-in image"))?;
    tracing::debug!("the built-in image is there");
    let member = Arc::new(OnceLock::new());
    let supervisor = Supervisor::start(crate::member::Parts {
        engine: engine.clone(),
        images: Arc::new(LocalImages { engine: engine.clone(), member: member.clone() }),
        clock: clock.clone(),
        data_root: roots.data.clone(),
        run_root: roots.run.clone(),
        hostname: facts::host_name(),
        protocol: settings.protocol()?,
    })
    .await
    .map_err(DaemonError::part("the control plane"))?;
    // Set once: nobody else has it.
    let _ = member.set(supervisor.member().clone());
    tracing::debug!("the control plane runs");
    let builds = Builds::open(&roots.data.join("build-contexts"), Arc::new(engine.clone()))
        .map_err(DaemonError::part("the builds"))?;
    let state = State::new(Parts {
        engine,
        builds,
        member: supervisor.member().clone(),
        elsewhere: Elsewhere::default(),
        clock,
        facts: crate::api::SharedFacts::new(facts::gather(settings, roots, pools)?),
        tasks: TaskTracker::new(),
        stop,
    });
    Ok(Rooms { state, supervisor })
}

impl Rooms {
    /// Runs until the token is cancelled or a part fails for good.
    pub async fn run_until(self, stop: CancellationToken) -> Result<(), DaemonError> {
        let ended = self.supervisor.run(stop).await;
        self.state.tasks.close();
        self.state.engine.close().await;
        ended.map_err(DaemonError::part("the control plane"))
    }
}
