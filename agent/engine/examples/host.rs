//! A daemon in small, for the tests: opens an engine, starts what it is told on its input, and lives until it is killed.

use std::io::BufRead;
use std::path::PathBuf;

use hoist_build::{BuildEvent, BuildRequest, NetworkChoice};
use hoist_engine::{Engine, EngineOptions};
use hoist_image::{Images, Options};
use hoist_network::Networks;
use hoist_proto::spec::ContainerSpec;
use hoist_volume::Volumes;

fn main() {
    hoist_runtime::guard();
    let root = PathBuf::from(std::env::args_os().nth(1).expect("the root directory"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (data, run) = (root.join("data"), root.join("run"));
        let images = Images::open(&data, Options::default()).await.expect("images");
        let networks = Networks::open(hoist_network::Options::new(&data, &run)).await.expect("networks");
        let volumes = Volumes::open(&data).expect("volumes");
        let mut options = EngineOptions::new(&data, &run, images, networks, volumes);
        options.cgroup_parent = std::env::args().nth(2).expect("the parent of cgroups");
        let engine = Engine::open(options).await.expect("engine");
        for line in std::io::stdin().lock().lines() {
            let line = line.expect("a line");
            if let Some(dockerfile) = line.strip_prefix("build ") {
                let dockerfile: String = serde_json::from_str(dockerfile).expect("a Dockerfile as JSON text");
                tokio::spawn(build(engine.clone(), dockerfile, root.clone()));
                continue;
            }
            let spec: ContainerSpec = serde_json::from_str(&line).expect("a spec");
            let created = engine.create(spec).await.expect("create");
            engine.start(created.id.as_str()).await.expect("start");
            std::fs::write(root.join(format!("{}.started", created.id)), "").expect("mark");
        }
        std::future::pending::<()>().await;
    });
}

/// Builds, and marks that a command has written something.
async fn build(engine: Engine, dockerfile: String, root: PathBuf) {
    let (events, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let request = BuildRequest { dockerfile, network: NetworkChoice::None, ..BuildRequest::default() };
    let building = tokio::spawn(async move { engine.build(request, events, Default::default()).await.map(drop) });
    while let Some(event) = heard.recv().await {
        if let BuildEvent::Output { .. } = event {
            std::fs::write(root.join("build.started"), "").expect("mark");
        }
    }
    building.await.expect("a build").expect("an image");
}
