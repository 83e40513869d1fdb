//! `--chown`: names become numbers by the tree's own passwd and group files.

use std::path::Path;

use super::root::Root;
use crate::BuildError;

/// `user[:group]`, each by name or number. Without a group it is the user's first one; a number is its own.
///
/// # Errors
/// A name that the files do not know.
pub(crate) fn find_owner(root: &Root, text: &str) -> Result<(u32, u32), BuildError> {
    let read = |path: &str| -> Result<String, BuildError> {
        let bytes = root.read(Path::new(path)).map_err(|error| BuildError::io("read", path, error))?;
        Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    };
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    let (uid, first) = match user.parse::<u32>() {
        Ok(number) => (number, number),
        Err(_) if user.is_empty() => (0, 0),
        Err(_) => numbers(&read("/etc/passwd")?, user)
            .and_then(|(uid, rest)| Some((uid, rest.first()?.parse().ok()?)))
            .ok_or_else(|| unknown("user", user, "/etc/passwd"))?,
    };
    let gid = match group.parse::<u32>() {
        Ok(number) => number,
        Err(_) if group.is_empty() => first,
        Err(_) => numbers(&read("/etc/group")?, group)
            .map(|(gid, _)| gid)
            .ok_or_else(|| unknown("group", group, "/etc/group"))?,
    };
    Ok((uid, gid))
}

/// The number in a line of passwd or group, and the fields behind it.
fn numbers(text: &str, name: &str) -> Option<(u32, Vec<String>)> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let number = fields.nth(1)?.parse().ok()?;
        Some((number, fields.map(str::to_owned).collect()))
    })
}

fn unknown(what: &str, name: &str, file: &str) -> BuildError {
    BuildError::NotFound(format!("--chown: the image's {file} has no {what} {name:?}; use a number, or add it before"))
}
