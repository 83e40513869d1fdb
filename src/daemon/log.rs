//! The daemon's own log: lines on standard error.

use tracing_subscriber::EnvFilter;

use super::{DaemonError, DaemonSettings};

/// Sends the log to standard error at the level asked for; `HOIST_LOG` refines it by module.
pub fn install(settings: &DaemonSettings) -> Result<(), DaemonError> {
    let level = if settings.debug { "debug" } else { settings.log_level.as_filter() };
    let filter = match std::env::var("HOIST_LOG") {
        Ok(text) => EnvFilter::try_new(&text).map_err(|err| DaemonError::Setting {
            setting: "log-level",
            value: text,
            reason: err.to_string(),
        })?,
        // What libraries say below that would bury our own words.
        Err(_) if matches!(level, "debug" | "trace") => EnvFilter::new(format!("info,hoist={level}")),
        Err(_) => EnvFilter::new(level),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    // A second daemon in one process exists only in tests; the first one's subscriber serves both.
    let _ = builder.try_init();
    Ok(())
}
