//! Any text may come as a config.json: what cannot be honoured is an error, and nothing is a panic.

use proptest::prelude::*;
use serde_json::{Value, json};

fn base() -> Value {
    let map = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
    json!({
        "ociVersion": "1.2.0",
        "hostname": "h", "domainname": "d",
        "root": {"path": "rootfs", "readonly": true},
        "process": {
            "terminal": true, "consoleSize": {"height": 1, "width": 2}, "cwd": "/", "args": ["a"], "env": ["A=b"],
            "user": {"uid": 0, "gid": 0, "umask": 18, "additionalGids": [1]},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}],
            "capabilities": {"bounding": ["CAP_KILL"], "effective": [], "ambient": ["CAP_CHOWN"]},
            "oomScoreAdj": 5, "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
            "scheduler": {"policy": "SCHED_OTHER", "nice": 1}, "execCPUAffinity": {"initial": "0-1", "final": "0"},
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["ro", "nosuid", "hidepid=2"]},
            {"destination": "b", "source": "x", "options": ["rbind", "rro", "idmap"], "uidMappings": map, "gidMappings": map},
        ],
        "hooks": {"prestart": [{"path": "/a", "args": ["b"], "env": ["C=d"], "timeout": 3}]},
        "annotations": {"a": "b"},
        "linux": {
            "namespaces": [{"type": "mount"}, {"type": "user"}, {"type": "uts"}, {"type": "network", "path": "/x"},
                {"type": "time"}, {"type": "ipc"}],
            "uidMappings": map, "gidMappings": map,
            "timeOffsets": {"boottime": {"secs": 1, "nanosecs": 2}},
            "sysctl": {"net.ipv4.ip_forward": "1"},
            "cgroupsPath": "/a/b", "rootfsPropagation": "slave",
            "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"],
            "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 2, "fileMode": 438, "uid": 0, "gid": 0}],
            "personality": {"domain": "LINUX32"},
            "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0-3", "flags": ["MPOL_F_STATIC_NODES"]},
            "netDevices": {"eth0": {"name": "e"}},
            "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86"],
                "flags": ["SECCOMP_FILTER_FLAG_LOG"], "listenerPath": "/x", "listenerMetadata": "m",
                "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW",
                    "args": [{"index": 1, "value": 2, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}]}]},
            "resources": {
                "cpu": {"shares": 5, "quota": 6, "period": 7, "burst": 1, "cpus": "0-1", "mems": "0", "idle": 0},
                "memory": {"limit": 100, "swap": 200, "reservation": 50, "swappiness": 3},
                "pids": {"limit": 5}, "unified": {"a": "b"}, "rdma": {"x": {"hcaHandles": 1}},
                "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
                "blockIO": {"weight": 10, "weightDevice": [{"major": 1, "minor": 2, "weight": 3}],
                    "throttleReadBpsDevice": [{"major": 1, "minor": 2, "rate": 3}]},
                "devices": [{"allow": true, "type": "c", "major": 1, "minor": 2, "access": "rwm"}],
            },
        },
    })
}

/// All places in a value.
fn pointers(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                pointers(inner, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), into);
            }
        }
        Value::Array(list) => {
            for (index, inner) in list.iter().enumerate() {
                pointers(inner, &format!("{at}/{index}"), into);
            }
        }
        _ => {}
    }
}

fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![
            Just(-1i64),
            Just(0),
            Just(1),
            Just(i64::from(u32::MAX)),
            Just(i64::from(i32::MIN)),
            Just(i64::MIN),
            Just(4096)
        ]
        .prop_map(Value::from),
        ".*".prop_map(Value::from),
        prop_oneof![
            Just(""),
            Just("/"),
            Just(".."),
            Just("a\0b"),
            Just("0-4294967295"),
            Just("4096"),
            Just("pid"),
            Just("bind"),
            Just("CAP_NONE"),
            Just("SCMP_ACT_NOTIFY"),
            Just("a:b:c"),
            Just("=,=")
        ]
        .prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([null])),
        Just(json!([["x"]])),
    ]
}

proptest! {
    #[test]
    fn changes_of_a_spec(places in prop::collection::vec((any::<prop::sample::Index>(), anything()), 1..6)) {
        let mut spec = base();
        for (place, value) in places {
            let mut all = Vec::new();
            pointers(&spec, "", &mut all);
            if let Some(here) = spec.pointer_mut(place.get(&all).as_str()) {
                *here = value;
            }
        }
        let _ = hoist_runtime::check_config(spec.to_string().as_bytes());
    }

    #[test]
    fn any_bytes(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = hoist_runtime::check_config(&text);
    }
}

#[test]
fn the_spec_that_is_changed_is_nearly_right() {
    let mut spec = base();
    spec["linux"]["seccomp"]["syscalls"][0]["action"] = json!("SCMP_ACT_NOTIFY");
    hoist_runtime::check_config(spec.to_string().as_bytes()).map_err(|error| error.to_string()).unwrap();
}
