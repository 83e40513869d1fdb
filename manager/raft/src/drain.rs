//! What the raft crate logs, in the daemon's own log.

use std::fmt::Write;

use slog::{Drain, KV, Key, Level, Logger, OwnedKVList, Record, Serializer, o};

/// A logger whose lines go to `tracing`.
pub(crate) fn logger() -> Logger {
    Logger::root(ToTracing, o!())
}

#[derive(Debug)]
struct ToTracing;

/// Key-value pairs as ` key=value` after the message.
struct Pairs(String);

impl Serializer for Pairs {
    fn emit_arguments(&mut self, key: Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
        write!(self.0, " {key}={value}").map_err(slog::Error::from)
    }
}

impl Drain for ToTracing {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), slog::Never> {
        if !self.is_enabled(record.level()) {
            return Ok(());
        }
        let mut text = Pairs(record.msg().to_string());
        // A pair that cannot be written is left out; the message matters more.
        let _ = record.kv().serialize(record, &mut text);
        let _ = values.serialize(record, &mut text);
        match record.level() {
            Level::Critical | Level::Error => tracing::error!(target: "raft", "{}", text.0),
            Level::Warning => tracing::warn!(target: "raft", "{}", text.0),
            // Every election and every start says a dozen lines at info.
            Level::Info | Level::Debug => tracing::debug!(target: "raft", "{}", text.0),
            Level::Trace => tracing::trace!(target: "raft", "{}", text.0),
        }
        Ok(())
    }

    fn is_enabled(&self, level: Level) -> bool {
        match level {
            Level::Critical | Level::Error | Level::Warning => true,
            Level::Info | Level::Debug => tracing::enabled!(target: "raft", tracing::Level::DEBUG),
            Level::Trace => tracing::enabled!(target: "raft", tracing::Level::TRACE),
        }
    }
}
