//! Jobs, the queue they wait in, and what they used.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{
    ListFormat,
    create::{
        CreateFlags, LifecycleFlags, NetworkFlags, ProcessFlags, ResourceFlags, SecurityFlags, StorageFlags,
        WindowsFlags,
    },
};

// `hoist job …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum JobCommand {
    /// Submit a job, follow what it writes, and end with its exit code
    Run(Box<RunArgs>),
    /// Submit a job and print its number
    Submit(Box<SubmitArgs>),
    /// List jobs
    #[command(visible_aliases = ["list", "ps"])]
    Ls(LsArgs),
    /// Show all that is known of jobs
    #[command(visible_alias = "inspect")]
    Show(ShowArgs),
    /// Show what a job wrote
    Logs(LogsArgs),
    /// Connect this terminal to a job that runs
    Attach(OneArgs),
    /// Show the processes of a job
    Top(OneArgs),
    /// Bring ports of a job to this machine, until it ends
    Forward(ForwardArgs),
    /// Jobs that come again and again: list, pause, resume and remove them
    #[command(
        subcommand_required = true,
        arg_required_else_help = true,
        after_help = "Example:\n  hoist job submit --cron '0 3 * * *' --name nightly trainer python eval.py\n  hoist job cron ls"
    )]
    Cron {
        #[command(subcommand)]
        command: CronCommand,
    },
    /// End jobs; those that wait never start
    Cancel(NamesArgs),
    /// Keep waiting jobs from starting
    Hold(NamesArgs),
    /// Let jobs start that were held
    Release(NamesArgs),
    /// Stop jobs that run, or take up jobs that ended, and let them wait again
    Requeue(NamesArgs),
    /// Wait until jobs have ended, then print how
    Wait(NamesArgs),
    /// Forget jobs that have ended, with what they wrote
    #[command(visible_alias = "remove")]
    Rm(NamesArgs),
}

#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "hoist job run [OPTIONS] IMAGE [COMMAND] [ARG...]",
    after_help = "Examples:
  hoist job run --gpus 1 trainer python train.py
  hoist job run -it --gpus 1 --time 2h trainer bash      a shell on a GPU, when one is free
  hoist job run --service train                          a service of the compose file here"
)]
pub struct RunArgs {
    #[command(flatten)]
    pub submit: SubmitFlags,
}

#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "hoist job submit [OPTIONS] IMAGE [COMMAND] [ARG...]",
    after_help = "Examples:
  hoist job submit --gpus 2 --time 4h trainer python train.py
  hoist job submit --array 1-20%4 --gpus 1 trainer sh -c 'python train.py --seed $HOIST_ARRAY_INDEX'
  hoist job submit --tasks 4 --gpus 8 trainer torchrun train.py
  hoist job submit --script train.sh                     with lines such as: #HOIST --image trainer --gpus 1"
)]
pub struct SubmitArgs {
    #[command(flatten)]
    pub submit: SubmitFlags,
}

// What `run` and `submit` share: the job's own flags, and those of `hoist run`.
#[derive(Debug, Clone, Default, Args)]
pub struct SubmitFlags {
    #[command(flatten)]
    pub job: JobFlags,
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
    #[arg(value_name = "IMAGE", trailing_var_arg = true)]
    pub words: Vec<String>,
}

