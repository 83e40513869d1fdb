//! The daemon's own log: lines on standard error.

use std::sync::OnceLock;

use tracing_subscriber::{EnvFilter, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt};

use super::{DaemonError, DaemonSettings};

/// The filter of the subscriber in use.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Changes how much is logged, unless `HOIST_LOG` says it.
pub fn set_level(settings: &DaemonSettings) {
    if std::env::var_os("HOIST_LOG").is_none()
        && let Some(handle) = FILTER.get()
    {
        // The subscriber lives as long as the process.
        let _ = handle.reload(EnvFilter::new(directives(settings)));
    }
}

fn directives(settings: &DaemonSettings) -> String {
    match if settings.debug { "debug" } else { settings.log_level.as_filter() } {
        // What libraries say below that would bury our own words.
        level @ ("debug" | "trace") => format!("info,hoist={level}"),
        level => level.to_owned(),
    }
}

/// Sends the log to standard error at the level asked for; `HOIST_LOG` refines it by module.
pub fn install(settings: &DaemonSettings) -> Result<(), DaemonError> {
    let filter = match std::env::var("HOIST_LOG") {
        Ok(text) => EnvFilter::try_new(&text).map_err(|err| DaemonError::Setting {
            setting: "log-level",
            value: text,
            reason: err.to_string(),
        })?,
        Err(_) => EnvFilter::new(directives(settings)),
    };
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    // A second daemon in one process exists only in tests; the first one's subscriber serves both.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = FILTER.set(handle);
    }
    Ok(())
}
