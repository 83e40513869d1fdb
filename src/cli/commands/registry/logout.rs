//! `hoist logout`

use super::server;
use crate::cli::{Context, Exit, Outcome, args::registry::LogoutArgs, credentials::Config};

/// Forgets the credentials of a registry.
pub fn run(cx: &Context, args: LogoutArgs) -> Outcome {
    let server = server(args.server.as_deref());
    let mut config = Config::load(&cx.config_dir)?;
    if config.erase(&server)? {
        config.save(&cx.config_dir)?;
        cx.printer.line(format!("Removing login credentials for {server}"))?;
    } else {
        cx.printer.line(format!("Not logged in to {server}"))?;
    }
    Ok(Exit::OK)
}
