//! The processes of a container, in the columns that `ps` has. No `ps` is run: `/proc` says all of it.

use std::collections::BTreeMap;
use std::time::Duration;

use fs_err as fs;
use hoist_proto::clock::Timestamp;

use crate::model::Top;
use crate::{EngineError, Result};

/// One process as `/proc` tells it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Process {
    pid: i32,
    ppid: i32,
    uid: u32,
    gid: u32,
    state: char,
    session: i32,
    group: i32,
    terminal: i32,
    foreground: i32,
    nice: i64,
    priority: i64,
    threads: i64,
    /// Hundredths of a second.
    cpu_ticks: u64,
    /// Hundredths of a second after the machine's start.
    started: u64,
    /// Bytes.
    virtual_size: u64,
    resident: u64,
    name: String,
    command: String,
}

/// What all columns need besides the process.
struct Machine {
    users: BTreeMap<u32, String>,
    booted: i64,
    memory: u64,
    now: Timestamp,
}

type Render = fn(&Process, &Machine) -> String;

/// Columns by the names that `ps -o` knows, with their titles.
const COLUMNS: &[(&[&str], &str, Render)] = &[
    (&["pid", "tgid"], "PID", |p, _| p.pid.to_string()),
    (&["ppid"], "PPID", |p, _| p.ppid.to_string()),
    (&["user", "euser", "uname"], "USER", user),
    (&["uid", "euid"], "UID", |p, _| p.uid.to_string()),
    (&["gid", "egid"], "GID", |p, _| p.gid.to_string()),
    (&["pgid", "pgrp"], "PGID", |p, _| p.group.to_string()),
    (&["sid", "sess", "session"], "SID", |p, _| p.session.to_string()),
    (&["c"], "C", |p, m| format!("{:.0}", usage(p, m))),
    (&["pcpu", "%cpu"], "%CPU", |p, m| format!("{:.1}", usage(p, m))),
    (&["pmem", "%mem"], "%MEM", |p, m| format!("{:.1}", p.resident as f64 * 100.0 / m.memory.max(1) as f64)),
    (&["vsz", "vsize"], "VSZ", |p, _| (p.virtual_size / 1024).to_string()),
    (&["rss", "rssize"], "RSS", |p, _| (p.resident / 1024).to_string()),
    (&["ni", "nice"], "NI", |p, _| p.nice.to_string()),
    (&["pri"], "PRI", |p, _| (39 - p.priority).to_string()),
    (&["nlwp", "thcount"], "NLWP", |p, _| p.threads.to_string()),
    (&["s", "state"], "S", |p, _| p.state.to_string()),
    (&["stat"], "STAT", status),
    (&["stime", "start", "start_time", "bsdstart"], "STIME", started),
    (&["etime"], "ELAPSED", |p, m| clock(m.age(p), false)),
    (&["tty", "tt", "tname"], "TTY", terminal),
    (&["time", "cputime"], "TIME", |p, _| clock(p.cpu_ticks / 100, true)),
    (&["comm", "ucmd", "ucomm"], "COMMAND", |p, _| p.name.clone()),
    (&["args", "cmd", "command"], "COMMAND", |p, _| p.command.clone()),
];

/// The processes with these ids, in the columns that `options` ask for, as options of `ps`.
///
/// # Errors
/// `InvalidParameter` for options other than `-ef`, `aux` and `-o COLUMN,…`, naming what is not known.
pub(crate) fn top(pids: &[i32], options: &str, now: Timestamp) -> Result<Top> {
    let columns = columns(options)?;
    let machine = Machine {
        users: users(&fs::read_to_string("/etc/passwd").unwrap_or_default()),
        booted: booted(&fs::read_to_string("/proc/stat")?),
        memory: memory(&fs::read_to_string("/proc/meminfo")?),
        now,
    };
    // A process may end while the list is made.
    let processes: Vec<Process> = pids.iter().filter_map(|pid| read(*pid)).collect();
    Ok(Top {
        titles: columns.iter().map(|(title, _)| (*title).to_owned()).collect(),
        processes: processes
            .iter()
            .map(|process| columns.iter().map(|(_, render)| render(process, &machine)).collect())
            .collect(),
    })
}

