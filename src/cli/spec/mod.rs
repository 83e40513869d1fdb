//! Flags become the JSON bodies of the Docker Engine API: values in, a value out.
//!
//! [`container`] is the body of `POST /containers/create`; each of the other files is one group of
//! flags. What surrounds a command line (variables, files, the working directory) comes in through
//! [`Surroundings`], so that all of it can be tested with values alone.

pub mod as_me;
mod env;
mod error;
mod gpus;
mod health;
mod mount;
mod network;
mod ports;
mod process;
mod resources;
mod security;
pub mod service;
mod surroundings;
#[cfg(test)]
mod tests;
mod volume;

pub use env::key_values;
pub use error::SpecError;
pub use network::endpoint;
pub use process::exec;
pub use resources::{restart_policy, update};
pub use surroundings::Surroundings;

use crate::{
    api::dto::{Empty, config::Config, endpoint::NetworkingConfig, host_config::HostConfig},
    cli::args::create::{CreateFlags, WindowsFlags},
};

/// The body of `POST /containers/create`.
///
/// # Errors
/// [`SpecError`], naming the flag and its value.
pub fn container(flags: &CreateFlags, around: &Surroundings) -> Result<Config, SpecError> {
    refuse_windows(&flags.windows)?;
    if flags.security.use_api_socket {
        return Err(SpecError::unsupported("use-api-socket", "mount the socket with --volume instead"));
    }
    let mut host = HostConfig::default();
    let mut config = process::config(flags, around)?;
    network::apply(&flags.network, &mut config, &mut host)?;
    ports::apply(&flags.network, &mut config, &mut host)?;
    let volumes = volume::apply(&flags.storage, &mut host, around)?;
    if !volumes.is_empty() {
        config.volumes = Some(volumes.into_iter().map(|path| (path, Empty {})).collect());
    }
    resources::apply(&flags.resources, &mut host)?;
    security::apply(&flags.security, &mut host, around)?;
    host.group_add = (!flags.process.group_add.is_empty()).then(|| flags.process.group_add.clone());
    if flags.process.as_me {
        as_me::apply(&mut config, &mut host, around)?;
    }
    config.healthcheck = health::check(&flags.lifecycle)?;
    let life = &flags.lifecycle;
    host.annotations = key_values("annotation", &life.annotation, '=')?;
    host.auto_remove = life.rm;
    host.runtime = life.runtime.clone().unwrap_or_default();
    host.log_config.kind = life.log_driver.clone().unwrap_or_default();
    host.log_config.config = key_values("log-opt", &life.log_opt, '=')?;
    if host.log_config.kind == "none" && !host.log_config.config.is_empty() {
        return Err(SpecError::conflict("log-opt", "the log driver none takes no options"));
    }
    host.container_id_file = life.cidfile.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    if let Some(policy) = &life.restart {
        host.restart_policy = restart_policy(policy)?;
        if life.rm && host.restart_policy.name != "no" {
            return Err(SpecError::conflict("rm", "cannot be combined with --restart"));
        }
    }
    host.init = flags.process.init.then_some(true);
    config.networking_config =
        config.networking_config.take().filter(|config: &NetworkingConfig| !config.endpoints_config.is_empty());
    config.host_config = Some(Box::new(host));
    Ok(config)
}

fn refuse_windows(flags: &WindowsFlags) -> Result<(), SpecError> {
    let given = [
        ("cpu-count", flags.cpu_count.is_some()),
        ("cpu-percent", flags.cpu_percent.is_some()),
        ("io-maxbandwidth", flags.io_maxbandwidth.is_some()),
        ("io-maxiops", flags.io_maxiops.is_some()),
        ("isolation", flags.isolation.as_deref().is_some_and(|value| !matches!(value, "" | "default"))),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(SpecError::unsupported(flag, "it has a meaning on Windows only")),
        None => Ok(()),
    }
}
