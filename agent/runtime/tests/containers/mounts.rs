//! The container's tree.

use std::fs;

use serde_json::json;

use crate::harness::Bundle;

#[test]
fn binds_with_and_without_writing() {
    let mut bundle = Bundle::new("cat /in/file /one; echo x > /in/file; echo $?; echo y > /out/new; echo $?");
    let shared = bundle.dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("file"), "content\n").unwrap();
    bundle.mount(json!({"destination": "/in", "type": "bind", "source": shared, "options": ["bind", "ro"]}));
    bundle.mount(json!({"destination": "/out", "type": "none", "source": "shared", "options": ["rbind", "rw"]}));
    bundle.mount(json!({"destination": "/one", "type": "bind", "source": shared.join("file"), "options": ["bind"]}));
    let done = bundle.run();
    assert_eq!(done.out, "content\ncontent\n1\n0\n", "{}", done.err);
    assert_eq!(fs::read_to_string(shared.join("new")).unwrap(), "y\n");
}

#[test]
fn attributes_of_this_mount_and_of_those_below() {
    // A tree with a mount below, made where only this test sees it.
    let script = "touch /a/f /a/sub/f /b/f /b/sub/f 2>&1 | wc -l; grep -E ' /(a|b)(/sub)? ' /proc/self/mountinfo | \
                  cut -d' ' -f5,6 | sort";
    let mut bundle = Bundle::new(script);
    let tree = bundle.dir.path().join("tree");
    fs::create_dir_all(tree.join("sub")).unwrap();
    bundle.mount(json!({"destination": "/a", "source": tree, "options": ["rbind", "ro", "nosuid"]}));
    bundle.mount(json!({"destination": "/b", "source": tree, "options": ["rbind", "rro", "rnoexec", "rnoatime"]}));
    bundle.write();
    let inner = bundle.command(&["run", "--bundle", bundle.dir.path().to_str().unwrap(), &bundle.id]);
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", "mount -t tmpfs none \"$0\" && exec \"$@\""])
        .arg(tree.join("sub"))
        .arg(inner.get_program())
        .args(inner.get_args())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let expected = "3\n/a ro,nosuid,relatime\n/a/sub rw,relatime\n/b ro,noexec,noatime\n/b/sub ro,noexec,noatime\n";
    assert_eq!(text, expected, "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_tmpfs_has_its_options_and_can_begin_with_what_is_there() {
    let mut bundle = Bundle::new(
        "stat -f -c %b*%S /t | tr '*' ' ' | awk '{print $1*$2}'; stat -c %a /t; ls /etc; cat /etc/deep/x; stat -c '%u %a' /etc/deep; \
         echo 1 > /r/x; echo $?",
    );
    let etc = bundle.root().join("etc");
    fs::create_dir(etc.join("deep")).unwrap();
    fs::write(etc.join("deep/x"), "kept\n").unwrap();
    std::os::unix::fs::symlink("deep/x", etc.join("link")).unwrap();
    std::os::unix::fs::chown(etc.join("deep"), Some(12), None).unwrap();
    bundle.mount(json!({"destination": "/t", "type": "tmpfs", "source": "x", "options": ["size=128k", "mode=1770"]}));
    bundle.mount(json!({"destination": "/etc", "type": "tmpfs", "source": "x", "options": ["tmpcopyup"]}));
    bundle.mount(json!({"destination": "/r", "type": "tmpfs", "source": "x", "options": ["ro"]}));
    let done = bundle.run();
    assert_eq!(done.out, "131072\n1770\ndeep\nlink\nkept\n12 755\n1\n", "{}", done.err);
}

#[test]
fn a_read_only_root_with_mount_points_that_are_made() {
    let mut bundle = Bundle::new("touch /x; echo $?; touch /new/place/x; echo $?");
    bundle.spec["root"]["readonly"] = json!(true);
    bundle.mount(json!({"destination": "/new/place", "type": "tmpfs", "source": "tmpfs"}));
    assert_eq!(bundle.run().out, "1\n0\n");
}

#[test]
fn masked_and_read_only_paths() {
    let script = "cat /proc/kcore | wc -c; ls /sys/firmware | wc -l; echo 0 > /proc/sys/kernel/core_uses_pid; echo $?; \
                  cat /etc/secret | wc -c; ls -A /data | wc -l; touch /data/x; echo $?; touch /tmp/x; echo $?";
    let mut bundle = Bundle::new(script);
    fs::write(bundle.root().join("etc/secret"), "secret").unwrap();
    fs::write(bundle.root().join("data/secret"), "secret").unwrap();
    let linux = &mut bundle.spec["linux"];
    linux["maskedPaths"].as_array_mut().unwrap().extend([json!("/etc/secret"), json!("/data")]);
    linux["readonlyPaths"].as_array_mut().unwrap().push(json!("/tmp"));
    assert_eq!(bundle.run().out, "0\n0\n1\n0\n0\n1\n1\n");
}

