//! `events`: statistics in the form that runtimes print them, and want of memory as it happens.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use serde_json::{Value, json};

use super::args::Events;
use super::{Outcome, print};
use crate::cgroup::{Cgroup, CgroupStats};
use crate::container::{Error, Runtime, Status, io_error};

fn failed(error: Error) -> (Error, i32) {
    (error, 1)
}

pub(super) fn run(runtime: &Runtime, options: &Events) -> Outcome {
    let cgroup = runtime.live_cgroup(&options.id).map_err(failed)?;
    let statistics = || -> Result<(), (Error, i32)> {
        let stats = cgroup.stats().map_err(|error| failed(error.into()))?;
        print(&format!("{}\n", json!({ "type": "stats", "id": options.id, "data": data(&stats) })))
    };
    if options.stats {
        statistics()?;
        return Ok(0);
    }
    let interval = interval(&options.interval).map_err(failed)?;
    watch(runtime, &options.id, &cgroup, interval, statistics)
}

/// `500ms`, `5s`, `1m`.
fn interval(text: &str) -> Result<Duration, Error> {
    let bad = || Error::Usage(format!("--interval {text:?} is no time above zero, such as 5s"));
    let split = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..split].parse().map_err(|_| bad())?;
    let time = match &text[split..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60).ok_or_else(bad)?),
        "h" => Duration::from_secs(number.checked_mul(3600).ok_or_else(bad)?),
        _ => return Err(bad()),
    };
    if time.is_zero() { Err(bad()) } else { Ok(time) }
}

fn watch(
    runtime: &Runtime,
    id: &str,
    cgroup: &Cgroup,
    interval: Duration,
    statistics: impl Fn() -> Result<(), (Error, i32)>,
) -> Outcome {
    let oom = cgroup.oom_watch().map_err(|error| failed(error.into()))?;
    let record = runtime.record(id).map_err(failed)?;
    let process = record.pidfd().map_err(failed)?;
    let mut killed = cgroup.oom_kills().unwrap_or(0);
    let mut next = Instant::now() + interval;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        let time = rustix::time::Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let mut fds = [
            PollFd::new(&oom, PollFlags::IN | PollFlags::PRI),
            PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN),
        ];
        match rustix::event::poll(&mut fds, Some(&time)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed(io_error("wait for events")(error.into()))),
        }
        let ended = !fds[1].revents().is_empty();
        // A cgroup that was removed meanwhile tells nothing more.
        let now = cgroup.oom_kills().unwrap_or(killed);
        if now > killed {
            killed = now;
            print(&format!("{}\n", json!({ "type": "oom", "id": id })))?;
        }
        // The counter of the watch must be taken, or it stays readable.
        let _ = rustix::io::read(&oom, &mut [0; 8][..]);
        if ended || record.status() == Status::Stopped {
            return Ok(0);
        }
        if Instant::now() >= next {
            statistics()?;
            next += interval;
        }
    }
}

/// Statistics under the names that readers of runtimes' events know.
fn data(stats: &CgroupStats) -> Value {
    let memory = &stats.memory;
    let limit = memory.limit.unwrap_or(u64::MAX);
    let entries = |value: fn(&crate::cgroup::DeviceIo) -> [u64; 2]| -> Vec<Value> {
        stats
            .blkio
            .devices
            .iter()
            .flat_map(|device| {
                ["Read", "Write"].into_iter().zip(value(device)).map(
                    move |(op, value)| json!({ "major": device.major, "minor": device.minor, "op": op, "value": value }),
                )
            })
            .collect()
    };
    let hugetlb: serde_json::Map<String, Value> = stats
        .hugetlb
        .iter()
        .map(|(size, page)| (size.clone(), json!({ "usage": page.usage, "max": page.max, "failcnt": page.failures })))
        .collect();
    json!({
        "cpu": {
            "usage": {
                "total": stats.cpu.usage, "kernel": stats.cpu.system, "user": stats.cpu.user,
                "percpu": stats.cpu.per_cpu,
            },
            "throttling": {
                "periods": stats.cpu.periods, "throttledPeriods": stats.cpu.throttled_periods,
                "throttledTime": stats.cpu.throttled,
            },
        },
        "memory": {
            "cache": memory.stat.get("cache").or_else(|| memory.stat.get("file")).copied().unwrap_or(0),
            "usage": {
                "limit": limit, "usage": memory.usage, "max": memory.max_usage.unwrap_or(0),
                "failcnt": memory.failures,
            },
            "swap": { "usage": memory.swap, "limit": u64::MAX, "failcnt": 0 },
            "kernel": { "limit": 0, "failcnt": 0 },
            "kernelTCP": { "limit": 0, "failcnt": 0 },
            "raw": memory.stat,
        },
        "pids": { "current": stats.pids.current, "limit": stats.pids.limit.unwrap_or(0) },
        "blkio": {
            "ioServiceBytesRecursive": entries(|device| [device.read_bytes, device.write_bytes]),
            "ioServicedRecursive": entries(|device| [device.reads, device.writes]),
        },
        "hugetlb": hugetlb,
        "intel_rdt": {},
        "network_interfaces": null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        assert_eq!(interval("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(interval("5s").unwrap(), Duration::from_secs(5));
        for bad in ["", "0s", "5", "s", "-1s", "1d"] {
            assert!(interval(bad).is_err(), "{bad:?}");
        }
    }
}
