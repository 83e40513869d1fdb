//! `user[:group]` becomes numbers, by the container's own passwd and group files.

use super::Union;
use crate::{EngineError, Result};

/// Whom a process runs as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResolvedUser {
    pub uid: u32,
    pub gid: u32,
    /// Further groups, sorted.
    pub groups: Vec<u32>,
    pub home: Option<String>,
}

/// Finds the user that `text` names (empty is root); `extra` are further groups by name or number.
pub(crate) fn resolve_user(root: &Union, text: &str, extra: &[String]) -> Result<ResolvedUser> {
    let read = |path| -> Result<String> {
        Ok(root.read(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default())
    };
    lookup(&read("/etc/passwd")?, &read("/etc/group")?, text, extra).map_err(EngineError::InvalidParameter)
}

fn lookup(passwd: &str, group: &str, text: &str, extra: &[String]) -> std::result::Result<ResolvedUser, String> {
    let (user, wanted_group) = text.split_once(':').unwrap_or((text, ""));
    let user = if user.is_empty() { "0" } else { user };
    let number: Option<u32> = user.parse().ok();
    let line = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        fields.len() >= 4 && (fields[0] == user || (number.is_some() && fields[2].parse().ok() == number))
    });
    let mut found = ResolvedUser::default();
    let mut name = None;
    match (&line, number) {
        (Some(fields), _) => {
            found.uid = fields[2].parse().map_err(|_| format!("user {user:?} has no number in /etc/passwd"))?;
            found.gid = fields[3].parse().unwrap_or(0);
            found.home = fields.get(5).filter(|home| !home.is_empty()).map(|home| (*home).to_owned());
            name = Some(fields[0]);
        }
        (None, Some(number)) => found.uid = number,
        (None, None) => return Err(format!("unable to find user {user}: no matching entries in passwd file")),
    }
    let group_number = |wanted: &str| -> std::result::Result<u32, String> {
        let line = group.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let named = line.into_iter().find(|fields| fields.len() >= 3 && fields[0] == wanted);
        named
            .and_then(|fields| fields[2].parse().ok())
            .or_else(|| wanted.parse().ok())
            .ok_or_else(|| format!("unable to find group {wanted}: no matching entries in group file"))
    };
    if wanted_group.is_empty() {
        // Memberships count only when no group was named.
        if let Some(name) = name {
            for fields in group.lines().map(|line| line.split(':').collect::<Vec<_>>()) {
                if fields.len() >= 4
                    && fields[3].split(',').any(|member| member == name)
                    && let Ok(gid) = fields[2].parse()
                {
                    found.groups.push(gid);
                }
            }
        }
    } else {
        found.gid = group_number(wanted_group)?;
    }
    for wanted in extra {
        found.groups.push(group_number(wanted)?);
    }
    found.groups.sort_unstable();
    found.groups.dedup();
    // The first group is among them, so that nobody gets rid of what it is denied by dropping it.
    found.groups.retain(|gid| *gid != found.gid);
    found.groups.insert(0, found.gid);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/false\nbroken\n";
    const GROUP: &str = "root:x:0:root\nweb:x:34:\nlog:x:4:web,root\n";

    fn look(text: &str, extra: &[&str]) -> std::result::Result<(u32, u32, Vec<u32>), String> {
        let extra: Vec<String> = extra.iter().map(|group| (*group).to_owned()).collect();
        lookup(PASSWD, GROUP, text, &extra).map(|user| (user.uid, user.gid, user.groups))
    }

    #[test]
    fn names_and_numbers() {
        assert_eq!(look("", &[]), Ok((0, 0, vec![0, 4])));
        assert_eq!(look("web", &["root", "77"]), Ok((33, 34, vec![34, 0, 4, 77])));
        assert_eq!(look("33", &[]), Ok((33, 34, vec![34, 4])));
        assert_eq!(look("1000", &[]), Ok((1000, 0, vec![0])));
        assert_eq!(look("web:log", &[]), Ok((33, 4, vec![4])));
        assert_eq!(look("1000:2000", &[]), Ok((1000, 2000, vec![2000])));
        assert!(look("nobody", &[]).unwrap_err().contains("nobody"));
        assert!(look("web:nogroup", &[]).unwrap_err().contains("nogroup"));
        assert!(look("web", &["missing"]).unwrap_err().contains("missing"));
    }
}
