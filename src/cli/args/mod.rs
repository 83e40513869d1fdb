//! What can be typed: one file a noun, Docker's names and flags.

pub mod build;
pub mod checkpoint;
pub mod container;
pub mod context;
pub mod create;
pub mod device;
pub mod file;
pub mod gpu;
pub mod image;
pub mod job;
pub mod lab;
pub mod manifest;
pub mod network;
pub mod node;
pub mod plugin;
pub mod registry;
pub mod service;
pub mod stack;
pub mod swarm;
pub mod system;
pub mod volume;

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::daemon::DaemonFlags;

/// Containers, images, Compose and a cluster in one program
#[derive(Debug, Parser)]
#[command(
    name = "hoist",
    version,
    disable_version_flag = true,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    override_usage = "hoist [OPTIONS] COMMAND",
    after_help = "Examples:
  hoist up                          run the compose file of this directory
  hoist run --rm -it busybox        a shell in a new container
  hoist ps -a                       all containers
  hoist COMMAND --help              what a command can do, with an example"
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

// What comes before the command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Daemon to talk to: unix://PATH or tcp://HOST:PORT [env: HOIST_HOST, DOCKER_HOST]
    #[arg(short = 'H', long, value_name = "HOST")]
    pub host: Option<String>,
    /// Context to use instead of the current one [env: HOIST_CONTEXT, DOCKER_CONTEXT]
    #[arg(short = 'c', long, value_name = "CONTEXT")]
    pub context: Option<String>,
    /// Show the daemon at tcp:// a certificate, and check its own [env: DOCKER_TLS_VERIFY]
    #[arg(long)]
    pub tlsverify: bool,
    /// Authority that vouches for the daemon [default: ca.pem of DOCKER_CERT_PATH or ~/.docker]
    #[arg(long, value_name = "FILE", hide = true)]
    pub tlscacert: Option<PathBuf>,
    /// Certificate to show [default: cert.pem]
    #[arg(long, value_name = "FILE", hide = true)]
    pub tlscert: Option<PathBuf>,
    /// Its private key [default: key.pem]
    #[arg(long, value_name = "FILE", hide = true)]
    pub tlskey: Option<PathBuf>,
    /// Data root of the daemon that is started when none runs
    #[arg(long, value_name = "DIR", env = "HOIST_DATA_ROOT", default_value = "/var/lib/hoist", hide = true)]
    pub data_root: PathBuf,
    /// Run root of the daemon: its socket is there
    #[arg(long, value_name = "DIR", env = "HOIST_RUN_ROOT", default_value = "/run/hoist", hide = true)]
    pub run_root: PathBuf,
    /// Directory of config.json with registry credentials [default: ~/.docker]
    #[arg(long, value_name = "DIR", env = "DOCKER_CONFIG", hide_env = true)]
    pub config: Option<PathBuf>,
    /// Print the version
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
}

