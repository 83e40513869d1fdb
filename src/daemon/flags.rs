//! What can be typed after `hoist daemon`: dockerd's flags where a thing means the same here.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::DaemonError;

// Not a doc comment: it would be the help. What is not given stays open, so that the file can say it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct DaemonFlags {
    /// JSON file with settings, in dockerd's form [default: /etc/hoist/daemon.json]
    #[arg(long, value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Check the settings and exit
    #[arg(long)]
    pub validate: bool,
    /// Directory for images, containers, volumes and the cluster's state [default: /var/lib/hoist]
    #[arg(long, short = 'g', value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// Directory for sockets, namespaces and secrets; must not outlive a reboot [default: /run/hoist]
    #[arg(long, value_name = "DIR", alias = "exec-root")]
    run_root: Option<PathBuf>,
    /// Where to listen: unix://PATH, fd:// for sockets from the service manager, or tcp://HOST:PORT with --tlsverify
    /// [default: unix://RUN_ROOT/hoist.sock]
    #[arg(long = "host", short = 'H', value_name = "HOST")]
    hosts: Vec<String>,
    /// Group that may use the socket [default: hoist or docker, where one exists]
    #[arg(long, short = 'G', value_name = "NAME")]
    group: Option<String>,
    /// File to write the process id to
    #[arg(long, short = 'p', value_name = "FILE")]
    pidfile: Option<PathBuf>,
    /// How much to log: trace, debug, info, warn, error or fatal [default: info]
    #[arg(long, short = 'l', value_name = "LEVEL")]
    log_level: Option<String>,
    /// How the log is written: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Full times and no colours in the log; it is always so
    #[arg(long)]
    raw_logs: bool,
    /// Where a monitor reads GET /metrics, such as 127.0.0.1:9323
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_addr: Option<String>,
    /// Log everything
    #[arg(long, short = 'D')]
    debug: bool,
    /// Clients and the daemon show each other certificates of one authority
    #[arg(long)]
    tlsverify: bool,
    /// Certificates of the authority that vouches for clients
    #[arg(long, value_name = "FILE")]
    tlscacert: Option<PathBuf>,
    /// The daemon's certificate
    #[arg(long, value_name = "FILE")]
    tlscert: Option<PathBuf>,
    /// The daemon's private key
    #[arg(long, value_name = "FILE")]
    tlskey: Option<PathBuf>,
    /// Registry, or CIDR of registries, spoken to without TLS or with a certificate nobody vouches for
    #[arg(long = "insecure-registry", value_name = "HOST[:PORT]|CIDR")]
    insecure_registries: Vec<String>,
    /// Registry asked before Docker's own
    #[arg(long = "registry-mirror", value_name = "URL")]
    registry_mirrors: Vec<String>,
    /// Range of addresses from which networks get theirs
    #[arg(long = "default-address-pool", value_name = "base=CIDR,size=N")]
    default_address_pools: Vec<String>,
    /// Address and prefix of the default network's bridge
    #[arg(long, value_name = "CIDR")]
    bip: Option<String>,
    /// Bridge of the machine's own for the default network
    #[arg(long, short = 'b', value_name = "NAME")]
    bridge: Option<String>,
    /// Range of the default network's subnet that containers get addresses from
    #[arg(long, value_name = "CIDR")]
    fixed_cidr: Option<String>,
    /// The same for IPv6
    #[arg(long, value_name = "CIDR")]
    fixed_cidr_v6: Option<String>,
    /// Router that containers of the default network use instead of the host
    #[arg(long, value_name = "IP")]
    default_gateway: Option<String>,
    /// The same for IPv6
    #[arg(long, value_name = "IP")]
    default_gateway_v6: Option<String>,
    /// Give the default network IPv6
    #[arg(long)]
    ipv6: bool,
    /// Let containers of the default network reach each other [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    icc: Option<bool>,
    /// Hide the addresses of the default network's containers behind the host's [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ip_masq: Option<bool>,
    /// Address on which the default network's containers publish their ports [default: all]
    #[arg(long, value_name = "IP")]
    ip: Option<String>,
    /// Option of new networks of a driver
    #[arg(long = "default-network-opt", value_name = "DRIVER=KEY=VALUE")]
    default_network_opts: Vec<String>,
    /// Address that host-gateway stands for in --add-host
    #[arg(long = "host-gateway-ip", value_name = "IP")]
    host_gateway_ips: Vec<String>,
    /// MTU of new networks
    #[arg(long, value_name = "BYTES")]
    mtu: Option<u32>,
    /// Name server that containers' questions are passed on to [default: the host's]
    #[arg(long, value_name = "IP")]
    dns: Vec<String>,
    /// Domain in which containers look for short names
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// Option of containers' resolvers
    #[arg(long = "dns-opt", value_name = "OPTION")]
    dns_opts: Vec<String>,
    /// Log driver of containers that name none [default: json-file]
    #[arg(long, value_name = "NAME")]
    log_driver: Option<String>,
    /// Log option of containers with that driver
    #[arg(long = "log-opt", value_name = "KEY=VALUE")]
    log_opts: Vec<String>,
    /// Limit of containers that name none of the kind
    #[arg(long = "default-ulimit", value_name = "NAME=SOFT[:HARD]")]
    default_ulimits: Vec<String>,
    /// Size of /dev/shm of containers that name none [default: 64m]
    #[arg(long, value_name = "BYTES")]
    default_shm_size: Option<String>,
    /// Run an init in containers that do not say
    #[arg(long)]
    init: bool,
    /// Keep the processes of all containers from gaining privileges
    #[arg(long)]
    no_new_privileges: bool,
    /// Parent of all containers' cgroups
    #[arg(long, value_name = "NAME")]
    cgroup_parent: Option<String>,
    /// IPC namespaces of containers that do not say: private or shareable [default: private]
    #[arg(long, value_name = "MODE")]
    default_ipc_mode: Option<String>,
    /// Cgroup namespaces of containers that do not say: private or host [default: private]
    #[arg(long, value_name = "MODE")]
    default_cgroupns_mode: Option<String>,
    /// Seccomp profile of containers that name none: a file, builtin or unconfined [default: builtin]
    #[arg(long, value_name = "FILE")]
    seccomp_profile: Option<String>,
    /// Option of the runtime: native.cgroupdriver=cgroupfs
    #[arg(long = "exec-opt", value_name = "OPTION")]
    exec_opts: Vec<String>,
    /// OCI runtime of containers that name none [default: hoist]
    #[arg(long, value_name = "NAME")]
    default_runtime: Option<String>,
    /// Further OCI runtime; runc and crun are known where they are installed
    #[arg(long = "add-runtime", value_name = "NAME=PATH")]
    runtimes: Vec<String>,
    /// Layers fetched at once [default: 3]
    #[arg(long, value_name = "N")]
    max_concurrent_downloads: Option<u32>,
    /// Layers sent at once [default: 5]
    #[arg(long, value_name = "N")]
    max_concurrent_uploads: Option<u32>,
    /// Attempts at a layer before its pull fails [default: 5]
    #[arg(long, value_name = "N")]
    max_download_attempts: Option<u32>,
    /// How readily the kernel ends the daemon when memory runs out, from -1000 to 1000; containers are not concerned
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    oom_score_adjust: Option<i32>,
    /// Address or interface by which other nodes reach this one, for swarm init and join that do not say
    #[arg(long, value_name = "ADDRESS|INTERFACE")]
    swarm_default_advertise_addr: Option<String>,
    /// Carry what the kernel cannot lead to a container: calls to published ports on ::1, and by IPv6 to containers that
    /// have only IPv4 [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    userland_proxy: Option<bool>,
    /// Label of this daemon
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Directory with CDI specifications [default: /etc/cdi and /var/run/cdi]
    #[arg(long = "cdi-spec-dir", value_name = "DIR")]
    cdi_spec_dirs: Vec<String>,
    /// Devices that this node offers: NAME=NUMBER or NAME=ID
    #[arg(long = "node-generic-resource", value_name = "NAME=VALUE")]
    node_generic_resources: Vec<String>,
    /// Newest version of the cluster's protocol to speak; with an earlier one the program before this can take over again
    #[arg(long, value_name = "VERSION")]
    cluster_protocol: Option<u32>,
    /// Containers go on without the daemon; they always do
    #[arg(long)]
    _live_restore: bool,
    /// Descriptor to tell the starter on whether the daemon runs
    #[arg(long, hide = true)]
    pub ready_fd: Option<i32>,
}

