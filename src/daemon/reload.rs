//! SIGHUP: the settings are read again, and what can change while the daemon runs does.

use std::sync::Arc;

use hoist_engine::Actor;

use super::{DaemonFlags, DaemonSettings, file, log};
use crate::api::State;

/// Reads the settings again whenever SIGHUP comes. What cannot be understood changes nothing, and what cannot change
/// without a new start is said in the log.
pub async fn on_hangup(flags: DaemonFlags, first: DaemonSettings, state: State, hangups: Arc<tokio::sync::Notify>) {
    let mut now = first;
    loop {
        hangups.notified().await;
        match file::settings(&flags) {
            Ok(new) => now = apply(now, new, &state).await,
            Err(err) => tracing::error!("the settings stay as they are: {}", err.chain()),
        }
    }
}

async fn apply(old: DaemonSettings, new: DaemonSettings, state: &State) -> DaemonSettings {
    log::set_level(&new);
    state.engine.images().set_registries(new.registry_mirrors.clone(), new.insecure_registries.clone()).await;
    state.engine.set_runtimes(new.runtimes());
    let mut facts = (*state.facts()).clone();
    facts.debug = new.debug;
    facts.labels.clone_from(&new.labels);
    facts.registry_mirrors.clone_from(&new.registry_mirrors);
    facts.insecure_registries.clone_from(&new.insecure_registries);
    let runtimes = state.engine.runtimes();
    let actor = Actor {
        id: facts.id.clone(),
        attributes: [
            ("name".to_owned(), facts.host_name.clone()),
            ("debug".to_owned(), facts.debug.to_string()),
            ("runtimes".to_owned(), runtimes.list().into_keys().collect::<Vec<_>>().join(" ")),
            ("default-runtime".to_owned(), runtimes.default_name().to_owned()),
            ("labels".to_owned(), serde_json::json!(facts.labels).to_string()),
            ("registry-mirrors".to_owned(), serde_json::json!(facts.registry_mirrors).to_string()),
            ("insecure-registries".to_owned(), serde_json::json!(facts.insecure_registries).to_string()),
        ]
        .into(),
    };
    state.set_facts(facts);
    let kept = DaemonSettings {
        debug: new.debug,
        log_level: new.log_level,
        labels: new.labels.clone(),
        runtimes: new.runtimes.clone(),
        default_runtime: new.default_runtime.clone(),
        registry_mirrors: new.registry_mirrors.clone(),
        insecure_registries: new.insecure_registries.clone(),
        ..old
    };
    if kept != new {
        tracing::warn!("some changed settings need a new start of the daemon; containers go on meanwhile");
    }
    tracing::info!("the settings were read again");
    state.engine.events().publish("daemon", "reload", actor);
    kept
}
