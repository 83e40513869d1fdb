//! Labels of Linux security modules: checked where the host can be seen, set where the process is.

use std::io;
use std::path::Path;

use super::ProcessPlan;
use crate::launch::LaunchError;
use crate::launch::step::{ResultExt, StepError};
use crate::procfs::Procfs;
use crate::sys;

/// Refuses a label for a module that the kernel does not have, or has not enabled.
pub(crate) fn check(plan: &ProcessPlan) -> Result<(), LaunchError> {
    if let Some(profile) = &plan.apparmor
        && !std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"))
    {
        return Err(LaunchError::Invalid(format!("process.apparmorProfile {profile:?}: the kernel has no AppArmor")));
    }
    if let Some(label) = &plan.selinux
        && !Path::new("/sys/fs/selinux/enforce").exists()
    {
        return Err(LaunchError::Invalid(format!("process.selinuxLabel {label:?}: the kernel has no SELinux")));
    }
    Ok(())
}

/// Sets the labels that the process gets with its next `execve`.
pub(crate) fn set(plan: &ProcessPlan, proc: &mut Procfs) -> Result<(), StepError> {
    if let Some(profile) = &plan.apparmor {
        // Before 5.8 the modules shared one file.
        let own = "self/attr/apparmor/exec";
        let file = if proc.exists(own) { own } else { "self/attr/exec" };
        write(proc, file, &format!("exec {profile}")).step_with(|| format!("apply AppArmor profile {profile:?}"))?;
    }
    if let Some(label) = &plan.selinux {
        write(proc, "self/attr/exec", label).step_with(|| format!("apply SELinux label {label:?}"))?;
    }
    Ok(())
}

fn write(proc: &mut Procfs, file: &str, text: &str) -> io::Result<()> {
    match proc.write(file, text.as_bytes()) {
        // The files of a process that may not be traced belong to the host's root, which this process is not in a
        // user namespace. It becomes an ordinary one for the moment of the write.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            sys::prctl(libc::PR_SET_DUMPABLE, 1, 0)?;
            let result = proc.write(file, text.as_bytes());
            sys::prctl(libc::PR_SET_DUMPABLE, 0, 0)?;
            result
        }
        other => other,
    }
}
