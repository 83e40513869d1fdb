//! What `config.json` says of commands: formats, keys, headers, proxies, filters. Docker's file, with Docker's names.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::{
    args::{
        Command, ListFormat,
        build::{BuilderCommand, BuildxCommand},
        container::ContainerCommand,
        file::{ConfigCommand, SecretCommand},
        image::ImageCommand,
        network::NetworkCommand,
        node::NodeCommand,
        plugin::PluginCommand,
        service::ServiceCommand,
        stack::StackCommand,
        system::SystemCommand,
        volume::VolumeCommand,
    },
    credentials,
    failure::Failure,
};

/// What of `config.json` concerns commands; [`credentials`](super::credentials) has the rest.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Preferences {
    ps_format: String,
    images_format: String,
    networks_format: String,
    plugins_format: String,
    volumes_format: String,
    stats_format: String,
    service_inspect_format: String,
    services_format: String,
    tasks_format: String,
    nodes_format: String,
    secret_format: String,
    config_format: String,
    detach_keys: String,
    #[serde(rename = "HttpHeaders")]
    http_headers: BTreeMap<String, String>,
    prune_filters: Vec<String>,
    proxies: BTreeMap<String, Proxies>,
}

/// The proxies of one daemon's containers and builds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Proxies {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    ftp_proxy: String,
    all_proxy: String,
}

impl Preferences {
    /// Reads `config.json`; one that is not there says nothing.
    pub fn load(dir: &Path) -> Result<Self, Failure> {
        credentials::read_config(dir)
    }

