//! The default profile: which of its rules hold for a container.

use std::sync::OnceLock;

use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSyscall,
    LinuxSyscallBuilder,
};
use serde::Deserialize;

use crate::sys;

/// The profile as it is published: rules with the conditions under which they hold.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Template {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    arch_map: Vec<ArchEntry>,
    /// The older way to name them, for all machines alike.
    #[serde(default)]
    architectures: Vec<Arch>,
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchEntry {
    architecture: Arch,
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    names: Vec<String>,
    /// The older way, one rule a call.
    name: Option<String>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Vec<LinuxSeccompArg>,
    #[serde(default)]
    includes: Condition,
    #[serde(default)]
    excludes: Condition,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    #[serde(default)]
    caps: Vec<Capability>,
    #[serde(default)]
    arches: Vec<String>,
    min_kernel: Option<String>,
}

fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        serde_json::from_str(include_str!("default.json")).expect("the profile in the source is what a test parses")
    })
}

/// The architecture of this machine, where filters are supported.
#[must_use]
pub fn native_arch() -> Option<Arch> {
    match std::env::consts::ARCH {
        "x86_64" => Some(Arch::ScmpArchX86_64),
        "aarch64" => Some(Arch::ScmpArchAarch64),
        "riscv64" => Some(Arch::ScmpArchRiscv64),
        _ => None,
    }
}

/// The name that the profile's conditions have for an architecture.
fn condition_name(arch: Arch) -> &'static str {
    match arch {
        Arch::ScmpArchX86_64 => "amd64",
        Arch::ScmpArchAarch64 => "arm64",
        Arch::ScmpArchX86 => "x86",
        Arch::ScmpArchX32 => "x32",
        Arch::ScmpArchArm => "arm",
        Arch::ScmpArchRiscv64 => "riscv64",
        Arch::ScmpArchPpc64le => "ppc64le",
        Arch::ScmpArchS390x => "s390x",
        Arch::ScmpArchS390 => "s390",
        _ => "",
    }
}

/// The default profile, resolved for a container with the capabilities `caps` (its bounding set) on a
/// machine of the architecture `arch`.
#[must_use]
pub fn docker_default(caps: &[Capability], arch: Arch) -> LinuxSeccomp {
    resolve(template(), caps, arch)
}

/// A profile in the form of the default one (Docker's, or the OCI's own), resolved in the same way.
///
/// # Errors
/// When the text is no such profile.
pub fn from_docker(text: &str, caps: &[Capability], arch: Arch) -> Result<LinuxSeccomp, serde_json::Error> {
    Ok(resolve(&serde_json::from_str(text)?, caps, arch))
}

fn resolve(template: &Template, caps: &[Capability], arch: Arch) -> LinuxSeccomp {
    let kernel = sys::kernel_version();
    let name = condition_name(arch);
    let arch_holds = |list: &[String]| list.iter().any(|wanted| wanted == name);
    let kernel_holds = |wanted: &Option<String>| match wanted {
        Some(wanted) => sys::parse_version(wanted).is_some_and(|wanted| kernel >= wanted),
        None => true,
    };
    let holds = |rule: &&Rule| {
        let (includes, excludes) = (&rule.includes, &rule.excludes);
        (includes.arches.is_empty() || arch_holds(&includes.arches))
            && includes.caps.iter().all(|cap| caps.contains(cap))
            && kernel_holds(&includes.min_kernel)
            && !arch_holds(&excludes.arches)
            && !excludes.caps.iter().any(|cap| caps.contains(cap))
            && (excludes.min_kernel.is_none() || !kernel_holds(&excludes.min_kernel))
    };
    let mut architectures = template.architectures.clone();
    for entry in template.arch_map.iter().filter(|entry| entry.architecture == arch) {
        architectures.push(entry.architecture);
        architectures.extend(entry.sub_architectures.iter().flatten());
    }
    let mut profile = LinuxSeccomp::default();
    profile.set_default_action(template.default_action);
    profile.set_default_errno_ret(template.default_errno_ret);
    profile.set_flags(template.flags.clone());
    profile.set_architectures(Some(architectures).filter(|list| !list.is_empty()));
    profile.set_syscalls(Some(template.syscalls.iter().filter(holds).map(syscall).collect()));
    profile
}

fn syscall(rule: &Rule) -> LinuxSyscall {
    let mut syscall = LinuxSyscallBuilder::default()
        .names(rule.names.iter().chain(&rule.name).cloned().collect::<Vec<_>>())
        .action(rule.action)
        .build()
        .expect("all fields have defaults");
    syscall.set_errno_ret(rule.errno_ret);
    syscall.set_args(Some(rule.args.clone()).filter(|args| !args.is_empty()));
    syscall
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_follow_capabilities_and_architecture() {
        let names = |profile: &LinuxSeccomp| -> Vec<String> {
            profile.syscalls().iter().flatten().flat_map(|rule| rule.names().clone()).collect()
        };
        let plain = docker_default(&[], Arch::ScmpArchX86_64);
        assert!(names(&plain).contains(&"arch_prctl".to_owned()));
        assert!(!names(&plain).contains(&"reboot".to_owned()));
        assert_eq!(plain.architectures().as_ref().map(Vec::len), Some(3));
        let booting = docker_default(&[Capability::SysBoot], Arch::ScmpArchAarch64);
        assert!(names(&booting).contains(&"reboot".to_owned()));
        assert!(!names(&booting).contains(&"arch_prctl".to_owned()));
        let own = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"mkdir","action":"SCMP_ACT_ERRNO"},
            {"names":["reboot"],"action":"SCMP_ACT_ERRNO","excludes":{"caps":["CAP_SYS_BOOT"]}}]}"#;
        assert_eq!(names(&from_docker(own, &[], Arch::ScmpArchX86_64).unwrap()), ["mkdir", "reboot"]);
        assert_eq!(names(&from_docker(own, &[Capability::SysBoot], Arch::ScmpArchX86_64).unwrap()), ["mkdir"]);
        assert!(from_docker("{}", &[], Arch::ScmpArchX86_64).is_err());
    }
}