macro_rules! top_level {
    ($($(#[$meta:meta])* $name:ident $payload:tt,)*) => {
        /// A command.
        #[derive(Debug, Subcommand)]
        #[command(defer = true)]
        pub enum Command {
            $($(#[$meta])* $name $payload,)*
        }
    };
}

top_level! {
    /// Run a compose file: create and start its services
    #[command(display_order = 1)]
    Up(super::commands::compose::UpCommand),
    /// Stop and remove what `up` made
    #[command(display_order = 1)]
    Down(super::commands::compose::DownCommand),
    /// Rebuild and refresh services when their files change
    #[command(display_order = 1)]
    Watch(super::commands::compose::WatchCommand),
    /// All commands for compose projects
    #[command(display_order = 1)]
    Compose(super::commands::compose::ComposeArgs),

    /// Work that waits for its turn: submit, list, follow and end jobs
    #[command(display_order = 1)]
    Job { #[command(subcommand)] command: job::JobCommand },
    /// Who waits for what, and the queue's rules
    #[command(display_order = 1)]
    Queue(job::QueueArgs),
    /// GPUs of all nodes: what they do, who holds them, what is wrong with them
    #[command(
        display_order = 1,
        subcommand_required = true,
        arg_required_else_help = true,
        after_help = "Example:\n  hoist gpu top"
    )]
    Gpu { #[command(subcommand)] command: gpu::GpuCommand },
    /// Device and processor hours by user, project or day
    #[command(display_order = 1)]
    Usage(job::UsageArgs),

    /// Create a container from an image and run a command in it
    #[command(display_order = 2)]
    Run(create::RunArgs),
    /// Run a command in a running container
    #[command(display_order = 2)]
    Exec(container::ExecArgs),
    /// List containers
    #[command(display_order = 2)]
    Ps(container::PsArgs),
    /// Show what a container wrote
    #[command(display_order = 2)]
    Logs(container::LogsArgs),
    /// Create a container without starting it
    #[command(display_order = 3)]
    Create(create::CreateArgs),
    /// Start stopped containers
    #[command(display_order = 3)]
    Start(container::StartArgs),
    /// Stop running containers
    #[command(display_order = 3)]
    Stop(container::StopArgs),
    /// Restart containers
    #[command(display_order = 3)]
    Restart(container::RestartArgs),
    /// Send a signal to running containers
    #[command(display_order = 3)]
    Kill(container::KillArgs),
    /// Freeze all processes of containers
    #[command(display_order = 3)]
    Pause(container::NamesArgs),
    /// Let frozen containers go on
    #[command(display_order = 3)]
    Unpause(container::NamesArgs),
    /// Wait until containers stop, then print their exit codes
    #[command(display_order = 3)]
    Wait(container::NamesArgs),
    /// Remove containers
    #[command(display_order = 3)]
    Rm(container::RmArgs),
    /// Rename a container
    #[command(display_order = 3)]
    Rename(container::RenameArgs),
    /// Change limits or the restart policy of containers
    #[command(display_order = 3)]
    Update(container::UpdateArgs),
    /// Connect this terminal to a running container
    #[command(display_order = 3)]
    Attach(container::AttachArgs),
    /// Copy files between a container and this machine
    #[command(display_order = 3)]
    Cp(container::CpArgs),
    /// Show what changed in a container's file system
    #[command(display_order = 3)]
    Diff(container::OneArgs),
    /// Write a container's file system as a tar archive
    #[command(display_order = 3)]
    Export(container::ExportArgs),
    /// Make an image of a container's changes
    #[command(display_order = 3)]
    Commit(container::CommitArgs),
    /// Show all that is known of containers, images, networks or volumes
    #[command(display_order = 3)]
    Inspect(system::InspectArgs),
    /// List the processes of a container
    #[command(display_order = 3)]
    Top(container::TopArgs),
    /// Watch what containers use
    #[command(display_order = 3)]
    Stats(container::StatsArgs),
    /// Show where a container's ports are published
    #[command(display_order = 3)]
    Port(container::PortArgs),

    /// Build an image from a Dockerfile
    #[command(display_order = 4)]
    Build(Box<build::BuildArgs>),
    /// Build several targets of a file in HCL, JSON or Compose's form
    #[command(display_order = 4)]
    Bake(Box<build::BakeArgs>),
    /// List images
    #[command(display_order = 4)]
    Images(image::LsArgs),
    /// Fetch an image from a registry
    #[command(display_order = 4)]
    Pull(image::PullArgs),
    /// Send an image to a registry
    #[command(display_order = 4)]
    Push(image::PushArgs),
    /// Remove images
    #[command(display_order = 4)]
    Rmi(image::RmArgs),
    /// Give an image a further name
    #[command(display_order = 4)]
    Tag(image::TagArgs),
    /// Write images to a tar archive
    #[command(display_order = 4)]
    Save(image::SaveArgs),
    /// Read images from a tar archive
    #[command(display_order = 4)]
    Load(image::LoadArgs),
    /// Make an image of a file system in a tar archive
    #[command(display_order = 4)]
    Import(image::ImportArgs),
    /// Show the steps that made an image
    #[command(display_order = 4)]
    History(image::HistoryArgs),
    /// Search Docker Hub for images
    #[command(display_order = 4, hide = true)]
    Search(registry::SearchArgs),
    /// Log in to a registry
    #[command(display_order = 4)]
    Login(registry::LoginArgs),
    /// Log out of a registry
    #[command(display_order = 4)]
    Logout(registry::LogoutArgs),

    /// Manage containers
    #[command(display_order = 5, subcommand_required = true, arg_required_else_help = true)]
    Container {
        #[command(subcommand)]
        command: container::ContainerCommand,
    },
    /// Manage images
    #[command(display_order = 5, subcommand_required = true, arg_required_else_help = true)]
    Image {
        #[command(subcommand)]
        command: image::ImageCommand,
    },
    /// Manage builds
    #[command(display_order = 5, subcommand_required = true, arg_required_else_help = true)]
    Builder {
        #[command(subcommand)]
        command: build::BuilderCommand,
    },
    /// Build as Docker's plugin of this name does
    #[command(display_order = 5, hide = true, subcommand_required = true, arg_required_else_help = true)]
    Buildx {
        #[command(subcommand)]
        command: build::BuildxCommand,
    },
    /// Manage lists of images for several platforms
    #[command(display_order = 5, subcommand_required = true, arg_required_else_help = true)]
    Manifest {
        #[command(subcommand)]
        command: manifest::ManifestCommand,
    },
    /// Manage networks
    #[command(display_order = 5, subcommand_required = true, arg_required_else_help = true)]
    Network {
        #[command(subcommand)]
        command: network::NetworkCommand,
    },
    /// Manage volumes
    #[command(display_order = 5, subcommand_required = true, arg_required_else_help = true)]
    Volume {
        #[command(subcommand)]
        command: volume::VolumeCommand,
    },
    /// Manage plugins, of which there are none
    #[command(display_order = 5, hide = true, subcommand_required = true, arg_required_else_help = true)]
    Plugin {
        #[command(subcommand)]
        command: plugin::PluginCommand,
    },
    /// Manage checkpoints: processes of containers, written to the disk
    #[command(display_order = 5, subcommand_required = true, arg_required_else_help = true)]
    Checkpoint {
        #[command(subcommand)]
        command: checkpoint::CheckpointCommand,
    },
    /// Manage the cluster that this machine is in
    #[command(display_order = 5, subcommand_required = true, arg_required_else_help = true)]
    Swarm {
        #[command(subcommand)]
        command: swarm::SwarmCommand,
    },
    /// Manage the cluster's machines
    #[command(display_order = 5, subcommand_required = true, arg_required_else_help = true)]
    Node {
        #[command(subcommand)]
        command: node::NodeCommand,
    },
    /// Manage services of the cluster
    #[command(display_order = 5, subcommand_required = true, arg_required_else_help = true)]
    Service {
        #[command(subcommand)]
        command: service::ServiceCommand,
    },
    /// Manage stacks: compose files on the cluster
    #[command(display_order = 5, subcommand_required = true, arg_required_else_help = true)]
    Stack {
        #[command(subcommand)]
        command: stack::StackCommand,
    },
    /// Manage secrets of the cluster
    #[command(display_order = 5, subcommand_required = true, arg_required_else_help = true)]
    Secret {
        #[command(subcommand)]
        command: file::SecretCommand,
    },
    /// Manage configs of the cluster
    #[command(display_order = 5, subcommand_required = true, arg_required_else_help = true)]
    Config {
        #[command(subcommand)]
        command: file::ConfigCommand,
    },
    /// Say why a task is where it is, or why it waits
    #[command(display_order = 5)]
    Explain(service::ExplainArgs),
    /// Manage devices: GPUs and whatever else a node has to give
    #[command(display_order = 5, subcommand_required = true, arg_required_else_help = true)]
    Device {
        #[command(subcommand)]
        command: device::DeviceCommand,
    },
    /// Manage Hoist itself
    #[command(display_order = 5, subcommand_required = true, arg_required_else_help = true)]
    System {
        #[command(subcommand)]
        command: system::SystemCommand,
    },
    /// Make a cluster of namespaces on this machine, and break it
    #[command(display_order = 5, subcommand_required = true, arg_required_else_help = true)]
    Lab {
        #[command(subcommand)]
        command: lab::LabCommand,
    },
    /// Manage contexts: daemons by name
    #[command(display_order = 5, subcommand_required = true, arg_required_else_help = true)]
    Context {
        #[command(subcommand)]
        command: context::ContextCommand,
    },
    /// Show what the daemon is and has
    #[command(display_order = 5)]
    Info(system::InfoArgs),
    /// Show the versions of this program and of the daemon
    #[command(display_order = 5)]
    Version(system::VersionArgs),
    /// Watch what happens
    #[command(display_order = 5)]
    Events(system::EventsArgs),
    /// Run the daemon
    #[command(display_order = 6)]
    Daemon(Box<DaemonFlags>),
    /// The OCI runtime: create, start, state, kill, delete, …
    #[command(display_order = 6, disable_help_flag = true)]
    Oci(OciArgs),
    /// Print a completion script for a shell
    #[command(display_order = 6)]
    Completion(CompletionArgs),
}

// Taken as they are by the OCI runtime's own command line.
#[derive(Debug, Args)]
pub struct OciArgs {
    #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist completion bash > /etc/bash_completion.d/hoist")]
pub struct CompletionArgs {
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

// `--format` of a list.
#[derive(Debug, Clone, Default, Args)]
pub struct ListFormat {
    /// table, json, 'table TEMPLATE' or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
}
