//! The daemon's own log: lines on standard error.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Registry,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::{Layer, SubscriberExt},
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt,
};

use super::{DaemonError, DaemonSettings, settings::LogFormat};

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

/// It calls it an error when another machine does not answer for a while.
const QUIET: &str = "boringtun=off";

fn directives(settings: &DaemonSettings) -> String {
    match if settings.debug { "debug" } else { settings.log_level.as_filter() } {
        // What libraries say below that would bury our own words.
        level @ ("debug" | "trace") => format!("info,hoist={level},{QUIET}"),
        level => format!("{level},{QUIET}"),
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
    let lines = match settings.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.event_format(Objects).boxed(),
    };
    // A second daemon in one process exists only in tests; the first one's subscriber serves both.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = FILTER.set(handle);
    }
    Ok(())
}

/// A line as an object, with dockerd's names: `time`, `level`, `msg`, and the fields.
struct Objects;

impl<S, N> FormatEvent<S, N> for Objects
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> std::fmt::Result {
        let mut fields = Fields(Map::new());
        fields.0.insert("time".to_owned(), json!(hoist_proto::clock::system().now().to_string()));
        fields.0.insert("level".to_owned(), json!(event.metadata().level().as_str().to_ascii_lowercase()));
        fields.0.insert("msg".to_owned(), Value::Null);
        fields.0.insert("module".to_owned(), json!(event.metadata().target()));
        event.record(&mut fields);
        writeln!(writer, "{}", Value::Object(fields.0))
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.set(field, format!("{value:?}").into());
    }
}
