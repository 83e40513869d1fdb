//! What a container changed, without what the engine made in it.

use hoist_image::{Change, ChangeKind};

/// Places that are mounted over in every container. Where the image has none, they are made, empty; Docker counts them
/// to the image.
const PLACES: [&str; 9] =
    ["/dev", "/dev/mqueue", "/dev/pts", "/dev/shm", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/proc", "/sys"];

/// Leaves out the places for mounts, and a directory that changed by them alone.
pub(crate) fn own(mut changes: Vec<Change>) -> Vec<Change> {
    let is_place = |change: &Change| change.kind == ChangeKind::Added && PLACES.contains(&change.path.as_str());
    let parents: Vec<String> = changes
        .iter()
        .filter(|change| is_place(change))
        .filter_map(|change| change.path.rsplit_once('/').map(|(parent, _)| parent.to_owned()))
        .collect();
    changes.retain(|change| !is_place(change));
    for parent in parents {
        let below = format!("{parent}/");
        if !changes.iter().any(|change| change.path.starts_with(&below)) {
            changes.retain(|change| change.path != parent);
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(list: &[(&str, ChangeKind)]) -> Vec<Change> {
        list.iter().map(|(path, kind)| Change { path: (*path).to_owned(), kind: *kind }).collect()
    }

    #[test]
    fn places_for_mounts_are_not_the_containers_doing() {
        use ChangeKind::{Added, Deleted, Modified};
        let made = [("/dev", Added), ("/etc", Modified), ("/etc/hosts", Added), ("/proc", Added), ("/sys", Added)];
        assert_eq!(own(changes(&made)), []);
        let mixed = [("/etc", Modified), ("/etc/hosts", Added), ("/etc/passwd", Modified), ("/proc", Deleted)];
        let left = [("/etc", Modified), ("/etc/passwd", Modified), ("/proc", Deleted)];
        assert_eq!(own(changes(&mixed)), changes(&left));
        assert_eq!(own(changes(&[("/etc", Modified)])), changes(&[("/etc", Modified)]), "the container did that");
    }
}
