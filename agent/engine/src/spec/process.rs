//! A process of a container: its first one or an exec.

use hoist_proto::spec::{ContainerSpec, Ulimit};
use oci_spec::runtime::Capability;
use serde_json::{Value, json};

use super::without_nulls;
use crate::rootfs::ResolvedUser;
use crate::{EngineError, Result};

pub(crate) struct ProcessInput<'a> {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub cwd: &'a str,
    pub tty: bool,
    pub user: &'a ResolvedUser,
    pub caps: &'a [Capability],
    pub privileged: bool,
    /// What holds for all processes of the container.
    pub spec: &'a ContainerSpec,
}

pub(crate) fn process(input: &ProcessInput<'_>) -> Result<Value> {
    let spec = input.spec;
    Ok(without_nulls(json!({
        "terminal": input.tty,
        "user": { "uid": input.user.uid, "gid": input.user.gid, "additionalGids": input.user.groups },
        "args": input.args,
        "env": input.env,
        "cwd": input.cwd,
        "capabilities": { "bounding": input.caps, "effective": input.caps, "permitted": input.caps },
        "rlimits": spec.ulimits.iter().map(rlimit).collect::<Result<Vec<_>>>()?,
        "noNewPrivileges": spec.security.no_new_privileges,
        "apparmorProfile": if input.privileged { None } else { spec.security.apparmor.clone().filter(|p| p != "unconfined") },
        "selinuxLabel": selinux_label(&spec.security.selinux),
        "oomScoreAdj": spec.oom_score_adj.or_else(own_oom_score),
    })))
}

/// A daemon that the kernel is to spare makes containers that are as any process. Others hand on what they have: to
/// lower it takes a right that not every daemon has.
fn own_oom_score() -> Option<i32> {
    let own: i32 = std::fs::read_to_string("/proc/self/oom_score_adj").ok()?.trim().parse().ok()?;
    (own < 0).then_some(0)
}

fn rlimit(limit: &Ulimit) -> Result<Value> {
    let name = limit.name.to_ascii_lowercase();
    // The runtime has one more, which nobody can name on the command line.
    if name != "as" && !Ulimit::NAMES.contains(&name.as_str()) {
        return Err(EngineError::InvalidParameter(format!("invalid ulimit type: {}", limit.name)));
    }
    let value = |number: i64| if number < 0 { u64::MAX } else { number.unsigned_abs() };
    if value(limit.soft) > value(limit.hard) {
        return Err(EngineError::InvalidParameter(format!(
            "ulimit {} soft limit {} is greater than the hard limit {}",
            limit.name, limit.soft, limit.hard
        )));
    }
    Ok(
        json!({ "type": format!("RLIMIT_{}", name.to_ascii_uppercase()), "soft": value(limit.soft), "hard": value(limit.hard) }),
    )
}

/// `user:role:type:level` out of the parts that were given; `None` without any.
fn selinux_label(options: &[String]) -> Option<String> {
    if options.is_empty() || options.iter().any(|option| option == "disable") {
        return None;
    }
    let part = |name: &str, default: &str| {
        options.iter().find_map(|option| option.strip_prefix(name)).unwrap_or(default).to_owned()
    };
    Some(format!(
        "{}:{}:{}:{}",
        part("user:", "system_u"),
        part("role:", "system_r"),
        part("type:", "container_t"),
        part("level:", "s0")
    ))
}
