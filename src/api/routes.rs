//! Which handler answers which path.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{any, delete, get, head, post, put},
};

use super::{
    State, anywhere, buildkit,
    docker::{
        auth, build, containers::*, disk, distribution, events, exec, files, images, info, networks, nodes, ping,
        plugins, services, swarm, tasks, volumes,
    },
    error::ApiError,
    forward, hoist,
};

/// The whole API, without version prefixes (see [`version`](super::version)).
pub fn router(state: State) -> Router {
    Router::new()
        .merge(system())
        .merge(containers().layer(middleware::from_fn_with_state(state.clone(), anywhere::reach)))
        .merge(images())
        .merge(networks_and_volumes().layer(middleware::from_fn_with_state(state.clone(), networks::to_leader)))
        .merge(absent())
        .merge(cluster().layer(middleware::from_fn_with_state(state.clone(), forward::to_leader)))
        .merge(own())
        .merge(projects().layer(middleware::from_fn_with_state(state.clone(), forward::to_leader)))
        .merge(jobs().layer(middleware::from_fn_with_state(state.clone(), forward::to_leader)))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        // Archives have no limit; what reads JSON has its own.
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
}

fn system() -> Router<State> {
    Router::new()
        .route("/_ping", get(ping::ping).head(ping::ping))
        .route("/version", get(ping::version))
        .route("/info", get(info::info))
        .route("/events", get(events::events))
        .route("/system/df", get(disk::usage))
        .route("/auth", post(auth::check))
}

fn containers() -> Router<State> {
    Router::new()
        .route("/containers/json", get(list::list))
        .route("/containers/create", post(create::create))
        .route("/containers/prune", post(lifecycle::prune))
        .route("/containers/{id}", delete(lifecycle::remove))
        .route("/containers/{id}/json", get(inspect::inspect))
        .route("/containers/{id}/top", get(inspect::top))
        .route("/containers/{id}/logs", get(logs::logs))
        .route("/containers/{id}/stats", get(stats::stats))
        .route("/containers/{id}/changes", get(changes::changes))
        .route("/containers/{id}/export", get(changes::export))
        .route("/containers/{id}/start", post(lifecycle::start))
        .route("/containers/{id}/checkpoints", get(checkpoints::list).post(checkpoints::create))
        .route("/containers/{id}/checkpoints/{checkpoint}", delete(checkpoints::remove))
        .route("/containers/{id}/stop", post(lifecycle::stop))
        .route("/containers/{id}/restart", post(lifecycle::restart))
        .route("/containers/{id}/kill", post(lifecycle::kill))
        .route("/containers/{id}/pause", post(lifecycle::pause))
        .route("/containers/{id}/unpause", post(lifecycle::unpause))
        .route("/containers/{id}/rename", post(lifecycle::rename))
        .route("/containers/{id}/resize", post(lifecycle::resize))
        .route("/containers/{id}/update", post(update::update))
        .route("/containers/{id}/wait", post(wait::wait))
        .route("/containers/{id}/attach", post(attach::attach))
        .route("/containers/{id}/attach/ws", get(websocket::attach))
        .route("/containers/{id}/archive", head(copy::stat).get(copy::get).put(copy::put))
        .route("/containers/{id}/exec", post(exec::create))
        .route("/exec/{id}/start", post(exec::start))
        .route("/exec/{id}/resize", post(exec::resize))
        .route("/exec/{id}/json", get(exec::inspect))
        .route("/commit", post(changes::commit))
        .route("/hoist/v1/exec", post(hoist::exec::exec))
        .route("/hoist/v1/containers/{id}/connect", post(hoist::connect::connect))
}

fn images() -> Router<State> {
    Router::new()
        .route("/images/json", get(images::list::list))
        .route("/images/create", post(images::pull::create))
        .route("/images/search", get(images::search::search))
        .route("/images/prune", post(images::remove::prune))
        .route("/images/get", get(images::archive::save_many))
        .route("/images/load", post(images::archive::load))
        .route("/images/{*path}", any(images::named))
        .route("/distribution/{*path}", get(distribution::inspect))
}

fn networks_and_volumes() -> Router<State> {
    Router::new()
        .route("/networks", get(networks::list))
        .route("/networks/", get(networks::list))
        .route("/networks/create", post(networks::create))
        .route("/networks/prune", post(networks::prune))
        .route("/networks/{id}", get(networks::inspect).delete(networks::remove))
        .route("/networks/{id}/connect", post(networks::connect))
        .route("/networks/{id}/disconnect", post(networks::disconnect))
        .route("/volumes", get(volumes::list))
        .route("/volumes/create", post(volumes::create))
        .route("/volumes/prune", post(volumes::prune))
        .route("/volumes/{name}", get(volumes::inspect).delete(volumes::remove).merge(put(volumes::update)))
}

/// Services and what belongs to them.
fn cluster() -> Router<State> {
    use hoist_proto::spec::{Config, Secret};
    Router::new()
        .route("/swarm", get(swarm::inspect))
        .route("/swarm/update", post(swarm::update))
        .route("/swarm/unlockkey", get(swarm::unlock_key))
        .route("/swarm/unlock", post(swarm::unlock))
        .route("/hoist/v1/swarm/snapshot", post(hoist::snapshot::save))
        .route("/nodes", get(nodes::list))
        .route("/nodes/{id}", get(nodes::inspect).delete(nodes::remove))
        .route("/nodes/{id}/update", post(nodes::update))
        .route("/services", get(services::list::list))
        .route("/services/create", post(services::change::create))
        .route("/services/{id}", get(services::list::inspect).delete(services::change::remove))
        .route("/services/{id}/update", post(services::change::update))
        .route("/services/{id}/logs", get(services::logs::of_service))
        .route("/tasks", get(tasks::list))
        .route("/tasks/{id}", get(tasks::inspect))
        .route("/tasks/{id}/logs", get(services::logs::of_task))
        .route("/secrets", get(files::list::<Secret>))
        .route("/secrets/create", post(files::create::<Secret>))
        .route("/secrets/{id}", get(files::inspect::<Secret>).delete(files::remove::<Secret>))
        .route("/secrets/{id}/update", post(files::update::<Secret>))
        .route("/configs", get(files::list::<Config>))
        .route("/configs/create", post(files::create::<Config>))
        .route("/configs/{id}", get(files::inspect::<Config>).delete(files::remove::<Config>))
        .route("/configs/{id}/update", post(files::update::<Config>))
}