    /// What is sent with each request; who asks is said by us.
    pub fn headers(&self) -> Result<Vec<(http::HeaderName, http::HeaderValue)>, Failure> {
        let headers = self.http_headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("user-agent"));
        headers
            .map(|(name, value)| match (name.parse(), value.parse()) {
                (Ok(name), Ok(value)) => Ok((name, value)),
                _ => {
                    Err(Failure::new(format!("HttpHeaders in config.json: {name:?} cannot be the header of a request")))
                }
            })
            .collect()
    }

    /// The variables for a container or a build: those of this daemon, or else those for all.
    pub fn proxies(&self, host: &str) -> Vec<(String, String)> {
        let Some(proxies) = self.proxies.get(host).or_else(|| self.proxies.get("default")) else { return Vec::new() };
        let pairs = [
            ("HTTP_PROXY", &proxies.http_proxy),
            ("HTTPS_PROXY", &proxies.https_proxy),
            ("NO_PROXY", &proxies.no_proxy),
            ("FTP_PROXY", &proxies.ftp_proxy),
            ("ALL_PROXY", &proxies.all_proxy),
        ];
        let set = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        set.flat_map(|(name, value)| [(name.to_owned(), value.clone()), (name.to_lowercase(), value.clone())]).collect()
    }

    /// Fills in what a command line leaves open. `host` is the daemon's address.
    pub fn fill(&self, command: &mut Command, host: &str) {
        use {Command as C, ContainerCommand as Containers, ImageCommand as Images};
        match command {
            C::Ps(args) | C::Container { command: Containers::Ls(args) } => {
                list(&mut args.format, args.quiet, &self.ps_format);
            }
            C::Images(args) | C::Image { command: Images::Ls(args) } => {
                list(&mut args.format, args.quiet, &self.images_format);
            }
            C::Stats(args) | C::Container { command: Containers::Stats(args) } => {
                list(&mut args.format, false, &self.stats_format);
            }
            C::Run(args) | C::Container { command: Containers::Run(args) } => {
                self.keys(&mut args.detach_keys);
                self.variables(&mut args.create.process.env, host);
            }
            C::Create(args) | C::Container { command: Containers::Create(args) } => {
                self.variables(&mut args.create.process.env, host);
            }
            C::Exec(args) | C::Container { command: Containers::Exec(args) } => self.keys(&mut args.detach_keys),
            C::Start(args) | C::Container { command: Containers::Start(args) } => self.keys(&mut args.detach_keys),
            C::Attach(args) | C::Container { command: Containers::Attach(args) } => self.keys(&mut args.detach_keys),
            C::Build(args)
            | C::Builder { command: BuilderCommand::Build(args) }
            | C::Buildx { command: BuildxCommand::Build(args) }
            | C::Image { command: Images::Build(args) } => self.variables(&mut args.build_args, host),
            C::Network { command: NetworkCommand::Ls(args) } => {
                list(&mut args.format, args.quiet, &self.networks_format);
            }
            C::Volume { command: VolumeCommand::Ls(args) } => list(&mut args.format, args.quiet, &self.volumes_format),
            C::Plugin { command: PluginCommand::Ls(args) } => list(&mut args.format, args.quiet, &self.plugins_format),
            C::Container { command: Containers::Prune(args) } => self.prune(&mut args.filters),
            C::Image { command: Images::Prune(args) } => self.prune(&mut args.filters),
            C::Network { command: NetworkCommand::Prune(args) } => self.prune(&mut args.filters),
            C::Volume { command: VolumeCommand::Prune(args) } => self.prune(&mut args.filters),
            C::Builder { command: BuilderCommand::Prune(args) } => self.prune(&mut args.filters),
            C::Buildx { command: BuildxCommand::Prune(args) } => self.prune(&mut args.filters),
            C::System { command: SystemCommand::Prune(args) } => self.prune(&mut args.filters),
            other => self.fill_cluster(other),
        }
    }

    fn fill_cluster(&self, command: &mut Command) {
        use Command as C;
        match command {
            C::Service { command: ServiceCommand::Ls(args) } => {
                list(&mut args.format, args.quiet, &self.services_format);
            }
            C::Service { command: ServiceCommand::Ps(args) } => {
                list(&mut args.list.format, args.list.quiet, &self.tasks_format);
            }
            C::Service { command: ServiceCommand::Inspect(args) } if !args.pretty && args.format.is_none() => {
                args.format = some(&self.service_inspect_format);
            }
            C::Stack { command: StackCommand::Ps(args) } => {
                list(&mut args.list.format, args.list.quiet, &self.tasks_format);
            }
            C::Stack { command: StackCommand::Services(args) } => {
                list(&mut args.format, args.quiet, &self.services_format);
            }
            C::Node { command: NodeCommand::Ls(args) } => list(&mut args.format, args.quiet, &self.nodes_format),
            C::Node { command: NodeCommand::Ps(args) } => {
                list(&mut args.list.format, args.list.quiet, &self.tasks_format)
            }
            C::Secret { command: SecretCommand::Ls(args) } => list(&mut args.format, args.quiet, &self.secret_format),
            C::Config { command: ConfigCommand::Ls(args) } => list(&mut args.format, args.quiet, &self.config_format),
            _ => {}
        }
    }

    fn keys(&self, keys: &mut Option<String>) {
        if keys.is_none() {
            *keys = some(&self.detach_keys);
        }
    }

    /// What the command line says of a variable counts.
    fn variables(&self, given: &mut Vec<String>, host: &str) {
        for (name, value) in self.proxies(host) {
            if !given.iter().any(|own| own.split('=').next() == Some(&name)) {
                given.insert(0, format!("{name}={value}"));
            }
        }
    }

    /// A label that the command line wants is not excluded by the file, and the other way round.
    fn prune(&self, filters: &mut Vec<String>) {
        for filter in &self.prune_filters {
            let Some((key, value)) = filter.split_once('=') else { continue };
            let opposite = match key {
                "label" => Some(format!("label!={value}")),
                "label!" => Some(format!("label={value}")),
                _ => None,
            };
            if opposite.is_none_or(|opposite| !filters.contains(&opposite)) && !filters.contains(filter) {
                filters.push(filter.clone());
            }
        }
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn list(format: &mut ListFormat, quiet: bool, preferred: &str) {
    if format.format.is_none() && !quiet {
        format.format = some(preferred);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::Cli;

    fn filled(config: &str, line: &str) -> String {
        let preferences: Preferences = serde_json::from_str(config).unwrap();
        let mut command = Cli::try_parse_from(line.split_whitespace()).unwrap().command;
        preferences.fill(&mut command, "unix:///here");
        format!("{command:?}")
    }

    #[test]
    fn the_command_line_counts_first() {
        let config = r#"{"psFormat": "P", "imagesFormat": "I", "detachKeys": "ctrl-x", "pruneFilters": ["label!=keep", "until=1h"],
            "proxies": {"default": {"httpProxy": "http://d"}, "unix:///here": {"httpsProxy": "https://h"}}, "auths": {}}"#;
        assert!(filled(config, "hoist ps").contains(r#"format: Some("P")"#));
        assert!(filled(config, "hoist container ls --format X").contains(r#"format: Some("X")"#));
        assert!(filled(config, "hoist ps -q").contains("format: None"));
        assert!(filled(config, "hoist image ls").contains(r#"format: Some("I")"#));
        assert!(filled(config, "hoist exec x y").contains("ctrl-x"));
        let run = filled(config, "hoist run -e https_proxy=mine x");
        assert!(
            run.contains("HTTPS_PROXY=https://h") && run.contains("https_proxy=mine") && !run.contains("http://d"),
            "{run}"
        );
        assert!(!run.contains("https_proxy=https://h"), "{run}");
        let prune = filled(config, "hoist container prune --filter label=keep");
        assert!(prune.contains(r#"["label=keep", "until=1h"]"#), "{prune}");
        let preferences: Preferences =
            serde_json::from_str(r#"{"HttpHeaders": {"X-A": "b", "User-Agent": "no"}}"#).unwrap();
        assert_eq!(preferences.headers().unwrap().len(), 1);
        let bad: Preferences = serde_json::from_str(r#"{"HttpHeaders": {"a b": "c"}}"#).unwrap();
        assert!(bad.headers().unwrap_err().message.contains("a b"));
    }
}
