use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::DeviceError;

const WHOLE: &str = r#"
cdiVersion: "1.1.0"
kind: vendor.com/net.card
annotations: { vendor.com/note: all of it }
devices:
  - name: "0"
    annotations: { note: first }
    containerEdits:
      env: [CARD=0, PATH=/opt]
      deviceNodes:
        - { path: /dev/card, hostPath: /dev/null, permissions: rw, uid: 7 }
        - { path: /dev/fixed, type: b, major: 8, minor: 1, fileMode: 432, gid: 6, permissions: none }
      mounts:
        - { hostPath: /usr, containerPath: /opt, options: [ro, rbind] }
        - { hostPath: tmpfs, containerPath: /opt/scratch, type: tmpfs }
      hooks:
        - { hookName: createContainer, path: /bin/true, args: [true], env: [A=b], timeout: 3 }
      additionalGids: [0, 44]
      netDevices: [{ hostInterfaceName: ens7, name: card0 }]
      intelRdt: { closID: x, schemata: ["L3:0=f"], enableMonitoring: true }
containerEdits:
  env: [ANY=1]
"#;

fn yaml(text: &str) -> crate::Result<Spec> {
    parse(Path::new("/etc/cdi/a.yaml"), text)
}

#[test]
fn every_edit_arrives_in_the_oci_spec() {
    let spec = yaml(WHOLE).unwrap();
    let mut edits = spec.container_edits.clone();
    edits.extend(spec.devices[0].container_edits.clone());
    let mut oci = json!({
        "process": { "env": ["PATH=/bin", "HOME=/"], "user": { "uid": 1000, "gid": 100, "additionalGids": [5] } },
        "mounts": [{ "destination": "/proc" }, { "destination": "/opt" }, { "destination": "/opt/below" }],
        "linux": { "devices": [{ "path": "/dev/card" }] },
    });
    apply(&edits, &mut oci).unwrap();
    assert_eq!(oci["process"]["env"], json!(["PATH=/opt", "HOME=/", "ANY=1", "CARD=0"]));
    assert_eq!(oci["process"]["user"]["additionalGids"], json!([5, 44]));
    assert_eq!(
        oci["linux"]["devices"],
        json!([
            { "path": "/dev/card", "type": "c", "major": 1, "minor": 3, "fileMode": oci["linux"]["devices"][0]["fileMode"], "uid": 7, "gid": 100 },
            { "path": "/dev/fixed", "type": "b", "major": 8, "minor": 1, "fileMode": 432, "uid": 1000, "gid": 6 },
        ])
    );
    // `none` is no rule at all.
    assert_eq!(
        oci["linux"]["resources"]["devices"],
        json!([{ "allow": true, "type": "c", "access": "rw", "major": 1, "minor": 3 }])
    );
    // What is mounted below another mount is mounted after it.
    let places: Vec<&str> =
        oci["mounts"].as_array().unwrap().iter().filter_map(|m| m["destination"].as_str()).collect();
    assert_eq!(places, ["/proc", "/opt", "/opt/below", "/opt/scratch"]);
    assert_eq!(oci["mounts"][1]["type"], "none");
    assert_eq!(
        oci["hooks"]["createContainer"],
        json!([{ "path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 3 }])
    );
    assert_eq!(oci["linux"]["netDevices"], json!({ "ens7": { "name": "card0" } }));
    assert_eq!(oci["linux"]["intelRdt"], json!({ "closID": "x", "schemata": ["L3:0=f"], "enableMonitoring": true }));
    serde_json::from_value::<Value>(oci).unwrap();
}

#[test]
fn what_is_not_on_the_host_is_an_error_when_it_is_needed() {
    let node = |node: DeviceNode| Edits { device_nodes: vec![node], ..Edits::default() };
    let fails = |edits: &Edits| apply(edits, &mut json!({})).unwrap_err().to_string();
    assert!(fails(&node(DeviceNode::at("/dev/none-such"))).contains("/dev/none-such"));
    assert!(fails(&node(DeviceNode::at("/etc/passwd"))).contains("not a device node"));
    let block = DeviceNode { kind: Some("b".into()), ..DeviceNode::at("/dev/null") };
    assert!(fails(&node(block)).contains("has the type c, not b"));
    let mount =
        Mount { host_path: "/none".into(), container_path: "/x".into(), options: vec!["bind".into()], kind: None };
    assert!(fails(&Edits { mounts: vec![mount], ..Edits::default() }).contains("/none cannot be mounted"));
}

#[test]
fn mistakes_are_named_with_their_key() {
    let with = |version: &str, kind: &str, device: &str| {
        format!("cdiVersion: {version}\nkind: {kind}\ndevices:\n  - name: a\n    containerEdits:\n      {device}\n")
    };
    let good = "env: [A=b]";
    yaml(&with("0.3.0", "vendor.com/class", good)).unwrap();
    for (text, key, reason) in [
        (with("0.3.0", "vendor.com/class", "envs: []"), "devices[0].containerEdits", "unknown field `envs`"),
        (with("0.3.0", "vendor.com/class", "env: [A]"), "devices[0].containerEdits.env[0]", "NAME=value"),
        (with("0.3.0", "vendor.com/class", "env: []"), "devices[0].containerEdits", "must change something"),
        (with("0.3.0", "vendor.com/class", "additionalGids: [1]"), "devices[0].containerEdits.additionalGids", "0.7.0"),
        (with("0.6.0", "vendor.com/class", "intelRdt: {}"), "devices[0].containerEdits.intelRdt", "0.7.0"),
        (with("1.0.0", "vendor.com/class", "intelRdt: { schemata: [x] }"), "intelRdt.schemata", "1.1.0"),
        (with("1.0.0", "vendor.com/class", "netDevices: [{hostInterfaceName: a, name: b}]"), "netDevices", "1.1.0"),
        (
            with("0.4.0", "vendor.com/class", "deviceNodes: [{path: /a, hostPath: /b}]"),
            "deviceNodes[0].hostPath",
            "0.5.0",
        ),
        (
            with("0.3.0", "vendor.com/class", "mounts: [{hostPath: /a, containerPath: /b, type: x}]"),
            "mounts[0].type",
            "0.4.0",
        ),
        (with("0.5.0", "vendor.com/a.b", good), "kind", "0.6.0"),
        (with("0.3.0", "vendor.com", good), "kind", "vendor.com/class"),
        (with("0.3.0", "-x.com/class", good), "kind", "no DNS name"),
        (with("0.3.0", "vendor.com/class/more", good), "kind", "cannot have '/'"),
        (with("0.2.9", "vendor.com/class", good), "cdiVersion", "0.2.9"),
        (with("v0.5.0", "vendor.com/class", good), "cdiVersion", "v0.5.0"),
        (with("0.3.0", "vendor.com/class", "deviceNodes: [{path: dev}]"), "deviceNodes[0].path", "absolute"),
        (
            with("0.3.0", "vendor.com/class", "deviceNodes: [{path: /d, type: x}]"),
            "deviceNodes[0].type",
            "must be b, c, u or p",
        ),
        (
            with("0.3.0", "vendor.com/class", "deviceNodes: [{path: /d, permissions: x}]"),
            "deviceNodes[0].permissions",
            "r, w and m",
        ),
        (
            with("0.3.0", "vendor.com/class", "hooks: [{hookName: before, path: /x}]"),
            "hooks[0].hookName",
            "must be one of",
        ),
        (with("0.3.0", "vendor.com/class", "hooks: [{hookName: poststop, path: x}]"), "hooks[0].path", "absolute"),
        (
            with("0.3.0", "vendor.com/class", "hooks: [{hookName: poststop, path: /x, timeout: 0}]"),
            "hooks[0].timeout",
            "greater",
        ),
        (
            with("0.3.0", "vendor.com/class", "mounts: [{hostPath: /a}]"),
            "devices[0].containerEdits.mounts[0]",
            "containerPath",
        ),
        ("cdiVersion: 0.3.0\nkind: a.b/c\ndevices: []\n".into(), "devices", "at least one"),
        (with("0.3.0", "vendor.com/class", good).replace("name: a", "name: 0a"), "devices[0].name", "0.5.0"),
        (
            with("0.3.0", "vendor.com/class", good).replace("name: a", "name: a_"),
            "devices[0].name",
            "letter or a digit",
        ),
    ] {
        let error = yaml(&text).unwrap_err();
        let DeviceError::Cdi { path, key: at, reason: why } = &error else { panic!("{error}") };
        assert!(path.ends_with("a.yaml") && at.contains(key) && why.contains(reason), "{text}: {error}");
    }
    let twice = r#"{"cdiVersion": "0.3.0", "kind": "a.b/c", "devices": [
        {"name": "x", "containerEdits": {"env": ["A=1"]}}, {"name": "x", "containerEdits": {"env": ["A=2"]}}]}"#;
    let error = parse(Path::new("a.json"), twice).unwrap_err().to_string();
    assert!(error.contains("a.json: devices[1].name"), "{error}");
    assert!(parse(Path::new("a.json"), "{").is_err() && parse(Path::new("a.json"), "null").is_err());
}

#[test]
fn directories_have_ranks_and_conflicts_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (low, high) = (dir.path().join("low"), dir.path().join("high"));
    for path in [&low, &high] {
        std::fs::create_dir_all(path).unwrap();
    }
    let write = |path: &Path, value: &str, names: &[&str]| {
        let devices: Vec<Value> = names
            .iter()
            .map(|name| json!({ "name": name, "containerEdits": { "env": [format!("FROM={value}")] } }))
            .collect();
        let spec = json!({ "cdiVersion": "0.6.0", "kind": "a.b/c", "devices": devices });
        std::fs::write(path, spec.to_string()).unwrap();
    };
    write(&low.join("one.json"), "low", &["x", "y", "z"]);
    write(&high.join("two.json"), "high", &["x"]);
    std::fs::write(low.join("ignored.txt"), "not looked at").unwrap();
    let mut cache = Cache::new(vec![low.clone(), high.clone()]);
    assert!(cache.refresh() && !cache.refresh());
    let name = |name: &str| QualifiedName::parse(&format!("a.b/c={name}")).unwrap();
    assert_eq!(cache.find(&name("x")).unwrap().device.container_edits.env, ["FROM=high"]);
    assert_eq!(cache.find(&name("y")).unwrap().device.container_edits.env, ["FROM=low"]);
    let error = cache.find(&name("w")).unwrap_err().to_string();
    assert!(error.contains("a.b/c has x, y, z"), "{error}");

    write(&low.join("three.json"), "three", &["y"]);
    assert!(cache.refresh());
    let error = cache.find(&name("y")).unwrap_err().to_string();
    assert!(error.contains("one.json") && error.contains("three.json"), "{error}");
    assert!(!cache.devices().contains_key(&name("y")) && cache.devices().contains_key(&name("z")));

    std::fs::write(high.join("bad.yaml"), "kind: 3\nextra: 1\n").unwrap();
    assert!(cache.refresh());
    let error = cache.find(&name("w")).unwrap_err().to_string();
    assert!(error.contains("bad.yaml"), "{error}");
    assert!(cache.find(&name("x")).is_ok());
}

#[test]
fn whole_names() {
    for good in ["vendor.com/class=dev", "a/b=0", "nvidia.com/gpu=GPU-1-2", "nvidia.com/gpu=0:1"] {
        assert!(is_qualified(good), "{good}");
    }
    for bad in ["/dev/null", "class=dev", "vendor.com/class", "vendor.com/class=", "v/c=/dev/x", "/dev/a=b", ""] {
        assert!(!is_qualified(bad), "{bad}");
    }
}
