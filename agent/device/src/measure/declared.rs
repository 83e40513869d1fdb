//! Figures and faults of devices whose kind's setting names files for them: whoever can measure a device writes them.

use hoist_proto::spec::{DeviceFigures, DeviceProcess};
use hoist_proto::unit::parse_bytes;
use serde::Deserialize;

use crate::Declared;

/// The file `figures`. Units as people write them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    /// Percent.
    utilisation: Option<u32>,
    memory_used: Option<Bytes>,
    /// Watts.
    power: Option<f64>,
    temperature: Option<i32>,
    /// MHz.
    clock: Option<u32>,
    memory_clock: Option<u32>,
    /// Joules, counted up.
    energy: Option<f64>,
    processes: Vec<Process>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Process {
    pid: u32,
    memory: Option<Bytes>,
}

/// A number of bytes, or a text such as `3g`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Bytes {
    Number(u64),
    Text(String),
}

impl Bytes {
    fn read(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Text(text) => parse_bytes(&text).ok(),
        }
    }
}

fn at(path: &str, index: u32) -> String {
    path.replace("{index}", &index.to_string())
}

/// What the device's file says; nothing while it is not there or makes no sense.
pub(super) fn figures(declared: &Declared, index: u32) -> Option<DeviceFigures> {
    let path = at(declared.figures.as_ref()?, index);
    let text = std::fs::read_to_string(&path).ok()?;
    let file: File = match serde_json::from_str(&text) {
        Ok(file) => file,
        Err(error) => {
            tracing::debug!(path, %error, "a device's figures make no sense");
            return None;
        }
    };
    let millis = |units: f64| (units.max(0.0) * 1000.0).round() as u64;
    let process = |one: Process| DeviceProcess { pid: one.pid, memory: one.memory.and_then(Bytes::read) };
    Some(DeviceFigures {
        utilisation: file.utilisation.map(|percent| percent.min(100)),
        memory_used: file.memory_used.and_then(Bytes::read),
        memory_total: declared.memory,
        power_milliwatts: file.power.map(millis),
        temperature: file.temperature,
        clock: file.clock,
        memory_clock: file.memory_clock,
        energy_millijoules: file.energy.map(millis),
        processes: file.processes.into_iter().map(process).collect(),
    })
}

/// The first line of the device's file for faults.
pub(super) fn fault(declared: &Declared, index: u32) -> Option<String> {
    let text = std::fs::read_to_string(at(declared.health.as_ref()?, index)).ok()?;
    let reason = text.lines().next().unwrap_or_default().trim();
    (!reason.is_empty() && !reason.eq_ignore_ascii_case("ok")).then(|| reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_say_what_a_device_does_and_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| Some(dir.path().join(name).to_string_lossy().into_owned());
        let declared =
            Declared { figures: path("{index}.json"), health: path("{index}.health"), ..Declared::default() };
        assert_eq!((figures(&declared, 1), fault(&declared, 1)), (None, None));
        let text =
            r#"{"utilisation": 40, "memory-used": "3g", "power": 250.5, "processes": [{"pid": 7, "memory": 9}]}"#;
        std::fs::write(dir.path().join("1.json"), text).unwrap();
        std::fs::write(dir.path().join("1.health"), "fan stands still\nsince noon\n").unwrap();
        let found = figures(&declared, 1).unwrap();
        assert_eq!(
            (found.utilisation, found.memory_used, found.power_milliwatts),
            (Some(40), Some(3 << 30), Some(250_500))
        );
        assert_eq!(found.processes, [DeviceProcess { pid: 7, memory: Some(9) }]);
        assert_eq!(fault(&declared, 1).as_deref(), Some("fan stands still"));
        std::fs::write(dir.path().join("1.json"), r#"{"colour": 1}"#).unwrap();
        std::fs::write(dir.path().join("1.health"), "OK\n").unwrap();
        assert_eq!((figures(&declared, 1), fault(&declared, 1)), (None, None));
    }
}
