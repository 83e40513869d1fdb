//! Which of a container's mounts CRIU makes anew, and which it must be given from the host.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Spec};

use super::CheckpointError;
use super::manifest::External;

/// One line of `mountinfo`.
#[derive(Debug, PartialEq, Eq)]
struct Mounted {
    /// The directory of the file system that is mounted.
    root: String,
    target: String,
    kind: String,
}

/// The mounts to name, out of the `mountinfo` of the container's first process.
pub(super) fn externals(spec: &Spec, mountinfo: &str) -> Result<Vec<External>, CheckpointError> {
    let mut found = Vec::new();
    for mounted in mountinfo.lines().filter_map(parse) {
        if mounted.kind == "cgroup" {
            return Err(CheckpointError::Unsupported(
                "checkpoints need a host whose cgroups are of version 2 alone, and this one has version 1".into(),
            ));
        }
        if mounted.target == "/" {
            continue;
        }
        if source(spec, &mounted.target, mounted.root != "/")?.is_some() {
            let key = format!("hoist-{}", found.len());
            found.push(External { key, target: mounted.target });
        }
    }
    Ok(found)
}

/// What of the host is mounted on `target`; `None` if it is a file system of the container's own. `part` says that it
/// is a directory or a file of its file system, not all of it.
pub(super) fn source(spec: &Spec, target: &str, part: bool) -> Result<Option<PathBuf>, CheckpointError> {
    let target = Path::new(target);
    let masked = spec.linux().as_ref().and_then(|linux| linux.masked_paths().as_deref()).unwrap_or_default();
    if part && masked.iter().any(|path| Path::new(path) == target) {
        // A file is masked by the null device, a directory by an empty file system.
        return Ok(Some("/dev/null".into()));
    }
    let above = |mount: &&Mount| target.starts_with(mount.destination());
    let depth = |mount: &&Mount| mount.destination().components().count();
    // Of two on one place the later one is seen.
    let Some(mount) = spec.mounts().iter().flatten().filter(above).max_by_key(depth) else { return Ok(None) };
    let options = mount.options().as_deref().unwrap_or_default();
    let kind = mount.typ().as_deref().unwrap_or_default();
    if kind == "overlay" {
        let place = mount.destination().display();
        return Err(CheckpointError::Unsupported(format!(
            "an image is mounted on {place}, which a checkpoint cannot have: mount a volume instead"
        )));
    }
    if kind != "bind" && !options.iter().any(|option| option == "bind" || option == "rbind") {
        return Ok(None);
    }
    let below = target.strip_prefix(mount.destination()).unwrap_or(Path::new(""));
    let source = mount.source().clone().unwrap_or_default();
    Ok(Some(if below.as_os_str().is_empty() { source } else { source.join(below) }))
}

fn parse(line: &str) -> Option<Mounted> {
    let (head, tail) = line.split_once(" - ")?;
    let mut fields = head.split(' ').skip(3);
    let (root, target) = (unescape(fields.next()?), unescape(fields.next()?));
    Some(Mounted { root, target, kind: tail.split(' ').next()?.to_owned() })
}

/// The kernel writes spaces, line ends and backslashes as octal numbers.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| byte == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(number) => {
                out.push(number);
                rest = &after[3..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        607 500 0:52 / / rw,relatime - overlay overlay rw,lowerdir=/a\n\
        608 607 0:55 / /proc rw,nosuid - proc proc rw\n\
        609 607 0:56 / /dev rw,nosuid - tmpfs tmpfs rw,mode=755\n\
        612 607 0:30 /hosts /etc/hosts rw - tmpfs tmpfs rw\n\
        613 607 8:1 /srv/my\\040data /my\\040data rw - ext4 /dev/sda1 rw\n\
        614 613 8:2 / /my\\040data/below rw - ext4 /dev/sda2 rw\n\
        615 608 0:6 /null /proc/kcore rw - devtmpfs devtmpfs rw\n\
        616 608 0:60 / /proc/acpi ro - tmpfs tmpfs ro\n\
        617 608 0:55 /bus /proc/bus ro - proc proc rw\n";

    fn spec(mounts: &str) -> Spec {
        let text = format!(
            r#"{{"ociVersion":"1.0.2","linux":{{"maskedPaths":["/proc/kcore","/proc/acpi"]}},"mounts":[{mounts}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn mounts_with_a_source_on_the_host_are_named() {
        let spec = spec(
            r#"{"destination":"/proc","type":"proc","source":"proc"},
               {"destination":"/dev","type":"tmpfs","source":"tmpfs"},
               {"destination":"/etc/hosts","type":"bind","source":"/run/c/hosts","options":["bind"]},
               {"destination":"/my data","type":"none","source":"/srv/my data","options":["rbind"]}"#,
        );
        let found = externals(&spec, MOUNTS).unwrap();
        let targets: Vec<&str> = found.iter().map(|mount| mount.target.as_str()).collect();
        assert_eq!(targets, ["/etc/hosts", "/my data", "/my data/below", "/proc/kcore"]);
        assert_eq!(source(&spec, "/my data/below", false).unwrap(), Some("/srv/my data/below".into()));
        assert_eq!(source(&spec, "/etc/hosts", true).unwrap(), Some("/run/c/hosts".into()));
        assert_eq!(source(&spec, "/proc/kcore", true).unwrap(), Some("/dev/null".into()));
        assert_eq!(source(&spec, "/proc/bus", true).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_is_said() {
        let line = "620 607 0:30 /x /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n";
        assert!(externals(&spec(""), line).unwrap_err().to_string().contains("version 1"));
        let image = spec(r#"{"destination":"/model","type":"overlay","source":"overlay"}"#);
        let line = "620 607 0:30 / /model ro - overlay overlay rw\n";
        assert!(externals(&image, line).unwrap_err().to_string().contains("/model"));
    }
}