impl DaemonFlags {
    /// What was given, under the names that the file has for it.
    ///
    /// # Errors
    /// For what is not of the form that its flag names.
    pub fn given(&self) -> Result<Map<String, Value>, DaemonError> {
        let mut given = Map::new();
        let paths = [
            ("data-root", &self.data_root),
            ("exec-root", &self.run_root),
            ("pidfile", &self.pidfile),
            ("tlscacert", &self.tlscacert),
            ("tlscert", &self.tlscert),
            ("tlskey", &self.tlskey),
        ];
        given.extend(paths.into_iter().filter_map(|(key, path)| Some((key.to_owned(), json!(path.as_ref()?)))));
        let texts = [
            ("group", &self.group),
            ("log-level", &self.log_level),
            ("log-format", &self.log_format),
            ("metrics-addr", &self.metrics_addr),
            ("bip", &self.bip),
            ("bridge", &self.bridge),
            ("fixed-cidr", &self.fixed_cidr),
            ("fixed-cidr-v6", &self.fixed_cidr_v6),
            ("default-gateway", &self.default_gateway),
            ("default-gateway-v6", &self.default_gateway_v6),
            ("ip", &self.ip),
            ("default-ipc-mode", &self.default_ipc_mode),
            ("default-cgroupns-mode", &self.default_cgroupns_mode),
            ("seccomp-profile", &self.seccomp_profile),
            ("log-driver", &self.log_driver),
            ("default-shm-size", &self.default_shm_size),
            ("cgroup-parent", &self.cgroup_parent),
            ("default-runtime", &self.default_runtime),
            ("swarm-default-advertise-addr", &self.swarm_default_advertise_addr),
        ];
        given.extend(texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), json!(text.as_ref()?)))));
        let numbers = [
            ("mtu", self.mtu),
            ("cluster-protocol", self.cluster_protocol),
            ("max-concurrent-uploads", self.max_concurrent_uploads),
            ("max-concurrent-downloads", self.max_concurrent_downloads),
            ("max-download-attempts", self.max_download_attempts),
        ];
        given.extend(numbers.into_iter().filter_map(|(key, number)| Some((key.to_owned(), json!(number?)))));
        let lists = [
            ("hosts", &self.hosts),
            ("insecure-registries", &self.insecure_registries),
            ("registry-mirrors", &self.registry_mirrors),
            ("dns", &self.dns),
            ("dns-search", &self.dns_search),
            ("dns-opts", &self.dns_opts),
            ("labels", &self.labels),
            ("host-gateway-ips", &self.host_gateway_ips),
            ("exec-opts", &self.exec_opts),
            ("cdi-spec-dirs", &self.cdi_spec_dirs),
            ("node-generic-resources", &self.node_generic_resources),
        ];
        given.extend(
            lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(k, list)| (k.to_owned(), json!(list))),
        );
        let switches = [
            ("debug", self.debug),
            ("tlsverify", self.tlsverify),
            ("init", self.init),
            ("ipv6", self.ipv6),
            ("raw-logs", self.raw_logs),
            ("no-new-privileges", self.no_new_privileges),
        ];
        given.extend(switches.into_iter().filter(|(_, on)| *on).map(|(key, _)| (key.to_owned(), json!(true))));
        given.extend(self.oom_score_adjust.map(|score| ("oom-score-adjust".to_owned(), json!(score))));
        let choices = [("icc", self.icc), ("ip-masq", self.ip_masq), ("userland-proxy", self.userland_proxy)];
        given.extend(choices.into_iter().filter_map(|(key, on)| Some((key.to_owned(), json!(on?)))));
        if !self.default_network_opts.is_empty() {
            given.insert("default-network-opts".to_owned(), network_options(&self.default_network_opts)?);
        }
        if !self.runtimes.is_empty() {
            let runtimes = self.runtimes.iter().map(|text| runtime(text)).collect::<Result<Map<_, _>, _>>()?;
            given.insert("runtimes".to_owned(), runtimes.into());
        }
        if !self.default_address_pools.is_empty() {
            let pools: Vec<Value> =
                self.default_address_pools.iter().map(|text| pool(text)).collect::<Result<_, _>>()?;
            given.insert("default-address-pools".to_owned(), pools.into());
        }
        if !self.log_opts.is_empty() {
            let options: Map<String, Value> =
                self.log_opts.iter().map(|text| option(text)).collect::<Result<_, _>>()?;
            given.insert("log-opts".to_owned(), options.into());
        }
        if !self.default_ulimits.is_empty() {
            let limits: Map<String, Value> =
                self.default_ulimits.iter().map(|text| ulimit(text)).collect::<Result<_, _>>()?;
            given.insert("default-ulimits".to_owned(), limits.into());
        }
        Ok(given)
    }
}

