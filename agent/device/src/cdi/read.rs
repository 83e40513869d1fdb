//! Files: JSON or YAML, by their ending.

use std::path::Path;

use super::{Spec, check};
use crate::{DeviceError, Result};

/// Reads and checks one file.
///
/// # Errors
/// [`DeviceError::Cdi`] with the file and the key.
pub fn read(path: &Path) -> Result<Spec> {
    let text = fs_err::read_to_string(path).map_err(|error| DeviceError::Cdi {
        path: path.to_owned(),
        key: ".".into(),
        reason: error.to_string(),
    })?;
    parse(path, &text)
}

/// Checks the text of a file.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, text: &str) -> Result<Spec> {
    let fail = |key: String, reason: String| DeviceError::Cdi { path: path.to_owned(), key, reason };
    let spec: Spec = if path.extension().is_some_and(|ending| ending == "json") {
        let mut reader = serde_json::Deserializer::from_str(text);
        let spec = serde_path_to_error::deserialize(&mut reader)
            .map_err(|error| fail(error.path().to_string(), error.inner().to_string()))?;
        reader.end().map_err(|error| fail(".".into(), error.to_string()))?;
        spec
    } else {
        serde_path_to_error::deserialize(serde_yaml::Deserializer::from_str(text))
            .map_err(|error| fail(error.path().to_string(), error.inner().to_string()))?
    };
    check::check(&spec).map_err(|(key, reason)| fail(key, reason))?;
    Ok(spec)
}
