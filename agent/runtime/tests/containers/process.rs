//! The process's own properties.

use serde_json::json;

use crate::harness::Bundle;

#[test]
fn user_groups_and_umask() {
    let mut bundle = Bundle::new("id -u; id -g; id -G; umask");
    bundle.spec["process"]["user"] = json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 0o27});
    assert_eq!(bundle.run().out, "1000\n1001\n1001 5 6\n0027\n");
}

#[test]
fn capabilities_in_all_five_sets() {
    let mut bundle = Bundle::new("grep Cap /proc/self/status | tr -d '\\t'");
    bundle.spec["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    bundle.spec["process"]["capabilities"] = json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"],
        "permitted": ["CAP_CHOWN", "CAP_KILL"],
        "inheritable": ["CAP_CHOWN", "CAP_KILL"],
        "effective": ["CAP_CHOWN"],
        "ambient": ["CAP_KILL"],
    });
    // A program without file capabilities keeps the ambient ones.
    let lines = "CapInh:0000000000000021\nCapPrm:0000000000000020\nCapEff:0000000000000020\n\
                 CapBnd:00000000000000a1\nCapAmb:0000000000000020\n";
    let done = bundle.run();
    assert_eq!(done.out, lines, "{}", done.err);
}

#[test]
fn limits_scores_and_privileges() {
    let mut bundle = Bundle::new(
        "ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj; grep NoNewPrivs /proc/self/status | cut -f2",
    );
    bundle.spec["process"]["rlimits"] = json!([
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]);
    bundle.spec["process"]["oomScoreAdj"] = json!(123);
    assert_eq!(bundle.run().out, "100\n200\n0\n123\n1\n");
    bundle.spec["process"]["rlimits"] = json!([
        {"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1},
        {"type": "RLIMIT_NOFILE", "soft": 2, "hard": 2},
    ]);
    assert!(bundle.run().err.contains("RLIMIT_NOFILE twice"));
}

#[test]
fn the_working_directory_is_made_and_stays_inside() {
    let mut bundle = Bundle::new("pwd");
    bundle.spec["process"]["cwd"] = json!("/srv/new/place");
    assert_eq!(bundle.run().out, "/srv/new/place\n");
    bundle.spec["process"]["cwd"] = json!("relative");
    assert_eq!(bundle.run().code, 1);
}

#[test]
fn names_and_environment() {
    let mut bundle = Bundle::new("hostname; cat /proc/sys/kernel/domainname; echo $A; echo $0 $1");
    bundle.spec["hostname"] = json!("inside");
    bundle.spec["domainname"] = json!("example.org");
    bundle.spec["process"]["env"] = json!(["PATH=/bin", "A=b=c"]);
    assert_eq!(bundle.run().out, "inside\nexample.org\nb=c\n/bin/sh\n");
    assert_ne!(rustix::system::uname().nodename().to_str().unwrap(), "inside");
}

#[test]
fn the_command_is_looked_for_in_path() {
    let mut bundle = Bundle::new("");
    bundle.args(&["echo", "found"]);
    assert_eq!(bundle.run().out, "found\n");
    bundle.spec["process"]["env"] = json!(["PATH=/nowhere:/bin"]);
    assert_eq!(bundle.run().out, "found\n");
    bundle.spec["process"]["env"] = json!([]);
    assert_eq!(bundle.run().out, "found\n");
    bundle.spec["process"]["env"] = json!(["PATH=/etc"]);
    assert!(bundle.run().err.contains("not found"));
}

#[test]
fn signals_begin_with_their_defaults() {
    // Rust programs ignore SIGPIPE; a container's command must not inherit that.
    let done = Bundle::new("grep -E 'Sig(Ign|Blk)' /proc/self/status | tr -d '\\t'").run();
    assert_eq!(done.out, "SigBlk:0000000000000000\nSigIgn:0000000000000000\n");
}

#[test]
fn the_default_profile_filters_system_calls() {
    let arch = hoist_runtime::seccomp::native_arch().unwrap();
    let profile = hoist_runtime::seccomp::docker_default(&[], arch);
    let script = "grep -E 'Seccomp:' /proc/self/status | cut -f2; mount -t tmpfs none /mnt 2>&1; echo $?";
    for no_new_privileges in [true, false] {
        let mut bundle = Bundle::new(script);
        let every = json!(["CAP_SYS_ADMIN"]);
        bundle.spec["process"]["capabilities"] = json!({"bounding": every, "effective": every, "permitted": every});
        bundle.spec["process"]["noNewPrivileges"] = json!(no_new_privileges);
        bundle.spec["linux"]["seccomp"] = serde_json::to_value(&profile).unwrap();
        let done = bundle.run();
        // The capability alone would allow it; the filter does not.
        assert_eq!(done.out, "2\nmount: permission denied (are you root?)\n1\n", "{}", done.err);
        bundle.spec["linux"].as_object_mut().unwrap().remove("seccomp");
        assert_eq!(bundle.run().out, "0\n0\n");
    }
}

#[test]
fn a_filter_holds_for_further_processes_too() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["chmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]});
    bundle.start();
    let done = bundle.oci(&["exec", "{}", "chmod", "700", "/tmp"]);
    assert!(done.err.contains("No space left on device"), "{}", done.err);
}

#[test]
fn a_terminal_is_sent_to_the_console_socket() {
    use std::io::{Read, Write};
    let mut bundle = Bundle::new("tty; test -c /dev/console && echo console; stty size; read line; echo got $line");
    bundle.spec["process"]["terminal"] = json!(true);
    bundle.spec["process"]["consoleSize"] = json!({"height": 31, "width": 97});
    let path = bundle.dir.path().join("console.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert_eq!(bundle.create(&[]), 1, "a terminal needs a socket");
    assert_eq!(bundle.create(&["--console-socket", path.to_str().unwrap()]), 0, "{}", bundle.file("err"));
    let (master, _) = crate::harness::receive_fd(&listener);
    assert_eq!(bundle.oci(&["start", "{}"]).code, 0);
    let mut master = std::fs::File::from(master);
    let mut text = Vec::new();
    // What is typed before it is asked for is shown in the middle of what is said.
    while !text.ends_with(b"31 97\r\n") {
        let mut byte = [0];
        master.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    master.write_all(b"word\n").unwrap();
    // At the end the other side is closed, which reading a terminal reports as an error.
    let _ = master.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).replace('\r', "");
    for line in ["/dev/pts/0\n", "console\n", "31 97\n", "got word\n"] {
        assert!(text.contains(line), "{line:?} in {text:?}");
    }
}

#[test]
fn a_listener_is_told_of_system_calls() {
    let mut bundle = Bundle::new("mkdir /tmp/x; echo $?");
    let path = bundle.dir.path().join("seccomp.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    bundle.spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path,
        "listenerMetadata": "m", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]});
    for no_new_privileges in [true, false] {
        bundle.spec["process"]["noNewPrivileges"] = json!(no_new_privileges);
        assert_eq!(bundle.create(&[]), 0, "{}", bundle.file("err"));
        let (heard, done) = std::thread::scope(|scope| {
            let heard = scope.spawn(|| {
                let (notifications, told) = crate::harness::receive_fd(&listener);
                // Nobody answers any more: the call fails as if the kernel did not have it.
                drop(notifications);
                told
            });
            let done = bundle.oci(&["start", "{}"]);
            (heard.join().unwrap(), done)
        });
        assert_eq!(done.code, 0, "{}", done.err);
        let told: serde_json::Value = serde_json::from_slice(&heard).unwrap();
        assert_eq!((told["metadata"].as_str(), told["fds"][0].as_str()), (Some("m"), Some("seccompFd")));
        assert_eq!(told["state"]["id"], json!(bundle.id));
        bundle.until("the end", || bundle.state()["status"] == "stopped");
        assert_eq!(bundle.file("out"), "1\n");
        assert!(bundle.file("err").contains("Function not implemented"), "{}", bundle.file("err"));
        assert_eq!(bundle.oci(&["delete", "{}"]).code, 0);
    }
}

