//! Devices: what tasks ask for, against what nodes have and who holds it.

use hoist_choice::{ChoiceError, Hold, Ledger, Pool, Request, Which, choose_all};
use hoist_proto::spec::{AssignedDevice, DeviceRequest, Node, Task, TaskState};

use crate::NodeState;

/// Whether a task's devices are its own: until its container has ended, whatever is wished of it.
pub fn holds_devices(task: &Task) -> bool {
    task.status.state >= TaskState::Assigned && !task.status.state.is_final()
}

/// A device of the task's with which something is wrong, and what.
pub fn faulty_device(task: &Task, node: &Node) -> Option<String> {
    task.devices.iter().find_map(|given| {
        let kind = node.description.devices.iter().find(|kind| kind.name == given.kind)?;
        let device = kind.devices.iter().find(|device| device.name == given.name && device.faulty)?;
        let why = device.set_aside.as_deref().unwrap_or("it is faulty");
        Some(format!("its device {}={} is set aside: {why}", kind.name, device.short()))
    })
}

/// Whether the node could meet the requests if nobody held anything and nothing was set aside, from where it may return.
pub(crate) fn has(requests: &[DeviceRequest], node: &Node) -> bool {
    if requests.is_empty() || choose_from(requests, node, &mut Ledger::default(), "", &[]).is_ok() {
        return true;
    }
    if !node.description.devices.iter().flat_map(|kind| &kind.devices).any(|device| device.set_aside.is_some()) {
        return false;
    }
    let mut whole = node.clone();
    let devices = whole.description.devices.iter_mut().flat_map(|kind| &mut kind.devices);
    devices.for_each(|device| device.set_aside = None);
    choose_from(requests, &whole, &mut Ledger::default(), "", &[]).is_ok()
}

/// Whether it can now.
pub(crate) fn has_free(requests: &[DeviceRequest], state: &NodeState) -> bool {
    requests.is_empty() || choose_from(requests, &state.node, &mut ledger(state), "", &[]).is_ok()
}

/// The devices of the node that the task gets.
pub(crate) fn choose(
    requests: &[DeviceRequest],
    state: &NodeState,
    task: &Task,
) -> Result<Vec<AssignedDevice>, ChoiceError> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    // What a queue chose for it is what it gets, if that is still free.
    choose_from(requests, &state.node, &mut ledger(state), task.id.as_str(), &task.devices)
}

/// What tasks hold, and what containers that are none do.
fn ledger(state: &NodeState) -> Ledger {
    let mut ledger = state.devices.clone();
    for kind in &state.node.description.devices {
        for device in &kind.devices {
            for held in &device.held {
                let hold = Hold { holder: held.holder.clone(), parts: held.parts };
                ledger.take((kind.name.clone(), device.name.clone()), hold);
            }
        }
    }
    ledger
}

fn choose_from(
    requests: &[DeviceRequest],
    node: &Node,
    ledger: &mut Ledger,
    holder: &str,
    previous: &[AssignedDevice],
) -> Result<Vec<AssignedDevice>, ChoiceError> {
    let pool = Pool { kinds: &node.description.devices, warnings: &[], previous, name: &str::to_owned };
    choose_all(&pool, ledger, holder, requests).map(|(chosen, _)| chosen)
}

/// Takes note of what a task was given.
pub(crate) fn take(state: &mut NodeState, task: &Task) {
    for device in &task.devices {
        let kind = state.node.description.devices.iter().find(|kind| kind.name == device.kind);
        if !kind.is_some_and(|kind| kind.open) {
            let hold = Hold { holder: task.id.to_string(), parts: device.parts };
            state.devices.take((device.kind.clone(), device.name.clone()), hold);
        }
    }
}

/// `no gpu`, `fewer than 2 gpu`, of which `adjective` is said if it is not empty.
pub(crate) fn lacking(requests: &[DeviceRequest], adjective: &str) -> String {
    requests.iter().map(|request| lacking_one(request, adjective)).collect::<Vec<_>>().join(" or ")
}

fn lacking_one(request: &DeviceRequest, adjective: &str) -> String {
    let space = if adjective.is_empty() { "" } else { " " };
    let what = format!("{adjective}{space}{}", request.what());
    match Request::of(request).map(|request| request.which) {
        Ok(Which::Count(count)) if count > 1 => format!("fewer than {count} {what}"),
        Ok(Which::Names(names)) => format!("no {adjective}{space}device {}", names.join(", ")),
        _ => format!("no {what}"),
    }
}

/// Why no node of the cluster could ever meet the requests, with the nearest that one could; `None` if one could, or if
/// a node has not said yet what it has.
pub fn never_met(requests: &[DeviceRequest], nodes: &[&Node]) -> Option<String> {
    if requests.is_empty() {
        return None;
    }
    if let Some(error) = requests.iter().find_map(|request| Request::of(request).err()) {
        return Some(error.to_string());
    }
    let undescribed = |node: &Node| node.description.architecture.is_empty();
    if nodes.iter().any(|node| undescribed(node) || has(requests, node)) {
        return None;
    }
    // One request alone that nobody could meet says more than all of them.
    let alone = requests.iter().find(|one| !nodes.iter().any(|node| has(std::slice::from_ref(*one), node)));
    let asked = alone.map_or(requests, std::slice::from_ref);
    let mut why = match nodes {
        [node] => choose_from(asked, node, &mut Ledger::default(), "", &[]).err().map_or_else(String::new, |error| {
            error.to_string().replace("this machine", &format!("node {}", node.description.hostname))
        }),
        _ => format!("no node can ever run it: {} nodes have {}", nodes.len(), lacking(asked, "")),
    };
    if let Some(nearest) = alone.and_then(|one| nearest(one, nodes)) {
        why.push_str(&format!("; the nearest that can be met is {nearest}"));
    }
    Some(why)
}

/// The most of the same that one node has; or the request without its options.
fn nearest(request: &DeviceRequest, nodes: &[&Node]) -> Option<String> {
    let most = |request: &DeviceRequest| {
        let mut less = DeviceRequest { count: Some(-1), ..request.clone() };
        less.device_ids.clear();
        let counts = nodes.iter().filter_map(|node| {
            let all = choose_from(&[less.clone()], node, &mut Ledger::default(), "", &[]).ok()?;
            Some((all.len(), node.description.hostname.as_str()))
        });
        counts.max_by(|one, other| one.0.cmp(&other.0).then_with(|| other.1.cmp(one.1)))
    };
    if let Some((count, node)) = most(request) {
        return Some(format!("{count} {} on {node}", request.what()));
    }
    let plain = DeviceRequest { options: Default::default(), ..request.clone() };
    let (count, node) = most(&plain)?;
    let wanted = usize::try_from(request.count.unwrap_or(1).max(1)).unwrap_or(usize::MAX);
    Some(format!("{} {} on {node}", count.min(wanted), plain.what()))
}
