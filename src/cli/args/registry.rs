//! Commands on registries.

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pass show registry | hoist login -u me --password-stdin registry.example.com")]
pub struct LoginArgs {
    /// Password or access token; other people on this machine can read it here
    #[arg(short, long, value_name = "TEXT")]
    pub password: Option<String>,
    /// Read the password from standard input
    #[arg(long, conflicts_with = "password")]
    pub password_stdin: bool,
    #[arg(short, long, value_name = "NAME")]
    pub username: Option<String>,
    /// Registry [default: Docker Hub]
    #[arg(value_name = "SERVER")]
    pub server: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist logout registry.example.com")]
pub struct LogoutArgs {
    /// Registry [default: Docker Hub]
    #[arg(value_name = "SERVER")]
    pub server: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist search --filter is-official=true nginx")]
pub struct SearchArgs {
    /// Only those that match, such as is-official=true or stars=3
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,
    /// table, json, 'table TEMPLATE' or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// At most this many
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
    /// Show whole descriptions
    #[arg(long)]
    pub no_trunc: bool,
    #[arg(value_name = "TERM")]
    pub term: String,
}
