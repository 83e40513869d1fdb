//! What a process is to be, decided before it exists.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use oci_spec::runtime::{
    IOPriorityClass, LinuxMemoryPolicy, LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy,
    MemoryPolicyFlagType, MemoryPolicyModeType, PosixRlimitType, Process, Scheduler,
};

use super::caps::CapPlan;
use crate::launch::{LaunchError, TerminalSize};
use crate::sys::SchedAttr;

/// Everything about a process except its container.
#[derive(Debug, Clone)]
pub(crate) struct ProcessPlan {
    pub args: Vec<CString>,
    pub env: Vec<CString>,
    pub cwd: CString,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub umask: Option<u32>,
    /// `None`: the spec says nothing, so the process has none.
    pub caps: CapPlan,
    pub rlimits: Vec<(u32, libc::rlimit64)>,
    pub no_new_privileges: bool,
    pub apparmor: Option<String>,
    pub selinux: Option<String>,
    pub oom_score_adj: Option<i32>,
    pub io_priority: Option<(u32, u32)>,
    pub scheduler: Option<SchedAttr>,
    pub terminal: bool,
    pub console_size: Option<TerminalSize>,
    /// Processors before and after the move to the container's cgroup; for further processes only.
    pub affinity: (Vec<u64>, Vec<u64>),
}

fn invalid(text: impl Into<String>) -> LaunchError {
    LaunchError::Invalid(text.into())
}

fn c_string(what: &str, text: &[u8]) -> Result<CString, LaunchError> {
    CString::new(text).map_err(|_| invalid(format!("{what} has a zero byte in it")))
}

impl ProcessPlan {
    /// Reads and checks the `process` part of a spec.
    pub(crate) fn new(process: &Process) -> Result<Self, LaunchError> {
        let args = process.args().as_deref().unwrap_or_default();
        if args.is_empty() {
            return Err(invalid("process.args is empty"));
        }
        if args[0].is_empty() {
            return Err(LaunchError::NotFound {
                command: "\"\"".into(),
                source: std::io::Error::from_raw_os_error(libc::ENOENT),
            });
        }
        let c_strings = |what: &str, list: &[String]| -> Result<Vec<CString>, LaunchError> {
            list.iter().map(|text| c_string(what, text.as_bytes())).collect()
        };
        let cwd: &OsStr = process.cwd().as_os_str();
        if !process.cwd().is_absolute() {
            return Err(invalid(format!("process.cwd {:?} is not an absolute path", process.cwd())));
        }
        let user = process.user();
        let umask = user.umask();
        if let Some(umask) = umask
            && umask > 0o777
        {
            return Err(invalid(format!("process.user.umask {umask:o} is more than 777 (octal)")));
        }
        Ok(Self {
            args: c_strings("process.args", args)?,
            env: c_strings("process.env", process.env().as_deref().unwrap_or_default())?,
            cwd: c_string("process.cwd", cwd.as_bytes())?,
            uid: user.uid(),
            gid: user.gid(),
            groups: user.additional_gids().clone().unwrap_or_default(),
            umask,
            caps: process.capabilities().as_ref().map(CapPlan::new).unwrap_or_default(),
            rlimits: rlimits(process)?,
            no_new_privileges: process.no_new_privileges().unwrap_or(false),
            apparmor: process.apparmor_profile().clone().filter(|profile| !profile.is_empty()),
            selinux: process.selinux_label().clone().filter(|label| !label.is_empty()),
            oom_score_adj: oom_score_adj(process)?,
            io_priority: io_priority(process)?,
            scheduler: process.scheduler().as_ref().map(scheduler).transpose()?,
            terminal: process.terminal().unwrap_or(false),
            console_size: process.console_size().as_ref().map(|size| TerminalSize {
                rows: u16::try_from(size.height()).unwrap_or(u16::MAX),
                columns: u16::try_from(size.width()).unwrap_or(u16::MAX),
            }),
            affinity: affinity(process)?,
        })
    }
}

fn rlimits(process: &Process) -> Result<Vec<(u32, libc::rlimit64)>, LaunchError> {
    let mut limits: Vec<(u32, libc::rlimit64)> = Vec::new();
    for limit in process.rlimits().iter().flatten() {
        let resource = rlimit_number(limit.typ());
        if limits.iter().any(|(known, _)| *known == resource) {
            return Err(invalid(format!("process.rlimits names {} twice", limit.typ())));
        }
        if limit.soft() > limit.hard() {
            return Err(invalid(format!(
                "process.rlimits: the soft limit {} of {} is above the hard limit {}",
                limit.soft(),
                limit.typ(),
                limit.hard()
            )));
        }
        limits.push((resource, libc::rlimit64 { rlim_cur: limit.soft(), rlim_max: limit.hard() }));
    }
    Ok(limits)
}

/// The kernel's number of a limit.
fn rlimit_number(kind: PosixRlimitType) -> u32 {
    use PosixRlimitType as T;
    match kind {
        T::RlimitCpu => libc::RLIMIT_CPU,
        T::RlimitFsize => libc::RLIMIT_FSIZE,
        T::RlimitData => libc::RLIMIT_DATA,
        T::RlimitStack => libc::RLIMIT_STACK,
        T::RlimitCore => libc::RLIMIT_CORE,
        T::RlimitRss => libc::RLIMIT_RSS,
        T::RlimitNproc => libc::RLIMIT_NPROC,
        T::RlimitNofile => libc::RLIMIT_NOFILE,
        T::RlimitMemlock => libc::RLIMIT_MEMLOCK,
        T::RlimitAs => libc::RLIMIT_AS,
        T::RlimitLocks => libc::RLIMIT_LOCKS,
        T::RlimitSigpending => libc::RLIMIT_SIGPENDING,
        T::RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        T::RlimitNice => libc::RLIMIT_NICE,
        T::RlimitRtprio => libc::RLIMIT_RTPRIO,
        T::RlimitRttime => libc::RLIMIT_RTTIME,
    }
}

