//! The BPF program that stands for a list of device rules on v2, and its loading.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

use super::devices::{ALL, Kind, Rule};

/// One instruction of the kernel's machine.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Insn {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const LDX_W: u8 = 0x61;
const ALU32_AND_K: u8 = 0x54;
const ALU32_RSH_K: u8 = 0x74;
const MOV32_X: u8 = 0xbc;
const MOV64_K: u8 = 0xb7;
const JNE_K: u8 = 0x55;
const JEQ_K: u8 = 0x15;
const JNE_X: u8 = 0x5d;
const EXIT: u8 = 0x95;

const fn insn(code: u8, dst: u8, src: u8, offset: i16, immediate: i32) -> Insn {
    Insn { code, registers: src << 4 | dst, offset, immediate }
}

/// The program for a list of rules: the last rule that has something to say about a request decides; if none
/// has, the answer is no.
///
/// Register 1 points to the request: access in the upper and type in the lower half of the first word, then
/// the major and the minor number.
pub(super) fn device_program(rules: &[Rule]) -> Vec<Insn> {
    let mut program = vec![
        insn(LDX_W, 2, 1, 0, 0),
        insn(MOV32_X, 3, 2, 0, 0),
        insn(ALU32_AND_K, 2, 0, 0, 0xffff),
        insn(ALU32_RSH_K, 3, 0, 0, 16),
        insn(LDX_W, 4, 1, 4, 0),
        insn(LDX_W, 5, 1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        program.extend(rule_code(rule));
        if rule.kind.is_none() && rule.major.is_none() && rule.minor.is_none() && rule.access == ALL {
            // It decides everything. The kernel refuses programs with instructions that are never reached.
            return program;
        }
    }
    program.extend([insn(MOV64_K, 0, 0, 0, 0), insn(EXIT, 0, 0, 0, 0)]);
    program
}

fn rule_code(rule: &Rule) -> Vec<Insn> {
    // Jumps to the end of the rule are filled in when its length is known.
    let mut code = Vec::new();
    if let Some(kind) = rule.kind {
        let number = match kind {
            Kind::Block => 1,
            Kind::Char => 2,
        };
        code.push(insn(JNE_K, 2, 0, 0, number));
    }
    if rule.access != ALL {
        code.push(insn(MOV32_X, 6, 3, 0, 0));
        code.push(insn(ALU32_AND_K, 6, 0, 0, rule.access.cast_signed()));
        code.push(if rule.allow {
            // All that is asked for must be in the rule.
            insn(JNE_X, 6, 3, 0, 0)
        } else {
            // Anything of it is enough.
            insn(JEQ_K, 6, 0, 0, 0)
        });
    }
    if let Some(major) = rule.major {
        code.push(insn(JNE_K, 4, 0, 0, major.cast_signed()));
    }
    if let Some(minor) = rule.minor {
        code.push(insn(JNE_K, 5, 0, 0, minor.cast_signed()));
    }
    code.push(insn(MOV64_K, 0, 0, 0, i32::from(rule.allow)));
    code.push(insn(EXIT, 0, 0, 0, 0));
    let end = code.len();
    for (index, instruction) in code.iter_mut().enumerate() {
        if matches!(instruction.code, JNE_K | JEQ_K | JNE_X) {
            instruction.offset = (end - index - 1) as i16;
        }
    }
    code
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_DETACH: libc::c_int = 9;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_PROG_QUERY: libc::c_int = 16;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct AttachAttr {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

/// # Safety
/// `attr` must be what the kernel expects for `command`, and its pointers valid.
unsafe fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the size is that of the struct, which lives through the call; the rest is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn load(program: &[Insn]) -> io::Result<OwnedFd> {
    let mut attr = LoadAttr {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..LoadAttr::default()
    };
    attr.name[..13].copy_from_slice(b"hoist_devices");
    // SAFETY: `attr` is the beginning of the kernel's union for this command; its pointers are to live data.
    let fd = unsafe { bpf(BPF_PROG_LOAD, &mut attr) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// The programs that are attached to a cgroup.
fn attached(cgroup: RawFd) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0u32; 64];
    let mut attr = QueryAttr {
        target: cgroup as u32,
        kind: ATTACH_CGROUP_DEVICE,
        ids: ids.as_mut_ptr() as u64,
        count: ids.len() as u32,
        ..QueryAttr::default()
    };
    // SAFETY: `attr` is as the kernel expects, and `ids` has room for `count` numbers.
    unsafe { bpf(BPF_PROG_QUERY, &mut attr) }?;
    ids[..(attr.count as usize).min(ids.len())]
        .iter()
        .map(|id| {
            let mut attr: [u32; 3] = [*id, 0, 0];
            // SAFETY: the command reads an id and flags.
            let fd = unsafe { bpf(BPF_PROG_GET_FD_BY_ID, &mut attr) }?;
            // SAFETY: the kernel has just made this descriptor for us.
            Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
        })
        .collect()
}

/// Puts `program` in force for the cgroup `dir` instead of those that were, with no moment without any.
pub(super) fn replace_device_program(dir: &Path, program: &[Insn]) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let cgroup = rustix::fs::openat(CWD, dir, flags, Mode::empty())?;
    let target = cgroup.as_raw_fd();
    let old = attached(target)?;
    let new = load(program)?;
    let mut attr = AttachAttr {
        target: target as u32,
        program: new.as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: `attr` is as the kernel expects for this command.
    unsafe { bpf(BPF_PROG_ATTACH, &mut attr) }?;
    for program in old {
        let mut attr = AttachAttr { program: program.as_raw_fd() as u32, flags: 0, ..attr };
        // SAFETY: as above.
        unsafe { bpf(BPF_PROG_DETACH, &mut attr) }?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
