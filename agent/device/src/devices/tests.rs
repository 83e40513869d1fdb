use std::collections::BTreeMap;

use hoist_choice::{Ledger, Pool, choose_all};
use hoist_proto::spec::DeviceRequest;

use crate::inventory::near;
use crate::{Assigned, Declared, DeviceError, Devices, Options};

fn devices(declared: &str) -> Devices {
    let declared: BTreeMap<String, Declared> = serde_json::from_str(declared).unwrap();
    Devices::new(Options { spec_dirs: Vec::new(), declared, generic: Vec::new(), hardware: false }).unwrap()
}

fn gpus(count: i64, options: &[(&str, &str)]) -> DeviceRequest {
    DeviceRequest {
        count: Some(count),
        capabilities: vec![vec!["gpu".into()]],
        options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..DeviceRequest::default()
    }
}

fn these(names: &[&str]) -> DeviceRequest {
    DeviceRequest { count: None, device_ids: names.iter().map(|name| (*name).to_owned()).collect(), ..gpus(0, &[]) }
}

fn claim(devices: &Devices, holder: &str, request: DeviceRequest) -> crate::Result<Vec<String>> {
    let grant = devices.claim(holder, &[request], &[], &[], &|id| format!("<{id}>"))?;
    Ok(grant.assigned.into_iter().map(|one| one.name).collect())
}

const TWO: &str = r#"{"lab.example/gpu": {"nodes": ["/dev/null", "/dev/zero"], "inside": "/dev/lab{index}",
                      "model": "Lab 9", "memory": 16000000000, "shares": 4}}"#;

#[test]
fn two_holders_get_two_devices_and_the_third_is_told_who_has_them() {
    let devices = devices(TWO);
    assert_eq!(claim(&devices, "a", gpus(1, &[])).unwrap(), ["0"]);
    assert_eq!(claim(&devices, "b", gpus(1, &[])).unwrap(), ["1"]);
    let error = claim(&devices, "c", gpus(1, &[])).unwrap_err();
    assert!(matches!(error, DeviceError::Held(_)));
    assert_eq!(error.to_string(), "1 device of lab.example/gpu was asked for: 2 of 2 are held by <a>, <b>");
    let error = claim(&devices, "c", these(&["1"])).unwrap_err().to_string();
    assert_eq!(error, "device lab.example/gpu=1 was asked for: 1 of 1 is held by <b>");
    devices.release("a");
    assert_eq!(claim(&devices, "c", these(&["lab.example/gpu=0"])).unwrap(), ["0"]);
    devices.release("b");
    devices.release("c");
    assert_eq!(claim(&devices, "d", gpus(-1, &[])).unwrap(), ["0", "1"]);
    assert!(claim(&devices, "e", gpus(-1, &[])).is_err());
}

#[test]
fn what_can_never_be_is_told_apart_from_what_is_held() {
    let devices = devices(TWO);
    claim(&devices, "a", gpus(2, &[])).unwrap();
    // A check does not mind who holds what.
    devices.check(&[gpus(2, &[])]).unwrap();
    for (request, words) in [
        (gpus(3, &[]), "3 devices of lab.example/gpu were asked for, and this machine has 2"),
        (gpus(1, &[("model", "other")]), "this machine has 0 that will do, of 2"),
        (gpus(1, &[("memory", "20g")]), "this machine has 0 that will do"),
        (gpus(1, &[("colour", "red")]), "option colour is not supported"),
        (gpus(1, &[("share-memory", "1g"), ("share", "0.5")]), "cannot be enforced"),
        (gpus(1, &[("share", "0.3")]), "no whole number of its 4 parts"),
        (gpus(1, &[("share", "2")]), "between 0 and 1"),
        (these(&["7"]), "no such device: 7 (there are lab.example/gpu=0, lab.example/gpu=1)"),
        (gpus(0, &[]), "neither how many devices nor which"),
        (gpus(-2, &[]), "-2 is not a number of devices"),
        (DeviceRequest { count: Some(1), ..these(&["0"]) }, "cannot set both Count and DeviceIDs"),
        (DeviceRequest { driver: Some("nvidia".into()), ..gpus(1, &[]) }, "could not select device driver \"nvidia\""),
        (DeviceRequest { driver: Some("cdi".into()), ..these(&["0"]) }, "whole names only"),
    ] {
        let error = devices.check(std::slice::from_ref(&request)).unwrap_err().to_string();
        assert!(error.contains(words), "{request:?}: {error}");
    }
    // Both of one container's requests count.
    assert!(devices.check(&[gpus(1, &[]), gpus(2, &[])]).is_err());
    let empty = self::devices("{}");
    assert!(empty.check(&[gpus(1, &[])]).unwrap_err().to_string().contains("libnvidia-ml.so.1"));
}

