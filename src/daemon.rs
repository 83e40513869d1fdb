//! The daemon: settings, build, serve, drain. The one place where the rooms are wired together.
//!
//! Stopping the daemon (SIGTERM, SIGINT) leaves containers running, exactly as killing it does: the
//! next daemon finds them. What stops containers is a person's word, never the daemon's end.

mod build;
mod error;
mod facts;
mod file;
mod flags;
mod images;
mod keys;
mod listener;
mod log;
mod metrics;
mod network;
mod ready;
mod reload;
mod roots;
mod settings;
mod signals;
mod tls;

pub use error::DaemonError;
pub use flags::DaemonFlags;
pub use settings::DaemonSettings;

use std::sync::Arc;

use ready::Ready;

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// [`DaemonError`] when it cannot start; the one who waits on `--ready-fd` has been told the same.
pub fn run(flags: DaemonFlags) -> Result<(), DaemonError> {
    hoist_runtime::inherit::few_arenas();
    let mut ready = Ready::take(flags.ready_fd)?;
    let result = start(flags, &mut ready);
    if let Err(err) = &result {
        ready.failed(err);
    }
    result
}

/// Looks at the settings as [`run`] would, and does nothing.
///
/// # Errors
/// As [`run`]'s, for settings that make no sense.
pub fn validate(flags: &DaemonFlags) -> Result<(), DaemonError> {
    file::settings(flags).map(drop)
}

fn start(flags: DaemonFlags, ready: &mut Ready) -> Result<(), DaemonError> {
    let settings = file::settings(&flags)?;
    log::install(&settings)?;
    if let Some(score) = settings.oom_score_adjust {
        fs_err::write("/proc/self/oom_score_adj", score.to_string()).map_err(DaemonError::Files)?;
    }
    let roots = match roots::Roots::claim(&settings) {
        Err(DaemonError::Running { .. }) if ready.is_awaited() => {
            ready.already();
            return Ok(());
        }
        other => other?,
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 4);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_stack_size(1 << 20)
        .enable_all()
        .thread_name("hoist")
        .build()
        .map_err(DaemonError::Runtime)?;
    let result = runtime.block_on(serve(flags, &settings, &roots, ready));
    // Blocking work that is under way (a hash, a copy) must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}

/// Looks at the devices over and over; seldom where there are none that can be measured.
async fn measure(devices: hoist_device::Devices) {
    loop {
        let here = devices.clone();
        let any = tokio::task::spawn_blocking(move || here.look()).await.unwrap_or(false);
        let pause = if any { hoist_device::MEASURE_EVERY } else { SELDOM };
        tokio::time::sleep(pause).await;
    }
}

/// How often a machine without devices that can be measured is looked at.
const SELDOM: std::time::Duration = std::time::Duration::from_secs(30);

async fn serve(
    flags: DaemonFlags,
    settings: &DaemonSettings,
    roots: &roots::Roots,
    ready: &mut Ready,
) -> Result<(), DaemonError> {
    let hangups = Arc::new(tokio::sync::Notify::new());
    let stop = signals::stop_token(hangups.clone())?;
    // Bound first: a client that comes early waits instead of being turned away.
    let (listeners, _bound) = listener::open_all(settings, roots).await?;
    let metrics = metrics::Listener::bind(settings).await?;
    let rooms = tokio::select! {
        rooms = build::build(settings, roots, stop.clone()) => rooms?,
        () = stop.cancelled() => return Ok(()),
    };
    let router = crate::api::router(rooms.state.clone());
    rooms.state.member.offer(router.clone());
    let mut servers = tokio::task::JoinSet::new();
    if let Some(listener) = metrics {
        servers.spawn(listener.serve(rooms.state.clone(), stop.clone()));
    }
    for listener in listeners {
        servers.spawn(crate::api::serve(listener, router.clone(), stop.clone()));
    }
    let measuring = tokio::spawn(measure(rooms.state.engine.devices().clone()));
    let reloading = tokio::spawn(reload::on_hangup(flags, settings.clone(), rooms.state.clone(), hangups));
    ready.ready();
    tracing::info!(run_root = %roots.run.display(), data_root = %roots.data.display(), "the daemon is ready");
    let result = rooms.run_until(stop.clone()).await;
    tracing::info!("stopping; containers keep running");
    reloading.abort();
    measuring.abort();
    stop.cancel();
    while servers.join_next().await.is_some() {}
    result
}
