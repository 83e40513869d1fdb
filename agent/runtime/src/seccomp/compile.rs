//! From an OCI profile to a BPF program.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use libc::sock_filter;
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator,
};

use super::syscalls::{Abi, number};

/// A compiled filter, ready to be loaded.
#[derive(Debug)]
pub(crate) struct Filter {
    pub program: Vec<sock_filter>,
    /// Flags of seccomp(2).
    pub flags: u32,
    /// Where to send the notification descriptor, if the profile has the notify action.
    pub listener: Option<PathBuf>,
    pub metadata: Option<String>,
}

/// Why a profile cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeccompError {
    /// An error number where the action takes none, or one that does not exist.
    #[error("linux.seccomp: the action {0} takes no error number")]
    NoErrno(LinuxSeccompAction),
    /// An argument that no system call has.
    #[error("linux.seccomp: system calls have no argument {0}")]
    Argument(usize),
    /// More than the kernel accepts.
    #[error("linux.seccomp: the profile is too long, its filter would have {0} instructions")]
    TooLong(usize),
    /// A rule without names.
    #[error("linux.seccomp: a rule names no system call")]
    NoNames,
    /// Notification without a listener.
    #[error("linux.seccomp: SCMP_ACT_NOTIFY needs listenerPath")]
    NoListener,
    /// Metadata without a listener.
    #[error("linux.seccomp: listenerMetadata needs listenerPath")]
    Metadata,
    /// The notify action as default: the filter could not even be handed over.
    #[error("linux.seccomp: SCMP_ACT_NOTIFY cannot be the default action, nor apply to write")]
    Notify,
    /// This build knows no system call numbers for the machine it runs on.
    #[error("linux.seccomp: filters are not supported on this architecture")]
    Architecture,
}

/// Compiles a profile, or finds it compiled already: a supervisor that is forked from a process which has
/// compiled the profile has nothing left to do.
pub(crate) fn compile(profile: &LinuxSeccomp) -> Result<Arc<Filter>, SeccompError> {
    const KEEP: usize = 16;
    static CACHE: Mutex<Vec<(LinuxSeccomp, Arc<Filter>)>> = Mutex::new(Vec::new());
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, filter)) = cache.iter().find(|(known, _)| known == profile) {
        return Ok(Arc::clone(filter));
    }
    let filter = Arc::new(compile_new(profile)?);
    if cache.len() == KEEP {
        cache.remove(0);
    }
    cache.push((profile.clone(), Arc::clone(&filter)));
    Ok(filter)
}

fn compile_new(profile: &LinuxSeccomp) -> Result<Filter, SeccompError> {
    if Abi::HOST.is_empty() {
        return Err(SeccompError::Architecture);
    }
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let mut notifies = false;
    for rule in profile.syscalls().iter().flatten() {
        if rule.names().is_empty() {
            return Err(SeccompError::NoNames);
        }
        if rule.action() == LinuxSeccompAction::ScmpActNotify {
            notifies = true;
            // The notification descriptor itself is sent after the filter is loaded.
            if rule.names().iter().any(|name| name == "write" || name == "sendmsg") {
                return Err(SeccompError::Notify);
            }
        }
    }
    if profile.default_action() == LinuxSeccompAction::ScmpActNotify {
        return Err(SeccompError::Notify);
    }
    if profile.listener_metadata().is_some() && profile.listener_path().is_none() {
        return Err(SeccompError::Metadata);
    }
    if notifies && profile.listener_path().is_none() {
        return Err(SeccompError::NoListener);
    }
    let abis = abis(profile.architectures().as_deref().unwrap_or_default());
    let program = program(profile, default, &abis)?;
    if program.len() > 4096 {
        return Err(SeccompError::TooLong(program.len()));
    }
    let mut flags = flags(profile);
    if notifies {
        flags |= libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32;
    }
    Ok(Filter {
        program,
        flags,
        listener: profile.listener_path().clone().filter(|_| notifies),
        metadata: profile.listener_metadata().clone(),
    })
}

