//! The nodes' devices, and the jobs' requests for them, as the queue counts them.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::Arc,
};

use hoist_choice::{Request, Which, offer};
use hoist_proto::spec::{AssignedDevice, DeviceKind, DeviceRequest, JobResources, Node};
use hoist_queue::{Choice, Machine, Pick, Room, Want};

/// All requests of jobs, each once.
#[derive(Debug, Default)]
pub(crate) struct Wants {
    places: HashMap<DeviceRequest, usize>,
    requests: Vec<DeviceRequest>,
    /// Some ask for devices by their names, which differ from node to node.
    named: bool,
}

impl Wants {
    pub(crate) fn add(&mut self, each: &JobResources) {
        for request in each.all_requests() {
            if !self.places.contains_key(&request) {
                self.named |= !request.device_ids.is_empty();
                self.places.insert(request.clone(), self.requests.len());
                self.requests.push(request);
            }
        }
    }

    /// Their places.
    ///
    /// # Errors
    /// For requests that make no sense.
    pub(crate) fn of(&self, each: &JobResources) -> Result<Vec<usize>, String> {
        let mut places = Vec::new();
        for request in each.all_requests() {
            Request::of(&request).map_err(|error| error.to_string())?;
            places.extend(self.places.get(&request).copied());
        }
        Ok(places)
    }

    pub(crate) fn request(&self, want: usize) -> Option<&DeviceRequest> {
        self.requests.get(want)
    }

    pub(crate) fn all(&self) -> Vec<Want> {
        self.requests.iter().map(want).collect()
    }
}

fn want(request: &DeviceRequest) -> Want {
    let looked_at = Request::of(request).unwrap_or_default();
    // Several names may be one device's: what is looked for by its names is one thing, and weighs as many as it names.
    let (count, devices) = match &looked_at.which {
        Which::Count(count) => (*count, 1),
        Which::Names(names) => (1, names.iter().collect::<BTreeSet<_>>().len()),
        Which::All => (1, 1),
    };
    let part = looked_at.share.map_or(1.0, |share| share.fraction);
    Want { count, what: request.what(), weight: devices as f64 * part }
}

/// How many devices the requests are about; a part of one counts as such.
pub(crate) fn devices_of(each: &JobResources) -> f64 {
    each.all_requests().iter().map(want).map(|want| f64::from(want.count) * want.weight).sum()
}

/// What of a node's devices makes a difference to requests, but for names.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Looks<'a> {
    kinds: Vec<KindLooks<'a>>,
    links: Vec<Vec<u32>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct KindLooks<'a> {
    name: &'a str,
    source: u8,
    open: bool,
    capabilities: &'a [String],
    devices: Vec<DeviceLooks<'a>>,
}

type DeviceLooks<'a> = (u32, &'a str, Option<u64>, [&'a str; 3], Vec<&'a str>);

/// The nodes' devices by places, and nodes that are alike.
#[derive(Debug, Default)]
pub(crate) struct Machines {
    machines: Vec<Machine>,
    /// Of each node: its machine.
    of: Vec<usize>,
    /// Of each node: the place of each device by kind and name.
    places: Vec<HashMap<(String, String), usize>>,
    /// Of each node: in how many parts each device can be had; 0 of one that anybody may have.
    shares: Vec<Vec<u32>>,
}

impl Machines {
    pub(crate) fn of(nodes: &[Arc<Node>], wants: &Wants) -> Self {
        let mut machines = Self::default();
        let mut known: HashMap<Looks<'_>, usize> = HashMap::new();
        for node in nodes {
            let kinds = &node.description.devices;
            let machine = *known.entry(looks(kinds, wants.named)).or_insert_with(|| {
                machines.machines.push(machine(kinds, wants));
                machines.machines.len() - 1
            });
            machines.of.push(machine);
            let names =
                kinds.iter().flat_map(|kind| kind.devices.iter().map(|one| (kind.name.clone(), one.name.clone())));
            machines.places.push(names.enumerate().map(|(place, name)| (name, place)).collect());
            let shares = kinds.iter().flat_map(|kind| kind.devices.iter().map(|one| one.shares.max(1)));
            machines.shares.push(shares.collect());
        }
        machines
    }

    pub(crate) fn all(&self) -> Vec<Machine> {
        self.machines.clone()
    }

    pub(crate) fn machine(&self, node: usize) -> usize {
        self.of.get(node).copied().unwrap_or(0)
    }

    /// Whether no node has any device of which a want is about.
    pub(crate) fn none(&self, want: usize) -> bool {
        self.machines.iter().all(|machine| machine.most.get(want).copied().unwrap_or(0) == 0)
    }

