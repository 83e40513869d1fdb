//! The devices that a scheduler gave a task: its container asks for exactly these.

use hoist_proto::spec::{ContainerSpec, DeviceRequest, Task};

/// The label of a container that says which devices it was made for.
const DEVICES: &str = "hoist.task.devices";

/// Makes a container ask for the devices that its task was given, and for no others.
pub(super) fn bind(spec: &mut ContainerSpec, task: &Task) {
    if task.devices.is_empty() {
        return;
    }
    let mut requests = spec.resources.all_requests();
    for (place, request) in (0_u32..).zip(&mut requests) {
        let given = || task.devices.iter().filter(|device| device.request == place);
        // Who asks by name has what it asks for.
        let Some(first) = given().next().filter(|_| request.device_ids.is_empty()) else { continue };
        *request = DeviceRequest {
            driver: Some(first.kind.clone()),
            count: None,
            device_ids: given().map(|device| device.name.clone()).collect(),
            ..std::mem::take(request)
        };
    }
    spec.resources.device_requests = requests;
    spec.labels.insert(DEVICES.into(), text(task));
}

/// Whether a container was made for the devices that the task has.
pub(super) fn are_of(container: &ContainerSpec, task: &Task) -> bool {
    container.labels.get(DEVICES).map_or("", String::as_str) == text(task)
}

fn text(task: &Task) -> String {
    let names: Vec<String> = task.devices.iter().map(|device| format!("{}={}", device.kind, device.name)).collect();
    names.join(",")
}

#[cfg(test)]
mod tests {
    use hoist_proto::spec::AssignedDevice;

    use super::*;

    #[test]
    fn a_number_of_devices_becomes_their_names() {
        let mut spec = ContainerSpec::default();
        spec.resources.device_requests = vec![
            DeviceRequest {
                count: Some(2),
                capabilities: vec![vec!["gpu".into()]],
                options: [("model".to_owned(), "a100".to_owned())].into(),
                ..DeviceRequest::default()
            },
            DeviceRequest { device_ids: vec!["v.com/card=all".into()], ..DeviceRequest::default() },
        ];
        spec.resources.reserved_generic.insert("SSD".into(), 1);
        let given = |request, kind: &str, name: &str| AssignedDevice {
            kind: kind.into(),
            name: name.into(),
            of: 1,
            request,
            ..AssignedDevice::default()
        };
        let mut task = super::super::template::tests::task();
        assert!(are_of(&spec, &task));
        bind(&mut spec, &task);
        assert_eq!(spec.resources.device_requests[0].count, Some(2));
        task.devices = vec![
            given(0, "nvidia.com/gpu", "GPU-3"),
            given(0, "nvidia.com/gpu", "GPU-1"),
            given(1, "v.com/card", "one"),
            given(2, "SSD", "0"),
        ];
        assert!(!are_of(&spec, &task));
        bind(&mut spec, &task);
        assert!(are_of(&spec, &task));
        let requests = &spec.resources.device_requests;
        assert_eq!((requests[0].driver.as_deref(), requests[0].count), (Some("nvidia.com/gpu"), None));
        assert_eq!(requests[0].device_ids, ["GPU-3", "GPU-1"]);
        assert_eq!(requests[0].options["model"], "a100");
        assert_eq!(requests[1].device_ids, ["v.com/card=all"]);
        assert_eq!((requests[2].driver.as_deref(), &requests[2].device_ids[..]), (Some("SSD"), &["0".to_owned()][..]));
    }
}
