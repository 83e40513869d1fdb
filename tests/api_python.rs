//! The Python SDK (Debian's `python3-docker`) drives the socket; what it asks is in `clients/sdk.py`.

mod support;

use support::{Host, run};

#[test]
fn the_python_sdk_finds_docker() {
    let mut host = Host::new();
    host.busybox();
    let registry = host.registry();
    let script = host.write("sdk.py", include_str!("clients/sdk.py"));
    // Debian's own interpreter: another one in PATH would not find Debian's packages.
    let mut command = host.command("/usr/bin/python3");
    command.arg(script).arg(registry).env("DOCKER_HOST", host.docker_host());
    let done = run(&mut command);
    assert_eq!(done.code, 0, "{}\n{}", done.stdout, done.stderr);
    assert_eq!(host.hoist(&["ps", "-aq"]).ok(), "");
}
