//! How much of a machine: processors and memory, and of a node its devices too.

use hoist_proto::unit::format_bytes_binary;

/// Processors and memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Amount {
    /// Billionths of a processor.
    pub nano_cpus: u64,
    /// Bytes.
    pub memory: u64,
}

impl Amount {
    /// Whether this much is there in `free`.
    pub fn fits(&self, free: &Self) -> bool {
        self.nano_cpus <= free.nano_cpus && self.memory <= free.memory
    }

    /// How many times this fits into `free`; `most` when it is nothing.
    pub fn times_in(&self, free: &Self, most: u32) -> u32 {
        let ratio = |wanted: u64, free: u64| free.checked_div(wanted).unwrap_or(u64::from(most));
        let times = ratio(self.nano_cpus, free.nano_cpus).min(ratio(self.memory, free.memory));
        u32::try_from(times).unwrap_or(most).min(most)
    }

    /// So many of it.
    #[must_use]
    pub fn times(&self, count: u32) -> Self {
        Self {
            nano_cpus: self.nano_cpus.saturating_mul(u64::from(count)),
            memory: self.memory.saturating_mul(u64::from(count)),
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// What is left; never below nothing.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    /// The smaller of both, each part for itself.
    #[must_use]
    pub fn least(&self, other: &Self) -> Self {
        self.with(other, Ord::min)
    }

    fn with(&self, other: &Self, how: fn(u64, u64) -> u64) -> Self {
        Self { nano_cpus: how(self.nano_cpus, other.nano_cpus), memory: how(self.memory, other.memory) }
    }

    /// In words: `4 CPUs`, `16 GiB`.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut parts = Vec::new();
        if self.nano_cpus > 0 {
            parts.push(format!("{} CPUs", self.nano_cpus as f64 / 1e9));
        }
        if self.memory > 0 {
            parts.push(format_bytes_binary(self.memory));
        }
        parts
    }
}

/// What there is of one node, or is taken of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Room {
    pub amount: Amount,
    /// Parts of each of its devices, by their places in [`crate::Machine`]. What is missing at the end is 0.
    pub parts: Vec<u32>,
}

impl Room {
    /// Whether this much is there in `free`.
    pub fn fits(&self, free: &Self) -> bool {
        let of = |place: usize| free.parts.get(place).copied().unwrap_or(0);
        self.amount.fits(&free.amount) && self.parts.iter().enumerate().all(|(place, parts)| *parts <= of(place))
    }

    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.with(other, Amount::plus, u32::saturating_add)
    }

    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.with(other, Amount::minus, u32::saturating_sub)
    }

    #[must_use]
    pub fn least(&self, other: &Self) -> Self {
        self.with(other, Amount::least, Ord::min)
    }

    fn with(&self, other: &Self, large: fn(&Amount, &Amount) -> Amount, small: fn(u32, u32) -> u32) -> Self {
        let of = |parts: &[u32], place: usize| parts.get(place).copied().unwrap_or(0);
        let places = 0..self.parts.len().max(other.parts.len());
        Self {
            amount: large(&self.amount, &other.amount),
            parts: places.map(|place| small(of(&self.parts, place), of(&other.parts, place))).collect(),
        }
    }
}
