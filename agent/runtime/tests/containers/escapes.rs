//! The known ways out of other runtimes' containers, each tried.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::harness::{Bundle, program};

/// CVE-2019-5736: the image makes the runtime execute itself, and writes over it through /proc.
#[test]
fn the_runtimes_program_cannot_be_overwritten() {
    let before = fs::read(program()).unwrap();
    // As the command: the interpreter of the script is whatever executes it.
    let mut bundle = Bundle::new("");
    let script = bundle.root().join("bin/trap");
    fs::write(&script, "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    bundle.args(&["/bin/trap"]);
    assert_ne!(bundle.run().code, 0);

    // As a process that waits for the runtime to come in with exec, and tries to open what it runs.
    let hunter = "while true; do for p in /proc/[0-9]*; do case $(readlink $p/exe) in */busybox|'') ;; *) \
                  (echo pwned > $p/exe) 2>/dev/null && echo opened >> /tmp/result; \
                  (exec 3<>$p/exe && echo pwned >&3) 2>/dev/null && echo opened >> /tmp/result;; esac; done; done";
    let mut bundle = Bundle::new(hunter);
    let all = json!(["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SETUID", "CAP_SETGID", "CAP_KILL"]);
    bundle.spec["process"]["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
    bundle.start();
    for _ in 0..10 {
        bundle.oci(&["exec", "{}", "true"]);
        bundle.oci(&["exec", "{}", "/bin/trap"]);
    }
    assert!(!bundle.root().join("tmp/result").exists(), "the program was opened for writing");
    assert_eq!(fs::read(program()).unwrap(), before);
}

/// CVE-2024-21626: a descriptor of the host leaks, and the working directory or the command goes through it.
#[test]
fn no_descriptor_of_the_host_leaks() {
    for cwd in 3..12 {
        for path in [format!("/proc/self/fd/{cwd}"), format!("/proc/self/fd/{cwd}/../..")] {
            let mut bundle = Bundle::new("ls ../../../.. | head -n3; pwd");
            bundle.spec["process"]["cwd"] = json!(path);
            let done = bundle.run();
            assert_ne!(done.code, 0, "{path}: {}", done.out);
            assert_eq!(done.out, "", "{path}");
        }
    }
    let bundle = Bundle::new("sleep 1000");
    bundle.start();
    for number in 3..12 {
        let cwd = format!("/proc/self/fd/{number}");
        let done = bundle.oci(&["exec", "--cwd", &cwd, "{}", "ls", "../../.."]);
        assert_ne!(done.code, 0, "{cwd}: {}", done.out);
    }
    // What the caller of the runtime left open does not come in either; the last is the directory that ls reads.
    let listed = bundle.oci(&["exec", "{}", "ls", "/proc/self/fd"]);
    assert_eq!(listed.out, "0\n1\n2\n3\n");
}

/// CVE-2021-30465 and its kind: a mount's destination leads out through a symbolic link.
#[test]
fn mounts_stay_inside_whatever_the_image_links_to() {
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(outside.path().join("target")).unwrap();
    let mut bundle = Bundle::new("ls /mnt2/target; ls /link");
    symlink(outside.path(), bundle.root().join("mnt2")).unwrap();
    symlink("../../../../../../../../../../../..", bundle.root().join("up")).unwrap();
    let inside = bundle.dir.path().join("inside");
    fs::create_dir(&inside).unwrap();
    fs::write(inside.join("mark"), "").unwrap();
    bundle.mount(json!({"destination": "/mnt2/target", "source": inside, "options": ["bind"]}));
    let up = format!("/up{}/target2", outside.path().display());
    bundle.mount(json!({"destination": up, "type": "tmpfs", "source": "x"}));
    let done = bundle.run();
    assert_eq!(done.out, "mark\n", "{}", done.err);
    // The link was followed inside: the path exists in the container's root, and nothing was made outside.
    let below = outside.path().strip_prefix("/").unwrap();
    assert!(bundle.root().join(below).join("target").is_dir());
    assert!(bundle.root().join(below).join("target2").is_dir());
    assert!(!outside.path().join("target2").exists());
    assert_eq!(fs::read_dir(outside.path().join("target")).unwrap().count(), 0);
}

/// The same while another process swaps a directory for a link as fast as it can.
#[test]
fn mounts_stay_inside_while_links_are_swapped() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let outside = tempfile::tempdir().unwrap();
    let mut bundle = Bundle::new("cat /swap/mark");
    let (swap, other) = (bundle.root().join("swap"), bundle.root().join("other"));
    fs::create_dir(&swap).unwrap();
    symlink(outside.path(), &other).unwrap();
    bundle.mount(json!({"destination": "/swap/new/deep", "type": "tmpfs", "source": "x"}));
    static STOP: AtomicBool = AtomicBool::new(false);
    let swapper = std::thread::spawn(move || {
        while !STOP.load(Ordering::Relaxed) {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(rustix::fs::CWD, &swap, rustix::fs::CWD, &other, flags).unwrap();
        }
    });
    for _ in 0..25 {
        // Either it works inside, or it is refused.
        bundle.run();
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
    STOP.store(true, Ordering::Relaxed);
    swapper.join().unwrap();
}

/// CVE-2023-27561, CVE-2025-31133 and their kind: what is masked is uncovered, or something else covered.
#[test]
fn masks_hold_whatever_the_image_has() {
    let mut bundle = Bundle::new("cat /secret-link | wc -c; cat /proc/kcore | wc -c; cat /etc/passwd");
    let etc = bundle.root().join("etc");
    fs::write(etc.join("secret"), "secret").unwrap();
    fs::write(etc.join("passwd"), "open\n").unwrap();
    symlink("/etc/secret", bundle.root().join("secret-link")).unwrap();
    // The image's own null device is a link: it must be neither read nor bound over the masked files.
    fs::remove_dir_all(bundle.root().join("dev")).unwrap();
    symlink("/etc", bundle.root().join("dev")).unwrap();
    symlink("/etc/passwd", etc.join("null")).unwrap();
    bundle.spec["linux"]["maskedPaths"].as_array_mut().unwrap().push(json!("/secret-link"));
    let done = bundle.run();
    assert!(done.out.starts_with("0\n0\n") || done.code != 0, "{} {}", done.out, done.err);
    assert!(!done.out.contains("secret"));
}

/// CVE-2019-16884, CVE-2025-52881: an image that has its own /proc takes the writes of labels and parameters.
#[test]
fn an_image_cannot_stand_in_for_proc() {
    let parameter = "/proc/sys/net/ipv4/ip_forward";
    let mut bundle = Bundle::new(&format!("cat {parameter}"));
    let fake = bundle.root().join("fake");
    fs::create_dir_all(fake.join("sys/net/ipv4")).unwrap();
    fs::create_dir_all(fake.join("self/attr")).unwrap();
    for file in ["sys/net/ipv4/ip_forward", "self/attr/exec", "self/oom_score_adj"] {
        fs::write(fake.join(file), "untouched").unwrap();
    }
    bundle.spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    bundle.spec["process"]["oomScoreAdj"] = json!(77);
    // A volume over /proc, as far as a caller may ask for it.
    bundle.mount(json!({"destination": "/proc", "source": fake, "options": ["bind"]}));
    let done = bundle.run();
    assert_eq!(done.out, "untouched", "the write went to the real proc: {}", done.err);
    assert_eq!(fs::read_to_string(fake.join("self/oom_score_adj")).unwrap(), "untouched");
    // A link in place of /proc is followed inside, and proc is mounted where it leads.
    let mut bundle = Bundle::new(&format!("cat {parameter} /proc/self/oom_score_adj"));
    fs::remove_dir(bundle.root().join("proc")).unwrap();
    symlink("/tmp/elsewhere", bundle.root().join("proc")).unwrap();
    bundle.spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    bundle.spec["process"]["oomScoreAdj"] = json!(77);
    let done = bundle.run();
    assert_eq!(done.out, "1\n77\n", "{}", done.err);
}

/// A parameter of the host is reached through a link below /proc/sys, or by a name with dots.
#[test]
fn parameters_cannot_be_redirected() {
    let host = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    for name in ["net/../kernel/core_pattern", "net..kernel.core_pattern", "net/ipv4/../../kernel/core_pattern"] {
        let mut bundle = Bundle::new("true");
        bundle.spec["linux"]["sysctl"] = json!({ name: "|/bin/pwned" });
        assert_eq!(bundle.run().code, 1, "{name}");
    }
    assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), host);
}

/// CVE-2016-9962: a process of the container traces or reads the runtime that comes in.
#[test]
fn the_runtime_cannot_be_traced_while_it_comes_in() {
    let spy = "while true; do for p in /proc/[0-9]*; do case $(readlink $p/exe) in */busybox|'') ;; *) \
               ls $p/fd/ > /tmp/fds 2>/dev/null && [ -s /tmp/fds ] && cp /tmp/fds /tmp/result;; esac; done; done";
    let bundle = Bundle::new(spy);
    bundle.start();
    for _ in 0..20 {
        bundle.oci(&["exec", "{}", "true"]);
    }
    assert!(!bundle.root().join("tmp/result").exists());
}
