//! One machine's daemon: started on its network, found again, ended.

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::state::{Node, Place};
use crate::cli::{
    client::{Autostart, Client, Host},
    failure::Failure,
};

/// How long a daemon may take to end in order.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a machine's daemon and returns when it answers; one that runs is left alone.
pub fn start(place: &Place, node: &str) -> Result<(), Failure> {
    let start = Autostart {
        data_root: place.data_root(node),
        run_root: place.run_root(node),
        config_file: Some(place.config(node)),
    };
    let outcome = place.lab().within(node, || Ok(start.start()))?;
    outcome.map_err(|error| Failure::new(format!("machine {node} does not start: {error}")))
}

/// Speaks with a machine's daemon; starts none.
pub fn client(place: &Place, node: &str) -> Client {
    Client::new(Host::of_run_root(&place.run_root(node)), None)
}

/// The daemon's process, if it runs.
pub fn daemon(place: &Place, node: &str) -> io::Result<Option<i32>> {
    let root = place.run_root(node);
    let processes = place.lab().processes(node)?;
    Ok(processes.into_iter().find(|pid| {
        let words = command_line(*pid);
        words.get(1).is_some_and(|word| word == "daemon") && words.iter().any(|word| Path::new(word) == root)
    }))
}

/// All processes of a machine: on its network, or begun by one that is.
pub fn processes(place: &Place, node: &str) -> io::Result<Vec<i32>> {
    let mut all = place.lab().processes(node)?;
    let roots = [place.data_root(node), place.run_root(node)].map(|root| root.to_string_lossy().into_owned());
    let mut others = Vec::new();
    for entry in fs_err::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let ours = command_line(pid).iter().any(|word| roots.iter().any(|root| word.contains(&format!("{root}/"))));
        if ours && !all.contains(&pid) {
            all.push(pid);
        } else if let Some(parent) = parent(pid) {
            others.push((pid, parent));
        }
    }
    // The first process of a container is the child of one that is on the machine's network.
    let mut found = true;
    while found {
        found = false;
        for (pid, parent) in &others {
            if all.contains(parent) && !all.contains(pid) {
                all.push(*pid);
                found = true;
            }
        }
    }
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    all.retain(|pid| *pid != me && *pid > 1);
    Ok(all)
}

fn command_line(pid: i32) -> Vec<String> {
    // A process that has ended has no words.
    let bytes = fs_err::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Ends processes at once, and waits until they are gone.
pub fn kill(pids: &[i32]) -> Result<(), Failure> {
    signal(pids, Signal::KILL)?;
    gone(pids, PATIENCE)
}

/// Ends a daemon in order.
pub fn stop(place: &Place, node: &Node) -> Result<(), Failure> {
    let Some(pid) = daemon(place, &node.name)? else { return Ok(()) };
    signal(&[pid], Signal::TERM)?;
    gone(&[pid], PATIENCE)
}

fn signal(pids: &[i32], signal: Signal) -> Result<(), Failure> {
    for pid in pids {
        let Some(pid) = Pid::from_raw(*pid) else { continue };
        match kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(errno) => {
                return Err(Failure::new(format!("cannot signal process {}: {errno}", pid.as_raw_nonzero())));
            }
        }
    }
    Ok(())
}

/// Waits until processes have ended; what nobody reaps counts as ended.
fn gone(pids: &[i32], patience: Duration) -> Result<(), Failure> {
    let until = Instant::now() + patience;
    let lives = |pid: &i32| {
        let zombie = fs_err::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')));
        !zombie && Pid::from_raw(*pid).is_some_and(|pid| test_kill_process(pid).is_ok())
    };
    while let Some(pid) = pids.iter().find(|pid| lives(pid)) {
        if Instant::now() > until {
            return Err(Failure::new(format!("process {pid} does not end")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
