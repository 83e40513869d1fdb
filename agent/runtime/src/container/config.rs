//! Reading `config.json`.

use std::path::Path;

use oci_spec::runtime::{Capability, Spec};
use serde_json::Value;

use super::{Error, io_error};

/// Reads a spec.
pub(crate) fn load(file: &Path) -> Result<Spec, Error> {
    let text = std::fs::read(file).map_err(io_error(format!("read {}", file.display())))?;
    parse(&text).map_err(|source| Error::Config { path: file.display().to_string(), source })
}

/// Understands a spec. Capabilities that this program has never heard of cannot be granted, which is no error
/// (config.md, "Linux Process"), so they are left out.
pub(crate) fn parse(text: &[u8]) -> Result<Spec, serde_json::Error> {
    let first = serde_json::from_slice(text);
    let Err(error) = first else { return first };
    let Ok(mut value) = serde_json::from_slice::<Value>(text) else { return Err(error) };
    if !drop_unknown_capabilities(&mut value) {
        return Err(error);
    }
    serde_json::from_value(value)
}

fn drop_unknown_capabilities(spec: &mut Value) -> bool {
    let Some(sets) = spec.pointer_mut("/process/capabilities").and_then(Value::as_object_mut) else { return false };
    let mut dropped = false;
    for set in sets.values_mut().filter_map(Value::as_array_mut) {
        let before = set.len();
        set.retain(|name| !name.is_string() || serde_json::from_value::<Capability>(name.clone()).is_ok());
        dropped |= set.len() != before;
    }
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_capabilities_are_left_out() {
        let text = br#"{"ociVersion":"1.0.2","process":{"user":{"uid":0,"gid":0},"cwd":"/","args":["a"],
            "capabilities":{"bounding":["CAP_KILL","CAP_TIME_TRAVEL"]}}}"#;
        let spec = parse(text).unwrap();
        let caps = spec.process().as_ref().unwrap().capabilities().as_ref().unwrap().bounding().clone().unwrap();
        assert_eq!(caps.len(), 1);
    }

    #[test]
    fn other_mistakes_are_reported() {
        assert!(parse(b"{").is_err());
        assert!(parse(br#"{"ociVersion":5}"#).is_err());
    }
}