fn columns(options: &str) -> Result<Vec<(&'static str, Render)>> {
    let by_name = |name: &str| {
        COLUMNS
            .iter()
            .find(|(names, ..)| names.contains(&name))
            .map(|(_, title, render)| (*title, *render))
            .ok_or_else(|| EngineError::InvalidParameter(format!("top: unknown column {name:?}")))
    };
    let words: Vec<&str> = options.split_whitespace().collect();
    match words.as_slice() {
        [] | ["-ef" | "-fe" | "-eF" | "-e" | "-f" | "ef"] => Ok(vec![
            ("UID", user),
            by_name("pid")?,
            by_name("ppid")?,
            by_name("c")?,
            by_name("stime")?,
            by_name("tty")?,
            by_name("time")?,
            ("CMD", |p, _| p.command.clone()),
        ]),
        ["aux" | "-aux" | "au" | "ax" | "-ax"] => {
            ["user", "pid", "%cpu", "%mem", "vsz", "rss", "tty", "stat", "stime", "time", "args"]
                .into_iter()
                .map(by_name)
                .map(|column| column.map(|(title, render)| (if title == "STIME" { "START" } else { title }, render)))
                .collect()
        }
        words => {
            let mut wanted = Vec::new();
            let mut rest = words.iter();
            while let Some(word) = rest.next() {
                let list = match *word {
                    "-e" | "-A" | "e" | "a" | "x" | "ax" => continue,
                    "-o" | "-eo" | "-Ao" | "o" | "axo" | "-axo" | "--format" => *rest.next().ok_or_else(|| {
                        EngineError::InvalidParameter(format!("top: {word} needs a list of columns"))
                    })?,
                    word => word.strip_prefix("-o").or_else(|| word.strip_prefix("--format=")).ok_or_else(|| {
                        EngineError::InvalidParameter(format!(
                            "top: option {word:?} is not supported: use -ef, aux, or -o with columns such as pid,user,args"
                        ))
                    })?,
                };
                for name in list.split(',').filter(|name| !name.is_empty()) {
                    let (name, title) = name.split_once('=').map_or((name, None), |(name, title)| (name, Some(title)));
                    if title.is_some() {
                        return Err(EngineError::InvalidParameter("top: titles of one's own are not supported".into()));
                    }
                    wanted.push(by_name(name)?);
                }
            }
            if !wanted.iter().any(|(title, _)| *title == "PID") {
                // Docker says the same: without it nobody can tell which process is meant.
                return Err(EngineError::InvalidParameter("top: couldn't find PID field in ps output".into()));
            }
            Ok(wanted)
        }
    }
}

fn read(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    parse(&stat, &status, &command)
}

fn parse(stat: &str, status: &str, command: &[u8]) -> Option<Process> {
    // The name is in parentheses and may hold anything, parentheses too.
    let (pid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<i64>().ok()).unwrap_or(0);
    let kilobytes = |key: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
    };
    let id = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        // Real, effective, saved, of the file system.
        line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
    };
    let words: Vec<String> = command
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    Some(Process {
        pid: pid.parse().ok()?,
        ppid: number(1) as i32,
        uid: id("Uid:"),
        gid: id("Gid:"),
        state: fields.first()?.chars().next()?,
        group: number(2) as i32,
        session: number(3) as i32,
        terminal: number(4) as i32,
        foreground: number(5) as i32,
        cpu_ticks: (number(11) + number(12)).unsigned_abs(),
        priority: number(15),
        nice: number(16),
        threads: number(17),
        started: number(19).unsigned_abs(),
        virtual_size: number(20).unsigned_abs(),
        resident: kilobytes("VmRSS:") * 1024,
        command: if words.is_empty() { format!("[{name}]") } else { words.join(" ") },
        name: name.to_owned(),
    })
}

impl Machine {
    /// Seconds that a process has lived.
    fn age(&self, process: &Process) -> u64 {
        let started = self.booted + i64::try_from(process.started / 100).unwrap_or(i64::MAX);
        u64::try_from(self.now.as_second().saturating_sub(started)).unwrap_or(0)
    }
}

