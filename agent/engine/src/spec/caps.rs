//! Which capabilities a container gets.

use hoist_proto::spec::Security;
use oci_spec::runtime::Capability;

use crate::{EngineError, Result};

/// Docker's default set.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

const ALL: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The bounding set, in the order of the kernel's numbers.
///
/// Docker's rules: `ALL` in the added ones takes all but the dropped; `ALL` in the dropped ones keeps the added.
pub(super) fn bounding(security: &Security) -> Result<Vec<Capability>> {
    let add = names(&security.cap_add)?;
    let drop = names(&security.cap_drop)?;
    let has = |list: &[String], name: &str| list.iter().any(|item| item == name);
    let kept = |name: &str| {
        if security.privileged {
            true
        } else if has(&add, "ALL") {
            !has(&drop, name)
        } else if has(&drop, "ALL") {
            has(&add, name)
        } else {
            has(&add, name) || (DEFAULT.contains(&name) && !has(&drop, name))
        }
    };
    ALL.iter()
        .filter(|name| kept(name))
        .map(|name| {
            serde_json::from_value(format!("CAP_{name}").into())
                .map_err(|error| EngineError::Internal(format!("capability {name}: {error}")))
        })
        .collect()
}

/// Without `CAP_`, in capital letters; unknown ones are refused.
fn names(list: &[String]) -> Result<Vec<String>> {
    list.iter()
        .map(|text| {
            let upper = text.trim().to_ascii_uppercase();
            let plain = upper.strip_prefix("CAP_").unwrap_or(&upper);
            if plain == "ALL" || ALL.contains(&plain) {
                Ok(plain.to_owned())
            } else {
                Err(EngineError::InvalidParameter(format!("invalid capability: unknown capability {text:?}")))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(add: &[&str], drop: &[&str]) -> usize {
        let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        bounding(&Security { cap_add: list(add), cap_drop: list(drop), ..Security::default() }).unwrap().len()
    }

    #[test]
    fn sets_are_put_together() {
        assert_eq!(count(&[], &[]), 14);
        assert_eq!(count(&["NET_ADMIN", "cap_chown"], &["mknod"]), 14);
        assert_eq!(count(&[], &["ALL"]), 0);
        assert_eq!(count(&["SYS_TIME"], &["ALL"]), 1);
        assert_eq!(count(&["ALL"], &["SYS_ADMIN"]), 40);
        let bad = Security { cap_add: vec!["SYS_ADMN".into()], ..Security::default() };
        assert!(bounding(&bad).unwrap_err().to_string().contains("SYS_ADMN"));
    }
}
