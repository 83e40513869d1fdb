//! What this machine is.

use hoist_proto::spec::NodeDescription;

pub(crate) fn describe() -> NodeDescription {
    let uname = rustix::system::uname();
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let info = rustix::system::sysinfo();
    NodeDescription {
        hostname: uname.nodename().to_string_lossy().into_owned(),
        os: "linux".into(),
        architecture: architecture().into(),
        nano_cpus: cpus * 1_000_000_000,
        memory: info.totalram.saturating_mul(u64::from(info.mem_unit)),
        engine_version: env!("CARGO_PKG_VERSION").into(),
        ..NodeDescription::default()
    }
}

/// This machine's architecture, as images name it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
