//! Which devices a request gets: a pure function of what there is and who holds what.

use hoist_proto::spec::{
    AssignedDevice, DeviceKind as Kind, DeviceRequest, DeviceSource as Source, NodeDevice as Device,
};

use crate::request::{Needs, Request, Share, Which, version};
use crate::{ChoiceError, Hold, Ledger, QualifiedName, Result};

/// A machine's devices, and for whom they are chosen.
pub struct Pool<'a> {
    pub kinds: &'a [Kind],
    /// What is wrong with the machine's devices, for words about what there is not.
    pub warnings: &'a [String],
    /// What the holder had before; it gets that again where it can.
    pub previous: &'a [AssignedDevice],
    /// How a holder is called in an error.
    pub name: &'a dyn Fn(&str) -> String,
}

/// Chooses for one request after the other, each seeing what those before it took, and notes it in the ledger. The
/// ledger of a choice that failed is of no use.
///
/// # Errors
/// `Request` for what makes no sense; `NoSuchDevice` and `Impossible` if it could not be met even if nobody held
/// anything; `Held` with who holds what.
pub fn choose_all(
    pool: &Pool<'_>,
    ledger: &mut Ledger,
    holder: &str,
    requests: &[DeviceRequest],
) -> Result<(Vec<AssignedDevice>, Vec<Option<Share>>)> {
    let (mut all, mut shares) = (Vec::new(), Vec::new());
    for (place, request) in (0_u32..).zip(requests) {
        let request = Request::of(request)?;
        for mut assigned in choose(&View { pool, ledger, place }, &request)? {
            let open = pool.kinds.iter().any(|kind| kind.name == assigned.kind && kind.open);
            if !open {
                let hold = Hold { holder: holder.to_owned(), parts: assigned.parts };
                ledger.take((assigned.kind.clone(), assigned.name.clone()), hold);
            }
            assigned.request = place;
            all.push(assigned);
            shares.push(request.share.clone());
        }
    }
    Ok((all, shares))
}

/// What a choice looks at.
struct View<'a> {
    pool: &'a Pool<'a>,
    ledger: &'a Ledger,
    /// Which of the requests.
    place: u32,
}

/// Chooses.
///
/// # Errors
/// `NoSuchDevice` and `Impossible` if it could not be met even if nobody held anything; `Held` with who holds what.
fn choose(view: &View<'_>, request: &Request) -> Result<Vec<AssignedDevice>> {
    if let Which::Names(names) = &request.which {
        return named(view, request, names);
    }
    let kinds = candidates(view.pool, request)?;
    let mut shortest = None;
    for kind in kinds {
        match counted(view, kind, request) {
            Ok(chosen) => return Ok(chosen),
            // The one that could be met at some time says more than the one that never can.
            Err(error) => match (&shortest, &error) {
                (None, _) | (Some(ChoiceError::Impossible(_)), ChoiceError::Held(_)) => shortest = Some(error),
                _ => {}
            },
        }
    }
    Err(shortest.unwrap_or_else(|| no_driver(view.pool, request)))
}

/// Kinds that a request can mean, those of drivers first.
pub(crate) fn candidates<'a>(pool: &Pool<'a>, request: &Request) -> Result<Vec<&'a Kind>> {
    let mut kinds: Vec<&Kind> = pool.kinds.iter().filter(|kind| fits(kind, request)).collect();
    if kinds.is_empty() {
        return Err(no_driver(pool, request));
    }
    let rank = |kind: &&Kind| match kind.source {
        Source::Nvidia => 0,
        Source::Sysfs if kind.name == "amd.com/gpu" => 1,
        Source::Cdi | Source::Declared => 2,
        Source::Sysfs => 3,
    };
    kinds.sort_by_key(rank);
    Ok(kinds)
}

