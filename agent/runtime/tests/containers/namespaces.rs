//! Namespaces: new ones, those of others, and what is set in them.

use serde_json::json;

use crate::harness::{Bundle, Change};

fn link(pid: i64, kind: &str) -> String {
    std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().to_string_lossy().into_owned()
}

#[test]
fn every_kind_is_new_if_asked_for() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.namespace("time", Some(json!({"type": "time"})));
    bundle.start();
    let (own, pid) = (i64::from(std::process::id()), bundle.pid());
    for kind in ["pid", "net", "ipc", "uts", "mnt", "cgroup", "time"] {
        assert_ne!(link(own, kind), link(pid, kind), "{kind}");
    }
    assert_eq!(link(own, "user"), link(pid, "user"));
}

#[test]
fn what_is_not_asked_for_is_shared() {
    let mut bundle = Bundle::new("sleep 1000");
    for kind in ["network", "ipc", "uts", "cgroup"] {
        bundle.namespace(kind, None);
    }
    bundle.spec.as_object_mut().unwrap().remove("hostname");
    bundle.start();
    let (own, pid) = (i64::from(std::process::id()), bundle.pid());
    for kind in ["net", "ipc", "uts", "cgroup"] {
        assert_eq!(link(own, kind), link(pid, kind), "{kind}");
    }
}

#[test]
fn another_containers_are_joined() {
    let first = Bundle::new("sleep 1000; true");
    first.start();
    let pid = first.pid();
    let mut second = Bundle::new("cat /proc/1/cmdline; hostname");
    for (kind, file) in [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
        second.namespace(kind, Some(json!({"type": kind, "path": format!("/proc/{pid}/ns/{file}")})));
    }
    second.spec.as_object_mut().unwrap().remove("hostname");
    let done = second.run();
    assert_eq!(done.out, "/bin/sh\0-c\0sleep 1000; true\0box\n", "{}", done.err);
    second.namespace("network", Some(json!({"type": "network", "path": format!("/proc/{pid}/ns/ipc")})));
    assert!(second.run().err.contains("is no network namespace"));
    second.namespace("network", Some(json!({"type": "network", "path": "relative"})));
    assert_eq!(second.run().code, 1);
}

#[test]
fn a_user_namespace_maps_ids() {
    let mut bundle = Bundle::new(
        "id -u; stat -c %u /; touch /tmp/x; cat /proc/self/uid_map | tr -s ' '; mknod /tmp/n c 1 3; echo $?; \
                                  head -c 2 /dev/zero | wc -c; sleep 1000",
    );
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.namespace("user", Some(json!({"type": "user"})));
    bundle.spec["linux"]["uidMappings"] = map.clone();
    bundle.spec["linux"]["gidMappings"] = map;
    let root = bundle.root();
    for path in [root.clone(), root.join("tmp"), root.join("dev"), root.join("proc"), root.join("sys")] {
        std::os::unix::fs::chown(path, Some(100_000), Some(100_000)).unwrap();
    }
    // The temporary directory itself must be passable for the mapped user.
    std::fs::set_permissions(bundle.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    bundle.start();
    bundle.until("the output", || bundle.file("out").lines().count() == 5);
    assert_eq!(bundle.file("out"), "0\n0\n 0 100000 65536\n1\n2\n", "{}", bundle.file("err"));
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(root.join("tmp/x")).unwrap().uid(), 100_000);
    assert_ne!(link(i64::from(std::process::id()), "user"), link(bundle.pid(), "user"));
    let done = bundle.oci(&["exec", "{}", "sh", "-c", "id -u; readlink /proc/self/ns/user; readlink /proc/1/ns/user"]);
    let lines: Vec<&str> = done.out.lines().collect();
    assert_eq!((lines[0], lines[1]), ("0", lines[2]), "{}", done.err);
}

#[test]
fn an_existing_user_namespace_is_joined() {
    let mut first = Bundle::new("sleep 1000");
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    first.namespace("user", Some(json!({"type": "user"})));
    first.spec["linux"]["uidMappings"] = map.clone();
    first.spec["linux"]["gidMappings"] = map;
    std::fs::set_permissions(first.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    first.start();
    let mut second = Bundle::new("cat /proc/self/uid_map | tr -s ' '; echo $$; readlink /proc/self/ns/user");
    let path = format!("/proc/{}/ns/user", first.pid());
    second.namespace("user", Some(json!({"type": "user", "path": path})));
    std::fs::set_permissions(second.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let done = second.run();
    assert_eq!(done.out, format!(" 0 100000 65536\n1\n{}\n", link(first.pid(), "user")), "{}", done.err);
}

#[test]
fn clocks_of_a_time_namespace() {
    let mut bundle = Bundle::new("cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets | tr -s ' '");
    bundle.namespace("time", Some(json!({"type": "time"})));
    bundle.spec["linux"]["timeOffsets"] =
        json!({"boottime": {"secs": 1_000_000}, "monotonic": {"secs": 500, "nanosecs": 7}});
    let done = bundle.run();
    let uptime: u64 = done.out.lines().next().unwrap().parse().unwrap();
    assert!(uptime >= 1_000_000, "{} {}", done.out, done.err);
    assert!(done.out.contains("monotonic 500 7\nboottime 1000000 0"), "{}", done.out);
    bundle.namespace("time", None);
    assert!(bundle.run().err.contains("timeOffsets"));
}

#[test]
fn kernel_parameters_of_the_containers_own_namespaces_only() {
    let mut bundle =
        Bundle::new("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax /proc/sys/net/ipv4/conf/lo/rp_filter");
    let host = std::fs::read_to_string("/proc/sys/kernel/msgmax").unwrap();
    bundle.spec["linux"]["sysctl"] =
        json!({"net.ipv4.ip_forward": "1", "kernel.msgmax": "4321", "net/ipv4/conf/lo/rp_filter": "2"});
    let done = bundle.run();
    assert_eq!(done.out, "1\n4321\n2\n", "{}", done.err);
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/msgmax").unwrap(), host);
    for (name, word) in
        [("kernel.panic", "would change the host"), ("../x", "no name"), ("net.nothing", "No such file")]
    {
        bundle.spec["linux"]["sysctl"] = json!({ name: "1" });
        let done = bundle.run();
        assert!(done.err.contains(word), "{name}: {}", done.err);
    }
    bundle.spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    bundle.namespace("network", None);
    assert!(bundle.run().err.contains("network namespace"));
}

#[test]
fn contradictions_are_refused() {
    let spoil: [(&str, Change); 5] = [
        ("twice", |bundle| bundle.spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "pid"}))),
        ("uidMappings", |bundle| bundle.namespace("user", Some(json!({"type": "user"})))),
        ("user namespace", |bundle| {
            bundle.spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 1, "size": 1}]);
        }),
        ("uts namespace", |bundle| bundle.namespace("uts", None)),
        ("mount namespace", |bundle| bundle.namespace("mount", None)),
    ];
    for (word, change) in spoil {
        let mut bundle = Bundle::new("true");
        change(&mut bundle);
        let done = bundle.run();
        assert_eq!(done.code, 1);
        assert!(done.err.contains(word), "{word}: {}", done.err);
    }
}
