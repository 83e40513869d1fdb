//! The door: what there is, who gets what, and what a container with it must see.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hoist_choice::{Hold, Key, Ledger, Pool, Share, choose_all};
use hoist_proto::spec::{DeviceFigures, DeviceKind, DeviceRequest, DeviceUse, LocalHold};

use crate::cdi::{self, Cache, Edits, SPEC_DIRS, Spec};
use crate::inventory::{Declared, Inventory, Kind, Nvidia, Source, assemble, discover_drm};
use crate::measure::{self, Faults, Measured, Uses};
use crate::{Assigned, DeviceError, Result, char_links, grant};

/// How the devices of a machine are found.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where CDI specifications are; a later directory has the last word. Empty: none are read.
    pub spec_dirs: Vec<PathBuf>,
    /// Devices by kind.
    pub declared: BTreeMap<String, Declared>,
    /// Plain counters in dockerd's form: `NAME=number`, `NAME=id`.
    pub generic: Vec<String>,
    /// Whether drivers and sysfs are asked.
    pub hardware: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            spec_dirs: SPEC_DIRS.iter().map(PathBuf::from).collect(),
            declared: BTreeMap::new(),
            generic: Vec::new(),
            hardware: true,
        }
    }
}

/// What a container is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grant {
    pub assigned: Vec<Assigned>,
    /// What it must see.
    pub edits: Edits,
    /// The host's directory of the driver's libraries, which are to be where the image has libraries.
    pub library_dir: Option<String>,
}

/// The devices of this machine. A clone is the same.
#[derive(Clone)]
pub struct Devices {
    state: Arc<Mutex<State>>,
    /// Counts changes of who holds what and of what is set aside.
    changes: Arc<AtomicU64>,
    /// Whether the last look has measured anything.
    measured: Arc<AtomicBool>,
}

struct State {
    cache: Cache,
    declared: BTreeMap<String, Declared>,
    fixed: Vec<Kind>,
    hardware: bool,
    nvidia: Nvidia,
    /// When drivers were asked last, and what they said.
    asked: Option<Instant>,
    found: Vec<Kind>,
    found_warnings: Vec<String>,
    aside: BTreeMap<Key, String>,
    faults: Faults,
    /// When the devices were looked at last, and what they did.
    looked: Option<Instant>,
    figures: BTreeMap<Key, DeviceFigures>,
    uses: Uses,
    ledger: Ledger,
    inventory: Inventory,
}

/// Hardware does not come and go often, and asking for it takes a while.
const HARDWARE_EVERY: Duration = Duration::from_secs(30);

impl Default for Devices {
    /// With what a machine has by itself, and no settings.
    fn default() -> Self {
        Self::with(Options::default(), Vec::new())
    }
}

impl Devices {
    /// Looks at the settings; nothing is searched for before it is needed.
    ///
    /// # Errors
    /// [`DeviceError::Setting`]
    pub fn new(options: Options) -> Result<Self> {
        for (kind, declared) in &options.declared {
            declared.check(kind)?;
        }
        let fixed = crate::parse_generic(&options.generic)?;
        Ok(Self::with(options, fixed))
    }

