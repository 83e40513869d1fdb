//! Capabilities and `SecurityOpt`.

use hoist_proto::spec::{SeccompChoice, Security};

use crate::api::{dto::host_config::HostConfig, error::ApiError};

/// What a container's processes may do.
pub fn security(host: &HostConfig) -> Result<Security, ApiError> {
    let mut security = Security {
        privileged: host.privileged,
        cap_add: host.cap_add.clone().unwrap_or_default(),
        cap_drop: host.cap_drop.clone().unwrap_or_default(),
        masked_paths: host.masked_paths.clone(),
        readonly_paths: host.readonly_paths.clone(),
        ..Security::default()
    };
    for option in host.security_opt.iter().flatten() {
        apply(&mut security, option)?;
    }
    Ok(security)
}

fn apply(security: &mut Security, option: &str) -> Result<(), ApiError> {
    let refuse = || ApiError::bad_request(format!("invalid --security-opt: {option:?}"));
    if option == "no-new-privileges" {
        security.no_new_privileges = true;
        return Ok(());
    }
    if option == "disable" {
        security.selinux.push("disable".to_owned());
        return Ok(());
    }
    // `key:value` is the older form; a profile's text may have either sign in it.
    let (key, value) = match (option.split_once('='), option.split_once(':')) {
        (Some(new), Some(old)) if old.0.len() < new.0.len() => old,
        (Some(new), _) => new,
        (None, Some(old)) => old,
        (None, None) => return Err(refuse()),
    };
    match (key, value) {
        ("no-new-privileges", "true") => security.no_new_privileges = true,
        ("no-new-privileges", "false") => security.no_new_privileges = false,
        ("label", value) if is_label(value) => security.selinux.push(value.to_owned()),
        ("apparmor", value) if !value.is_empty() => security.apparmor = Some(value.to_owned()),
        ("seccomp", "unconfined") => security.seccomp = SeccompChoice::Unconfined,
        ("seccomp", "builtin") => security.seccomp = SeccompChoice::Default,
        ("seccomp", value) if !value.is_empty() => {
            let valid = serde_json::from_str::<serde_json::Value>(value).is_ok_and(|value| value.is_object());
            if !valid {
                return Err(ApiError::bad_request("decoding seccomp profile failed: it is not a JSON object"));
            }
            security.seccomp = SeccompChoice::Profile(value.to_owned());
        }
        ("systempaths", "unconfined") => security.unmasked_paths = true,
        _ => return Err(refuse()),
    }
    Ok(())
}

fn is_label(value: &str) -> bool {
    value == "disable"
        || value
            .split_once(':')
            .is_some_and(|(key, _)| matches!(key, "user" | "role" | "type" | "level" | "filetype" | "nested"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(options: &[&str]) -> Result<Security, ApiError> {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        security(&HostConfig { security_opt: Some(options), ..HostConfig::default() })
    }

    #[test]
    fn options_in_both_forms() {
        let got = options(&[
            "no-new-privileges",
            "label:type:spc_t",
            "apparmor=unconfined",
            r#"seccomp={"defaultAction":"SCMP_ACT_ALLOW"}"#,
            "systempaths=unconfined",
        ])
        .unwrap();
        assert!(got.no_new_privileges && got.unmasked_paths);
        assert_eq!(got.selinux, ["type:spc_t"]);
        assert_eq!(got.apparmor.as_deref(), Some("unconfined"));
        assert!(matches!(got.seccomp, SeccompChoice::Profile(text) if text.contains("SCMP_ACT_ALLOW")));
        for option in ["x", "label=x", "seccomp=/a/file", "no-new-privileges=maybe", "x=y"] {
            assert_eq!(options(&[option]).unwrap_err().status, 400, "{option}");
        }
    }
}
