//! Capabilities, namespaces, security options, kernel parameters.

use super::{SpecError, Surroundings, env::key_values};
use crate::{api::dto::host_config::HostConfig, cli::args::create::SecurityFlags};

pub fn apply(flags: &SecurityFlags, host: &mut HostConfig, around: &Surroundings) -> Result<(), SpecError> {
    let list = |values: &[String]| (!values.is_empty()).then(|| values.to_vec());
    host.cap_add = list(&flags.cap_add);
    host.cap_drop = list(&flags.cap_drop);
    host.privileged = flags.privileged;
    host.cgroupns_mode = one_of("cgroupns", flags.cgroupns.as_deref(), &["host", "private"], false)?;
    host.ipc_mode = one_of("ipc", flags.ipc.as_deref(), &["none", "private", "shareable", "host"], true)?;
    host.pid_mode = one_of("pid", flags.pid.as_deref(), &["host"], true)?;
    host.uts_mode = one_of("uts", flags.uts.as_deref(), &["host", "private"], false)?;
    host.userns_mode = flags.userns.clone().unwrap_or_default();
    host.sysctls = key_values("sysctl", &flags.sysctl, '=')?;
    if let Some(bare) = flags.sysctl.iter().find(|text| !text.contains('=')) {
        return Err(SpecError::value("sysctl", bare, "expected KEY=VALUE"));
    }
    let options = flags.security_opt.iter().map(|text| option(text, around)).collect::<Result<Vec<_>, _>>()?;
    host.security_opt = (!options.is_empty()).then_some(options);
    Ok(())
}

fn one_of(flag: &'static str, value: Option<&str>, modes: &[&str], container: bool) -> Result<String, SpecError> {
    let value = value.unwrap_or_default();
    let other = container && value.strip_prefix("container:").is_some_and(|name| !name.is_empty());
    if value.is_empty() || modes.contains(&value) || other {
        return Ok(value.to_owned());
    }
    let mut expected = modes.join(", ");
    if container {
        expected.push_str(", container:NAME");
    }
    Err(SpecError::value(flag, value, format!("expected {expected}")))
}

/// A seccomp profile that is a file travels as its contents.
fn option(text: &str, around: &Surroundings) -> Result<String, SpecError> {
    let split = text.split_once('=').or_else(|| text.split_once(':'));
    let Some((key, value)) = split else {
        return if text == "no-new-privileges" {
            Ok(text.to_owned())
        } else {
            Err(SpecError::value("security-opt", text, "expected KEY=VALUE or no-new-privileges"))
        };
    };
    if key == "seccomp" && !matches!(value, "unconfined" | "builtin") {
        let file = |reason: String| SpecError::File { flag: "security-opt", reason };
        let profile = around.read(std::path::Path::new(value)).map_err(|err| file(err.to_string()))?;
        let profile: serde_json::Value = serde_json::from_str(&profile)
            .map_err(|err| file(format!("the seccomp profile {value:?} is not JSON: {err}")))?;
        return Ok(format!("seccomp={profile}"));
    }
    Ok(format!("{key}={value}"))
}
