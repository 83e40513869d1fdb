//! Commands on containers, but for `run` and `create`, which are in [`create`](super::create).

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Subcommand};

use super::{ListFormat, create};

// `hoist container …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum ContainerCommand {
    /// Connect this terminal to a running container
    Attach(AttachArgs),
    /// Make an image of a container's changes
    Commit(CommitArgs),
    /// Copy files between a container and this machine
    Cp(CpArgs),
    /// Create a container without starting it
    Create(create::CreateArgs),
    /// Show what changed in a container's file system
    Diff(OneArgs),
    /// Run a command in a running container
    Exec(ExecArgs),
    /// Write a container's file system as a tar archive
    Export(ExportArgs),
    /// Show all that is known of containers
    Inspect(InspectArgs),
    /// Send a signal to running containers
    Kill(KillArgs),
    /// Show what a container wrote
    Logs(LogsArgs),
    /// List containers
    #[command(visible_aliases = ["ps", "list"])]
    Ls(PsArgs),
    /// Freeze all processes of containers
    Pause(NamesArgs),
    /// Show where a container's ports are published
    Port(PortArgs),
    /// Remove all stopped containers
    Prune(PruneArgs),
    /// Rename a container
    Rename(RenameArgs),
    /// Restart containers
    Restart(RestartArgs),
    /// Remove containers
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
    /// Create a container from an image and run a command in it
    Run(create::RunArgs),
    /// Start stopped containers
    Start(StartArgs),
    /// Watch what containers use
    Stats(StatsArgs),
    /// Stop running containers
    Stop(StopArgs),
    /// List the processes of a container
    Top(TopArgs),
    /// Let frozen containers go on
    Unpause(NamesArgs),
    /// Change limits or the restart policy of containers
    Update(UpdateArgs),
    /// Wait until containers stop, then print their exit codes
    Wait(NamesArgs),
}

// One or more containers and nothing else.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist pause web db && hoist unpause web db")]
pub struct NamesArgs {
    /// Names or ids
    #[arg(value_name = "CONTAINER", required = true)]
    pub containers: Vec<String>,
}

// One container and nothing else.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist diff web")]
pub struct OneArgs {
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hoist ps -a                                    stopped ones too
  hoist ps -q --filter status=exited             ids of those that ended
  hoist ps --format 'table {{.Names}}\\t{{.Ports}}'")]
pub struct PsArgs {
    /// Show all, not only running ones
    #[arg(short, long)]
    pub all: bool,
    /// Only those that match, such as status=exited, label=KEY=VALUE, name=TEXT, network=NAME, health=healthy
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,
    #[command(flatten)]
    pub format: ListFormat,
    /// Show the last N created, whatever their state
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true)]
    pub last: Option<i64>,
    /// Show the last one created, whatever its state
    #[arg(short, long)]
    pub latest: bool,
    /// Show whole ids and commands
    #[arg(long)]
    pub no_trunc: bool,
    /// Show ids only
    #[arg(short, long)]
    pub quiet: bool,
    /// Show the sizes of file systems
    #[arg(short, long)]
    pub size: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist attach web        (leave it running with ctrl-p ctrl-q)")]