#[test]
fn devices_and_links_are_there() {
    let mut bundle = Bundle::new(
        "stat -c '%n %t:%T %a' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/mine; \
         for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; head -c 3 /dev/zero | wc -c; stat -c %F /dev/pipe",
    );
    bundle.spec["linux"]["devices"] = json!([
        {"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4},
        {"path": "/dev/pipe", "type": "p"},
    ]);
    let expected = "/dev/null 1:3 666\n/dev/zero 1:5 666\n/dev/full 1:7 666\n/dev/random 1:8 666\n/dev/urandom 1:9 666\n\
                    /dev/tty 5:0 666\n/dev/mine 1:5 640\n/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n\
                    pts/ptmx\n3\nfifo\n";
    let done = bundle.run();
    assert_eq!(done.out, expected, "{}", done.err);
}

#[test]
fn a_device_in_the_way_is_an_error() {
    let mut bundle = Bundle::new("true");
    fs::write(bundle.root().join("data/dev"), "").unwrap();
    bundle.spec["linux"]["devices"] = json!([{"path": "/data/dev", "type": "c", "major": 1, "minor": 5}]);
    let done = bundle.run();
    assert_eq!(done.code, 1);
    assert!(done.err.contains("make device /data/dev: File exists"), "{}", done.err);
}

#[test]
fn ids_of_a_bind_mount_are_mapped() {
    let mut bundle = Bundle::new("stat -c '%u %g' /data/f; touch /data/new");
    let shared = bundle.dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("f"), "").unwrap();
    std::os::unix::fs::chown(shared.join("f"), Some(0), Some(0)).unwrap();
    let map = json!([{"containerID": 0, "hostID": 5000, "size": 1000}]);
    bundle.mount(json!({"destination": "/data", "type": "bind", "source": shared, "options": ["bind", "idmap"],
        "uidMappings": map, "gidMappings": map}));
    let done = bundle.run();
    if done.code != 0 && done.err.contains("map the ids of mount") {
        // A tmpfs cannot before Linux 6.3; the refusal names the mount.
        assert!(done.err.contains("Invalid argument") && done.err.contains("/data"), "{}", done.err);
        return;
    }
    // The file system's 0 appears as 5000; the container's 0 has no place in the file system.
    assert_eq!(done.out, "5000 5000\n", "{}", done.err);
    assert!(done.err.contains("Value too large"), "{}", done.err);
}

#[test]
fn propagation() {
    let mut bundle = Bundle::new("grep -E ' (/|/a|/b|/c) ' /proc/self/mountinfo | cut -d' ' -f5,7 | sed 's/:[0-9]*//'");
    let shared = bundle.dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    for (target, word) in [("/a", "rprivate"), ("/b", "rshared"), ("/c", "runbindable")] {
        bundle.mount(json!({"destination": target, "source": shared, "options": ["rbind", word]}));
    }
    bundle.spec["linux"]["rootfsPropagation"] = json!("shared");
    let done = bundle.run();
    let lines: Vec<&str> = done.out.lines().collect();
    assert!(lines.contains(&"/a -") && lines.contains(&"/c unbindable"), "{}\n{}", done.out, done.err);
    assert!(lines.contains(&"/b shared") && lines.contains(&"/ shared"), "{}", done.out);
}

#[test]
fn mistakes_in_mounts_are_refused() {
    for (mount, word) in [
        (json!({"destination": "/x"}), "neither a type nor bind"),
        (json!({"destination": "/x", "type": "nosuchfs", "source": "none"}), "nosuchfs"),
        (json!({"destination": "/x", "source": "/tmp", "options": ["bind", "size=5"]}), "no option \"size\""),
        (json!({"destination": "/x", "source": "/tmp", "options": ["bind", "sync"]}), "sync"),
        (json!({"destination": "/x", "source": "/tmp", "options": ["bind", "idmap"]}), "idmap"),
        (json!({"destination": "/x", "type": "tmpfs", "source": "x", "options": ["nonsense=1"]}), "nonsense"),
        (json!({"destination": "/proc/self/attr", "type": "tmpfs", "source": "x"}), "proc file system"),
    ] {
        let mut bundle = Bundle::new("true");
        bundle.mount(mount);
        let done = bundle.run();
        assert_eq!(done.code, 1);
        assert!(done.err.contains(word), "{word}: {}", done.err);
    }
}

#[test]
fn remounting_changes_what_is_there() {
    let mut bundle = Bundle::new("touch /t/x; echo $?; stat -f -c %b*%S /t | tr '*' ' ' | awk '{print $1*$2}'");
    bundle.mount(json!({"destination": "/t", "type": "tmpfs", "source": "x", "options": ["size=64k"]}));
    bundle
        .mount(json!({"destination": "/t", "type": "tmpfs", "source": "x", "options": ["remount", "ro", "size=128k"]}));
    let done = bundle.run();
    assert_eq!(done.out, "1\n131072\n", "{}", done.err);
}

#[test]
fn cgroups_are_shown_as_the_host_has_them() {
    let mut bundle =
        Bundle::new("ls /sys/fs/cgroup; cat /proc/self/cgroup; mkdir /sys/fs/cgroup/pids/x /sys/fs/cgroup/x");
    bundle.spec["root"]["readonly"] = json!(true);
    let done = bundle.run();
    assert!(done.out.contains("cgroup.procs") || done.out.contains("memory"), "{}\n{}", done.out, done.err);
    // In a namespace of its own, the container's cgroup is the root.
    for line in done.out.lines().filter(|line| line.contains(":pids:") || line.starts_with("0::")) {
        assert!(line.ends_with(":/"), "{line}");
    }
    assert!(done.err.contains("Read-only") || done.err.contains("No such file"), "{}", done.err);
}
