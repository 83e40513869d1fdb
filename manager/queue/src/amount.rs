//! How much of a machine: processors, memory, devices by kind.

use std::fmt;

use hoist_proto::unit::format_bytes_binary;

/// The most kinds of devices that one lab can have.
pub const CLASSES: usize = 8;

/// The kinds of devices that the lab has, each with its place in [`Amount::devices`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classes {
    names: Vec<String>,
}

/// More kinds of devices than are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooManyClasses(pub String);

impl fmt::Display for TooManyClasses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device kind {:?} is one more than the {CLASSES} that a cluster can have", self.0)
    }
}

impl std::error::Error for TooManyClasses {}

impl Classes {
    /// The place of a kind, which gets one when it has none.
    ///
    /// # Errors
    /// [`TooManyClasses`] when all places are taken.
    pub fn place(&mut self, name: &str) -> Result<usize, TooManyClasses> {
        if let Some(place) = self.find(name) {
            return Ok(place);
        }
        if self.names.len() == CLASSES {
            return Err(TooManyClasses(name.to_owned()));
        }
        self.names.push(name.to_owned());
        Ok(self.names.len() - 1)
    }

    /// The place of a kind that is known.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// The kind at a place.
    pub fn name(&self, place: usize) -> &str {
        self.names.get(place).map_or("device", String::as_str)
    }
}

/// An amount of a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Amount {
    /// Billionths of a processor.
    pub nano_cpus: u64,
    /// Bytes.
    pub memory: u64,
    /// By the places of [`Classes`].
    pub devices: [u32; CLASSES],
}

impl Amount {
    /// Whether this much is there in `free`.
    pub fn fits(&self, free: &Self) -> bool {
        self.nano_cpus <= free.nano_cpus
            && self.memory <= free.memory
            && self.devices.iter().zip(&free.devices).all(|(wanted, free)| wanted <= free)
    }

    /// How many times this fits into `free`; `most` when it is nothing.
    pub fn times_in(&self, free: &Self, most: u32) -> u32 {
        let ratio = |wanted: u64, free: u64| free.checked_div(wanted).unwrap_or(u64::from(most));
        let mut times = ratio(self.nano_cpus, free.nano_cpus).min(ratio(self.memory, free.memory));
        for (wanted, free) in self.devices.iter().zip(&free.devices) {
            times = times.min(ratio(u64::from(*wanted), u64::from(*free)));
        }
        u32::try_from(times).unwrap_or(most).min(most)
    }

    /// All devices of every kind.
    pub fn all_devices(&self) -> u32 {
        self.devices.iter().sum()
    }

    /// So many of it.
    #[must_use]
    pub fn times(&self, count: u32) -> Self {
        let mut sum = *self;
        sum.nano_cpus = sum.nano_cpus.saturating_mul(u64::from(count));
        sum.memory = sum.memory.saturating_mul(u64::from(count));
        for devices in &mut sum.devices {
            *devices = devices.saturating_mul(count);
        }
        sum
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_add, u32::saturating_add)
    }

    /// What is left; never below nothing.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_sub, u32::saturating_sub)
    }

    /// The smaller of both, each part for itself.
    #[must_use]
    pub fn least(&self, other: &Self) -> Self {
        self.with(other, Ord::min, Ord::min)
    }

    fn with(&self, other: &Self, large: fn(u64, u64) -> u64, small: fn(u32, u32) -> u32) -> Self {
        let mut devices = self.devices;
        for (ours, theirs) in devices.iter_mut().zip(&other.devices) {
            *ours = small(*ours, *theirs);
        }
        Self { nano_cpus: large(self.nano_cpus, other.nano_cpus), memory: large(self.memory, other.memory), devices }
    }

    /// In words: `2 gpu, 4 CPUs, 16 GiB`.
    pub fn words(&self, classes: &Classes) -> String {
        let mut parts: Vec<String> = self
            .devices
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(place, count)| format!("{count} {}", classes.name(place)))
            .collect();
        if self.nano_cpus > 0 {
            parts.push(format!("{} CPUs", self.nano_cpus as f64 / 1e9));
        }
        if self.memory > 0 {
            parts.push(format_bytes_binary(self.memory));
        }
        if parts.is_empty() { "nothing in particular".to_owned() } else { parts.join(", ") }
    }
}