fn fits(kind: &Kind, request: &Request) -> bool {
    let driver = request.driver.as_str();
    let vendor = kind.name.split('/').next().unwrap_or_default();
    let by_driver =
        driver.is_empty() || driver == kind.name || driver == vendor || vendor.strip_suffix(".com") == Some(driver);
    // NVIDIA's capabilities say what of the driver is wanted; a kind that is a GPU and no more has all that it has.
    const OF_DRIVER: [&str; 8] = ["nvidia", "compute", "compat32", "graphics", "utility", "video", "display", "ngx"];
    let has = |wanted: &String| {
        kind.capabilities.contains(wanted)
            || (kind.capabilities.iter().any(|own| own == "gpu") && OF_DRIVER[1..].contains(&wanted.as_str()))
    };
    by_driver && (request.capabilities.is_empty() || request.capabilities.iter().any(|all| all.iter().all(has)))
}

fn no_driver(pool: &Pool<'_>, request: &Request) -> ChoiceError {
    let gpu = request.capabilities.iter().flatten().any(|capability| capability == "gpu");
    let there: Vec<&str> = pool.kinds.iter().map(|kind| kind.name.as_str()).collect();
    let mut text =
        format!("could not select device driver {:?} with capabilities: {:?}", request.driver, request.capabilities);
    if !pool.warnings.is_empty() {
        text.push_str(&format!(": {}", pool.warnings.join("; ")));
    } else if gpu && there.is_empty() {
        text.push_str(
            ": this machine has no GPU that a driver, a CDI specification or the daemon's setting devices tells of; \
             for NVIDIA install its driver with libnvidia-ml.so.1",
        );
    } else if there.is_empty() {
        text.push_str(": this machine has no devices");
    } else {
        text.push_str(&format!(": this machine has {}", there.join(", ")));
    }
    ChoiceError::Impossible(text)
}

fn counted(view: &View<'_>, kind: &Kind, request: &Request) -> Result<Vec<AssignedDevice>> {
    let usable: Vec<&Device> =
        kind.devices.iter().filter(|device| device.set_aside.is_none() && meets(device, &request.needs)).collect();
    let wanted = match request.which {
        Which::Count(count) => count as usize,
        _ => usable.len(),
    };
    let many = |count: usize| format!("{count} {} of {}", if count == 1 { "device" } else { "devices" }, kind.name);
    if wanted == 0 || usable.len() < wanted {
        let aside: Vec<String> = kind
            .devices
            .iter()
            .filter_map(|device| Some(format!("{} is set aside: {}", device.short(), device.set_aside.as_ref()?)))
            .collect();
        let mut text =
            format!("{} {} asked for, and this machine has {}", many(wanted.max(1)), were(wanted.max(1)), usable.len());
        if usable.len() < kind.devices.len() && request.needs != Needs::default() {
            text.push_str(&format!(" that will do, of {}", kind.devices.len()));
        }
        if !aside.is_empty() {
            text.push_str(&format!(" ({})", aside.join(", ")));
        }
        return Err(ChoiceError::Impossible(text));
    }
    let mut able = Vec::new();
    for device in &usable {
        let parts = parts(kind, device, request.share.as_ref())?;
        if free(view, kind, device, parts) {
            able.push((*device, parts));
        }
    }
    if able.len() < wanted {
        return Err(ChoiceError::Held(format!(
            "{} {} asked for: {}",
            many(wanted),
            were(wanted),
            holders(view, kind, &usable)
        )));
    }
    let chosen =
        if request.share.is_some() { packed(view, kind, able, wanted) } else { nearest(view, kind, able, wanted) };
    Ok(chosen.into_iter().map(|(device, parts)| assigned(kind, device, parts, None)).collect())
}

fn were(count: usize) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

fn named(view: &View<'_>, request: &Request, names: &[String]) -> Result<Vec<AssignedDevice>> {
    let mut chosen: Vec<AssignedDevice> = Vec::new();
    for name in names {
        for found in one_name(view, request, name)? {
            if !chosen.iter().any(|other| (&other.kind, &other.name) == (&found.kind, &found.name)) {
                chosen.push(found);
            }
        }
    }
    Ok(chosen)
}