fn flags(profile: &LinuxSeccomp) -> u32 {
    let Some(flags) = profile.flags() else {
        // Kernels before 5.16 slow a filtered process down against speculative store bypass unless told not to.
        return 4;
    };
    flags.iter().fold(0, |bits, flag| {
        bits | match flag {
            LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 1,
            LinuxSeccompFilterFlag::SeccompFilterFlagLog => 2,
            LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => 4,
            LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => 0x20,
        }
    })
}

/// The architectures of a profile that programs on this machine can have; the native one always.
fn abis(wanted: &[Arch]) -> Vec<Abi> {
    let matches = |abi: &Abi, arch: &Arch| {
        matches!(
            (abi, arch),
            (Abi::X86_64, Arch::ScmpArchX86_64)
                | (Abi::X86, Arch::ScmpArchX86)
                | (Abi::X32, Arch::ScmpArchX32)
                | (Abi::Aarch64, Arch::ScmpArchAarch64)
                | (Abi::Arm, Arch::ScmpArchArm)
                | (Abi::Riscv64, Arch::ScmpArchRiscv64)
        )
    };
    let (native, others) = Abi::HOST.split_first().expect("the caller has checked that there is one");
    let others = others.iter().filter(|abi| wanted.iter().any(|arch| matches(abi, arch)));
    std::iter::once(native).chain(others).copied().collect()
}

/// What a filter returns for an action.
fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32, SeccompError> {
    let takes_errno = matches!(action, LinuxSeccompAction::ScmpActErrno | LinuxSeccompAction::ScmpActTrace);
    match errno {
        Some(_) if !takes_errno => Err(SeccompError::NoErrno(action)),
        Some(errno) if errno > 0xffff => Err(SeccompError::NoErrno(action)),
        errno => Ok(action.as_u32(errno)),
    }
}

const RET_KILL_PROCESS: u32 = 0x8000_0000;
const RET_ENOSYS: u32 = 0x0005_0000 | libc::ENOSYS as u32;
const X32_BIT: u32 = 0x4000_0000;

const LD_ABS: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const JA: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const JEQ: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JGT: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const JGE: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RET: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Offsets in the kernel's `struct seccomp_data`.
const NR: u32 = 0;
const ARCH: u32 = 4;
const ARGS: u32 = 16;

