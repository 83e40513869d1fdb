//! A small load: `benches/load` with few clients finds no error and nothing that stays.

use std::process::Command;

#[test]
fn clients_and_followers_leave_nothing() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/load");
    let size = ["--clients", "8", "--seconds", "5", "--followers", "50", "--megabytes", "20", "--memory", "200"];
    let done = Command::new("python3")
        .args([script, "--hoist", env!("CARGO_BIN_EXE_hoist")])
        .args(size)
        .output()
        .expect("python3 is installed");
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("8 clients") && said.contains("50 idle followers"), "{said}");
}
