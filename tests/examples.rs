//! Every compose file under `examples/` runs as it is.

mod support;

use support::Host;

fn file(name: &str) -> String {
    format!("{}/examples/{name}/compose.yaml", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_example_is_a_valid_file() {
    let root = format!("{}/examples", env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for entry in std::fs::read_dir(root).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let mut command = std::process::Command::new(support::HOIST);
        let done = support::run(command.args(["compose", "-f", &file(&name), "config", "-q"]).env("TOKEN", "x"));
        assert_eq!(done.ok(), "", "{name}");
        seen += 1;
    }
    assert!(seen >= 3);
}

#[test]
fn scale_answers_from_three_workers() {
    let host = Host::new();
    host.hoist(&["up", "-d", "--wait", "-f", &file("scale")]).ok();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let page = host.get("http://127.0.0.1:8081/");
        let worker = page.lines().filter(|line| line.trim().starts_with("task:")).nth(1).map(str::to_owned);
        seen.extend(worker);
        if seen.len() == 3 {
            break;
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    host.hoist(&["down", "-f", &file("scale")]).ok();
    assert_eq!(host.leftovers(), [] as [String; 0]);
}

#[test]
fn files_shows_configs_and_secrets() {
    let host = Host::new();
    let mut up = host.command(support::HOIST);
    support::run(up.args(["up", "-d", "-f", &file("files")]).env("TOKEN", "sesame").env("GREETING", "ahoy")).ok();
    let page = host.get("http://127.0.0.1:8082/");
    assert!(page.contains("ahoy, world") && page.contains("sesame"), "{page}");
    // The secret is on no disk: neither in the container's record nor in the cluster's.
    let found = host.other("grep", &["-rl", "sesame", &host.data_root().display().to_string()]);
    assert_eq!(found.stdout, "");
}