const fn op(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

/// What is done with one system call: conditions and what they give, in order; then what is given else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Leaf {
    conditional: Vec<(Vec<Condition>, u32)>,
    otherwise: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Condition {
    index: u32,
    operator: LinuxSeccompOperator,
    value: u64,
    second: u64,
}

fn program(profile: &LinuxSeccomp, default: u32, abis: &[Abi]) -> Result<Vec<sock_filter>, SeccompError> {
    let mut program = vec![op(LD_ABS, ARCH)];
    let separate = abis.iter().filter(|abi| **abi != Abi::X32);
    for abi in separate {
        let mut segments = segments(profile, default, *abi)?;
        if *abi == Abi::X86_64 {
            // x32 programs come with the same architecture and a bit set in the number.
            segments.retain(|(start, _)| *start < X32_BIT);
            if abis.contains(&Abi::X32) {
                let mut x32 = self::segments(profile, default, Abi::X32)?;
                x32.retain(|(start, _)| *start >= X32_BIT);
                if x32.first().is_none_or(|(start, _)| *start > X32_BIT) {
                    x32.insert(0, (X32_BIT, Leaf { conditional: Vec::new(), otherwise: default }));
                }
                segments.extend(x32);
            } else {
                segments.push((X32_BIT, Leaf { conditional: Vec::new(), otherwise: RET_KILL_PROCESS }));
            }
        }
        segments.dedup_by(|next, previous| next.1 == previous.1);
        let mut block = vec![op(LD_ABS, NR)];
        block.extend(search(&segments));
        program.push(sock_filter { code: JEQ, jt: 1, jf: 0, k: abi.audit_arch() });
        program.push(op(JA, block.len() as u32));
        program.extend(block);
    }
    program.push(op(RET, RET_KILL_PROCESS));
    Ok(program)
}

/// The ranges of system call numbers of one architecture, each with what is done in it.
fn segments(profile: &LinuxSeccomp, default: u32, abi: Abi) -> Result<Vec<(u32, Leaf)>, SeccompError> {
    let mut leaves: BTreeMap<u32, Leaf> = BTreeMap::new();
    let mut newest = 0;
    for rule in profile.syscalls().iter().flatten() {
        let gives = action(rule.action(), rule.errno_ret())?;
        let conditions = rule_conditions(rule.args().as_deref().unwrap_or_default())?;
        for nr in rule.names().iter().filter_map(|name| number(name, abi)) {
            newest = newest.max(nr);
            let leaf = leaves.entry(nr).or_insert_with(|| Leaf { conditional: Vec::new(), otherwise: default });
            if gives == default {
                continue;
            }
            if conditions.is_empty() {
                if leaf.otherwise == default {
                    leaf.otherwise = gives;
                }
            } else {
                leaf.conditional.extend(conditions.iter().map(|all| (all.clone(), gives)));
            }
        }
    }
    let rest = Leaf { conditional: Vec::new(), otherwise: default };
    let base = if abi == Abi::X32 { X32_BIT } else { 0 };
    let mut segments = Vec::new();
    let mut next = base;
    for (nr, mut leaf) in leaves {
        // Conditions that give the same as their absence decide nothing.
        if leaf.conditional.iter().all(|(_, gives)| *gives == leaf.otherwise) {
            leaf.conditional.clear();
        }
        if nr > next {
            segments.push((next, rest.clone()));
        }
        segments.push((nr, leaf));
        next = nr + 1;
    }
    // A program that asks for a system call newer than the profile shall hear that it does not exist, and
    // use an older one, instead of hearing that it is forbidden, and give up.
    let unknown = if newest > 0 && default & 0xffff_0000 == 0x0005_0000 && default != RET_ENOSYS {
        Leaf { conditional: Vec::new(), otherwise: RET_ENOSYS }
    } else {
        rest
    };
    segments.push((next, unknown));
    segments.dedup_by(|next, previous| next.1 == previous.1);
    Ok(segments)
}

/// The conditions of one rule, as alternatives that each must hold as a whole. Two conditions on the same
/// argument have always been alternatives in OCI profiles.
fn rule_conditions(args: &[LinuxSeccompArg]) -> Result<Vec<Vec<Condition>>, SeccompError> {
    let mut conditions = Vec::new();
    for arg in args {
        let index = u32::try_from(arg.index()).ok().filter(|index| *index < 6);
        let index = index.ok_or(SeccompError::Argument(arg.index()))?;
        let second = arg.value_two().unwrap_or(0);
        conditions.push(Condition { index, operator: arg.op(), value: arg.value(), second });
    }
    if conditions.is_empty() {
        return Ok(Vec::new());
    }
    let repeated = (0..6).any(|index| conditions.iter().filter(|condition| condition.index == index).count() > 1);
    Ok(if repeated { conditions.into_iter().map(|one| vec![one]).collect() } else { vec![conditions] })
}

/// A binary search over the segments. The number is in the accumulator; all jumps lead forward.
fn search(segments: &[(u32, Leaf)]) -> Vec<sock_filter> {
    match segments {
        [] => vec![op(RET, RET_KILL_PROCESS)],
        [(_, leaf)] => leaf_code(leaf),
        _ => {
            let (left, right) = segments.split_at(segments.len() / 2);
            let (start, left, right) = (right[0].0, search(left), search(right));
            let mut code = Vec::with_capacity(left.len() + right.len() + 2);
            match u8::try_from(left.len()) {
                Ok(distance) => code.push(sock_filter { code: JGE, jt: distance, jf: 0, k: start }),
                Err(_) => {
                    code.push(sock_filter { code: JGE, jt: 0, jf: 1, k: start });
                    code.push(op(JA, left.len() as u32));
                }
            }
            code.extend(left);
            code.extend(right);
            code
        }
    }
}

fn leaf_code(leaf: &Leaf) -> Vec<sock_filter> {
    let mut code = Vec::new();
    for (conditions, gives) in &leaf.conditional {
        code.extend(rule_code(conditions, *gives));
    }
    code.push(op(RET, leaf.otherwise));
    code
}

/// Where a comparison goes on.
#[derive(Clone, Copy)]
enum To {
    Next,
    /// The condition holds.
    Pass,
    /// The rule does not apply.
    Fail,
}

fn rule_code(conditions: &[Condition], gives: u32) -> Vec<sock_filter> {
    let mut code = vec![op(RET, gives)];
    for condition in conditions.iter().rev() {
        let steps = condition_code(condition);
        let mut head = Vec::with_capacity(steps.len() + code.len());
        for (index, (instruction, then, els)) in steps.iter().enumerate() {
            let pass = steps.len() - index - 1;
            // At most six conditions of six instructions each: any distance fits.
            let distance = |to: To| match to {
                To::Next => 0,
                To::Pass => pass as u8,
                To::Fail => (pass + code.len()) as u8,
            };
            head.push(sock_filter { jt: distance(*then), jf: distance(*els), ..*instruction });
        }
        head.append(&mut code);
        code = head;
    }
    code
}

/// Arguments have 64 bits and the machine that runs filters has 32: the upper half decides first.
fn condition_code(condition: &Condition) -> Vec<(sock_filter, To, To)> {
    use LinuxSeccompOperator as Op;
    let low = ARGS + 8 * condition.index;
    let plain = |instruction| (instruction, To::Next, To::Next);
    let load = |offset| plain(op(LD_ABS, offset));
    let halves = |value: u64| ((value >> 32) as u32, value as u32);
    let (high_value, low_value) = halves(condition.value);
    let compare = |on_greater, on_less, last: (u16, To, To)| {
        vec![
            load(low + 4),
            (op(JGT, high_value), on_greater, To::Next),
            (op(JEQ, high_value), To::Next, on_less),
            load(low),
            (op(last.0, low_value), last.1, last.2),
        ]
    };
    match condition.operator {
        Op::ScmpCmpEq => vec![
            load(low + 4),
            (op(JEQ, high_value), To::Next, To::Fail),
            load(low),
            (op(JEQ, low_value), To::Pass, To::Fail),
        ],
        Op::ScmpCmpNe => vec![
            load(low + 4),
            (op(JEQ, high_value), To::Next, To::Pass),
            load(low),
            (op(JEQ, low_value), To::Fail, To::Pass),
        ],
        Op::ScmpCmpGt => compare(To::Pass, To::Fail, (JGT, To::Pass, To::Fail)),
        Op::ScmpCmpGe => compare(To::Pass, To::Fail, (JGE, To::Pass, To::Fail)),
        Op::ScmpCmpLt => compare(To::Fail, To::Pass, (JGE, To::Fail, To::Pass)),
        Op::ScmpCmpLe => compare(To::Fail, To::Pass, (JGT, To::Fail, To::Pass)),
        Op::ScmpCmpMaskedEq => {
            let (high_result, low_result) = halves(condition.second);
            vec![
                load(low + 4),
                plain(op(AND, high_value)),
                (op(JEQ, high_result), To::Next, To::Fail),
                load(low),
                plain(op(AND, low_value)),
                (op(JEQ, low_result), To::Pass, To::Fail),
            ]
        }
    }
}

#[cfg(test)]
mod tests;
