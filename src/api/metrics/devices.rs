//! What a monitor reads of devices that are measured, and of the containers that have them.

use hoist_proto::spec::{DeviceFigures, DeviceUse};

use super::Page;
use crate::api::{State, error::ApiError};

/// A figure's name, its kind and help, and its value in Prometheus' base units.
type Figure = (&'static str, &'static str, &'static str, fn(&DeviceFigures) -> Option<f64>);

/// The same of what a container has made of its devices.
type OfHolder = (&'static str, &'static str, fn(&DeviceUse) -> f64);

const FIGURES: &[Figure] = &[
    ("hoist_device_utilization_ratio", "gauge", "The part of the last moment in which the device worked", |one| {
        one.utilisation.map(|percent| f64::from(percent) / 100.0)
    }),
    ("hoist_device_memory_used_bytes", "gauge", "The memory of the device that is used", |one| {
        one.memory_used.map(|bytes| bytes as f64)
    }),
    ("hoist_device_memory_total_bytes", "gauge", "The memory of the device", |one| {
        one.memory_total.map(|bytes| bytes as f64)
    }),
    ("hoist_device_power_watts", "gauge", "The power that the device takes", |one| {
        one.power_milliwatts.map(|milli| milli as f64 / 1e3)
    }),
    ("hoist_device_temperature_celsius", "gauge", "The temperature of the device", |one| {
        one.temperature.map(f64::from)
    }),
    ("hoist_device_clock_hertz", "gauge", "The clock of the device's processors", |one| {
        one.clock.map(|mega| f64::from(mega) * 1e6)
    }),
    ("hoist_device_memory_clock_hertz", "gauge", "The clock of the device's memory", |one| {
        one.memory_clock.map(|mega| f64::from(mega) * 1e6)
    }),
    ("hoist_device_energy_joules_total", "counter", "The energy that the device has used", |one| {
        one.energy_millijoules.map(|milli| milli as f64 / 1e3)
    }),
    ("hoist_device_processes", "gauge", "The number of processes that use the device", |one| {
        Some(one.processes.len() as f64)
    }),
];

/// Nothing where there are no devices.
pub(super) async fn write(page: &mut Page, state: &State) -> Result<(), ApiError> {
    let devices = state.engine.devices().clone();
    let asked = tokio::task::spawn_blocking(move || (devices.inventory(), devices.measured()));
    let (inventory, measured) = asked.await.map_err(ApiError::lost)?;
    if inventory.kinds.iter().all(|kind| kind.devices.is_empty()) {
        return Ok(());
    }
    for (name, kind, help, value) in FIGURES {
        let known: Vec<_> = measured.iter().filter_map(|one| Some((one, value(&one.figures)?))).collect();
        if known.is_empty() {
            continue;
        }
        page.family(name, kind, help);
        for (one, value) in known {
            page.labelled(name, &[("kind", &one.kind), ("device", &one.name)], value);
        }
    }
    page.family("hoist_device_set_aside", "gauge", "Whether nobody is given the device");
    for kind in &inventory.kinds {
        for device in &kind.devices {
            let faulty = if device.faulty { "true" } else { "false" };
            let labels = [("kind", kind.name.as_str()), ("device", &device.name), ("faulty", faulty)];
            page.labelled("hoist_device_set_aside", &labels, u8::from(device.set_aside.is_some()));
        }
    }
    holders(page, state, &inventory).await;
    Ok(())
}

/// By container, and with its task and job where it is one's.
async fn holders(page: &mut Page, state: &State, inventory: &hoist_device::Inventory) {
    let devices = state.engine.devices();
    let mut holders = std::collections::BTreeSet::new();
    for kind in &inventory.kinds {
        for device in &kind.devices {
            holders.extend(devices.holds(&kind.name, &device.name).into_iter().map(|hold| hold.holder));
        }
    }
    let mut known = Vec::new();
    for holder in holders {
        let used = devices.use_of(&holder);
        let Ok(container) = state.engine.inspect(&holder).await else { continue };
        if used.measured_millis > 0 || used.energy_millijoules > 0 {
            known.push((container, used));
        }
    }
    if known.is_empty() {
        return;
    }
    let figures: [OfHolder; 3] = [
        ("hoist_container_device_seconds_total", "Device time of the container in which was measured", |used| {
            used.measured_millis as f64 / 1e3
        }),
        ("hoist_container_device_busy_seconds_total", "Of that, the time in which the devices worked", |used| {
            used.busy_millis as f64 / 1e3
        }),
        ("hoist_container_device_energy_joules_total", "The energy that its devices have used for it", |used| {
            used.energy_millijoules as f64 / 1e3
        }),
    ];
    for (name, help, value) in figures {
        page.family(name, "counter", help);
        for (container, used) in &known {
            let label = |name: &str| container.effective.labels.get(name).map(String::as_str).unwrap_or_default();
            let labels = [
                ("container", container.name.as_str()),
                ("service", label("com.docker.swarm.service.name")),
                ("job", label("hoist.job.number")),
                ("user", label("hoist.job.user")),
            ];
            page.labelled(name, &labels, value(used));
        }
    }
}
