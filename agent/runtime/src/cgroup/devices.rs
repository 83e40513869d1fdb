//! Which devices a container may use: a list of exceptions on v1, a BPF program on v2.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::{Cgroup, CgroupError, bpf, write};

/// `r`, `w` and `m` as the kernel's BPF interface has them.
pub(super) const MKNOD: u32 = 1;
pub(super) const READ: u32 = 2;
pub(super) const WRITE: u32 = 4;
pub(super) const ALL: u32 = MKNOD | READ | WRITE;

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub allow: bool,
    /// `b`, `c`, or both.
    pub kind: Option<Kind>,
    /// `None` is any.
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub access: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Block,
    Char,
}

const fn char_device(major: u32, minor: Option<u32>) -> Rule {
    Rule { allow: true, kind: Some(Kind::Char), major: Some(major), minor, access: ALL }
}

const fn any_mknod(kind: Kind) -> Rule {
    Rule { allow: true, kind: Some(kind), major: None, minor: None, access: MKNOD }
}

/// What the default devices and terminals need; a node may be made of any device, and not opened.
const DEFAULTS: [Rule; 11] = [
    any_mknod(Kind::Char),
    any_mknod(Kind::Block),
    char_device(1, Some(3)),
    char_device(1, Some(5)),
    char_device(1, Some(7)),
    char_device(1, Some(8)),
    char_device(1, Some(9)),
    char_device(5, Some(0)),
    char_device(5, Some(1)),
    char_device(5, Some(2)),
    char_device(136, None),
];

fn value(why: impl Into<String>) -> CgroupError {
    CgroupError::Value { what: "devices", why: why.into() }
}

/// Reads the rules of a spec, followed by those that every container needs.
pub(super) fn rules(spec: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>, CgroupError> {
    let mut rules = Vec::with_capacity(spec.len() + DEFAULTS.len());
    for entry in spec {
        let kind = match entry.typ().unwrap_or(LinuxDeviceType::A) {
            LinuxDeviceType::A => None,
            LinuxDeviceType::B => Some(Kind::Block),
            LinuxDeviceType::C | LinuxDeviceType::U => Some(Kind::Char),
            LinuxDeviceType::P => return Err(value("a rule has the type p")),
        };
        let number = |number: Option<i64>| match number {
            None | Some(-1) => Ok(None),
            Some(number) => u32::try_from(number).map(Some).map_err(|_| value(format!("{number} is no device number"))),
        };
        let access = match entry.access().as_deref() {
            None | Some("") => ALL,
            Some(letters) => letters.chars().try_fold(0, |bits, letter| match letter {
                'r' => Ok(bits | READ),
                'w' => Ok(bits | WRITE),
                'm' => Ok(bits | MKNOD),
                other => Err(value(format!("{other:?} is not r, w or m"))),
            })?,
        };
        rules.push(Rule {
            allow: entry.allow(),
            kind,
            major: number(entry.major())?,
            minor: number(entry.minor())?,
            access,
        });
    }
    rules.extend(DEFAULTS);
    Ok(rules)
}

/// Puts rules in force.
pub(super) fn apply(cgroup: &Cgroup, spec: &[LinuxDeviceCgroup]) -> Result<(), CgroupError> {
    let rules = rules(spec)?;
    if let Some((dir, false)) = cgroup.directory("devices") {
        return rules.iter().flat_map(v1_lines).try_for_each(|(allow, line)| {
            write(&dir.join(if allow { "devices.allow" } else { "devices.deny" }), &line)
        });
    }
    match cgroup.layout().v2() {
        Some(hierarchy) => {
            let dir = hierarchy.directory(cgroup.path());
            bpf::replace_device_program(&dir, &bpf::device_program(&rules))
                .map_err(|source| CgroupError::Io { what: format!("limit devices of {}", dir.display()), source })
        }
        None => Err(CgroupError::NoController { what: "devices", controller: "devices" }),
    }
}

/// A rule in the words of v1. Its `a` means everything whatever follows, so one that is narrower becomes two.
fn v1_lines(rule: &Rule) -> Vec<(bool, String)> {
    let everything = rule.major.is_none() && rule.minor.is_none() && rule.access == ALL;
    let kinds: &[&str] = match rule.kind {
        Some(Kind::Block) => &["b"],
        Some(Kind::Char) => &["c"],
        None if everything => return vec![(rule.allow, "a".into())],
        None => &["b", "c"],
    };
    let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
    let letters: String = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
        .iter()
        .filter(|(bit, _)| rule.access & bit != 0)
        .map(|(_, letter)| letter)
        .collect();
    kinds
        .iter()
        .map(|kind| (rule.allow, format!("{kind} {}:{} {letters}", number(rule.major), number(rule.minor))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_in_the_words_of_v1() {
        let spec: Vec<LinuxDeviceCgroup> = serde_json::from_str(
            r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"},
                {"allow":true,"major":8}]"#,
        )
        .unwrap();
        let rules = rules(&spec).unwrap();
        let lines: Vec<_> = rules[..3].iter().flat_map(v1_lines).map(|(_, line)| line).collect();
        assert_eq!(lines, ["a", "c 10:229 rw", "b 8:* rwm", "c 8:* rwm"]);
        assert!(!rules[0].allow && rules[1].allow);
    }

    #[test]
    fn nonsense_is_refused() {
        for json in
            [r#"[{"allow":true,"access":"x"}]"#, r#"[{"allow":true,"major":-5}]"#, r#"[{"allow":true,"type":"p"}]"#]
        {
            let spec: Vec<LinuxDeviceCgroup> = serde_json::from_str(json).unwrap();
            assert!(rules(&spec).is_err(), "{json}");
        }
    }
}
