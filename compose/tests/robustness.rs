//! No input makes the loader panic, hang or run out of memory.

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

/// The seeds: whole files, good and bad, of compose files and of `.env` files.
fn corpus() -> Vec<String> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Loads a text as both kinds of file; what loads must print as what loads as the same.
fn exercise(text: &str) -> Result<(), TestCaseError> {
    let _ = dotenv::parse(text, &|name| (name == "SET").then(|| "value".to_owned()));
    let _ = dotenv::parse_raw(text);
    if let Ok(project) = load(text) {
        let printed = project.to_yaml();
        prop_assert_eq!(load(&printed).map(|again| again.to_yaml()), Ok(printed.clone()));
        let json = serde_json::to_string(&project).unwrap();
        let back: Project = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(back.to_yaml(), printed);
    }
    Ok(())
}

#[test]
fn the_corpus_loads_or_fails_cleanly() {
    for text in corpus() {
        exercise(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
}

/// One change to a text: where, how much, and what to put there.
#[derive(Debug, Clone)]
enum Edit {
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, String),
    Repeat(prop::sample::Index, usize, usize),
    Move(prop::sample::Index, usize, prop::sample::Index),
}

impl Edit {
    fn apply(&self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        if chars.is_empty() {
            chars.push('a');
        }
        let range = |at: &prop::sample::Index, length: usize, chars: &[char]| {
            let start = at.index(chars.len());
            start..(start + length).min(chars.len())
        };
        match self {
            Edit::Remove(at, length) => drop(chars.drain(range(at, *length, &chars))),
            Edit::Insert(at, what) => {
                let start = at.index(chars.len());
                chars.splice(start..start, what.chars());
            }
            Edit::Repeat(at, length, times) => {
                let range = range(at, *length, &chars);
                let piece = chars[range.clone()].repeat(*times);
                chars.splice(range, piece);
            }
            Edit::Move(at, length, to) => {
                let piece: Vec<char> = chars.drain(range(at, *length, &chars)).collect();
                let start = if chars.is_empty() { 0 } else { to.index(chars.len()) };
                chars.splice(start..start, piece);
            }
        }
        chars.into_iter().collect()
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<prop::sample::Index>;
    let token = prop::sample::select(vec![
        ":",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "  ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&a ",
        "*a",
        "<<: ",
        "!reset ",
        "!override ",
        "\"",
        "'",
        "$",
        "${",
        "}",
        "null",
        "0",
        "-1",
        "x-",
        "~",
        "|",
        ">",
        "#",
        "=",
        "\t",
        "\r\n",
        "---\n",
        "é",
        "\u{0}",
    ]);
    prop_oneof![
        (at(), 1..20_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        (at(), token).prop_map(|(at, token)| Edit::Insert(at, token.to_owned())),
        (at(), 1..40_usize, 2..5_usize).prop_map(|(at, length, times)| Edit::Repeat(at, length, times)),
        (at(), 1..40_usize, at()).prop_map(|(at, length, to)| Edit::Move(at, length, to)),
    ]
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn changed_seeds(seed in any::<prop::sample::Index>(), edits in prop::collection::vec(edit(), 1..5)) {
        static CORPUS: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(corpus);
        let text = edits.iter().fold(CORPUS[seed.index(CORPUS.len())].clone(), |text, edit| edit.apply(&text));
        exercise(&text)?;
    }
}
