//! `run` and `create`: every flag that says what a container is.

use std::path::PathBuf;

use clap::Args;

// `hoist run`
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "hoist run [OPTIONS] IMAGE [COMMAND] [ARG...]",
    after_help = "Examples:
  hoist run --rm -it busybox                            a shell that leaves nothing behind
  hoist run -d --name web -p 8080:80 nginx              a server in the background
  hoist run --rm -v \"$PWD\":/src -w /src rust cargo build"
)]
pub struct RunArgs {
    #[command(flatten)]
    pub create: CreateFlags,
    /// Run in the background and print the container's id
    #[arg(short, long, help_heading = "Running")]
    pub detach: bool,
    /// Keys that detach, such as ctrl-a,d
    #[arg(long, value_name = "KEYS", help_heading = "Running")]
    pub detach_keys: Option<String>,
    /// Pass signals on to the container
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", help_heading = "Running")]
    pub sig_proxy: bool,
}

// `hoist create`
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "hoist create [OPTIONS] IMAGE [COMMAND] [ARG...]",
    after_help = "Example:\n  hoist create --name job -v data:/data busybox tar czf /data/all.tgz /srv && hoist start -a job"
)]
pub struct CreateArgs {
    #[command(flatten)]
    pub create: CreateFlags,
}

// What `run` and `create` share.
#[derive(Debug, Clone, Default, Args)]
pub struct CreateFlags {
    #[command(flatten)]
    pub process: ProcessFlags,
    #[command(flatten)]
    pub network: NetworkFlags,
    #[command(flatten)]
    pub storage: StorageFlags,
    #[command(flatten)]
    pub resources: ResourceFlags,
    #[command(flatten)]
    pub security: SecurityFlags,
    #[command(flatten)]
    pub lifecycle: LifecycleFlags,
    #[command(flatten)]
    pub windows: WindowsFlags,
    /// Image, then the command and its arguments
    #[arg(value_name = "IMAGE", required = true, trailing_var_arg = true)]
    pub words: Vec<String>,
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Process")]
pub struct ProcessFlags {
    /// Connect only these of stdin, stdout and stderr
    #[arg(short, long = "attach", value_name = "STREAM")]
    pub attach: Vec<String>,
    /// Program to run instead of the image's entrypoint; empty for none
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// Set an environment variable; without a value, pass on this shell's
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// File of environment variables
    #[arg(long = "env-file", value_name = "FILE")]
    pub env_files: Vec<PathBuf>,
    /// Run an init that passes signals on and reaps processes
    #[arg(long)]
    pub init: bool,
    /// Keep standard input open
    #[arg(short, long)]
    pub interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Run as you: your user and groups, home and this directory
    #[arg(long, conflicts_with = "user")]
    pub as_me: bool,
    /// User: NAME or UID, and :GROUP or :GID
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// Further group
    #[arg(long = "group-add", value_name = "GROUP")]
    pub group_add: Vec<String>,
    /// Directory to run in
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Print this help
    #[arg(long, action = clap::ArgAction::Help)]
    pub help: Option<bool>,
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkFlags {
    /// Entry for /etc/hosts; host-gateway stands for this machine's address
    #[arg(long = "add-host", value_name = "NAME:IP")]
    pub add_host: Vec<String>,
    /// Name server
    #[arg(long = "dns", value_name = "IP")]
    pub dns: Vec<String>,
    /// Option for resolv.conf
    #[arg(long = "dns-option", visible_alias = "dns-opt", value_name = "OPTION")]
    pub dns_option: Vec<String>,
    /// Domain to search names in
    #[arg(long = "dns-search", value_name = "DOMAIN")]
    pub dns_search: Vec<String>,
    /// NIS domain name
    #[arg(long, value_name = "NAME")]
    pub domainname: Option<String>,
    /// Port, or range of ports, that the container serves
    #[arg(long = "expose", value_name = "PORT[/PROTO]")]
    pub expose: Vec<String>,
    /// Host name
    #[arg(short = 'h', long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// IPv4 address
    #[arg(long, value_name = "IP")]
    pub ip: Option<std::net::Ipv4Addr>,
    /// IPv6 address
    #[arg(long, value_name = "IP")]
    pub ip6: Option<std::net::Ipv6Addr>,
    /// Link to another container
    #[arg(long = "link", value_name = "NAME[:ALIAS]")]
    pub link: Vec<String>,
    /// Link-local address
    #[arg(long = "link-local-ip", value_name = "IP")]
    pub link_local_ip: Vec<std::net::IpAddr>,
    /// MAC address
    #[arg(long, value_name = "MAC")]
    pub mac_address: Option<String>,
    /// Network: a name, none, host, container:NAME, or name=NET,ip=…,alias=…
    #[arg(long = "network", visible_alias = "net", value_name = "NETWORK")]
    pub network: Vec<String>,
    /// Further name on the network
    #[arg(long = "network-alias", visible_alias = "net-alias", value_name = "NAME")]
    pub network_alias: Vec<String>,
    /// Publish a port: [[IP:]HOST_PORT:]PORT[/PROTO], ranges too
    #[arg(short, long = "publish", value_name = "PORTS")]
    pub publish: Vec<String>,
    /// Publish all exposed ports on free ports of this machine
    #[arg(short = 'P', long)]
    pub publish_all: bool,
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Storage")]
pub struct StorageFlags {
    /// Mount: type=bind|volume|tmpfs,src=…,dst=…[,readonly]
    #[arg(long = "mount", value_name = "MOUNT")]
    pub mount: Vec<String>,
    /// Mount the root file system read-only
    #[arg(long)]
    pub read_only: bool,
    /// Size of /dev/shm
    #[arg(long, value_name = "BYTES")]
    pub shm_size: Option<String>,
    /// Option of the storage driver
    #[arg(long = "storage-opt", value_name = "KEY=VALUE")]
    pub storage_opt: Vec<String>,
    /// Mount a tmpfs: PATH[:OPTIONS]
    #[arg(long = "tmpfs", value_name = "PATH")]
    pub tmpfs: Vec<String>,
    /// Mount a volume or directory: [SOURCE:]PATH[:OPTIONS]
    #[arg(short, long = "volume", value_name = "VOLUME")]
    pub volume: Vec<String>,
    /// Driver of volumes that this makes
    #[arg(long, value_name = "NAME")]
    pub volume_driver: Option<String>,
    /// Mount the volumes of another container
    #[arg(long = "volumes-from", value_name = "CONTAINER")]
    pub volumes_from: Vec<String>,
}

// Limits that `update` can change too.
#[derive(Debug, Clone, Default, Args)]
pub struct UpdatableLimits {
    /// Share of block I/O, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    pub blkio_weight: Option<u16>,
    /// Microseconds of a scheduling period
    #[arg(long, value_name = "USEC")]
    pub cpu_period: Option<i64>,
    /// Microseconds of processor time in a period
    #[arg(long, value_name = "USEC", allow_negative_numbers = true)]
    pub cpu_quota: Option<i64>,
    /// Microseconds of a realtime period
    #[arg(long, value_name = "USEC")]
    pub cpu_rt_period: Option<i64>,
    /// Microseconds of realtime in a period
    #[arg(long, value_name = "USEC")]
    pub cpu_rt_runtime: Option<i64>,
    /// Share of processor time (1024 is one share)
    #[arg(short, long, value_name = "SHARES")]
    pub cpu_shares: Option<i64>,
    /// Number of processors, such as 1.5
    #[arg(long, value_name = "NUMBER")]
    pub cpus: Option<String>,
    /// Processors to run on, such as 0-3,6
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// Memory limit, such as 512m
    #[arg(short, long, value_name = "BYTES")]
    pub memory: Option<String>,
    /// Memory that it gets back first under pressure
    #[arg(long, value_name = "BYTES")]
    pub memory_reservation: Option<String>,
    /// Limit of memory and swap together; -1 for no limit
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// Number of processes; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub pids_limit: Option<i64>,
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Resources")]
pub struct ResourceFlags {
    #[command(flatten)]
    pub limits: UpdatableLimits,
    /// Share of a device's I/O
    #[arg(long = "blkio-weight-device", value_name = "PATH:WEIGHT")]
    pub blkio_weight_device: Vec<String>,
    /// Cgroup to be in
    #[arg(long, value_name = "PATH")]
    pub cgroup_parent: Option<String>,
    /// Device of this machine: PATH[:PATH_INSIDE[:rwm]], or a CDI name
    #[arg(long = "device", value_name = "DEVICE")]
    pub device: Vec<String>,
    /// Rule for devices, such as 'c 13:* rwm'
    #[arg(long = "device-cgroup-rule", value_name = "RULE")]
    pub device_cgroup_rule: Vec<String>,
    /// Bytes read from a device in a second
    #[arg(long = "device-read-bps", value_name = "PATH:BYTES")]
    pub device_read_bps: Vec<String>,
    /// Reads from a device in a second
    #[arg(long = "device-read-iops", value_name = "PATH:N")]
    pub device_read_iops: Vec<String>,
    /// Bytes written to a device in a second
    #[arg(long = "device-write-bps", value_name = "PATH:BYTES")]
    pub device_write_bps: Vec<String>,
    /// Writes to a device in a second
    #[arg(long = "device-write-iops", value_name = "PATH:N")]
    pub device_write_iops: Vec<String>,
    /// GPUs: all, a number, or device=ID,…
    #[arg(long = "gpus", value_name = "GPUS")]
    pub gpus: Option<String>,
    /// Limit of the kernel's memory
    #[arg(long, value_name = "BYTES", hide = true)]
    pub kernel_memory: Option<String>,
    /// How readily it swaps, 0 to 100
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub memory_swappiness: Option<i64>,
    /// Do not kill it when memory runs out
    #[arg(long)]
    pub oom_kill_disable: bool,
    /// How readily it is killed when memory runs out, -1000 to 1000
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub oom_score_adj: Option<i64>,
    /// Limit of a process: NAME=SOFT[:HARD]
    #[arg(long = "ulimit", value_name = "ULIMIT")]
    pub ulimit: Vec<String>,
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Security and namespaces")]
pub struct SecurityFlags {
    /// Add a capability
    #[arg(long = "cap-add", value_name = "CAP")]
    pub cap_add: Vec<String>,
    /// Take a capability away
    #[arg(long = "cap-drop", value_name = "CAP")]
    pub cap_drop: Vec<String>,
    /// Cgroup namespace: private or host
    #[arg(long, value_name = "MODE")]
    pub cgroupns: Option<String>,
    /// IPC namespace: private, shareable, host, none or container:NAME
    #[arg(long, value_name = "MODE")]
    pub ipc: Option<String>,
    /// Process namespace: host or container:NAME
    #[arg(long, value_name = "MODE")]
    pub pid: Option<String>,
    /// Give it all privileges
    #[arg(long)]
    pub privileged: bool,
    /// Security option: seccomp=FILE|unconfined, apparmor=PROFILE, label=…, no-new-privileges
    #[arg(long = "security-opt", value_name = "OPTION")]
    pub security_opt: Vec<String>,
    /// Kernel parameter of its namespaces
    #[arg(long = "sysctl", value_name = "KEY=VALUE")]
    pub sysctl: Vec<String>,
    /// Mount the daemon's socket and credentials
    #[arg(long, hide = true)]
    pub use_api_socket: bool,
    /// User namespace: host or private
    #[arg(long, value_name = "MODE")]
    pub userns: Option<String>,
    /// UTS namespace: host or private
    #[arg(long, value_name = "MODE")]
    pub uts: Option<String>,
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Container")]
pub struct LifecycleFlags {
    /// Annotation for the OCI runtime
    #[arg(long = "annotation", value_name = "KEY=VALUE")]
    pub annotation: Vec<String>,
    /// Write the container's id to a file
    #[arg(long, value_name = "FILE")]
    pub cidfile: Option<PathBuf>,
    /// Command that checks health
    #[arg(long, value_name = "COMMAND")]
    pub health_cmd: Option<String>,
    /// Time between checks
    #[arg(long, value_name = "DURATION")]
    pub health_interval: Option<String>,
    /// Failures in a row that make it unhealthy
    #[arg(long, value_name = "N")]
    pub health_retries: Option<i64>,
    /// Time between checks while it starts
    #[arg(long, value_name = "DURATION")]
    pub health_start_interval: Option<String>,
    /// Time during which failures do not count
    #[arg(long, value_name = "DURATION")]
    pub health_start_period: Option<String>,
    /// Longest time that a check takes
    #[arg(long, value_name = "DURATION")]
    pub health_timeout: Option<String>,
    /// Label
    #[arg(short, long = "label", value_name = "KEY[=VALUE]")]
    pub label: Vec<String>,
    /// File of labels
    #[arg(long = "label-file", value_name = "FILE")]
    pub label_file: Vec<PathBuf>,
    /// Log driver
    #[arg(long, value_name = "NAME")]
    pub log_driver: Option<String>,
    /// Option of the log driver
    #[arg(long = "log-opt", value_name = "KEY=VALUE")]
    pub log_opt: Vec<String>,
    /// Name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Do not check health, whatever the image says
    #[arg(long)]
    pub no_healthcheck: bool,
    /// Platform of the image: OS[/ARCH[/VARIANT]]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// When to fetch the image: always, missing or never
    #[arg(long, value_name = "WHEN", default_value = "missing")]
    pub pull: PullWhen,
    /// Say nothing about the fetch
    #[arg(short, long)]
    pub quiet: bool,
    /// Policy: no, always, unless-stopped, on-failure[:MAX]
    #[arg(long, value_name = "POLICY")]
    pub restart: Option<String>,
    /// Remove it, and its anonymous volumes, once it ends
    #[arg(long)]
    pub rm: bool,
    /// OCI runtime
    #[arg(long, value_name = "NAME")]
    pub runtime: Option<String>,
    /// Signal that asks it to stop
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<String>,
    /// Seconds between that signal and the kill
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub stop_timeout: Option<i64>,
}

// Flags that have a meaning on Windows only; refused by name.
#[derive(Debug, Clone, Default, Args)]
pub struct WindowsFlags {
    #[arg(long, hide = true)]
    pub cpu_count: Option<i64>,
    #[arg(long, hide = true)]
    pub cpu_percent: Option<i64>,
    #[arg(long, hide = true)]
    pub io_maxbandwidth: Option<String>,
    #[arg(long, hide = true)]
    pub io_maxiops: Option<u64>,
    #[arg(long, hide = true)]
    pub isolation: Option<String>,
}

/// When an image is fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PullWhen {
    Always,
    #[default]
    Missing,
    Never,
}

impl PullWhen {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Missing => "missing",
            Self::Never => "never",
        }
    }
}
