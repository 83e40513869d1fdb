//! What somebody asks for.

use std::collections::BTreeMap;

use hoist_proto::spec::DeviceRequest;
use hoist_proto::unit::parse_bytes;

use crate::{ChoiceError, Result};

/// A request, looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// `nvidia`, `amd`, `intel`, `cdi`, a kind or its vendor; empty is any.
    pub driver: String,
    pub which: Which,
    /// Any of the outer lists, all of its inner ones.
    pub capabilities: Vec<Vec<String>>,
    pub share: Option<Share>,
    pub needs: Needs,
}

/// How many, or which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    All,
    Count(u32),
    Names(Vec<String>),
}

impl Default for Which {
    fn default() -> Self {
        Self::Count(1)
    }
}

/// A part of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Above 0 and below 1.
    pub fraction: f64,
    /// The driver's server for many processes keeps the parts apart.
    pub mps: bool,
    /// Bytes of the device's memory; kept by that server.
    pub memory: Option<u64>,
}

/// What a device must have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Needs {
    /// A part of the model's name, in any case.
    pub model: Option<String>,
    /// At least so many bytes.
    pub memory: Option<u64>,
    /// At least this compute capability.
    pub compute: Option<Vec<u32>>,
    /// At least this version of the driver.
    pub driver_version: Option<Vec<u32>>,
    pub mig_profile: Option<String>,
}

const OPTIONS: &str = "share, mps, share-memory, model, memory, compute, driver-version and mig-profile";

impl Request {
    /// Looks at a request.
    ///
    /// # Errors
    /// [`ChoiceError::Request`] for what makes no sense, and for options that nobody knows.
    pub fn of(given: &DeviceRequest) -> Result<Self> {
        let refuse = |why: String| Err(ChoiceError::Request(why));
        let which = match (given.count.unwrap_or(0), &given.device_ids[..]) {
            (0, []) => return refuse("it says neither how many devices nor which".into()),
            (0, names) => Which::Names(names.to_vec()),
            (_, [_, ..]) => return refuse("cannot set both Count and DeviceIDs on device request".into()),
            (-1, []) => Which::All,
            (count, []) => match u32::try_from(count) {
                Ok(count) => Which::Count(count),
                Err(_) => return refuse(format!("{count} is not a number of devices: give one, or -1 for all")),
            },
        };
        let (share, needs) = options(&given.options)?;
        let driver = given.driver.clone().unwrap_or_default();
        let names_kind = matches!(&which, Which::Names(names) if names.iter().all(|name| crate::is_qualified(name)));
        if driver == "cdi" && !names_kind {
            return refuse("the driver cdi gives devices by their whole names only: vendor.com/class=name".into());
        }
        if driver.is_empty() && given.capabilities.is_empty() && !names_kind {
            return refuse("it names neither a driver nor a capability".into());
        }
        Ok(Self { driver, which, capabilities: given.capabilities.clone(), share, needs })
    }
}

fn options(given: &BTreeMap<String, String>) -> Result<(Option<Share>, Needs)> {
    let bad = |key: &str, value: &str, why: &str| ChoiceError::Request(format!("option {key}={value}: {why}"));
    let mut needs = Needs::default();
    let (mut fraction, mut mps, mut memory) = (None, false, None);
    for (key, value) in given {
        let bytes = || parse_bytes(value).map_err(|error| bad(key, value, &error.to_string()));
        let version = || self::version(value).ok_or_else(|| bad(key, value, "expected numbers with dots between"));
        match key.as_str() {
            "share" if value == "exclusive" => {}
            "share" => {
                let number = value.parse::<f64>().ok().filter(|number| *number > 0.0 && *number < 1.0);
                fraction =
                    Some(number.ok_or_else(|| bad(key, value, "expected a number between 0 and 1, or exclusive"))?);
            }
            "mps" => mps = value.parse().map_err(|_| bad(key, value, "expected true or false"))?,
            "share-memory" => memory = Some(bytes()?),
            "model" => needs.model = Some(value.to_lowercase()),
            "memory" => needs.memory = Some(bytes()?),
            "compute" => needs.compute = Some(version()?),
            "driver-version" => needs.driver_version = Some(version()?),
            "mig-profile" => needs.mig_profile = Some(value.clone()),
            _ => {
                return Err(ChoiceError::Request(format!("option {key} is not supported: there are {OPTIONS}")));
            }
        }
    }
    let share = match fraction {
        Some(fraction) => Some(Share { fraction, mps, memory }),
        None if mps || memory.is_some() => {
            return Err(ChoiceError::Request("mps and share-memory say how a share is kept: give share too".into()));
        }
        None => None,
    };
    if let Some(Share { mps: false, memory: Some(_), .. }) = share {
        return Err(ChoiceError::Request(
            "share-memory cannot be enforced between processes that take turns: ask for mps=true as well".into(),
        ));
    }
    Ok((share, needs))
}

/// Numbers with dots between, to be compared.
pub(crate) fn version(text: &str) -> Option<Vec<u32>> {
    text.split('.').map(|part| part.parse().ok()).collect()
}
