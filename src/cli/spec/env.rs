//! Environment variables, labels and other `KEY=VALUE` flags.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{SpecError, Surroundings};

/// `-e` over `--env-file`, in the order given: `NAME=VALUE`. A name alone takes this shell's value,
/// and is left out when there is none.
pub fn variables(flags: &[String], files: &[PathBuf], around: &Surroundings) -> Result<Vec<String>, SpecError> {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: String| {
        match all.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => all.push((name.to_owned(), value)),
        };
    };
    for file in files {
        for (number, line) in lines("env-file", file, around)? {
            let (name, value) = match line.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (line.trim().to_owned(), around.var(line.trim())),
            };
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(SpecError::File {
                    flag: "env-file",
                    reason: format!("{}:{number}: {name:?} is not the name of a variable", file.display()),
                });
            }
            if let Some(value) = value {
                set(&name, value);
            }
        }
    }
    for flag in flags {
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag.as_str(), around.var(flag)),
        };
        if name.is_empty() {
            return Err(SpecError::value("env", flag, "the name is missing"));
        }
        if let Some(value) = value {
            set(name, value);
        }
    }
    Ok(all.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
}

/// `--label` over `--label-file`.
pub fn labels(
    flags: &[String],
    files: &[PathBuf],
    around: &Surroundings,
) -> Result<BTreeMap<String, String>, SpecError> {
    let mut all = BTreeMap::new();
    for file in files {
        for (_, line) in lines("label-file", file, around)? {
            let (key, value) = line.split_once('=').unwrap_or((&line, ""));
            all.insert(key.to_owned(), value.to_owned());
        }
    }
    for flag in flags {
        let (key, value) = flag.split_once('=').unwrap_or((flag, ""));
        if key.is_empty() {
            return Err(SpecError::value("label", flag, "the key is missing"));
        }
        all.insert(key.to_owned(), value.to_owned());
    }
    Ok(all)
}

/// `KEY=VALUE` flags as a map; a key alone has an empty value.
pub fn key_values(
    flag: &'static str,
    values: &[String],
    separator: char,
) -> Result<BTreeMap<String, String>, SpecError> {
    values
        .iter()
        .map(|text| {
            let (key, value) = text.split_once(separator).unwrap_or((text, ""));
            if key.is_empty() {
                return Err(SpecError::value(flag, text, "the key is missing"));
            }
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}

/// The lines of a file that say something, with their numbers.
fn lines(flag: &'static str, file: &Path, around: &Surroundings) -> Result<Vec<(usize, String)>, SpecError> {
    let text = around.read(file).map_err(|err| SpecError::File { flag, reason: err.to_string() })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok(text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim_start().to_owned()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .collect())
}