    /// The parts of a node's devices that can be had at all.
    pub(crate) fn usable(&self, node: &Node, place: usize) -> Vec<u32> {
        let devices = node.description.devices.iter().flat_map(|kind| &kind.devices);
        let shares = self.shares.get(place).into_iter().flatten();
        devices.zip(shares).map(|(device, shares)| if device.set_aside.is_some() { 0 } else { *shares }).collect()
    }

    /// Adds what somebody holds of a device; `None` is the whole.
    pub(crate) fn add(&self, node: usize, kind: &str, name: &str, parts: Option<u32>, to: &mut Room) {
        let key = (kind.to_owned(), name.to_owned());
        let Some(place) = self.places.get(node).and_then(|places| places.get(&key)).copied() else { return };
        let Some(shares) = self.shares.get(node).and_then(|shares| shares.get(place)) else { return };
        if to.parts.len() <= place {
            to.parts.resize(place + 1, 0);
        }
        to.parts[place] += parts.unwrap_or(*shares);
    }

    /// What was picked, by its name.
    pub(crate) fn assigned(&self, node: &Node, place: usize, pick: &Pick) -> Option<AssignedDevice> {
        let devices = node.description.devices.iter().flat_map(|kind| kind.devices.iter().map(move |one| (kind, one)));
        let (kind, device) = devices.into_iter().nth(pick.device)?;
        let shares = *self.shares.get(place)?.get(pick.device)?;
        Some(AssignedDevice {
            kind: kind.name.clone(),
            name: device.name.clone(),
            parts: (pick.parts > 0 && pick.parts < shares).then_some(pick.parts),
            of: device.shares,
            group: None,
            request: u32::try_from(pick.want).unwrap_or(u32::MAX),
        })
    }
}

fn machine(kinds: &[DeviceKind], wants: &Wants) -> Machine {
    let mut first = Vec::with_capacity(kinds.len());
    let mut count = 0;
    for kind in kinds {
        first.push(count);
        count += kind.devices.len();
    }
    let place = |kind: usize, device: usize| first.get(kind).copied().unwrap_or(0) + device;
    let choices = |request: &DeviceRequest| {
        let offer = offer(kinds, request).unwrap_or_default();
        offer.alternatives.iter().map(|one| Choice::of(one, place)).collect::<Vec<Choice>>()
    };
    let most = |request: &DeviceRequest| {
        let all = DeviceRequest { count: Some(-1), device_ids: Vec::new(), ..request.clone() };
        let most = choices(&all).iter().map(|choice| choice.parts.len()).max().unwrap_or(0);
        u32::try_from(most).unwrap_or(u32::MAX)
    };
    Machine {
        shares: kinds.iter().flat_map(|kind| kind.devices.iter().map(|device| device.shares.max(1))).collect(),
        links: links(kinds),
        offers: wants.requests.iter().map(choices).collect(),
        most: wants.requests.iter().map(most).collect(),
    }
}

/// How near the devices are to one another; empty where nothing is known.
fn links(kinds: &[DeviceKind]) -> Vec<Vec<u32>> {
    let devices: Vec<_> = kinds.iter().flat_map(|kind| kind.devices.iter().map(move |one| (&kind.name, one))).collect();
    if devices.iter().all(|(_, device)| device.facts.links.is_empty()) {
        return Vec::new();
    }
    let of = |one: &(&String, &hoist_proto::spec::NodeDevice)| {
        let near = |other: &(&String, &hoist_proto::spec::NodeDevice)| {
            let link = one.1.facts.links.get(&other.1.name).filter(|_| one.0 == other.0);
            link.copied().unwrap_or(0)
        };
        devices.iter().map(near).collect()
    };
    devices.iter().map(of).collect()
}

fn looks(kinds: &[DeviceKind], named: bool) -> Looks<'_> {
    Looks {
        kinds: kinds
            .iter()
            .map(|kind| KindLooks {
                name: &kind.name,
                source: kind.source as u8,
                open: kind.open,
                capabilities: &kind.capabilities,
                devices: kind
                    .devices
                    .iter()
                    .map(|device| {
                        let facts = &device.facts;
                        let names = device.aliases.iter().chain([&device.name]).map(String::as_str);
                        let text = [&*facts.driver_version, &*facts.compute, &*facts.mig_profile];
                        let names = if named { names.collect() } else { Vec::new() };
                        (device.shares, &*facts.model, facts.memory, text, names)
                    })
                    .collect(),
            })
            .collect(),
        links: links(kinds),
    }
}
