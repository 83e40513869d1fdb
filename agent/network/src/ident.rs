//! Random numbers for names and identifiers.

use rustix::rand::{GetRandomFlags, getrandom};

/// 64 hexadecimal digits, as networks and endpoints have for an id.
pub(crate) fn random_id() -> String {
    let mut bytes = [0; 32];
    fill(&mut bytes);
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The same id for the same name each time.
pub(crate) fn derived_id(name: &str) -> String {
    (0..4).map(|n| format!("{:016x}", crate::ipam::fnv(format!("{n}/{name}").as_bytes()))).collect()
}

pub(crate) fn random_u32() -> u32 {
    let mut bytes = [0; 4];
    fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}

/// Random bytes, good for keys.
pub(crate) fn fill(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            // Every kernel that can run containers has the call.
            Err(errno) => unreachable!("getrandom failed: {errno}"),
        }
    }
}