/// What Docker has and this daemon answers for in few words.
fn absent() -> Router<State> {
    Router::new()
        .route("/plugins", get(swarm::no_plugins))
        .route("/plugins/create", any(swarm::plugins_unsupported))
        .route("/plugins/pull", any(swarm::plugins_unsupported))
        .route("/plugins/privileges", any(swarm::plugins_unsupported))
        .route("/plugins/{*path}", any(plugins::missing))
        .route("/build", post(build::build))
        .route("/build/prune", post(build::prune))
        .route("/build/cancel", post(build::cancel))
        .route("/session", post(buildkit::session))
        .route("/grpc", post(buildkit::grpc))
        .route("/swarm/init", post(swarm::init))
        .route("/swarm/join", post(swarm::join))
        .route("/swarm/leave", post(swarm::leave))
}

fn own() -> Router<State> {
    use hoist::{build, devices};
    Router::new()
        .route("/hoist/v1/swarm/restore", post(hoist::snapshot::restore))
        .route("/hoist/v1/build", post(build::build))
        .route("/hoist/v1/build/cache", get(build::cache))
        .route("/hoist/v1/build/prune", post(build::prune))
        .route("/hoist/v1/build/contexts", post(build::begin))
        .route("/hoist/v1/build/contexts/tar", post(build::tar))
        .route("/hoist/v1/build/contexts/remote", post(build::remote))
        .route("/hoist/v1/build/contexts/{id}", put(build::files).delete(build::forget))
        .route("/hoist/v1/build/contexts/{id}/file", get(build::file))
        .route("/hoist/v1/build/{id}", delete(build::drop_results))
        .route("/hoist/v1/build/{id}/outputs/{index}", get(build::output))
        .route("/hoist/v1/run", post(hoist::run::run))
        .route("/hoist/v1/devices", get(devices::list))
        .route("/hoist/v1/devices/aside", post(devices::set_aside))
        .route("/hoist/v1/devices/return", post(devices::take_back))
        .route("/hoist/v1/devices/specification", get(devices::specification))
}

fn jobs() -> Router<State> {
    use hoist::jobs;
    Router::new()
        .route("/hoist/v1/jobs", get(jobs::list).post(jobs::submit))
        .route("/hoist/v1/jobs/{name}", get(jobs::inspect).delete(jobs::remove))
        .route("/hoist/v1/jobs/{name}/tasks", get(jobs::tasks))
        .route("/hoist/v1/jobs/{name}/wait", post(jobs::wait))
        .route("/hoist/v1/jobs/{name}/cancel", post(jobs::cancel))
        .route("/hoist/v1/jobs/{name}/hold", post(jobs::hold))
        .route("/hoist/v1/jobs/{name}/release", post(jobs::release))
        .route("/hoist/v1/jobs/{name}/requeue", post(jobs::requeue))
        .route("/hoist/v1/jobs/{name}/start", get(jobs::start))
        .route("/hoist/v1/crons", get(jobs::crons).post(jobs::add_cron))
        .route("/hoist/v1/crons/{name}", delete(jobs::remove_cron))
        .route("/hoist/v1/crons/{name}/pause", post(jobs::pause_cron))
        .route("/hoist/v1/crons/{name}/resume", post(jobs::resume_cron))
        .route("/hoist/v1/queue", get(jobs::rules).put(jobs::set_rules))
        .route("/hoist/v1/usage", get(jobs::usage))
}

fn projects() -> Router<State> {
    use hoist::projects;
    Router::new()
        .route("/hoist/v1/events", get(projects::events))
        .route("/hoist/v1/tasks/{id}", get(projects::task))
        .route("/hoist/v1/tasks/{id}/explain", get(projects::explain))
        .route("/hoist/v1/services/{id}/rebalance", post(services::change::rebalance))
        .route("/hoist/v1/secrets/{id}/rotate", post(files::rotate::<hoist_proto::spec::Secret>))
        .route("/hoist/v1/configs/{id}/rotate", post(files::rotate::<hoist_proto::spec::Config>))
        .route("/hoist/v1/projects", get(projects::list))
        .route("/hoist/v1/projects/{name}", get(projects::inspect))
        .route("/hoist/v1/projects/{name}/plan", post(projects::plan))
        .route("/hoist/v1/projects/{name}/up", post(projects::up))
        .route("/hoist/v1/projects/{name}/create", post(projects::create))
        .route("/hoist/v1/projects/{name}/down", post(projects::down))
        .route("/hoist/v1/projects/{name}/stop", post(projects::stop))
        .route("/hoist/v1/projects/{name}/start", post(projects::start))
        .route("/hoist/v1/projects/{name}/scale", post(projects::scale))
        .route("/hoist/v1/projects/{name}/rm", post(projects::rm))
}

async fn not_found() -> ApiError {
    ApiError::not_found("page not found")
}