impl SubmitFlags {
    /// The flags that `hoist run` has too.
    pub fn create(&self) -> CreateFlags {
        CreateFlags {
            process: self.process.clone(),
            network: self.network.clone(),
            storage: self.storage.clone(),
            resources: self.resources.clone(),
            security: self.security.clone(),
            lifecycle: self.lifecycle.clone(),
            windows: self.windows.clone(),
            words: self.words.clone(),
        }
    }
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Job")]
pub struct JobFlags {
    /// Tasks that start together or not at all, each with the resources given
    #[arg(long, short = 'N', value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    pub tasks: u32,
    /// How the tasks lie on nodes: packed, one-node or whole-nodes
    #[arg(long, value_name = "LAYOUT", default_value = "packed")]
    pub layout: String,
    /// Only on nodes that meet this, such as node.labels.gpu==a100
    #[arg(long = "constraint", value_name = "CONSTRAINT")]
    pub constraints: Vec<String>,
    /// Partition of the cluster [default: its first]
    #[arg(long, value_name = "NAME")]
    pub partition: Option<String>,
    /// Project that the use counts for
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Higher goes first
    #[arg(long, value_name = "N", default_value = "0", allow_hyphen_values = true)]
    pub priority: i32,
    /// End it after so long, such as 90m; jobs with a limit fill gaps earlier
    #[arg(long, value_name = "DURATION")]
    pub time: Option<String>,
    /// Signal to all tasks before --time is up, such as USR1@5m [default: 60s before]
    #[arg(long, value_name = "SIGNAL[@DURATION]")]
    pub signal: Option<String>,
    /// Time from the stop signal to the kill when it is ended
    #[arg(long, value_name = "DURATION")]
    pub grace: Option<String>,
    /// When it has to wait again (preempted, requeued), write its processes down and go on from there; needs CRIU
    #[arg(long)]
    pub checkpoint: bool,
    /// With --checkpoint: below this directory, which the nodes share [default: each node's own]
    #[arg(long, value_name = "DIR", requires = "checkpoint")]
    pub checkpoint_dir: Option<String>,
    /// Start again so often when it fails
    #[arg(long, value_name = "N", default_value = "0")]
    pub retries: u32,
    /// Start after another job: NUMBER, or success:, failure: or end: before it
    #[arg(long = "after", value_name = "[HOW:]JOB")]
    pub after: Vec<String>,
    /// Not before: a date and time, or a duration from now
    #[arg(long, value_name = "TIME")]
    pub begin: Option<String>,
    /// Give up unless it has started by then
    #[arg(long, value_name = "TIME")]
    pub deadline: Option<String>,
    /// Do not start until it is released
    #[arg(long)]
    pub hold: bool,
    /// Many like jobs: indices such as 1-20 or 1,4,9, and %N for how many at once
    #[arg(long, value_name = "INDICES[%N]")]
    pub array: Option<String>,
    /// Submit it again and again: five fields as cron has them, or @hourly, @daily, @weekly, @monthly, @yearly
    #[arg(long, value_name = "SCHEDULE")]
    pub cron: Option<String>,
    /// In whose time --cron is, such as Europe/Berlin [default: this machine's]
    #[arg(long, value_name = "ZONE", requires = "cron")]
    pub zone: Option<String>,
    /// With --cron: no job while the last one waits or runs
    #[arg(long, requires = "cron")]
    pub no_overlap: bool,
    /// With --cron: one job for the moments at which no manager was there
    #[arg(long, requires = "cron")]
    pub catch_up: bool,
    /// Submit for another user; admins only
    #[arg(long = "for", value_name = "USER")]
    pub for_user: Option<String>,
    /// Run this script; its lines that begin with #HOIST are flags
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Image, where --script has none before its command
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Run a service of a compose file
    #[arg(long, value_name = "SERVICE", conflicts_with = "script")]
    pub service: Option<String>,
    /// The compose file for --service
    #[arg(long, short = 'f', value_name = "FILE")]
    pub file: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist job ls --user ann --state running")]
pub struct LsArgs {
    /// Jobs that have ended too
    #[arg(short, long)]
    pub all: bool,
    /// Only this user's
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Only in this state: pending, running, completed, failed, cancelled or timed_out
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
    #[command(flatten)]
    pub format: ListFormat,
    /// Show numbers only
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist job show 12 --format '{{.State}}'")]
pub struct ShowArgs {
    /// json or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Number, NUMBER_INDEX or name
    #[arg(value_name = "JOB", required = true)]
    pub jobs: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist job logs -f 12")]
pub struct LogsArgs {
    /// Go on as more is written
    #[arg(short, long)]
    pub follow: bool,
    /// Number of lines from the end
    #[arg(short = 'n', long, value_name = "N", default_value = "all", allow_hyphen_values = true)]
    pub tail: String,
    /// Show when each line was written
    #[arg(short, long)]
    pub timestamps: bool,
    /// Only this task of several, from 0
    #[arg(long, value_name = "RANK")]
    pub rank: Option<u32>,
    /// Number, NUMBER_INDEX or name
    #[arg(value_name = "JOB")]
    pub job: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist job attach --rank 1 12")]
pub struct OneArgs {
    /// Which task of several, from 0
    #[arg(long, value_name = "RANK", default_value = "0")]
    pub rank: u32,
    /// Number, NUMBER_INDEX or name
    #[arg(value_name = "JOB")]
    pub job: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist job forward 12 9000:8888")]
pub struct ForwardArgs {
    /// Which task of several, from 0
    #[arg(long, value_name = "RANK", default_value = "0")]
    pub rank: u32,
    /// Number, NUMBER_INDEX or name
    #[arg(value_name = "JOB")]
    pub job: String,
    /// Ports: of the job, and before that where it is here
    #[arg(value_name = "[[IP:]PORT:]PORT", required = true)]
    pub ports: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum CronCommand {
    /// List them, with when they come next
    #[command(visible_alias = "list")]
    Ls(CronLsArgs),
    /// Make no more jobs until it is resumed
    Pause(CronNamesArgs),
    /// Make jobs again, from now on
    Resume(CronNamesArgs),
    /// Take them away; the jobs that were made stay
    #[command(visible_alias = "remove")]
    Rm(CronNamesArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist job cron ls --format '{{.Name}} {{.Next}}'")]
pub struct CronLsArgs {
    #[command(flatten)]
    pub format: ListFormat,
    /// Show names only
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist job cron pause nightly")]
pub struct CronNamesArgs {
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist job cancel 12 13_4 train")]
pub struct NamesArgs {
    /// Number (of an array, all of it), NUMBER_INDEX or name
    #[arg(value_name = "JOB", required = true)]
    pub jobs: Vec<String>,
}

// `hoist queue`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hoist queue                      who waits for what, and until when
  hoist queue rules                the queue's rules as YAML
  hoist queue rules lab.yaml       set them")]
pub struct QueueArgs {
    #[command(subcommand)]
    pub command: Option<QueueCommand>,
    #[command(flatten)]
    pub format: ListFormat,
}

#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// Show the rules, or set them from a YAML file: partitions, shares, quotas, reservations
    Rules {
        /// File with the rules; - is standard input
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

// `hoist usage`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hoist usage --since 2026-11-01
  hoist usage --by project --format csv")]
pub struct UsageArgs {
    /// Sum by user, project or day
    #[arg(long, value_name = "WHAT", default_value = "user", value_parser = ["user", "project", "day"])]
    pub by: String,
    /// From this day on: YYYY-MM-DD
    #[arg(long, value_name = "DAY")]
    pub since: Option<String>,
    /// Up to and with this day
    #[arg(long, value_name = "DAY")]
    pub until: Option<String>,
    /// table, json, csv, 'table TEMPLATE' or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
}