pub struct AttachArgs {
    /// Keys that detach, such as ctrl-a,d
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// Do not connect standard input
    #[arg(long)]
    pub no_stdin: bool,
    /// Pass signals on to the container
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    pub sig_proxy: bool,
    /// What was written before comes first.
    #[arg(skip)]
    pub logs: bool,
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist commit -c 'CMD [\"nginx\"]' -m 'with my page' web mypage:2")]
pub struct CommitArgs {
    /// Who made it
    #[arg(short, long, value_name = "TEXT")]
    pub author: Option<String>,
    /// Dockerfile instruction applied to the image
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    pub changes: Vec<String>,
    /// What changed
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
    /// Do not freeze the container meanwhile
    #[arg(long)]
    pub no_pause: bool,
    /// Freeze the container meanwhile
    #[arg(short, long, hide = true, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    pub pause: bool,
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Name of the new image
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub image: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "hoist cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n       hoist cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    after_help = "Examples:
  hoist cp web:/etc/nginx/nginx.conf .     out of a container
  hoist cp page/. web:/usr/share/html      the contents of a directory into it
  hoist cp web:/var/log - | tar tv         as a tar archive"
)]
pub struct CpArgs {
    /// Keep owners of files
    #[arg(short, long)]
    pub archive: bool,
    /// Copy what a symbolic link points to, not the link
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    /// Say nothing about the copy
    #[arg(short, long)]
    pub quiet: bool,
    #[arg(value_name = "SRC", allow_hyphen_values = true)]
    pub source: String,
    #[arg(value_name = "DEST", allow_hyphen_values = true)]
    pub destination: String,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "hoist exec [OPTIONS] CONTAINER COMMAND [ARG...]",
    after_help = "Examples:\n  hoist exec -it web sh\n  hoist exec -e DEBUG=1 -w /srv web ./migrate --dry-run"
)]
pub struct ExecArgs {
    /// Run in the background
    #[arg(short, long)]
    pub detach: bool,
    /// Keys that detach, such as ctrl-a,d
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// Set an environment variable; without a value, pass on this shell's
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// File of environment variables
    #[arg(long = "env-file", value_name = "FILE")]
    pub env_files: Vec<PathBuf>,
    /// Keep standard input open
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the command all privileges
    #[arg(long)]
    pub privileged: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// User: NAME or UID, and :GROUP or :GID
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// Directory to run in
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Container, command, arguments
    #[arg(value_name = "CONTAINER", required = true, trailing_var_arg = true)]
    pub words: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist export -o web.tar web")]
pub struct ExportArgs {
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist container inspect -f '{{.State.Status}}' web")]
pub struct InspectArgs {
    /// json or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Show the sizes of file systems
    #[arg(short, long)]
    pub size: bool,
    /// Names or ids
    #[arg(value_name = "CONTAINER", required = true)]
    pub containers: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist kill -s HUP web")]
pub struct KillArgs {
    /// Signal to send [default: KILL]
    #[arg(short, long, value_name = "SIGNAL")]
    pub signal: Option<String>,
    /// Names or ids
    #[arg(value_name = "CONTAINER", required = true)]
    pub containers: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hoist logs -f --tail 20 web\n  hoist logs --since 10m -t web")]
pub struct LogsArgs {
    /// Show attributes given to the log driver
    #[arg(long)]
    pub details: bool,
    /// Go on as more is written
    #[arg(short, long)]
    pub follow: bool,
    /// From this time on: 2026-01-02T13:23:37Z, or 42m ago
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Number of lines from the end
    #[arg(short = 'n', long, value_name = "N", default_value = "all", allow_hyphen_values = true)]
    pub tail: String,
    /// Show when each line was written
    #[arg(short, long)]
    pub timestamps: bool,
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist port web 80/tcp")]
pub struct PortArgs {
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Only this port of the container
    #[arg(value_name = "PORT[/PROTO]")]
    pub port: Option<String>,
}

// `prune` of containers and networks.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist container prune --filter until=24h")]
pub struct PruneArgs {
    /// Only those that match, such as until=24h or label=KEY
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist rename web web-old")]
pub struct RenameArgs {
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    #[arg(value_name = "NEW_NAME")]
    pub name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist restart -t 30 db")]
pub struct RestartArgs {
    /// Signal that asks it to stop
    #[arg(short, long, value_name = "SIGNAL")]
    pub signal: Option<String>,
    /// Seconds to wait before killing; -1 waits for ever
    #[arg(short, long, visible_alias = "time", value_name = "SECONDS", allow_negative_numbers = true)]
    pub timeout: Option<i64>,
    /// Names or ids
    #[arg(value_name = "CONTAINER", required = true)]
    pub containers: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist stop -t 30 db")]
pub struct StopArgs {
    /// Signal that asks it to stop
    #[arg(short, long, value_name = "SIGNAL")]
    pub signal: Option<String>,
    /// Seconds to wait before killing; -1 waits for ever
    #[arg(short, long, visible_alias = "time", value_name = "SECONDS", allow_negative_numbers = true)]
    pub timeout: Option<i64>,
    /// Names or ids
    #[arg(value_name = "CONTAINER", required = true)]
    pub containers: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist rm -f $(hoist ps -aq)")]
pub struct RmArgs {
    /// Kill running ones first; no error when there is no such container
    #[arg(short, long)]
    pub force: bool,
    /// Remove the link of that name, not the container
    #[arg(short, long)]
    pub link: bool,
    /// Remove anonymous volumes too
    #[arg(short, long)]
    pub volumes: bool,
    /// Names or ids
    #[arg(value_name = "CONTAINER", required = true)]
    pub containers: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hoist start -ai builder\n  hoist start --checkpoint before-lunch web")]
pub struct StartArgs {
    /// Show its output and pass signals on
    #[arg(short, long)]
    pub attach: bool,
    /// Go on from this checkpoint instead of starting the command
    #[arg(long, value_name = "NAME")]
    pub checkpoint: Option<String>,
    /// It is below this directory of the daemon's machine
    #[arg(long, value_name = "DIR", requires = "checkpoint")]
    pub checkpoint_dir: Option<String>,
    /// Keys that detach, such as ctrl-a,d
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// Connect standard input
    #[arg(short, long)]
    pub interactive: bool,
    /// Names or ids
    #[arg(value_name = "CONTAINER", required = true)]
    pub containers: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist stats --no-stream")]
pub struct StatsArgs {
    /// Show stopped ones too
    #[arg(short, long)]
    pub all: bool,
    #[command(flatten)]
    pub format: ListFormat,
    /// Show one result and end
    #[arg(long)]
    pub no_stream: bool,
    /// Show whole ids
    #[arg(long)]
    pub no_trunc: bool,
    /// Names or ids; all running ones when none is given
    #[arg(value_name = "CONTAINER")]
    pub containers: Vec<String>,
}

#[derive(Debug, Args)]
#[command(override_usage = "hoist top CONTAINER [PS OPTIONS]", after_help = "Example:\n  hoist top web -o pid,args")]
pub struct TopArgs {
    /// Name or id, then options for ps
    #[arg(value_name = "CONTAINER", required = true, trailing_var_arg = true)]
    pub words: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist update --memory 512m --restart unless-stopped web")]
pub struct UpdateArgs {
    #[command(flatten)]
    pub limits: create::UpdatableLimits,
    /// Policy: no, always, unless-stopped, on-failure[:MAX]
    #[arg(long, value_name = "POLICY")]
    pub restart: Option<String>,
    /// Names or ids
    #[arg(value_name = "CONTAINER", required = true)]
    pub containers: Vec<String>,
}
