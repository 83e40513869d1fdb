//! The daemon's settings file, and how it goes together with flags.
//!
//! As dockerd has it: one JSON object whose keys are the long flags (those that can be given several times in the
//! plural). What is said both by flag and by file is refused, and so is what nobody knows.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{DaemonError, DaemonFlags, DaemonSettings, keys};

/// Read when no other is named; it need not be there.
const PATH: &str = "/etc/hoist/daemon.json";

/// The settings of this start: flags, file, environment, defaults.
///
/// # Errors
/// For a file that is not there though it was named, or is no JSON object; for unknown and unsupported keys, for what
/// is said twice, and for values of the wrong kind.
pub fn settings(flags: &DaemonFlags) -> Result<DaemonSettings, DaemonError> {
    let given = flags.given()?;
    let path = flags.config_file.clone().unwrap_or_else(|| PathBuf::from(PATH));
    let file = read(&path, flags.config_file.is_some())?;
    keys::check(&path, &file)?;
    let mut both = conflicts(&given, &file);
    if !both.is_empty() {
        both.sort();
        return Err(DaemonError::Twice { path, what: both.join(", ") });
    }
    let by_file = !file.is_empty();
    let mut merged = file;
    merged.extend(given);
    for (key, variable) in [("data-root", "HOIST_DATA_ROOT"), ("exec-root", "HOIST_RUN_ROOT")] {
        if let (None, Ok(value)) = (merged.get(key), std::env::var(variable)) {
            merged.insert(key.to_owned(), value.into());
        }
    }
    DaemonSettings::of(merged).map_err(|reason| match by_file {
        true => DaemonError::File { path, reason },
        false => DaemonError::Flags(reason),
    })
}

fn read(path: &Path, must_be: bool) -> Result<Map<String, Value>, DaemonError> {
    let text = match fs_err::read_to_string(path) {
        Ok(text) => text,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound && !must_be => return Ok(Map::new()),
        Err(err) => return Err(DaemonError::Files(err)),
    };
    let fail = |reason: String| DaemonError::File { path: path.to_owned(), reason };
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(&text).map_err(|err| fail(err.to_string()))? {
        Value::Object(map) => Ok(map),
        _ => Err(fail("expected a JSON object".to_owned())),
    }
}

/// What is said both by flag and by file. Lists do not add up: nobody could say which order they would have.
fn conflicts(given: &Map<String, Value>, file: &Map<String, Value>) -> Vec<String> {
    let both = given.iter().filter_map(|(key, flag)| Some((key, flag, file.get(key)?)));
    both.map(|(key, flag, file)| format!("{key} (from flag: {flag}, from file: {file})")).collect()
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn with(text: &str, mut flags: DaemonFlags) -> Result<DaemonSettings, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.json");
        std::fs::write(&path, text).unwrap();
        flags.config_file = Some(path);
        settings(&flags).map_err(|err| err.chain())
    }

    #[test]
    fn a_file_is_read_and_mistakes_are_named() {
        let good = with(
            r#"{"data-root": "/d", "mtu": 1400, "log-driver": "local", "log-opts": {"max-size": "1m"},
                "default-address-pools": [{"base": "10.0.0.0/8", "size": 24}], "dns": ["192.0.2.1"],
                "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 10, "Hard": 20}}, "debug": true,
                "storage-driver": "overlay2", "iptables": true, "labels": ["a=b"]}"#,
            DaemonFlags::default(),
        )
        .unwrap();
        assert_eq!((good.data_root.to_str(), good.mtu, good.debug), (Some("/d"), Some(1400), true));
        assert_eq!(good.defaults().unwrap().ulimits[0].soft, 10);
        for (text, words) in [
            ("{", "EOF"),
            ("[]", "expected a JSON object"),
            (r#"{"mtuu": 1}"#, "mtuu (did you mean mtu?)"),
            (r#"{"mtu": "x"}"#, "mtu: invalid type"),
            (r#"{"iptables": false}"#, "iptables"),
            (r#"{"userns-remap": "default"}"#, "userns-remap"),
            (r#"{"log-driver": "nowhere"}"#, "nowhere"),
            (r#"{"default-runtime": "runsc"}"#, "runsc"),
        ] {
            let said = with(text, DaemonFlags::default()).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
        // Where the file says nothing, it is not what is wrong.
        let command = DaemonFlags::augment_args(clap::Command::new("daemon"));
        let given = command.try_get_matches_from(["daemon", "--cluster-protocol", "99"]).unwrap();
        let flags = DaemonFlags::from_arg_matches(&given).unwrap();
        let said = with("", flags).unwrap_err();
        assert!(said.starts_with("invalid value \"99\" for --cluster-protocol"), "{said}");
    }
}