fn oom_score_adj(process: &Process) -> Result<Option<i32>, LaunchError> {
    let Some(score) = process.oom_score_adj() else {
        return Ok(None);
    };
    if !(-1000..=1000).contains(&score) {
        return Err(invalid(format!("process.oomScoreAdj {score} is not between -1000 and 1000")));
    }
    Ok(Some(score))
}

fn io_priority(process: &Process) -> Result<Option<(u32, u32)>, LaunchError> {
    let Some(priority) = process.io_priority() else {
        return Ok(None);
    };
    let level = u32::try_from(priority.priority()).ok().filter(|level| *level <= 7).ok_or_else(|| {
        invalid(format!("process.ioPriority.priority {} is not between 0 and 7", priority.priority()))
    })?;
    let class = match priority.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    Ok(Some((class, level)))
}

fn scheduler(scheduler: &Scheduler) -> Result<SchedAttr, LaunchError> {
    use LinuxSchedulerFlag as F;
    use LinuxSchedulerPolicy as P;
    let policy = match scheduler.policy() {
        P::SchedOther => 0,
        P::SchedFifo => 1,
        P::SchedRr => 2,
        P::SchedBatch => 3,
        P::SchedIso => 4,
        P::SchedIdle => 5,
        P::SchedDeadline => 6,
    };
    let mut flags = 0;
    for flag in scheduler.flags().iter().flatten() {
        flags |= match flag {
            F::SchedResetOnFork => 0x01,
            F::SchedFlagReclaim => 0x02,
            F::SchedFlagDLOverrun => 0x04,
            F::SchedFlagKeepPolicy => 0x08,
            F::SchedFlagKeepParams => 0x10,
            F::SchedFlagUtilClampMin | F::SchedFlagUtilClampMax => {
                return Err(invalid(
                    "process.scheduler.flags: utilisation clamps cannot be set, the specification has no values for them",
                ));
            }
        };
    }
    let nice = scheduler.nice().unwrap_or(0);
    if !(-20..=19).contains(&nice) {
        return Err(invalid(format!("process.scheduler.nice {nice} is not between -20 and 19")));
    }
    let priority = scheduler.priority().unwrap_or(0);
    let priority = u32::try_from(priority)
        .ok()
        .filter(|priority| *priority == 0 || matches!(scheduler.policy(), P::SchedFifo | P::SchedRr))
        .ok_or_else(|| invalid(format!("process.scheduler.priority {priority} does not go with the policy")))?;
    let deadline =
        (scheduler.runtime().unwrap_or(0), scheduler.deadline().unwrap_or(0), scheduler.period().unwrap_or(0));
    if deadline != (0, 0, 0) && *scheduler.policy() != P::SchedDeadline {
        return Err(invalid("process.scheduler: runtime, deadline and period go with SCHED_DEADLINE only"));
    }
    let (runtime, deadline, period) = deadline;
    Ok(SchedAttr { size: 0, policy, flags, nice, priority, runtime, deadline, period })
}

fn affinity(process: &Process) -> Result<(Vec<u64>, Vec<u64>), LaunchError> {
    let Some(affinity) = process.exec_cpu_affinity() else {
        return Ok(Default::default());
    };
    let mask = |list: &Option<String>| match list {
        Some(list) => number_set(list)
            .ok_or_else(|| invalid(format!("process.execCPUAffinity: {list:?} is no list of processors"))),
        None => Ok(Vec::new()),
    };
    Ok((mask(affinity.initial())?, mask(affinity.cpu_affinity_final())?))
}

/// The NUMA policy of a spec: mode with flags, and the mask of nodes.
pub(crate) fn memory_policy(policy: &LinuxMemoryPolicy) -> Result<(i32, Vec<u64>), LaunchError> {
    use MemoryPolicyModeType as M;
    let mut mode = match policy.mode() {
        M::MpolDefault => 0,
        M::MpolPreferred => 1,
        M::MpolBind => 2,
        M::MpolInterleave => 3,
        M::MpolLocal => 4,
        M::MpolPreferredMany => 5,
        M::MpolWeightedInterleave => 6,
    };
    for flag in policy.flags().iter().flatten() {
        mode |= match flag {
            MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
            MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
            MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
        };
    }
    let nodes = match policy.nodes() {
        Some(nodes) => number_set(nodes)
            .ok_or_else(|| invalid(format!("linux.memoryPolicy.nodes: {nodes:?} is no list of nodes")))?,
        None => Vec::new(),
    };
    Ok((mode, nodes))
}

/// The kernel's number for an execution domain.
pub(crate) fn personality(domain: LinuxPersonalityDomain) -> u64 {
    match domain {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    }
}

/// `0-3,7` as a bit mask. An empty list is an empty mask; numbers end at 4095.
pub(crate) fn number_set(list: &str) -> Option<Vec<u64>> {
    let mut mask = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last > 4095 {
            return None;
        }
        if mask.len() <= last / 64 {
            mask.resize(last / 64 + 1, 0);
        }
        for number in first..=last {
            mask[number / 64] |= 1 << (number % 64);
        }
    }
    Some(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_numbers_is_a_mask() {
        assert_eq!(number_set("0-3,7"), Some(vec![0b1000_1111]));
        assert_eq!(number_set("64"), Some(vec![0, 1]));
        assert_eq!(number_set(""), Some(vec![]));
        for bad in ["3-1", "a", "1-", "-1", "99999"] {
            assert_eq!(number_set(bad), None, "{bad}");
        }
    }
}
