//! Identifiers, one type a kind.
//!
//! Engine objects (containers, networks, images) carry 64 hexadecimal digits as Docker's do;
//! cluster objects (services, tasks, nodes) carry 25 characters of base 36 as Swarm's do.

use std::{
    borrow::Borrow,
    cell::RefCell,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind} id: expected {expected}")]
pub struct InvalidId {
    text: String,
    kind: &'static str,
    expected: &'static str,
}

thread_local! {
    /// Where this thread's ids come from in a simulation.
    static SEQUENCE: RefCell<Option<fastrand::Rng>> = const { RefCell::new(None) };
}

/// From now on the ids that this thread makes follow from the seed, so that a simulation can be run again; with `None`
/// they are nobody's to foresee again. They must never leave the process then.
pub fn follow_from(seed: Option<u64>) {
    SEQUENCE.set(seed.map(fastrand::Rng::with_seed));
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let foreseen = SEQUENCE.with_borrow_mut(|sequence| sequence.as_mut().map(|rng| rng.fill(&mut bytes)).is_some());
    if foreseen {
        return bytes;
    }
    let mut filled = 0;
    while filled < N {
        // getrandom(2) with no flags fails only when interrupted before the pool is ready.
        if let Ok(read) = rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            filled += read;
        }
    }
    bytes
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Characters of a cluster object's id.
const SHORT: usize = 25;

/// The text of a cluster object's id. It lies in the record itself: there are many of them, in many tables.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Base36([u8; SHORT]);

impl Base36 {
    fn random() -> Self {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut number = u128::from_be_bytes(random());
        Self(std::array::from_fn(|_| {
            let digit = DIGITS[(number % 36) as usize];
            number /= 36;
            digit
        }))
    }

    fn read(text: &str) -> Option<Self> {
        let bytes: [u8; SHORT] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()).then_some(Self(bytes))
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits and lower-case letters are UTF-8")
    }
}

/// The text of an engine object's id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Hex64(String);

impl Hex64 {
    fn random() -> Self {
        Self(hex(&random::<32>()))
    }

    fn read(text: &str) -> Option<Self> {
        let valid = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        valid.then(|| Self(text.to_owned()))
    }

    fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal, $form:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name($form);

        impl $name {
            /// A new id that no other object has.
            pub fn random() -> Self {
                Self($form::random())
            }

            /// The whole id.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// The first twelve characters, as lists show it.
            pub fn short(&self) -> &str {
                let text = self.as_str();
                text.get(..12).unwrap_or(text)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let read = $form::read(text).map(Self);
                read.ok_or_else(|| InvalidId { text: text.to_owned(), kind: $kind, expected: $expected })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.as_str()).finish()
            }
        }

        // As its text has it, so that maps can be asked for that.
        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id_type!(
    /// A container of one node's engine.
    ContainerId, "container", "64 lower-case hexadecimal digits", Hex64);
id_type!(
    /// A process started in a running container beside its first one.
    ExecId, "exec", "64 lower-case hexadecimal digits", Hex64);
id_type!(
    /// A network, in the engine and in the cluster alike.
    NetworkId, "network", "64 lower-case hexadecimal digits", Hex64);
id_type!(
    /// A container's connection to a network.
    EndpointId, "endpoint", "64 lower-case hexadecimal digits", Hex64);
id_type!(
    /// A service of the cluster.
    ServiceId, "service", "25 digits and lower-case letters", Base36);
id_type!(
    /// One instance of a service.
    TaskId, "task", "25 digits and lower-case letters", Base36);
id_type!(
    /// A machine of the cluster.
    NodeId, "node", "25 digits and lower-case letters", Base36);
id_type!(
    /// A cluster.
    ClusterId, "cluster", "25 digits and lower-case letters", Base36);
id_type!(
    /// A secret's record.
    SecretId, "secret", "25 digits and lower-case letters", Base36);
id_type!(
    /// A config's record.
    ConfigId, "config", "25 digits and lower-case letters", Base36);
id_type!(
    /// A volume's record in the cluster.
    VolumeId, "volume", "25 digits and lower-case letters", Base36);
id_type!(
    /// A job that waits for its turn, runs or has ended.
    JobId, "job", "25 digits and lower-case letters", Base36);
id_type!(
    /// A container's place on a network of the cluster, which no task has.
    AttachmentId, "attachment", "25 digits and lower-case letters", Base36);
id_type!(
    /// One agent's session with a dispatcher.
    SessionId, "session", "25 digits and lower-case letters", Base36);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_a_seed_on_one_thread_only() {
        let draw = || {
            follow_from(Some(7));
            let ids = (TaskId::random(), ContainerId::random());
            follow_from(None);
            ids
        };
        assert_eq!(draw(), draw());
        follow_from(Some(7));
        assert_ne!(std::thread::spawn(TaskId::random).join().unwrap(), TaskId::random());
    }

    #[test]
    fn a_random_id_parses_as_its_own_kind() {
        let container = ContainerId::random();
        assert_eq!(container.as_str().parse(), Ok(container.clone()));
        assert_eq!(container.short().len(), 12);
        let task = TaskId::random();
        assert_eq!(task.as_str().parse(), Ok(task.clone()));
        assert_ne!(task, TaskId::random());
    }

    #[test]
    fn an_id_is_its_text_in_json_and_in_maps() {
        let task = TaskId::random();
        let json = serde_json::to_string(&task).unwrap();
        assert_eq!(json, format!("\"{task}\""));
        assert_eq!(serde_json::from_str::<TaskId>(&json).unwrap(), task);
        assert_eq!(format!("{task:?}"), format!("TaskId(\"{task}\")"));
        assert!(serde_json::from_str::<TaskId>("\"x\"").unwrap_err().to_string().contains("is not a task id"));
        let map = std::collections::HashMap::from([(task.clone(), 1)]);
        assert_eq!(map.get(task.as_str()), Some(&1));
        assert_eq!(size_of::<Option<TaskId>>(), 26, "it is in the record itself");
    }

    #[test]
    fn another_kind_is_refused_by_name() {
        let err = "xyz".parse::<ContainerId>().unwrap_err();
        assert_eq!(err.to_string(), "\"xyz\" is not a container id: expected 64 lower-case hexadecimal digits");
    }
}