#[test]
fn security_labels_where_the_kernel_has_them() {
    let mut bundle = Bundle::new("cat /proc/self/attr/apparmor/current");
    bundle.spec["process"]["apparmorProfile"] = json!("unconfined");
    let done = bundle.run();
    if std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y")) {
        assert_eq!(done.out, "unconfined\n", "{}", done.err);
        bundle.spec["process"]["apparmorProfile"] = json!("no-such-profile");
        assert!(bundle.run().err.contains("apply AppArmor profile \"no-such-profile\""));
    } else {
        assert!(done.err.contains("has no AppArmor"), "{}", done.err);
    }
    let mut bundle = Bundle::new("true");
    bundle.spec["process"]["selinuxLabel"] = json!("system_u:system_r:svirt_lxc_net_t:s0:c124,c675");
    let done = bundle.run();
    assert!(std::path::Path::new("/sys/fs/selinux").is_dir() || done.err.contains("has no SELinux"), "{}", done.err);
}

#[test]
fn scheduling_and_io_priority() {
    let mut bundle = Bundle::new("cut -d' ' -f19,41 /proc/self/stat");
    bundle.spec["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 5});
    bundle.spec["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_IDLE", "priority": 4});
    let done = bundle.run();
    assert_eq!(done.out, "5 3\n", "{}", done.err);
    bundle.spec["process"]["ioPriority"]["priority"] = json!(9);
    assert!(bundle.run().err.contains("ioPriority"));
}

#[test]
fn personality_and_memory_policy() {
    let mut bundle = Bundle::new("cat /proc/self/personality; head -n1 /proc/self/numa_maps | cut -d' ' -f2");
    bundle.spec["linux"]["personality"] = json!({"domain": "LINUX32"});
    let done = bundle.run();
    assert!(done.out.starts_with("00000008"), "{} {}", done.out, done.err);
    bundle.spec["linux"]["personality"] = json!({"domain": "LINUX", "flags": ["X"]});
    assert!(bundle.run().err.contains("personality"));
}
