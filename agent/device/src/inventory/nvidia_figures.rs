//! What NVIDIA's GPUs do, and what the driver says is wrong with them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hoist_proto::spec::{DeviceFigures, DeviceProcess};
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper::{Device as Gpu, EventSet, Nvml};

/// Errors of the hardware or of the driver after which a GPU is not to be trusted, by NVIDIA's catalogue; all others
/// are a program's own, or mended by the driver.
const GRAVE: &[(u64, &str)] = &[
    (46, "it has stopped processing"),
    (48, "a double bit error of its memory"),
    (62, "its micro-controller has halted"),
    (64, "a row of its memory could not be remapped"),
    (74, "an error of NVLink"),
    (79, "it has fallen off the bus"),
    (95, "an error of its memory that could not be contained"),
    (110, "a security fault"),
    (119, "its system processor does not answer"),
    (120, "its system processor has failed"),
    (136, "a link could not be trained"),
    (140, "an unrecovered error of its memory"),
    (143, "it could not be initialised"),
];

/// After an error a GPU is trusted again when nothing more has come for so long.
const REST: Duration = Duration::from_secs(600);

/// What is wrong by an XID, if it is a grave one.
fn grave(xid: u64) -> Option<String> {
    GRAVE.iter().find(|(number, _)| *number == xid).map(|(_, what)| format!("XID {xid}: {what}"))
}

/// What the driver tells of by itself.
#[derive(Default)]
pub(crate) struct Events {
    set: Option<EventSet<'static>>,
    grave: BTreeMap<String, (String, Instant)>,
}

impl Events {
    /// Asks to be told of errors of all GPUs that can tell.
    pub(crate) fn listen(nvml: &'static Nvml) -> Self {
        let registered = || {
            let mut set = nvml.create_event_set().ok()?;
            for index in 0..nvml.device_count().ok()? {
                let Ok(gpu) = nvml.device_by_index(index) else { continue };
                let tells = gpu.supported_event_types();
                if tells.is_ok_and(|types| types.contains(EventTypes::CRITICAL_XID_ERROR)) {
                    set = gpu.register_events(EventTypes::CRITICAL_XID_ERROR, set).ok()?;
                }
            }
            Some(set)
        };
        Self { set: registered(), grave: BTreeMap::new() }
    }

    /// Takes what has come, without waiting.
    pub(crate) fn hear(&mut self) {
        let now = Instant::now();
        while let Some(event) = self.set.as_ref().and_then(|set| set.wait(0).ok()) {
            let Some(XidError::Value(xid)) = event.event_data else { continue };
            let Ok(uuid) = event.device.uuid() else { continue };
            self.note(&uuid, xid, now);
        }
        self.grave.retain(|_, (_, at)| now.duration_since(*at) < REST);
    }

    fn note(&mut self, uuid: &str, xid: u64, now: Instant) {
        match grave(xid) {
            Some(reason) => {
                self.grave.insert(uuid.to_owned(), (reason, now));
            }
            None => tracing::info!(device = uuid, xid, "the driver tells of an error that is no fault of the GPU's"),
        }
    }

    pub(crate) fn of(&self, uuid: &str) -> Option<String> {
        self.grave.get(uuid).map(|(reason, _)| reason.clone())
    }

    pub(crate) fn forget(&mut self, uuid: &str) {
        self.grave.remove(uuid);
    }
}

/// What is wrong with the GPU's memory, as long as it is not reset.
#[allow(unsafe_code, reason = "a call of the library that the wrapper has no form of")]
pub(crate) fn memory_fault(nvml: &Nvml, gpu: &Gpu<'_>) -> Option<String> {
    let ask = nvml.lib().nvmlDeviceGetRemappedRows.as_ref().ok()?;
    let (mut correctable, mut uncorrectable, mut pending, mut failed) = (0, 0, 0, 0);
    // SAFETY: the handle came from this library, which lives as long as `nvml`; the call writes four numbers to memory
    // that is ours for the time of the call.
    let answer =
        unsafe { ask(gpu.handle(), &raw mut correctable, &raw mut uncorrectable, &raw mut pending, &raw mut failed) };
    remapping(answer == 0, pending != 0, failed != 0)
}

fn remapping(known: bool, pending: bool, failed: bool) -> Option<String> {
    match (known, failed, pending) {
        (true, true, _) => Some("rows of its memory are broken and could not be remapped".into()),
        (true, false, true) => Some("rows of its memory wait to be remapped: reset the GPU".into()),
        _ => None,
    }
}

/// What a GPU or a part of one does; what cannot be asked of it is left out.
pub(crate) fn figures(gpu: &Gpu<'_>) -> DeviceFigures {
    let memory = gpu.memory_info().ok();
    let compute = gpu.running_compute_processes().unwrap_or_default();
    let graphics = gpu.running_graphics_processes().unwrap_or_default();
    DeviceFigures {
        utilisation: gpu.utilization_rates().ok().map(|rates| rates.gpu),
        memory_used: memory.as_ref().map(|memory| memory.used),
        memory_total: memory.as_ref().map(|memory| memory.total),
        power_milliwatts: gpu.power_usage().ok().map(u64::from),
        temperature: gpu.temperature(TemperatureSensor::Gpu).ok().and_then(|degrees| i32::try_from(degrees).ok()),
        clock: gpu.clock_info(Clock::SM).ok(),
        memory_clock: gpu.clock_info(Clock::Memory).ok(),
        energy_millijoules: gpu.total_energy_consumption().ok(),
        processes: processes(compute.into_iter().chain(graphics)),
    }
}

/// Each process once, with all that it has.
fn processes(all: impl Iterator<Item = ProcessInfo>) -> Vec<DeviceProcess> {
    let mut by_pid: BTreeMap<u32, Option<u64>> = BTreeMap::new();
    for one in all {
        let memory = match one.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        };
        let known = by_pid.entry(one.pid).or_default();
        // A process that computes and draws is told of twice, with the same memory.
        *known = (*known).max(memory);
    }
    by_pid.into_iter().map(|(pid, memory)| DeviceProcess { pid, memory }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_grave_errors_count_and_for_a_time() {
        let (mut events, now) = (Events::default(), Instant::now());
        events.note("GPU-1", 13, now);
        assert_eq!(events.of("GPU-1"), None);
        events.note("GPU-1", 79, now);
        assert_eq!(events.of("GPU-1").as_deref(), Some("XID 79: it has fallen off the bus"));
        events.forget("GPU-1");
        assert_eq!(events.of("GPU-1"), None);
        assert_eq!(
            remapping(true, true, false).as_deref(),
            Some("rows of its memory wait to be remapped: reset the GPU")
        );
        assert_eq!((remapping(false, true, true), remapping(true, false, false)), (None, None));
    }

    #[test]
    fn a_process_that_computes_and_draws_is_one() {
        let one =
            |memory| ProcessInfo { pid: 7, used_gpu_memory: memory, gpu_instance_id: None, compute_instance_id: None };
        let all = [one(UsedGpuMemory::Used(5)), one(UsedGpuMemory::Unavailable)];
        assert_eq!(processes(all.into_iter()), [DeviceProcess { pid: 7, memory: Some(5) }]);
    }
}
