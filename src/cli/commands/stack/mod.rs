//! Commands on stacks: compose files on the cluster.
//!
//! A stack is a project: it is deployed by the same way as `hoist up` goes. Services that other clients have made with a
//! stack's label are listed and removed too.

pub mod config;
pub mod deploy;
pub mod ls;
pub mod ps;
pub mod rm;
pub mod services;

use crate::{
    api::dto::service as dto,
    cli::{
        Context,
        client::filters,
        commands::{compose::ProjectArgs, service::ls as services_ls},
        failure::Failure,
        progress::Mode,
    },
};

/// The label by which what belongs to a stack is known.
pub const NAMESPACE: &str = "com.docker.stack.namespace";

/// A filter on what belongs to a stack.
fn label(stack: &str) -> String {
    format!("label={NAMESPACE}={stack}")
}

/// The services of a stack.
async fn services_of(cx: &Context, stack: &str) -> Result<Vec<dto::Service>, Failure> {
    services_ls::list(cx, filters(&[label(stack)])?).await
}

/// The files that flags name.
fn project_args(files: &[std::path::PathBuf], stack: Option<&str>, quiet: bool) -> ProjectArgs {
    ProjectArgs {
        files: files.to_vec(),
        project_name: stack.map(str::to_owned),
        progress: quiet.then_some(Mode::Quiet),
        ..ProjectArgs::default()
    }
}

fn nothing_in(stack: &str) -> Failure {
    Failure::new(format!("nothing found in stack: {stack}"))
}