fn one_name(view: &View<'_>, request: &Request, name: &str) -> Result<Vec<AssignedDevice>> {
    let qualified = QualifiedName::parse(name);
    let kinds: Vec<&Kind> = match &qualified {
        Some(whole) => view.pool.kinds.iter().filter(|kind| kind.name == whole.kind).collect(),
        None => candidates(view.pool, request)?,
    };
    let short = qualified.as_ref().map_or(name, |whole| whole.name.as_str());
    for kind in &kinds {
        let (devices, group): (Vec<&Device>, Option<&str>) = match kind.devices.iter().find(|device| device.is(short)) {
            Some(device) => (vec![device], None),
            None if short == "all" => (kind.devices.iter().collect(), Some("all")),
            None => continue,
        };
        let mut found = Vec::new();
        for device in devices {
            if let Some(reason) = &device.set_aside {
                return Err(ChoiceError::Held(format!("{}={} is set aside: {reason}", kind.name, device.short())));
            }
            if !meets(device, &request.needs) {
                return Err(ChoiceError::Impossible(format!(
                    "{}={short} is not of the kind that the options ask for",
                    kind.name
                )));
            }
            let parts = parts(kind, device, request.share.as_ref())?;
            if !free(view, kind, device, parts) {
                return Err(ChoiceError::Held(format!(
                    "device {}={} was asked for: {}",
                    kind.name,
                    device.short(),
                    holders(view, kind, &[device])
                )));
            }
            found.push(assigned(kind, device, parts, group.filter(|group| kind.groups.contains(*group))));
        }
        return Ok(found);
    }
    let there: Vec<String> = kinds
        .iter()
        .flat_map(|kind| kind.devices.iter().map(|device| format!("{}={}", kind.name, device.short())))
        .collect();
    let hint = if there.is_empty() { view.pool.warnings.join("; ") } else { format!("there are {}", there.join(", ")) };
    Err(ChoiceError::NoSuchDevice { name: name.to_owned(), hint })
}

fn assigned(kind: &Kind, device: &Device, parts: Option<u32>, group: Option<&str>) -> AssignedDevice {
    AssignedDevice {
        kind: kind.name.clone(),
        name: device.name.clone(),
        parts,
        of: device.shares,
        group: group.map(str::to_owned),
        request: 0,
    }
}

/// How many parts of a device a share is; `None` is the whole.
pub(crate) fn parts(kind: &Kind, device: &Device, share: Option<&Share>) -> Result<Option<u32>> {
    let Some(share) = share else { return Ok(None) };
    let exact = share.fraction * f64::from(device.shares);
    let parts = exact.round();
    if device.shares < 2 {
        return Err(ChoiceError::Impossible(format!(
            "{}={} is not shared here: the daemon's setting devices.{}.shares says in how many parts",
            kind.name,
            device.short(),
            kind.name
        )));
    }
    if parts < 1.0 || (exact - parts).abs() > 0.01 {
        return Err(ChoiceError::Impossible(format!(
            "a share of {} of {} is no whole number of its {} parts",
            share.fraction, kind.name, device.shares
        )));
    }
    // Below `shares`, as the fraction is below 1.
    Ok(Some(parts as u32))
}

fn free(view: &View<'_>, kind: &Kind, device: &Device, parts: Option<u32>) -> bool {
    let key = (kind.name.clone(), device.name.clone());
    // One that does not say in how many parts it can be shared is whole.
    let shares = device.shares.max(1);
    kind.open || view.ledger.free(&key, shares) >= parts.unwrap_or(shares)
}

fn had(view: &View<'_>, kind: &Kind, device: &Device) -> bool {
    view.pool
        .previous
        .iter()
        .any(|before| before.request == view.place && before.kind == kind.name && before.name == device.name)
}

/// Shares go where least is left, so that whole devices stay whole.
fn packed<'a>(
    view: &View<'_>,
    kind: &Kind,
    mut able: Vec<(&'a Device, Option<u32>)>,
    wanted: usize,
) -> Vec<(&'a Device, Option<u32>)> {
    able.sort_by_key(|(device, _)| {
        let left = view.ledger.free(&(kind.name.clone(), device.name.clone()), device.shares);
        (!had(view, kind, device), left, device.index)
    });
    able.truncate(wanted);
    able
}