    fn with(options: Options, fixed: Vec<Kind>) -> Self {
        let state = State {
            cache: Cache::new(options.spec_dirs),
            declared: options.declared,
            fixed,
            hardware: options.hardware,
            nvidia: Nvidia::default(),
            asked: None,
            found: Vec::new(),
            found_warnings: Vec::new(),
            aside: BTreeMap::new(),
            faults: Faults::default(),
            looked: None,
            figures: BTreeMap::new(),
            uses: Uses::default(),
            ledger: Ledger::default(),
            inventory: Inventory::default(),
        };
        Self { state: Arc::new(Mutex::new(state)), changes: Arc::default(), measured: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is now. May ask drivers: not for threads that must not block.
    pub fn inventory(&self) -> Inventory {
        let mut state = self.state();
        state.refresh();
        state.inventory.clone()
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Another number after every change of who holds what and of what is set aside. Costs nothing.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// What there is, for those who choose from afar. `local` gives the name of a holder that they do not know of.
    /// May ask drivers: not for threads that must not block.
    pub fn described(&self, local: &dyn Fn(&str) -> Option<String>) -> Vec<DeviceKind> {
        let mut state = self.state();
        state.refresh();
        let mut kinds: Vec<DeviceKind> = state.inventory.kinds.iter().map(Kind::plain).collect();
        for kind in &mut kinds {
            for device in &mut kind.devices {
                let holds = state.ledger.holds(&(kind.name.clone(), device.name.clone())).iter();
                let held = holds.filter_map(|hold| Some(LocalHold { holder: local(&hold.holder)?, parts: hold.parts }));
                device.held = held.collect();
            }
        }
        kinds
    }

    /// Whether NVIDIA's driver is here.
    pub fn has_nvidia(&self) -> bool {
        let mut state = self.state();
        state.refresh();
        state.inventory.kinds.iter().any(Kind::is_nvidia)
    }

    /// Where CDI specifications are.
    pub fn spec_dirs(&self) -> Vec<PathBuf> {
        self.state().cache.dirs().to_vec()
    }

    /// Whether requests make sense and could be met if nobody held anything.
    ///
    /// # Errors
    /// Says what there is instead.
    pub fn check(&self, requests: &[DeviceRequest]) -> Result<()> {
        let mut state = self.state();
        state.refresh();
        let mut ledger = Ledger::default();
        state.choose_all(&mut ledger, "", requests, &[], &str::to_owned).map(drop)
    }

    /// A kind as a CDI specification, which other engines can use too. Without a name: the first that a driver or sysfs
    /// tells of, or else that the settings declare.
    ///
    /// # Errors
    /// `Impossible` if there is no such kind, or it comes from a specification already.
    pub fn specification(&self, kind: &str) -> Result<Spec> {
        let mut state = self.state();
        state.refresh();
        let fits =
            |one: &&Kind| one.source != Source::Cdi && one.name.contains('/') && (kind.is_empty() || one.name == kind);
        let found = state.inventory.kinds.iter().find(fits).ok_or_else(|| {
            let there: Vec<&str> = state.inventory.kinds.iter().map(|kind| kind.name.as_str()).collect();
            DeviceError::Impossible(format!(
                "nothing to generate{}: no driver, no sysfs entry and no setting tells of such devices (there are: {}){}",
                if kind.is_empty() { String::new() } else { format!(" for {kind}") },
                there.join(", "),
                state.inventory.warnings.iter().map(|warning| format!("; {warning}")).collect::<String>(),
            ))
        })?;
        specify(found)
    }

    /// Gives `holder` what it asks for, all of it or nothing; what it had before (`previous`) where that is free. `env`
    /// are the container's variables, in which images say what of a driver they need. `name` tells how other holders
    /// are called.
    ///
    /// # Errors
    /// `Held` with who holds what; else those of [`check`](Self::check).
    pub fn claim(
        &self,
        holder: &str,
        requests: &[DeviceRequest],
        previous: &[Assigned],
        env: &[String],
        name: &dyn Fn(&str) -> String,
    ) -> Result<Grant> {
        let mut state = self.state();
        state.refresh();
        let mut ledger = state.ledger.clone();
        ledger.release(holder);
        let (assigned, shares) = state.choose_all(&mut ledger, holder, requests, previous, name)?;
        let grant = grant::grant(&state.inventory, &state.nvidia, requests, assigned, &shares, env)?;
        state.ledger = ledger;
        self.changed();
        if grant.assigned.iter().any(|one| state.inventory.kind(&one.kind).is_some_and(Kind::is_nvidia)) {
            char_links::ensure(Path::new("/dev"), grant.edits.device_nodes.iter().map(|node| node.host()));
        }
        Ok(grant)
    }

    /// Notes what a holder has from before this engine.
    pub fn restore(&self, holder: &str, assigned: &[Assigned]) {
        let mut state = self.state();
        state.refresh();
        state.ledger.release(holder);
        self.changed();
        for one in assigned {
            if !state.inventory.kind(&one.kind).is_some_and(|kind| kind.open) {
                let hold = Hold { holder: holder.to_owned(), parts: one.parts };
                state.ledger.take((one.kind.clone(), one.name.clone()), hold);
            }
        }
    }

    /// Takes everything back from a holder.
    pub fn release(&self, holder: &str) {
        if self.state().ledger.release(holder) {
            self.changed();
        }
    }

    /// Who holds a device.
    pub fn holds(&self, kind: &str, name: &str) -> Vec<Hold> {
        self.state().ledger.holds(&(kind.to_owned(), name.to_owned())).to_vec()
    }

    /// Sets a device aside: nobody is given it until it is [taken back](Self::take_back). Who holds it keeps it.
    ///
    /// # Errors
    /// `NoSuchDevice`
    pub fn set_aside(&self, kind: &str, name: &str, reason: &str) -> Result<()> {
        let mut state = self.state();
        let key = state.key(kind, name)?;
        state.aside.insert(key, reason.to_owned());
        self.changed();
        Ok(())
    }

    /// A device that was set aside is given again.
    ///
    /// # Errors
    /// `NoSuchDevice`
    pub fn take_back(&self, kind: &str, name: &str) -> Result<()> {
        let mut state = self.state();
        let key = state.key(kind, name)?;
        state.aside.remove(&key);
        state.faults.forgive(&key);
        state.nvidia.forgive(&key.1);
        self.changed();
        Ok(())
    }

    /// Measures the devices, and sets aside those with which something is wrong; to be called every [`MEASURE_EVERY`].
    /// Says whether there is anything to be watched. Asks drivers: not for threads that must not block.
    ///
    /// [`MEASURE_EVERY`]: crate::MEASURE_EVERY
    pub fn look(&self) -> bool {
        let mut state = self.state();
        state.refresh();
        let now = Instant::now();
        let span = state.looked.replace(now).map_or(Duration::ZERO, |before| now.duration_since(before));
        let (figures, changed) = state.look(now, span);
        let any = !figures.is_empty();
        let watched = any || state.declared.values().any(|declared| declared.health.is_some());
        state.figures = figures;
        drop(state);
        self.measured.store(any, Ordering::Relaxed);
        if changed {
            self.changed();
        }
        watched
    }

    /// Whether any device is measured. Costs nothing.
    pub fn are_measured(&self) -> bool {
        self.measured.load(Ordering::Relaxed)
    }

    /// What the devices did when they were looked at last.
    pub fn measured(&self) -> Vec<Measured> {
        let state = self.state();
        let of = |((kind, name), figures): (&Key, &DeviceFigures)| Measured {
            kind: kind.clone(),
            name: name.clone(),
            figures: figures.clone(),
        };
        state.figures.iter().map(of).collect()
    }

    /// What a holder does with its devices: the mean of their utilisation, and its share of their memory.
    pub fn figures_of(&self, holder: &str) -> Vec<DeviceFigures> {
        let state = self.state();
        let held = |key: &Key| state.ledger.holds(key).iter().any(|hold| hold.holder == holder);
        state.figures.iter().filter(|(key, _)| held(key)).map(|(_, figures)| figures.clone()).collect()
    }

    /// What a holder has made of its devices so far.
    pub fn use_of(&self, holder: &str) -> DeviceUse {
        self.state().uses.of(holder)
    }

    /// The same of all who hold devices, or held some and are still of interest.
    pub fn uses(&self, interesting: impl Fn(&str) -> bool) -> Vec<(String, DeviceUse)> {
        let mut state = self.state();
        state.uses.forget_all_but(interesting);
        state.uses.all()
    }
}

impl State {
    fn refresh(&mut self) {
        self.cache.refresh();
        if self.hardware && self.asked.is_none_or(|asked| asked.elapsed() > HARDWARE_EVERY) {
            self.asked = Some(Instant::now());
            self.found_warnings.clear();
            self.found = self.nvidia.discover(&mut self.found_warnings).into_iter().collect();
            self.found.extend(discover_drm(Path::new("/sys"), Path::new("/dev")));
        }
        self.inventory =
            assemble(&self.cache, &self.declared, &self.fixed, self.found.clone(), &self.aside, &self.faults.known);
        self.inventory.warnings.extend(self.found_warnings.iter().cloned());
    }

    /// What each device does, and whether other ones are set aside than before.
    fn look(&mut self, now: Instant, span: Duration) -> (BTreeMap<Key, DeviceFigures>, bool) {
        let (mut figures, mut changed) = (BTreeMap::new(), false);
        self.nvidia.hear_events();
        for kind in &self.inventory.kinds {
            for device in &kind.devices {
                let key = (kind.name.clone(), device.name.clone());
                let seen = measure::look(&self.nvidia, self.declared.get(&kind.name), kind, device);
                changed |= self.faults.note(&key, seen.fault, now);
                if let Some(found) = seen.figures {
                    self.uses.add(&self.ledger, &key, device.shares, self.figures.get(&key), &found, span);
                    figures.insert(key, found);
                }
            }
        }
        (figures, changed)
    }

    fn key(&mut self, kind: &str, name: &str) -> Result<Key> {
        self.refresh();
        let found = self.inventory.find(kind, name).map(|(kind, device)| (kind.name.clone(), device.name.clone()));
        found.ok_or_else(|| DeviceError::NoSuchDevice { name: format!("{kind}={name}"), hint: String::new() })
    }

    /// All of it or an error.
    fn choose_all(
        &self,
        ledger: &mut Ledger,
        holder: &str,
        requests: &[DeviceRequest],
        previous: &[Assigned],
        name: &dyn Fn(&str) -> String,
    ) -> Result<(Vec<Assigned>, Vec<Option<Share>>)> {
        let kinds: Vec<DeviceKind> = self.inventory.kinds.iter().map(Kind::plain).collect();
        let pool = Pool { kinds: &kinds, warnings: &self.inventory.warnings, previous, name };
        Ok(choose_all(&pool, ledger, holder, requests)?)
    }
}

/// Each device by all its names, and `all`.
fn specify(kind: &Kind) -> Result<Spec> {
    let mut all = Edits::default();
    let mut devices = Vec::new();
    for (index, device) in kind.devices.iter().enumerate() {
        let mut edits = device.edits.clone();
        for node in &mut edits.device_nodes {
            node.path = node.path.replace("{index}", &index.to_string());
        }
        if edits.is_empty() {
            return Err(DeviceError::Impossible(format!(
                "{}={} is a plain counter: a CDI device must change something",
                kind.name, device.name
            )));
        }
        all.extend(edits.clone());
        for name in std::iter::once(&device.name).chain(&device.aliases) {
            devices.push(cdi::Device { name: name.clone(), container_edits: edits.clone(), ..cdi::Device::default() });
        }
    }
    devices.push(cdi::Device { name: "all".into(), container_edits: all, ..cdi::Device::default() });
    let mut spec = Spec {
        cdi_version: "0.3.0".into(),
        kind: kind.name.clone(),
        devices,
        container_edits: kind.common.clone(),
        ..Spec::default()
    };
    spec.cdi_version = cdi::minimum(&spec).0.to_owned();
    Ok(spec)
}

impl Kind {
    /// Whether the driver's library is asked about its devices.
    pub(crate) fn is_nvidia(&self) -> bool {
        self.source == Source::Nvidia
    }
}

#[cfg(test)]
mod tests;
