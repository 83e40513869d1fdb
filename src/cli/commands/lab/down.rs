//! `hoist lab down`: processes, mounts, cgroups, namespaces, contexts and files, in this order.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    failed, machine,
    state::{Place, State},
};
use crate::cli::{contexts::Store as Contexts, failure::Failure, printer::Printer};

/// Goes on after a failure, and tells of the first.
pub fn run(place: &Place, contexts: &Contexts, printer: Printer) -> Result<(), Failure> {
    let state = State::load(place.clone())?;
    let mut first: Option<Failure> = None;
    let mut note = |outcome: Result<(), Failure>| {
        if let Err(failure) = outcome {
            first.get_or_insert(failure);
        }
    };
    for node in &state.record.nodes {
        if place.lab().has(&node.name) {
            // What is about to be thrown away need not end in order.
            note(machine::processes(place, &node.name).map_err(Failure::from).and_then(|pids| machine::kill(&pids)));
        }
        note(remove_cgroups(&place.cgroup(&node.name)).map_err(Failure::from));
        let context = place.context(&node.name);
        if contexts.has(&context) {
            note(contexts.remove(&context));
        }
    }
    note(unmount_under(&[&place.data, &place.run]).map_err(Failure::from));
    note(place.lab().remove(&place.link()).map_err(|err| failed(&err)));
    if let Some(failure) = first {
        return Err(failure.hint(format!("{} is kept; run it again", place.data.display())));
    }
    for dir in [&place.run, &place.data] {
        match fs_err::remove_dir_all(dir) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err.into()),
            _ => {}
        }
        // The directory of all labs goes with the last.
        if let Some(parent) = dir.parent() {
            let _ = std::fs::remove_dir(parent);
        }
    }
    printer.say(format!("the lab {} is gone", place.name));
    Ok(())
}

/// Unmounts all that lies under these directories but for the pins of namespaces, which go with the lab.
fn unmount_under(dirs: &[&PathBuf]) -> io::Result<()> {
    let text = fs_err::read_to_string("/proc/self/mountinfo")?;
    let mut points: Vec<PathBuf> = text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|escaped| PathBuf::from(unescape(escaped)))
        .filter(|point| dirs.iter().any(|dir| point.starts_with(dir)))
        .collect();
    // What was mounted last is on top.
    points.reverse();
    let mut first = Ok(());
    for point in points {
        let outcome = rustix::mount::unmount(&point, rustix::mount::UnmountFlags::DETACH);
        if let Err(errno) = outcome
            && !matches!(errno, rustix::io::Errno::INVAL | rustix::io::Errno::NOENT)
            && first.is_ok()
        {
            first = Err(errno.into());
        }
    }
    first
}

/// The kernel writes blanks and backslashes in mountinfo as octal numbers.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// Removes a machine's cgroups, in each hierarchy; they are empty by now.
fn remove_cgroups(name: &str) -> io::Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let mut tops = vec![root.join(name)];
    for entry in fs_err::read_dir(root)? {
        tops.push(entry?.path().join(name));
    }
    for top in tops {
        if top.is_dir() {
            remove_tree(&top)?;
        }
    }
    Ok(())
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    // The kernel takes a moment to see that the last process has gone.
    for _ in 0..100 {
        match fs_err::remove_dir(dir) {
            Err(err) if err.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()) => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => return other,
        }
    }
    fs_err::remove_dir(dir)
}
