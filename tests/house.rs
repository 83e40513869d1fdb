//! Holds the code to the house: which crate may import which, and where `unsafe` may live.

use std::{collections::BTreeMap, path::Path, process::Command};

/// Every crate with its floor and the crates of ours that it may import. Imports run down, never sideways or up.
const HOUSE: &[(&str, &[&str])] = &[
    ("hoist-proto", &[]),
    ("hoist-compose", &["hoist-proto"]),
    ("hoist-link", &["hoist-proto"]),
    ("hoist-store", &["hoist-proto"]),
    ("hoist-raft", &["hoist-proto", "hoist-store"]),
    ("hoist-choice", &["hoist-proto"]),
    ("hoist-scheduler", &["hoist-proto", "hoist-store", "hoist-choice"]),
    ("hoist-queue", &["hoist-proto", "hoist-choice"]),
    ("hoist-runtime", &["hoist-proto"]),
    ("hoist-image", &["hoist-proto"]),
    ("hoist-network", &["hoist-proto"]),
    ("hoist-volume", &["hoist-proto"]),
    ("hoist-build", &["hoist-proto"]),
    ("hoist-device", &["hoist-proto", "hoist-choice"]),
    (
        "hoist-engine",
        &[
            "hoist-proto",
            "hoist-runtime",
            "hoist-image",
            "hoist-build",
            "hoist-network",
            "hoist-volume",
            "hoist-device",
        ],
    ),
    (
        "hoist-manager",
        &[
            "hoist-proto",
            "hoist-choice",
            "hoist-compose",
            "hoist-link",
            "hoist-store",
            "hoist-raft",
            "hoist-scheduler",
            "hoist-queue",
        ],
    ),
    ("hoist-simulation", &["hoist-proto", "hoist-store", "hoist-raft", "hoist-manager"]),
    (
        "hoist-agent",
        &[
            "hoist-proto",
            "hoist-engine",
            "hoist-image",
            "hoist-build",
            "hoist-network",
            "hoist-volume",
            "hoist-runtime",
        ],
    ),
];

/// The crates that speak to the kernel. All others forbid `unsafe`; the binary has the one program of the built-in image.
const UNSAFE_ALLOWED: &[&str] = &["hoist-runtime", "hoist-image", "hoist-network", "hoist-device", "hoist"];

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// With a second one `cargo run` would not know which is meant.
#[test]
fn there_is_one_binary() {
    let metadata = metadata();
    let targets =
        metadata["packages"].as_array().unwrap().iter().flat_map(|package| package["targets"].as_array().unwrap());
    let binaries = targets.filter(|target| target["kind"].as_array().unwrap().iter().any(|kind| kind == "bin"));
    assert_eq!(binaries.map(|target| target["name"].as_str().unwrap()).collect::<Vec<_>>(), ["hoist"]);
}

#[test]
fn imports_run_down_only() {
    let house: BTreeMap<&str, &[&str]> = HOUSE.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in metadata()["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if name == "hoist" {
            continue;
        }
        let Some(allowed) = house.get(name) else {
            wrong.push(format!("{name} has no floor in the house"));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let import = dependency["name"].as_str().unwrap();
            let for_tests = dependency["kind"].as_str() == Some("dev");
            if import.starts_with("hoist") && !for_tests && !allowed.contains(&import) {
                wrong.push(format!("{name} may not import {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_stays_where_the_kernel_interface_is() {
    let mut wrong = Vec::new();
    for package in metadata()["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if UNSAFE_ALLOWED.contains(&name) {
            continue;
        }
        let root = Path::new(package["manifest_path"].as_str().unwrap()).with_file_name("src").join("lib.rs");
        let text = std::fs::read_to_string(&root).unwrap();
        if !text.contains("#![forbid(unsafe_code)]") {
            wrong.push(format!("{name} does not forbid unsafe code"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
