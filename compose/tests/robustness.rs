//! No input makes the loader panic, hang or run out of memory. Changed whole files are tried by `tests/fuzz.rs` of the
//! program and by cargo-fuzz.

#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

use hoist_compose::model::Project;
use hoist_compose::{LoadOptions, dotenv, load_str};
use proptest::prelude::*;

fn load(text: &str) -> Result<Project, String> {
    let mut options = LoadOptions::new("/project");
    options.env.insert("SET".into(), "value".into());
    load_str(text, &options).map(|loaded| loaded.project).map_err(|error| error.to_string())
}

#[test]
fn alias_bombs_are_refused() {
    let mut text = String::from("x-a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
    for i in 1..30 {
        let aliases = vec![format!("*a{}", i - 1); 10].join(", ");
        text.push_str(&format!("x-a{i}: &a{i} [{aliases}]\n"));
    }
    let error = load(&text).unwrap_err();
    assert!(error.contains("more than 200000 values"), "{error}");
    let merges = "x-a: &a {<<: *a}\n";
    assert!(load(merges).is_err());
}

#[test]
fn depth_is_bounded() {
    for (open, close) in [("[", "]"), ("{a: ", "}")] {
        let text = format!("x-a: {}{}", open.repeat(100_000), close.repeat(100_000));
        let error = load(&text).unwrap_err();
        assert!(error.contains("nest deeper") || error.contains("invalid YAML"), "{error}");
    }
    let variables = format!("name: \"{}x{}\"", "${A:-".repeat(5000), "}".repeat(5000));
    assert!(load(&variables).unwrap_err().contains("nest deeper"));
}

#[test]
fn long_chains_of_dependencies_load() {
    let mut text = String::from("name: p\nservices:\n  s0: {image: x}\n");
    for i in 1..5000 {
        text.push_str(&format!("  s{i}: {{image: x, depends_on: [s{}]}}\n", i - 1));
    }
    let order = load(&text).unwrap().dependency_order().unwrap();
    assert_eq!(order.layers.len(), 5000);
}

#[test]
fn hashes_are_stable_and_see_changes() {
    let hash = |text: &str| {
        let project = load(&format!("name: p\nservices:\n  web: {text}\n")).unwrap();
        project.config_hash(&project.services["web"])
    };
    let base = hash("{image: x, environment: {A: 1, B: 2}, ports: [\"80:80\"]}");
    assert_eq!(base, hash("{environment: [B=2, A=1], ports: [{target: 80, published: 80}], image: x, scale: 3}"));
    assert_ne!(base, hash("{image: y, environment: {A: 1, B: 2}, ports: [\"80:80\"]}"));
    assert_eq!(base.len(), 64);
}

#[test]
fn the_model_survives_json_and_the_canonical_yaml_loads_as_itself() {
    let text = include_str!("cases/services/compose.yaml");
    let project = load(&format!("name: p\n{text}")).unwrap();
    let json = serde_json::to_string(&project).unwrap();
    let mut back: Project = serde_json::from_str(&json).unwrap();
    back.environment = project.environment.clone();
    assert_eq!(back, project);
    let again = load(&project.to_yaml()).unwrap();
    assert_eq!(again.to_yaml(), project.to_yaml());
    let unknown = json.replacen("\"image\"", "\"imgae\"", 1);
    assert!(serde_json::from_str::<Project>(&unknown).unwrap_err().to_string().contains("imgae"));
}

/// What fails is printed; nothing is written next to the tests. `PROPTEST_CASES` may ask for more cases.
fn config(cases: u32) -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: cases.max(usual.cases), failure_persistence: None, ..usual }
}

/// YAML-like text out of the words that the loader knows.
fn document() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "services",
        "web",
        "image",
        "build",
        "ports",
        "volumes",
        "networks",
        "environment",
        "depends_on",
        "extends",
        "include",
        "deploy",
        "healthcheck",
        "command",
        "secrets",
        "configs",
        "x-a",
        "name",
        ":",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        "\n      ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&a",
        "*a",
        "<<: ",
        "!reset",
        "!override",
        "!!str",
        "\"",
        "'",
        "$SET",
        "${SET",
        "${A:-",
        "}",
        "$$",
        "80:80",
        "[::1]:1-2:3-4/udp",
        "./a:/b:ro",
        "1g",
        "10s",
        "0755",
        "null",
        "true",
        "|\n",
        ">\n",
        "#",
        "A=b",
        "service:web",
        "\t",
        "\u{feff}",
        "é",
        "\0",
    ]);
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = load(&text);
        let _ = dotenv::parse(&text, &|_| None);
        let _ = dotenv::parse_raw(&text);
    }

    #[test]
    fn any_words(text in document()) {
        if let Ok(project) = load(&text) {
            // What loads, prints; and what is printed, loads as the same.
            let printed = project.to_yaml();
            let again = load(&printed).map(|again| again.to_yaml());
            prop_assert_eq!(again, Ok(printed));
        }
    }

    #[test]
    fn any_service_value(key in prop::sample::select(vec![
        "ports", "volumes", "environment", "command", "mem_limit", "depends_on", "networks", "healthcheck", "build",
        "devices", "ulimits", "extra_hosts", "gpus", "deploy", "secrets", "tmpfs", "extends", "env_file", "restart",
    ]), text in "\\PC{0,40}") {
        let quoted = serde_json::to_string(&text).unwrap();
        for value in [quoted.clone(), format!("[{quoted}]"), format!("{{{quoted}: {quoted}}}"), text] {
            let _ = load(&format!("services: {{web: {{image: x, {key}: {value}}}}}\n"));
        }
    }
}
