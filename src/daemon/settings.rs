//! What `hoist daemon` can be told.

use std::{net::IpAddr, path::PathBuf};

use hoist_engine::EngineOptions;
use hoist_network::{Pool, Subnet};
use hoist_proto::unit;

use super::{
    DaemonError,
    roots::{DATA_ROOT, RUN_ROOT},
};

// Not a doc comment: it would be the help. Docker's names are kept where a thing means the same here.
#[derive(Debug, Clone, clap::Args)]
pub struct DaemonSettings {
    /// Directory for images, containers, volumes and the cluster's state
    #[arg(long, value_name = "DIR", env = "HOIST_DATA_ROOT", default_value = DATA_ROOT)]
    pub data_root: PathBuf,
    /// Directory for sockets, namespaces and secrets; must not outlive a reboot
    #[arg(long, value_name = "DIR", env = "HOIST_RUN_ROOT", default_value = RUN_ROOT, alias = "exec-root")]
    pub run_root: PathBuf,
    /// Where to listen: unix://PATH, or fd:// for sockets from the service manager [default: unix://RUN_ROOT/hoist.sock]
    #[arg(long = "host", short = 'H', value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Group that may use the socket [default: hoist or docker, where one exists]
    #[arg(long, short = 'G', value_name = "NAME")]
    pub group: Option<String>,
    /// File to write the process id to
    #[arg(long, short = 'p', value_name = "FILE")]
    pub pidfile: Option<PathBuf>,
    /// How much to log
    #[arg(long, short = 'l', value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,
    /// Log everything
    #[arg(long, short = 'D')]
    pub debug: bool,
    /// Registry, or CIDR of registries, spoken to without TLS or with a certificate nobody vouches for
    #[arg(long = "insecure-registry", value_name = "HOST[:PORT]|CIDR")]
    pub insecure_registries: Vec<String>,
    /// Registry asked before Docker's own
    #[arg(long = "registry-mirror", value_name = "URL")]
    pub registry_mirrors: Vec<String>,
    /// Range of addresses from which networks get theirs
    #[arg(long = "default-address-pool", value_name = "base=CIDR,size=N")]
    pub default_address_pools: Vec<String>,
    /// Address and prefix of the default network's bridge
    #[arg(long, value_name = "CIDR")]
    pub bip: Option<String>,
    /// MTU of new networks
    #[arg(long, value_name = "BYTES")]
    pub mtu: Option<u32>,
    /// Name server that containers' questions are passed on to [default: the host's]
    #[arg(long, value_name = "IP")]
    pub dns: Vec<IpAddr>,
    /// Log driver of containers that name none
    #[arg(long, value_name = "NAME", default_value = "json-file")]
    pub log_driver: String,
    /// Log option of containers that name no driver
    #[arg(long = "log-opt", value_name = "KEY=VALUE")]
    pub log_opts: Vec<String>,
    /// Label of this daemon
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// Descriptor to tell the starter on whether the daemon runs
    #[arg(long, hide = true)]
    pub ready_fd: Option<i32>,
}

impl DaemonSettings {
    /// `--default-address-pool base=10.0.0.0/8,size=24`, as often as given.
    pub fn address_pools(&self) -> Result<Vec<Pool>, DaemonError> {
        self.default_address_pools.iter().map(|text| pool(text)).collect()
    }

    /// A subnet in the value of a setting.
    pub fn subnet(&self, setting: &'static str, text: &str) -> Result<Subnet, DaemonError> {
        text.parse().map_err(|_| DaemonError::Setting {
            setting,
            value: text.to_owned(),
            reason: "expected an address and a prefix length, such as 10.0.0.1/24".to_owned(),
        })
    }

    /// `--log-driver` and `--log-opt`.
    pub fn apply_logging(&self, options: &mut EngineOptions) -> Result<(), DaemonError> {
        let fail = |setting, value: &str, reason: &str| DaemonError::Setting {
            setting,
            value: value.to_owned(),
            reason: reason.to_owned(),
        };
        if self.log_driver != "json-file" {
            return Err(fail("log-driver", &self.log_driver, "only json-file can be the default"));
        }
        for option in &self.log_opts {
            match option.split_once('=') {
                Some(("max-size", size)) => {
                    options.log_max_size =
                        unit::parse_bytes(size).map_err(|err| fail("log-opt", option, &err.to_string()))?;
                }
                Some(("max-file", count)) => {
                    options.log_max_files = count
                        .parse()
                        .ok()
                        .filter(|count| *count > 0)
                        .ok_or_else(|| fail("log-opt", option, "expected a number of files above zero"))?;
                }
                _ => return Err(fail("log-opt", option, "expected max-size=BYTES or max-file=NUMBER")),
            }
        }
        Ok(())
    }
}

fn pool(text: &str) -> Result<Pool, DaemonError> {
    let fail = |reason: &str| DaemonError::Setting {
        setting: "default-address-pool",
        value: text.to_owned(),
        reason: reason.to_owned(),
    };
    let (mut base, mut size) = (None::<Subnet>, None::<u8>);
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("base", value)) => base = Some(value.parse().map_err(|_| fail("base is no subnet"))?),
            Some(("size", value)) => size = Some(value.parse().map_err(|_| fail("size is no prefix length"))?),
            _ => return Err(fail("expected base=CIDR,size=N")),
        }
    }
    let (base, size) = base.zip(size).ok_or_else(|| fail("expected both base and size"))?;
    let most = if base.is_ipv6() { 128 } else { 32 };
    if size < base.prefix() || size > most {
        return Err(fail("size must lie between the base's prefix length and the whole address"));
    }
    Ok(Pool { base, size })
}

/// How much the daemon logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    /// Docker's further level; here as `error`.
    Fatal,
}

impl LogLevel {
    pub fn as_filter(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error | Self::Fatal => "error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools() {
        let made = pool("base=10.0.0.0/8,size=24").unwrap();
        assert_eq!((made.base.to_string(), made.size), ("10.0.0.0/8".to_owned(), 24));
        for text in ["", "base=x,size=24", "base=10.0.0.0/8", "base=10.0.0.0/8,size=4", "base=10.0.0.0/8,size=40"] {
            assert!(pool(text).unwrap_err().to_string().contains("default-address-pool"), "{text}");
        }
    }
}
