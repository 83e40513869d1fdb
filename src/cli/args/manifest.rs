//! Commands on manifest lists: several platforms' images under one name.

use clap::{Args, Subcommand};

// `hoist manifest …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum ManifestCommand {
    /// Say what an image of a list is for
    Annotate(AnnotateArgs),
    /// Make a list of images that registries have, to annotate and push
    Create(CreateArgs),
    /// Show a manifest, or a list that was made here
    Inspect(InspectArgs),
    /// Send a list to its registry
    Push(PushArgs),
    /// Forget lists that were made here
    Rm(RmArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  hoist manifest annotate --arch arm64 --variant v8 registry.example.com/app:1 registry.example.com/app:1-arm64")]
pub struct AnnotateArgs {
    /// Architecture, in Go's names
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,
    /// Operating system, in Go's names
    #[arg(long, value_name = "OS")]
    pub os: Option<String>,
    /// Feature that the operating system must have
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    pub os_features: Vec<String>,
    /// Version that the operating system must have
    #[arg(long, value_name = "VERSION")]
    pub os_version: Option<String>,
    /// Variant of the architecture, such as v7
    #[arg(long, value_name = "VARIANT")]
    pub variant: Option<String>,
    #[arg(value_name = "MANIFEST_LIST")]
    pub list: String,
    #[arg(value_name = "MANIFEST")]
    pub manifest: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  hoist manifest create registry.example.com/app:1 registry.example.com/app:1-amd64 registry.example.com/app:1-arm64")]
pub struct CreateArgs {
    /// Add to a list that is there already
    #[arg(short, long)]
    pub amend: bool,
    /// Speak plain HTTP, or TLS without checks, with the registry
    #[arg(long)]
    pub insecure: bool,
    #[arg(value_name = "MANIFEST_LIST")]
    pub list: String,
    #[arg(value_name = "MANIFEST", required = true)]
    pub manifests: Vec<String>,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "hoist manifest inspect [OPTIONS] [MANIFEST_LIST] MANIFEST",
    after_help = "Example:\n  hoist manifest inspect -v busybox:latest"
)]
pub struct InspectArgs {
    /// Speak plain HTTP, or TLS without checks, with the registry
    #[arg(long)]
    pub insecure: bool,
    /// Show also digests, platforms and layers
    #[arg(short, long)]
    pub verbose: bool,
    #[arg(value_name = "MANIFEST", required = true, num_args = 1..=2)]
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist manifest push --purge registry.example.com/app:1")]
pub struct PushArgs {
    /// Speak plain HTTP, or TLS without checks, with the registry
    #[arg(long)]
    pub insecure: bool,
    /// Forget the list here once it is pushed
    #[arg(short, long)]
    pub purge: bool,
    #[arg(value_name = "MANIFEST_LIST")]
    pub list: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist manifest rm registry.example.com/app:1")]
pub struct RmArgs {
    #[arg(value_name = "MANIFEST_LIST", required = true)]
    pub lists: Vec<String>,
}