fn user(process: &Process, machine: &Machine) -> String {
    machine.users.get(&process.uid).cloned().unwrap_or_else(|| process.uid.to_string())
}

/// Percent of one processor over its life.
fn usage(process: &Process, machine: &Machine) -> f64 {
    let age = machine.age(process);
    if age == 0 { 0.0 } else { process.cpu_ticks as f64 / age as f64 }
}

fn status(process: &Process, _: &Machine) -> String {
    let mut text = process.state.to_string();
    match process.nice {
        nice if nice < 0 => text.push('<'),
        nice if nice > 0 => text.push('N'),
        _ => {}
    }
    if process.session == process.pid {
        text.push('s');
    }
    if process.threads > 1 {
        text.push('l');
    }
    if process.foreground > 0 && process.foreground == process.group {
        text.push('+');
    }
    text
}

fn started(process: &Process, machine: &Machine) -> String {
    let age = Duration::from_secs(machine.age(process));
    let moment = machine.now.checked_sub(age).unwrap_or(machine.now);
    let local = moment.to_zoned(jiff::tz::TimeZone::system());
    if age < Duration::from_secs(24 * 3600) {
        local.strftime("%H:%M").to_string()
    } else {
        local.strftime("%b%d").to_string()
    }
}

/// The controlling terminal by its device number.
fn terminal(process: &Process, _: &Machine) -> String {
    let device = process.terminal as u32;
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    match major {
        _ if device == 0 => "?".into(),
        136..=143 => format!("pts/{}", minor + (major - 136) * 256),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        5 if minor == 1 => "console".into(),
        _ => format!("{major}:{minor}"),
    }
}

/// `[days-]hours:minutes:seconds`; hours always, or only when there are some.
fn clock(seconds: u64, hours_always: bool) -> String {
    let (days, hours, minutes, seconds) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match (days, hours) {
        (0, 0) if !hours_always => format!("{minutes:02}:{seconds:02}"),
        (0, _) => format!("{hours:02}:{minutes:02}:{seconds:02}"),
        _ => format!("{days}-{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

fn users(passwd: &str) -> BTreeMap<u32, String> {
    passwd
        .lines()
        .rev()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            Some((fields.nth(1)?.parse().ok()?, name.to_owned()))
        })
        .collect()
}

fn booted(stat: &str) -> i64 {
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok()).unwrap_or(0)
}

fn memory(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_read_right() {
        let stat = "42 (a) b) S 1 42 42 34817 42 4194304 5 0 0 0 250 50 0 0 20 0 3 0 1000 4096000 25 0";
        let process = parse(stat, "Uid:\t0\t33\t0\t0\nGid:\t0\t44\t0\t0\n", b"sh\0-c\0true\0").unwrap();
        assert_eq!((process.pid, process.ppid, process.name.as_str()), (42, 1, "a) b"));
        assert_eq!((process.uid, process.gid, process.cpu_ticks, process.threads), (33, 44, 300, 3));
        assert_eq!(process.command, "sh -c true");
        let machine = Machine { users: users("www:x:33:33::/:"), booted: 0, memory: 0, now: Timestamp::UNIX_EPOCH };
        assert_eq!(user(&process, &machine), "www");
        assert_eq!(terminal(&process, &machine), "pts/1");
        assert_eq!(status(&process, &machine), "Ssl+");
    }

    #[test]
    fn this_process_is_found_and_what_is_not_known_is_named() {
        let own = std::process::id() as i32;
        let found = top(&[own], "", Timestamp::now()).unwrap();
        assert_eq!(found.titles, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
        assert_eq!(found.processes[0][1], own.to_string());
        let found = top(&[own], "-o pid,comm", Timestamp::now()).unwrap();
        assert_eq!(found.titles, ["PID", "COMMAND"]);
        assert_eq!(top(&[own], "aux", Timestamp::now()).unwrap().titles[0], "USER");
        assert!(top(&[], "-o pid,nope", Timestamp::now()).unwrap_err().to_string().contains("nope"));
        assert!(top(&[], "--forest", Timestamp::now()).unwrap_err().to_string().contains("--forest"));
        assert_eq!(clock(90061, true), "1-01:01:01");
        assert_eq!(clock(61, false), "01:01");
    }
}