/// Whole devices that are near one another.
fn nearest<'a>(
    view: &View<'_>,
    kind: &Kind,
    able: Vec<(&'a Device, Option<u32>)>,
    wanted: usize,
) -> Vec<(&'a Device, Option<u32>)> {
    let before: Vec<usize> = (0..able.len()).filter(|place| had(view, kind, able[*place].0)).take(wanted).collect();
    let link = |one: usize, other: usize| *able[one].0.facts.links.get(&able[other].0.name).unwrap_or(&0);
    let mut best = nearest_group(able.len(), wanted, &before, &link);
    best.sort_by_key(|place| able[*place].0.index);
    best.into_iter().map(|place| able[place]).collect()
}

/// So many of `all` that are near one another, by their places; `before` are among them. From each of them the nearest
/// are added, and the best group wins. Among equals that which is least near to the rest, so that what belongs together
/// stays together, and then the first.
pub fn nearest_group(all: usize, wanted: usize, before: &[usize], link: &dyn Fn(usize, usize) -> u32) -> Vec<usize> {
    let link = |one: usize, other: usize| u64::from(link(one, other));
    let grow = |mut group: Vec<usize>| {
        while group.len() < wanted {
            let near = |place: &usize| group.iter().map(|member| link(*member, *place)).sum::<u64>();
            let next =
                (0..all).filter(|place| !group.contains(place)).max_by_key(|place| (near(place), usize::MAX - place));
            let Some(next) = next else { break };
            group.push(next);
        }
        group
    };
    let starts: Vec<Vec<usize>> =
        if before.is_empty() { (0..all).map(|place| vec![place]).collect() } else { vec![before.to_vec()] };
    let score = |group: &Vec<usize>| {
        let inside: u64 = group.iter().flat_map(|one| group.iter().map(|other| link(*one, *other))).sum();
        let outside: u64 = group
            .iter()
            .flat_map(|one| (0..all).filter(|other| !group.contains(other)).map(|other| link(*one, other)))
            .sum();
        (inside, u64::MAX - outside)
    };
    let mut best: Option<Vec<usize>> = None;
    for start in starts {
        let group = grow(start);
        if best.as_ref().is_none_or(|best| score(&group) > score(best)) {
            best = Some(group);
        }
    }
    best.unwrap_or_default()
}

/// `2 of 2 are held by train-a, train-b`
fn holders(view: &View<'_>, kind: &Kind, devices: &[&Device]) -> String {
    let mut names: Vec<String> = Vec::new();
    let mut held = 0;
    for device in devices {
        let holds = view.ledger.holds(&(kind.name.clone(), device.name.clone()));
        held += usize::from(!holds.is_empty());
        for hold in holds {
            let mut name = (view.pool.name)(&hold.holder);
            if let Some(parts) = hold.parts {
                name.push_str(&format!(" ({parts} of {} parts)", device.shares));
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let is = if held == 1 { "is" } else { "are" };
    format!("{held} of {} {is} held by {}", devices.len(), names.join(", "))
}

/// Whether a device has what is needed.
pub(crate) fn meets(device: &Device, needs: &Needs) -> bool {
    let facts = &device.facts;
    let at_least = |have: &str, least: &Option<Vec<u32>>| {
        least.as_ref().is_none_or(|least| version(have).is_some_and(|have| have >= *least))
    };
    needs.model.as_ref().is_none_or(|model| facts.model.to_lowercase().contains(model))
        && needs.memory.is_none_or(|least| facts.memory.is_some_and(|have| have >= least))
        && at_least(&facts.compute, &needs.compute)
        && at_least(&facts.driver_version, &needs.driver_version)
        && needs.mig_profile.as_ref().is_none_or(|profile| *profile == facts.mig_profile)
}
