//! `update`: limits from a file or from options.

use std::io::Read;

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources};

use super::args::Update;
use crate::container::{Error, Runtime, io_error};

pub(super) fn run(runtime: &Runtime, options: &Update) -> Result<(), Error> {
    if options.l3_cache_schema.is_some() || options.mem_bw_schema.is_some() {
        return Err(Error::Usage("update: Intel RDT is not supported".into()));
    }
    runtime.update(&options.id, &resources(options)?)
}

fn resources(options: &Update) -> Result<LinuxResources, Error> {
    if let Some(file) = &options.resources {
        let mut text = Vec::new();
        if file.as_os_str() == "-" {
            std::io::stdin().read_to_end(&mut text).map_err(io_error("read standard input"))?;
        } else {
            text = std::fs::read(file).map_err(io_error(format!("read {}", file.display())))?;
        }
        return serde_json::from_slice(&text)
            .map_err(|source| Error::Config { path: file.display().to_string(), source });
    }
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(options.cpu_share);
    cpu.set_quota(options.cpu_quota);
    cpu.set_period(options.cpu_period);
    cpu.set_burst(options.cpu_burst);
    cpu.set_idle(options.cpu_idle);
    cpu.set_realtime_period(options.cpu_rt_period);
    cpu.set_realtime_runtime(options.cpu_rt_runtime);
    cpu.set_cpus(options.cpuset_cpus.clone());
    cpu.set_mems(options.cpuset_mems.clone());
    let mut memory = LinuxMemory::default();
    memory.set_limit(bytes("--memory", options.memory.as_deref())?);
    memory.set_reservation(bytes("--memory-reservation", options.memory_reservation.as_deref())?);
    memory.set_swap(bytes("--memory-swap", options.memory_swap.as_deref())?);
    let mut resources = LinuxResources::default();
    resources.set_devices(None);
    resources.set_cpu(Some(cpu).filter(|cpu| *cpu != LinuxCpu::default()));
    resources.set_memory(Some(memory).filter(|memory| *memory != LinuxMemory::default()));
    if let Some(limit) = options.pids_limit {
        let mut pids = LinuxPids::default();
        pids.set_limit(limit);
        resources.set_pids(Some(pids));
    }
    if let Some(weight) = options.blkio_weight {
        let mut block = LinuxBlockIo::default();
        block.set_weight(Some(weight));
        resources.set_block_io(Some(block));
    }
    Ok(resources)
}

/// A number of bytes, with k, m, g or t for powers of 1024; -1 is no limit.
fn bytes(option: &str, text: Option<&str>) -> Result<Option<i64>, Error> {
    let Some(text) = text else { return Ok(None) };
    let lower = text.trim().to_ascii_lowercase();
    let word = lower.trim_end_matches('b').trim_end_matches('i');
    let (number, shift) = match word.chars().last() {
        Some('k') => (&word[..word.len() - 1], 10),
        Some('m') => (&word[..word.len() - 1], 20),
        Some('g') => (&word[..word.len() - 1], 30),
        Some('t') => (&word[..word.len() - 1], 40),
        _ => (word, 0),
    };
    let value = number.trim().parse::<i64>().ok().and_then(|number| number.checked_mul(1 << shift));
    match value {
        Some(value) if value >= -1 => Ok(Some(value)),
        _ => Err(Error::Usage(format!("{option} {text:?} is no number of bytes"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        let ok = |text| bytes("x", Some(text)).unwrap();
        assert_eq!([ok("10"), ok("4k"), ok("2MiB"), ok("1g"), ok("-1")], [10, 4096, 2 << 20, 1 << 30, -1].map(Some));
        for bad in ["", "m", "-5", "1.5g", "99999999999999t"] {
            assert!(bytes("x", Some(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn options_that_are_not_given_change_nothing() {
        let resources = resources(&Update { pids_limit: Some(5), ..Update::default() }).unwrap();
        assert_eq!(serde_json::to_string(&resources).unwrap(), r#"{"pids":{"limit":5}}"#);
    }
}
