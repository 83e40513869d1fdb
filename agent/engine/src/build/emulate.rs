//! Whether this machine can run another platform's programs: by itself, or through an emulator that is set up for them
//! in the kernel's binfmt_misc.

use std::path::Path;

/// Where the kernel lists interpreters.
const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";

/// The beginning of a program for an architecture: 32 or 64 bits (1, 2), byte order (1 little, 2 big), and its number.
const MACHINES: [(&str, u8, u8, u16); 11] = [
    ("amd64", 2, 1, 62),
    ("386", 1, 1, 3),
    ("arm64", 2, 1, 183),
    ("arm", 1, 1, 40),
    ("ppc64le", 2, 1, 21),
    ("ppc64", 2, 2, 21),
    ("s390x", 2, 2, 22),
    ("riscv64", 2, 1, 243),
    ("mips64le", 2, 1, 8),
    ("mips64", 2, 2, 8),
    ("loong64", 2, 1, 258),
];

/// Why commands of a platform (`os/arch[/variant]`) cannot be run here, and what to do; `None` if they can.
pub(super) fn cannot_run(platform: &str) -> Option<String> {
    let host = hoist_image::Platform::host();
    why_not(platform, &host, Path::new(REGISTERED))
}

fn why_not(platform: &str, host: &hoist_image::Platform, registered: &Path) -> Option<String> {
    let mut parts = platform.split('/');
    let (os, architecture) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if os != host.os {
        return Some(format!("commands of {platform} cannot be run on {}: no emulator runs another system", host.os));
    }
    // Processors that run an older kind's programs themselves.
    let itself = architecture == host.architecture || (host.architecture == "amd64" && architecture == "386");
    if itself {
        return None;
    }
    let advice = "or have the stage built on this machine's platform: FROM --platform=$BUILDPLATFORM";
    let here = format!("commands of {platform} cannot be run on this {}/{} machine", host.os, host.architecture);
    let Some(start) = start_of(architecture) else {
        return Some(format!("{here}: the architecture {architecture:?} is unknown; {advice}"));
    };
    let entries = fs_err::read_dir(registered).into_iter().flatten().flatten();
    let fitting = entries
        .filter_map(|entry| fs_err::read_to_string(entry.path()).ok())
        .filter_map(|text| Interpreter::parse(&text))
        .find(|interpreter| interpreter.takes(&start));
    match fitting {
        Some(interpreter) if interpreter.everywhere => None,
        Some(interpreter) => Some(format!(
            "{here}: their emulator {} is set up without the flag F, so that containers do not find it; set it up with \
             that flag, {advice}",
            interpreter.program
        )),
        None => Some(format!(
            "{here}: no emulator is set up for them in {}; install one (Debian: apt-get install qemu-user-static), {advice}",
            registered.display()
        )),
    }
}

/// The first bytes of an executable file.
fn start_of(architecture: &str) -> Option<[u8; 20]> {
    let (_, class, order, machine) = MACHINES.into_iter().find(|(name, ..)| *name == architecture)?;
    let bytes = |number: u16| if order == 1 { number.to_le_bytes() } else { number.to_be_bytes() };
    let mut start = [0; 20];
    start[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, order, 1]);
    start[16..18].copy_from_slice(&bytes(2));
    start[18..20].copy_from_slice(&bytes(machine));
    Some(start)
}

/// A line-by-line description of an entry, as the kernel prints it.
struct Interpreter {
    program: String,
    /// It was opened when it was set up, so that it works in every file tree.
    everywhere: bool,
    offset: usize,
    magic: Vec<u8>,
    mask: Vec<u8>,
}

impl Interpreter {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != "enabled" {
            return None;
        }
        let mut found =
            Self { program: String::new(), everywhere: false, offset: 0, magic: Vec::new(), mask: Vec::new() };
        for line in lines {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            match key {
                "interpreter" => value.clone_into(&mut found.program),
                "flags:" => found.everywhere = value.contains('F'),
                "offset" => found.offset = value.parse().ok()?,
                "magic" => found.magic = bytes(value)?,
                "mask" => found.mask = bytes(value)?,
                _ => {}
            }
        }
        (!found.magic.is_empty()).then_some(found)
    }

    fn takes(&self, start: &[u8]) -> bool {
        self.magic.iter().enumerate().all(|(at, magic)| {
            let mask = self.mask.get(at).copied().unwrap_or(0xff);
            // Beyond what is known of the file nothing is asked for by the usual entries.
            start.get(self.offset + at).is_none_or(|byte| byte & mask == magic & mask)
        })
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    digits.len().is_multiple_of(2).then_some(())?;
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARM64: &str = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OCF\noffset 0\n\
        magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";

    #[test]
    fn an_emulator_that_takes_the_programs_is_enough() {
        let dir = tempfile::tempdir().unwrap();
        let host = hoist_image::Platform::new("linux", "amd64");
        let why = |platform: &str| why_not(platform, &host, dir.path());
        assert_eq!((why("linux/amd64/v2"), why("linux/386")), (None, None));
        assert!(why("linux/arm64").unwrap().contains("no emulator is set up"));
        assert!(why("windows/amd64").unwrap().contains("another system"));
        assert!(why("linux/z80").unwrap().contains("\"z80\" is unknown"));
        let entry = dir.path().join("qemu-aarch64");
        std::fs::write(dir.path().join("status"), "enabled\n").unwrap();
        std::fs::write(&entry, ARM64).unwrap();
        assert_eq!(why("linux/arm64"), None);
        assert!(why("linux/riscv64").is_some());
        std::fs::write(&entry, ARM64.replace("OCF", "OC")).unwrap();
        assert!(why("linux/arm64").unwrap().contains("without the flag F"));
        std::fs::write(&entry, ARM64.replace("enabled", "disabled")).unwrap();
        assert!(why("linux/arm64").unwrap().contains("no emulator is set up"));
    }
}
