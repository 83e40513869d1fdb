//! A machine with an NVIDIA GPU: what is there is found, given, seen and measured. Elsewhere it says that it was not run.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // what a helper cannot do fails the test

mod support;

use std::path::Path;

use support::Host;

/// The GPUs that the driver's own program lists, as `GPU-…`; `None` where there is no driver.
fn gpus() -> Option<Vec<String>> {
    if !Path::new("/dev/nvidiactl").exists() {
        eprintln!("not run: this machine has no NVIDIA GPU (/dev/nvidiactl is not there)");
        return None;
    }
    let listed =
        support::run(std::process::Command::new("nvidia-smi").args(["--query-gpu=uuid", "--format=csv,noheader"]));
    Some(listed.ok().lines().map(str::to_owned).collect())
}

#[test]
fn a_gpu_is_given_to_one_container_with_the_driver_s_files() {
    let Some(gpus) = gpus() else { return };
    let host = Host::new();
    host.busybox();
    let names = host.hoist(&["device", "ls", "--format", "{{.Kind}} {{.ID}}"]).ok();
    for uuid in &gpus {
        assert!(names.contains(&format!("nvidia.com/gpu {uuid}")), "{uuid} is not in\n{names}");
    }
    host.hoist(&[
        "run",
        "-d",
        "--name",
        "holder",
        "--gpus",
        &format!("device={}", gpus[0]),
        "busybox",
        "sleep",
        "1000",
    ])
    .ok();
    let told = host.hoist(&["run", "--rm", "--gpus", "all", "busybox", "true"]).fails(125);
    assert!(told.contains("held by holder"), "{told}");
    let seen = host
        .hoist(&["exec", "holder", "sh", "-c", "ls /dev; find / -name 'libcuda.so.1'; ls /usr/bin/nvidia-smi"])
        .ok();
    assert!(
        seen.contains("nvidiactl") && seen.contains("libcuda.so.1") && seen.contains("/usr/bin/nvidia-smi"),
        "{seen}"
    );
    let nodes = seen.lines().filter(|name| name.strip_prefix("nvidia").is_some_and(|rest| rest.parse::<u32>().is_ok()));
    assert_eq!(nodes.count(), 1, "{seen}");
    // The host's own root as the image: nvidia-smi needs a C library, which busybox is without.
    let libc = ["-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro"];
    host.hoist(&["rm", "-f", "holder"]).ok();
    let one = format!("device={}", gpus[0]);
    let flags = [&["run", "--rm", "--gpus", &one], &libc[..], &["busybox", "/usr/bin/nvidia-smi", "-L"]].concat();
    let listed = host.hoist(&flags).ok();
    assert!(
        listed.contains(&gpus[0]) && listed.lines().filter(|line| line.starts_with("GPU ")).count() == 1,
        "{listed}"
    );
}
