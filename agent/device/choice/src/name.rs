//! Names: `vendor.com/class` and `vendor.com/class=device`.

use std::fmt;

/// A device's whole name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct QualifiedName {
    /// `vendor.com/class`
    pub kind: String,
    pub name: String,
}

impl QualifiedName {
    /// Takes a name apart; `None` if it is not whole or not well formed.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('=')?;
        (check_kind(kind).is_ok() && check_device(name).is_ok()).then(|| Self { kind: kind.into(), name: name.into() })
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind, self.name)
    }
}

/// Whether a text is a device's whole name, not a path.
pub fn is_qualified(text: &str) -> bool {
    QualifiedName::parse(text).is_some()
}

/// A prefix that is a DNS subdomain, a slash, and a name of at most 63 characters.
pub fn check_kind(kind: &str) -> Result<(), String> {
    let Some((vendor, class)) = kind.split_once('/') else {
        return Err(format!("{kind:?} is not of the form vendor.com/class"));
    };
    if vendor.is_empty() || vendor.len() > 253 {
        return Err(format!("the vendor of {kind:?} must have 1 to 253 characters"));
    }
    for label in vendor.split('.') {
        let good = (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-');
        if !good {
            return Err(format!("the vendor of {kind:?} is no DNS name: {label:?} cannot be a label of one"));
        }
    }
    if class.len() > 63 {
        return Err(format!("the class of {kind:?} is longer than 63 characters"));
    }
    well_formed(class, "_-.").map_err(|why| format!("the class of {kind:?} {why}"))
}

/// Characters that a device's name may have, as CDI says.
pub fn check_device(name: &str) -> Result<(), String> {
    // The established implementation permits colons too, and NVIDIA's names of MIG devices have them.
    well_formed(name, "_-.:").map_err(|why| format!("the device name {name:?} {why}"))
}

fn well_formed(text: &str, between: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty".into());
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err("must begin and end with a letter or a digit".into());
    }
    match text.chars().find(|c| !c.is_ascii_alphanumeric() && !between.contains(*c)) {
        Some(bad) => Err(format!("cannot have {bad:?}")),
        None => Ok(()),
    }
}
