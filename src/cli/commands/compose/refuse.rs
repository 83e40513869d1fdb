//! What these commands do not do yet, said by name before anything is changed.

use hoist_compose::model::Project;

use super::args_up::{MakeArgs, PullChoice};
use crate::cli::failure::Failure;

/// Refuses to build: flags that ask for it.
pub fn what_make_cannot(project: &Project, make: &MakeArgs) -> Result<(), Failure> {
    if make.build || make.pull == PullChoice::Build {
        let flag = if make.build { "--build" } else { "--pull build" };
        let builds: Vec<&str> = project
            .services
            .iter()
            .filter(|(_, service)| service.build.is_some())
            .map(|(name, _)| name.as_str())
            .collect();
        if !builds.is_empty() {
            return Err(Failure::new(format!(
                "{flag}: building images is not supported yet (services {})",
                builds.join(", ")
            ))
            .hint("build the image elsewhere, `hoist load` or `hoist pull` it, and name it with `image:`"));
        }
    }
    Ok(())
}

pub fn build() -> Failure {
    Failure::new("building images is not supported yet")
        .hint("build the image elsewhere, `hoist load` or `hoist pull` it, and name it with `image:`")
}

pub fn watch() -> Failure {
    Failure::new("watching sources is not supported yet")
}