fn wrong(setting: &'static str, value: &str, reason: &str) -> DaemonError {
    DaemonError::Setting { setting, value: value.to_owned(), reason: reason.to_owned() }
}

fn pool(text: &str) -> Result<Value, DaemonError> {
    let mut pool = Map::new();
    for part in text.split(',') {
        let fail = || wrong("default-address-pool", text, "expected base=CIDR,size=N");
        let value = match part.split_once('=').ok_or_else(fail)? {
            ("base", base) => ("base".to_owned(), json!(base)),
            ("size", size) => {
                let size: u8 =
                    size.parse().map_err(|_| wrong("default-address-pool", text, "size is no prefix length"))?;
                ("size".to_owned(), json!(size))
            }
            _ => return Err(fail()),
        };
        pool.insert(value.0, value.1);
    }
    Ok(pool.into())
}

/// `DRIVER=KEY=VALUE`, gathered by driver.
fn network_options(texts: &[String]) -> Result<Value, DaemonError> {
    let mut drivers: Map<String, Value> = Map::new();
    for text in texts {
        let fail = || wrong("default-network-opt", text, "expected DRIVER=KEY=VALUE");
        let (driver, option) = text.split_once('=').filter(|(driver, _)| !driver.is_empty()).ok_or_else(fail)?;
        let (key, value) = option.split_once('=').ok_or_else(fail)?;
        let options = drivers.entry(driver).or_insert_with(|| json!({}));
        options[key] = json!(value);
    }
    Ok(drivers.into())
}

fn runtime(text: &str) -> Result<(String, Value), DaemonError> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.to_owned(), json!({ "path": path }))),
        _ => Err(wrong("add-runtime", text, "expected NAME=PATH")),
    }
}

fn option(text: &str) -> Result<(String, Value), DaemonError> {
    let (key, value) = text.split_once('=').ok_or_else(|| wrong("log-opt", text, "expected KEY=VALUE"))?;
    Ok((key.to_owned(), json!(value)))
}

fn ulimit(text: &str) -> Result<(String, Value), DaemonError> {
    let limit: hoist_proto::spec::Ulimit = text
        .parse()
        .map_err(|error: hoist_proto::spec::BadUlimit| wrong("default-ulimit", text, &error.to_string()))?;
    let hoist_proto::spec::Ulimit { name, soft, hard } = limit;
    Ok((name.clone(), json!({ "Name": name, "Soft": soft, "Hard": hard })))
}
