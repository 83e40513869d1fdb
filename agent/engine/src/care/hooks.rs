//! Commands run in a container at moments of its life.

use hoist_proto::spec::Hook;

use crate::container::Handle;
use crate::exec::Run;
use crate::inner::Inner;
use crate::model::ExecSpec;
use crate::{EngineError, Result};

/// How much of a failed hook's output is told.
const OUTPUT: usize = 1024;

impl Inner {
    /// Runs them one after the other; the first that fails ends it.
    pub(crate) async fn run_hooks(&self, handle: &Handle, hooks: &[Hook], moment: &str) -> Result<()> {
        for hook in hooks {
            let spec = ExecSpec {
                command: hook.command.clone(),
                env: hook.env.clone(),
                user: hook.user.clone(),
                working_dir: hook.working_dir.clone(),
                privileged: hook.privileged,
                ..ExecSpec::default()
            };
            let (code, output) = Run::start(self, handle, &spec).await?.finish(OUTPUT).await?;
            if code != 0 {
                return Err(EngineError::Conflict(format!(
                    "{moment} hook {:?} ended with exit code {code}: {}",
                    hook.command.join(" "),
                    output.trim_end()
                )));
            }
        }
        Ok(())
    }
}
