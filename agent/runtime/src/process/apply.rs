//! Becoming the process that a plan describes; all of it runs in that process.

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use super::ProcessPlan;
use crate::launch::step::{ResultExt, StepError};
use crate::procfs::Procfs;
use crate::sys;

const PR_CAP_AMBIENT: libc::c_int = 47;
const PR_CAP_AMBIENT_RAISE: u64 = 2;
const PR_CAP_AMBIENT_CLEAR_ALL: u64 = 4;

/// Where commands are looked for when the process's environment has no PATH.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Limits, scheduling and labels: what needs the privileges that are given up next.
pub(crate) fn privileged(plan: &ProcessPlan, proc: &mut Procfs) -> Result<(), StepError> {
    for (resource, limit) in &plan.rlimits {
        // SAFETY: `limit` lives through the call and the old limit is not asked for.
        let result = unsafe { libc::prlimit64(0, *resource, limit, std::ptr::null_mut()) };
        if result != 0 {
            return Err(io::Error::last_os_error())
                .step_with(|| format!("set resource limit {resource} to {}:{}", limit.rlim_cur, limit.rlim_max));
        }
    }
    if let Some((class, level)) = plan.io_priority {
        sys::ioprio_set(class, level).step("set the I/O priority")?;
    }
    if let Some(scheduler) = plan.scheduler {
        sys::sched_setattr(scheduler).step("set the scheduling policy")?;
    }
    super::lsm::set(plan, proc)
}

/// Goes to the working directory, which must lie inside the container.
///
/// Links under /proc that lead to open descriptors are not followed: one of ours could lead outside. A directory
/// that was reached so, or removed, has for the kernel a path that is not absolute.
pub(crate) fn change_directory(cwd: &CStr) -> Result<(), StepError> {
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(cwd.to_bytes()));
    let what = || format!("change to directory {}", path.display());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::openat2(CWD, cwd, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS).step_with(what)?;
    rustix::process::fchdir(&dir).step_with(what)?;
    match rustix::process::getcwd(Vec::new()) {
        Ok(real) if real.as_bytes().first() == Some(&b'/') => Ok(()),
        _ => Err(StepError::invalid(format!("working directory {} is outside of the container", path.display()))),
    }
}

/// Takes the user, the groups and the capabilities. Without `keep_groups`, supplementary groups are set.
pub(crate) fn identity(plan: &ProcessPlan, set_groups: bool) -> Result<(), StepError> {
    let own = sys::capget().step("read capabilities")?;
    for cap in 0..64 {
        if plan.caps.bounding & 1 << cap != 0 {
            continue;
        }
        match sys::prctl(libc::PR_CAPBSET_DROP, cap, 0) {
            Ok(_) => {}
            // The kernel knows no capability of this number, nor of a higher one.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) => return Err(error).step("drop capabilities from the bounding set"),
        }
    }
    if let Some(umask) = plan.umask {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
    }
    if set_groups {
        sys::setgroups(&plan.groups).step("set supplementary groups")?;
    } else if !plan.groups.is_empty() {
        return Err(StepError::invalid(
            "process.user.additionalGids: the container's user namespace does not allow to set groups".into(),
        ));
    }
    sys::setresgid(plan.gid).step_with(|| format!("become group {}", plan.gid))?;
    // Capabilities would be lost with the change from root to another user before they are set below.
    sys::prctl(libc::PR_SET_KEEPCAPS, 1, 0).step("keep capabilities")?;
    sys::setresuid(plan.uid).step_with(|| format!("become user {}", plan.uid))?;
    sys::prctl(libc::PR_SET_KEEPCAPS, 0, 0).step("keep capabilities")?;
    let caps = plan.caps.within(own.permitted);
    sys::capset(sys::CapSets { effective: caps.effective, permitted: caps.permitted, inheritable: caps.inheritable })
        .step("set capabilities")?;
    match sys::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0) {
        Ok(_) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
        Err(error) => return Err(error).step("clear ambient capabilities"),
    }
    for cap in (0..64).filter(|cap| caps.ambient & 1 << cap != 0) {
        sys::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap)
            .step_with(|| format!("raise ambient capability {cap}"))?;
    }
    Ok(())
}

/// Where `execve` will be tried, in this order.
pub(crate) fn candidates(plan: &ProcessPlan) -> Vec<CString> {
    let command = &plan.args[0];
    if command.to_bytes().contains(&b'/') {
        return vec![command.clone()];
    }
    let path =
        plan.env.iter().rev().find_map(|variable| variable.to_bytes().strip_prefix(b"PATH=")).unwrap_or(DEFAULT_PATH);
    path.split(|byte| *byte == b':')
        .map(|dir| {
            let mut full = if dir.is_empty() { b".".to_vec() } else { dir.to_vec() };
            full.push(b'/');
            full.extend_from_slice(command.to_bytes());
            CString::new(full).expect("both parts come from C strings")
        })
        .collect()
}

/// Executes the command; returns only if that fails. A file that is there and cannot be executed is
/// remembered while the search goes on, as `execvp` does.
pub(crate) fn execute(plan: &ProcessPlan) -> StepError {
    let mut failure = (io::Error::from_raw_os_error(libc::ENOENT), plan.args[0].clone());
    for path in candidates(plan) {
        let error = sys::execve(&path, &plan.args, &plan.env);
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) if failure.0.raw_os_error() == Some(libc::ENOENT) => {
                // A file that is there gives ENOENT too when its interpreter is missing.
                if rustix::fs::access(&path, rustix::fs::Access::EXISTS).is_ok() {
                    failure = (error, path);
                    break;
                }
            }
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            Some(libc::EACCES) => failure = (error, path),
            _ => {
                failure = (error, path);
                break;
            }
        }
    }
    StepError::exec(&failure.1.to_string_lossy(), &failure.0)
}

/// Looks for the command as [`execute`] would find it, for a container that is created and started later.
pub(crate) fn check_executable(plan: &ProcessPlan) -> Result<(), StepError> {
    let mut failure = io::Error::from_raw_os_error(libc::ENOENT);
    for path in candidates(plan) {
        match rustix::fs::accessat(rustix::fs::CWD, &path, rustix::fs::Access::EXEC_OK, rustix::fs::AtFlags::EACCESS) {
            Ok(()) => match rustix::fs::stat(&path) {
                Ok(stat) if stat.st_mode & libc::S_IFMT == libc::S_IFREG => return Ok(()),
                _ => failure = io::Error::from_raw_os_error(libc::EACCES),
            },
            Err(rustix::io::Errno::ACCESS) => failure = io::Error::from_raw_os_error(libc::EACCES),
            Err(_) => {}
        }
    }
    Err(StepError::exec(&plan.args[0].to_string_lossy(), &failure))
}
