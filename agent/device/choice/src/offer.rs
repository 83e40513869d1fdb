//! What a request could have of a machine, whoever holds what: for those who count before they choose.

use hoist_proto::spec::{DeviceKind, DeviceRequest};

use crate::request::{Request, Which};
use crate::select::{Pool, candidates, meets, parts};
use crate::{QualifiedName, Result};

/// Everything that would do. The first alternative of which enough is free is taken, as
/// [`choose_all`](crate::choose_all) takes it; without any, the machine can never meet the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    pub alternatives: Vec<Alternative>,
}

/// Devices of which so many meet a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alternative {
    pub count: usize,
    /// A part of each is asked for: those of which least is left are taken first, so that whole ones stay whole.
    pub shared: bool,
    /// In the order of their index.
    pub parts: Vec<Part>,
}

/// How much of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Place of the kind, and of the device in it.
    pub kind: usize,
    pub device: usize,
    /// Of its parts; 0 of one that anybody may have at any time.
    pub parts: u32,
}

/// Looks through a machine's devices, those that are set aside too: they may return.
///
/// # Errors
/// For requests that make no sense anywhere.
pub fn offer(kinds: &[DeviceKind], request: &DeviceRequest) -> Result<Offer> {
    let request = Request::of(request)?;
    let alternatives = match &request.which {
        Which::Names(names) => named(kinds, &request, names).into_iter().collect(),
        Which::Count(_) | Which::All => counted(kinds, &request),
    };
    Ok(Offer { alternatives })
}

fn found<'a>(kinds: &'a [DeviceKind], request: &Request) -> Vec<&'a DeviceKind> {
    let pool = Pool { kinds, warnings: &[], previous: &[], name: &str::to_owned };
    candidates(&pool, request).unwrap_or_default()
}

fn part(kinds: &[DeviceKind], kind: &DeviceKind, device: usize, request: &Request) -> Option<Part> {
    let place = kinds.iter().position(|one| one.name == kind.name)?;
    let one = kind.devices.get(device).filter(|device| meets(device, &request.needs))?;
    let parts = parts(kind, one, request.share.as_ref()).ok()?.unwrap_or(one.shares.max(1));
    Some(Part { kind: place, device, parts: if kind.open { 0 } else { parts } })
}

fn counted(kinds: &[DeviceKind], request: &Request) -> Vec<Alternative> {
    let of_kind = |kind: &DeviceKind| {
        let parts: Vec<Part> =
            (0..kind.devices.len()).filter_map(|device| part(kinds, kind, device, request)).collect();
        let count = match request.which {
            Which::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            _ => parts.len(),
        };
        let enough = count > 0 && parts.len() >= count;
        enough.then(|| Alternative { count, shared: request.share.is_some(), parts })
    };
    found(kinds, request).into_iter().filter_map(of_kind).collect()
}

/// All that is named, each once; none if one of them is not there.
fn named(kinds: &[DeviceKind], request: &Request, names: &[String]) -> Option<Alternative> {
    let mut parts: Vec<Part> = Vec::new();
    for name in names {
        let whole = QualifiedName::parse(name);
        let of = match &whole {
            Some(whole) => kinds.iter().filter(|kind| kind.name == whole.kind).collect(),
            None => found(kinds, request),
        };
        let short = whole.as_ref().map_or(name.as_str(), |whole| whole.name.as_str());
        let (kind, places) = of.into_iter().find_map(|kind| {
            let one = kind.devices.iter().position(|device| device.is(short)).map(|place| vec![place]);
            let places = one.or_else(|| (short == "all").then(|| (0..kind.devices.len()).collect()))?;
            Some((kind, places))
        })?;
        for place in places {
            let part = part(kinds, kind, place, request)?;
            if !parts.iter().any(|known| (known.kind, known.device) == (part.kind, part.device)) {
                parts.push(part);
            }
        }
    }
    Some(Alternative { count: parts.len(), shared: request.share.is_some(), parts })
}

#[cfg(test)]
mod tests {
    use hoist_proto::spec::{DeviceFacts, NodeDevice};

    use super::*;

    fn kinds() -> Vec<DeviceKind> {
        let device = |index: u32, model: &str| NodeDevice {
            name: format!("GPU-{index}"),
            aliases: vec![index.to_string()],
            index,
            shares: 4,
            facts: DeviceFacts { model: model.into(), memory: Some(u64::from(index + 1) << 30), ..Default::default() },
            ..NodeDevice::default()
        };
        let kind = |name: &str, devices| DeviceKind {
            name: name.into(),
            capabilities: vec!["gpu".into()],
            devices,
            ..DeviceKind::default()
        };
        let mut kinds = vec![
            kind("lab.example/gpu", vec![device(0, "Lab 9"), device(1, "Lab 9"), device(2, "Lab 10")]),
            kind("other.example/gpu", vec![device(0, "Other")]),
        ];
        kinds[0].devices[1].set_aside = Some("broken".into());
        kinds
    }

    /// Kind, device and parts of one place.
    type Place = (usize, usize, u32);

    fn places(options: &[(&str, &str)], count: i64, ids: &[&str]) -> Vec<(usize, Vec<Place>)> {
        let request = DeviceRequest {
            count: (count != 0).then_some(count),
            device_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            capabilities: vec![vec!["gpu".into()]],
            options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..DeviceRequest::default()
        };
        let offer = offer(&kinds(), &request).unwrap();
        let parts = |one: &Alternative| one.parts.iter().map(|part| (part.kind, part.device, part.parts)).collect();
        offer.alternatives.iter().map(|one| (one.count, parts(one))).collect()
    }

    #[test]
    fn all_that_would_do_is_offered_also_what_is_set_aside() {
        assert_eq!(places(&[], 1, &[]), [(1, vec![(0, 0, 4), (0, 1, 4), (0, 2, 4)]), (1, vec![(1, 0, 4)])]);
        assert_eq!(places(&[], 2, &[]), [(2, vec![(0, 0, 4), (0, 1, 4), (0, 2, 4)])]);
        assert_eq!(places(&[("model", "lab 9"), ("memory", "2g")], 1, &[]), [(1, vec![(0, 1, 4)])]);
        assert_eq!(places(&[("share", "0.5"), ("model", "other")], 1, &[]), [(1, vec![(1, 0, 2)])]);
        assert_eq!(places(&[("share", "0.3")], 1, &[]), [], "no whole number of parts");
        assert_eq!(places(&[], -1, &[]).len(), 2);
        assert_eq!(places(&[], 0, &["2", "GPU-0", "2"]), [(2, vec![(0, 2, 4), (0, 0, 4)])]);
        assert_eq!(places(&[], 0, &["2", "7"]), []);
    }
}
