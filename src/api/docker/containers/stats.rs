//! `GET /containers/{id}/stats`.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::{Path, State as With},
    http::header,
    response::{IntoResponse, Response},
};
use hoist_engine::{ErrorKind, Stats};

use crate::api::{State, dto::stats as dto, error::ApiError, params::Params, translate::time, version::ApiVersion};

/// Between two measurements.
const PERIOD: Duration = Duration::from_secs(1);

pub async fn stats(
    With(state): With<State>,
    Path(id): Path<String>,
    version: ApiVersion,
    params: Params,
) -> Result<Response, ApiError> {
    let container = state.engine.inspect(&id).await?;
    let (id, name) = (container.id.to_string(), format!("/{}", container.name));
    let stream = params.flag_or("stream", true);
    if stream && params.flag("one-shot") {
        return Err(ApiError::bad_request("cannot have stream=true and one-shot=true"));
    }
    if !stream {
        let mut before = None;
        if !params.flag("one-shot") && container.state.status.is_up() {
            // The rates are the difference of two.
            before = state.engine.stats(&id).await?;
            tokio::time::sleep(PERIOD).await;
        }
        let now = state.engine.stats(&id).await?;
        let mut shown = show(&id, &name, now.as_ref(), before.as_ref(), version);
        shown.hoist_devices = devices(&state, &id);
        return Ok(Json(shown).into_response());
    }
    let body = async_stream::stream! {
        let mut before = None;
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = match state.engine.stats(&id).await {
                Ok(now) => now,
                // It was removed.
                Err(err) if err.kind() == ErrorKind::NotFound => return,
                Err(err) => {
                    tracing::warn!(container = id, "measuring: {}", err.message());
                    return;
                }
            };
            let mut shown = show(&id, &name, now.as_ref(), before.as_ref(), version);
            shown.hoist_devices = devices(&state, &id);
            let mut line = serde_json::to_vec(&shown).expect("numbers and texts can be written");
            line.push(b'\n');
            before = now;
            yield Ok::<_, std::convert::Infallible>(line);
        }
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(body)).into_response())
}

/// What the container's devices do, where any are measured.
fn devices(state: &State, id: &str) -> Vec<hoist_proto::spec::DeviceFigures> {
    let devices = state.engine.devices();
    if devices.are_measured() { devices.figures_of(id) } else { Vec::new() }
}

fn show(id: &str, name: &str, now: Option<&Stats>, before: Option<&Stats>, version: ApiVersion) -> dto::Stats {
    let mut shown = dto::Stats {
        id: id.to_owned(),
        name: name.to_owned(),
        os_type: (version >= ApiVersion(1, 52)).then(|| "linux".to_owned()),
        read: time::moment(now.map(|stats| stats.read)),
        preread: time::moment(before.map(|stats| stats.read)),
        precpu_stats: before.map(cpu).unwrap_or_default(),
        ..dto::Stats::default()
    };
    let Some(stats) = now else { return shown };
    shown.cpu_stats = cpu(stats);
    let pids = &stats.cgroup.pids;
    shown.pids_stats = dto::Pids { current: Some(pids.current), limit: pids.limit };
    let memory = &stats.cgroup.memory;
    shown.memory_stats = dto::Memory {
        usage: Some(memory.usage),
        max_usage: memory.max_usage,
        stats: memory.stat.clone(),
        failcnt: Some(memory.failures).filter(|count| *count > 0),
        // Without a limit the machine's memory is one.
        limit: Some(memory.limit.map_or(stats.machine_memory, |limit| limit.min(stats.machine_memory))),
    };
    shown.blkio_stats = blkio(stats);
    shown.networks = stats
        .networks
        .iter()
        .map(|(name, net)| {
            let net = dto::Network {
                rx_bytes: net.rx_bytes,
                rx_packets: net.rx_packets,
                rx_errors: net.rx_errors,
                rx_dropped: net.rx_dropped,
                tx_bytes: net.tx_bytes,
                tx_packets: net.tx_packets,
                tx_errors: net.tx_errors,
                tx_dropped: net.tx_dropped,
            };
            (name.clone(), net)
        })
        .collect();
    shown
}

fn cpu(stats: &Stats) -> dto::Cpu {
    let cpu = &stats.cgroup.cpu;
    dto::Cpu {
        cpu_usage: dto::CpuUsage {
            total_usage: cpu.usage,
            percpu_usage: cpu.per_cpu.clone(),
            usage_in_kernelmode: cpu.system,
            usage_in_usermode: cpu.user,
        },
        system_cpu_usage: Some(stats.system_cpu),
        online_cpus: Some(stats.online_cpus),
        throttling_data: dto::Throttling {
            periods: cpu.periods,
            throttled_periods: cpu.throttled_periods,
            throttled_time: cpu.throttled,
        },
    }
}

fn blkio(stats: &Stats) -> dto::Blkio {
    let devices = &stats.cgroup.blkio.devices;
    let entries = |read: fn(&hoist_runtime::cgroup::DeviceIo) -> u64,
                   write: fn(&hoist_runtime::cgroup::DeviceIo) -> u64| {
        devices
            .iter()
            .flat_map(|device| {
                let entry = |op, value| dto::BlkioEntry { major: device.major, minor: device.minor, op, value };
                [entry("read", read(device)), entry("write", write(device))]
            })
            .collect()
    };
    if devices.is_empty() {
        return dto::Blkio::default();
    }
    dto::Blkio {
        io_service_bytes_recursive: Some(entries(|device| device.read_bytes, |device| device.write_bytes)),
        io_serviced_recursive: Some(entries(|device| device.reads, |device| device.writes)),
        ..dto::Blkio::default()
    }
}