#[test]
fn shares_fill_a_device_before_the_next_and_no_whole_one_is_given_beside_them() {
    let devices = devices(TWO);
    let half = || gpus(1, &[("share", "0.5")]);
    assert_eq!(claim(&devices, "a", half()).unwrap(), ["0"]);
    assert_eq!(claim(&devices, "b", half()).unwrap(), ["0"]);
    assert_eq!(claim(&devices, "c", gpus(1, &[("share", "0.75")])).unwrap(), ["1"]);
    let error = claim(&devices, "d", gpus(1, &[])).unwrap_err().to_string();
    assert!(error.contains("<a> (2 of 4 parts), <b> (2 of 4 parts), <c> (3 of 4 parts)"), "{error}");
    assert_eq!(claim(&devices, "d", gpus(1, &[("share", "0.25")])).unwrap(), ["1"]);
    devices.release("a");
    assert!(claim(&devices, "e", these(&["0"])).is_err());
    devices.release("b");
    assert_eq!(claim(&devices, "e", these(&["0"])).unwrap(), ["0"]);
}

#[test]
fn a_holder_gets_what_it_had_and_a_failed_claim_changes_nothing() {
    let devices = devices(TWO);
    let before = [Assigned { kind: "lab.example/gpu".into(), name: "1".into(), of: 4, ..Assigned::default() }];
    let grant = devices.claim("a", &[gpus(1, &[])], &before, &[], &str::to_owned).unwrap();
    assert_eq!(grant.assigned, before);
    assert!(devices.claim("a", &[gpus(1, &[]), gpus(2, &[])], &[], &[], &str::to_owned).is_err());
    assert_eq!(devices.holds("lab.example/gpu", "1")[0].holder, "a");
    devices.release("a");
    devices.restore("b", &before);
    assert_eq!(claim(&devices, "c", gpus(1, &[])).unwrap(), ["0"]);
    devices.set_aside("lab.example/gpu", "1", "XID 79").unwrap();
    devices.release("b");
    let error = claim(&devices, "d", gpus(2, &[])).unwrap_err().to_string();
    assert!(error.contains("this machine has 1 (1 is set aside: XID 79)"), "{error}");
    devices.take_back("lab.example/gpu", "1").unwrap();
    assert_eq!(claim(&devices, "d", gpus(1, &[])).unwrap(), ["1"]);
}

#[test]
fn in_the_container_devices_count_from_zero() {
    let devices = devices(TWO);
    claim(&devices, "a", these(&["0"])).unwrap();
    let grant = devices.claim("b", &[gpus(1, &[])], &[], &[], &str::to_owned).unwrap();
    let node = &grant.edits.device_nodes[0];
    assert_eq!((node.path.as_str(), node.host()), ("/dev/lab0", "/dev/zero"));
    assert_eq!(grant.edits.env, ["DOCKER_RESOURCE_LAB_EXAMPLE_GPU=1"]);
}

#[test]
fn plain_counters() {
    let generic = ["SSD=2", "FPGA=left", "FPGA=right"].map(str::to_owned).to_vec();
    let options = Options { spec_dirs: Vec::new(), generic, hardware: false, ..Options::default() };
    let devices = Devices::new(options).unwrap();
    let of =
        |kind: &str, count| DeviceRequest { driver: Some(kind.into()), count: Some(count), ..DeviceRequest::default() };
    assert_eq!(claim(&devices, "a", of("FPGA", 1)).unwrap(), ["left"]);
    assert_eq!(claim(&devices, "b", of("FPGA", 1)).unwrap(), ["right"]);
    assert!(claim(&devices, "c", of("SSD", 3)).is_err());
    assert_eq!(claim(&devices, "c", of("SSD", 2)).unwrap(), ["0", "1"]);
    for bad in ["SSD", "=1", "SSD=0", "SSD="] {
        assert!(crate::parse_generic(&[bad.to_owned()]).is_err(), "{bad}");
    }
}

#[test]
fn what_is_near_is_given_together() {
    use crate::inventory::{Device, Kind, Source};
    // Two pairs joined by NVLink, 0-2 and 1-3.
    let device = |index: u32| {
        let mut device = Device::named(format!("G{index}"), index);
        for other in (0..4).filter(|other| *other != index) {
            let near = if (index + other).is_multiple_of(2) { near::NVLINK } else { near::SAME_NUMA_NODE };
            device.facts.links.insert(format!("G{other}"), near);
        }
        device
    };
    let kind = Kind {
        name: "x.com/gpu".into(),
        source: Source::Sysfs,
        capabilities: vec!["gpu".into()],
        common: Default::default(),
        devices: (0..4).map(device).collect(),
        groups: BTreeMap::new(),
        open: false,
    };
    let kinds = [kind.plain()];
    let mut ledger = Ledger::default();
    let choose = |ledger: &Ledger, count| {
        let pool = Pool { kinds: &kinds, warnings: &[], previous: &[], name: &str::to_owned };
        let (chosen, _) = choose_all(&pool, &mut ledger.clone(), "b", &[gpus(count, &[])]).unwrap();
        chosen.into_iter().map(|one| one.name).collect::<Vec<_>>()
    };
    assert_eq!(choose(&ledger, 2), ["G0", "G2"]);
    ledger.take(("x.com/gpu".into(), "G0".into()), crate::Hold { holder: "a".into(), parts: None });
    assert_eq!(choose(&ledger, 2), ["G1", "G3"]);
    // One alone leaves the pair whole.
    assert_eq!(choose(&ledger, 1), ["G2"]);
}
