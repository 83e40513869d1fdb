//! Filters are judged by running them, in an interpreter of the instructions that they use.

use oci_spec::runtime::{LinuxSeccompArgBuilder, LinuxSyscall, LinuxSyscallBuilder};

use super::*;

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;

fn run(filter: &[sock_filter], arch: u32, nr: u32, args: [u64; 6]) -> u32 {
    let word = |offset: u32| match offset {
        NR => nr,
        ARCH => arch,
        _ => {
            let arg = args[((offset - ARGS) / 8) as usize];
            if (offset - ARGS).is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 }
        }
    };
    let (mut pc, mut a) = (0, 0);
    loop {
        let i = filter[pc];
        pc += 1;
        let jump = |condition: bool| usize::from(if condition { i.jt } else { i.jf });
        match i.code {
            LD_ABS => a = word(i.k),
            AND => a &= i.k,
            JA => pc += i.k as usize,
            JEQ => pc += jump(a == i.k),
            JGT => pc += jump(a > i.k),
            JGE => pc += jump(a >= i.k),
            RET => return i.k,
            code => panic!("instruction {code:#x}"),
        }
    }
}

fn rule(names: &[&str], action: LinuxSeccompAction) -> LinuxSyscall {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    LinuxSyscallBuilder::default().names(names).action(action).build().unwrap()
}

fn profile(default: LinuxSeccompAction, rules: Vec<LinuxSyscall>) -> LinuxSeccomp {
    let mut profile = LinuxSeccomp::default();
    profile.set_default_action(default);
    profile.set_syscalls(Some(rules));
    profile.set_architectures(Some(vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86]));
    profile
}

const NATIVE: u32 = if cfg!(target_arch = "aarch64") { 0xc000_00b7 } else { 0xc000_003e };

fn nr(name: &str) -> u32 {
    number(name, Abi::HOST[0]).unwrap()
}

#[test]
fn every_operator_compares_all_64_bits() {
    use LinuxSeccompOperator as Op;
    let samples = [0, 1, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, 0x2_0000_0000, u64::MAX];
    let holds = |op: Op, arg: u64, value: u64, second: u64| match op {
        Op::ScmpCmpNe => arg != value,
        Op::ScmpCmpLt => arg < value,
        Op::ScmpCmpLe => arg <= value,
        Op::ScmpCmpEq => arg == value,
        Op::ScmpCmpGe => arg >= value,
        Op::ScmpCmpGt => arg > value,
        Op::ScmpCmpMaskedEq => arg & value == second,
    };
    let all =
        [Op::ScmpCmpNe, Op::ScmpCmpLt, Op::ScmpCmpLe, Op::ScmpCmpEq, Op::ScmpCmpGe, Op::ScmpCmpGt, Op::ScmpCmpMaskedEq];
    for op in all {
        for value in samples {
            let second = value & 0x1_0000_0001;
            let arg =
                LinuxSeccompArgBuilder::default().index(2usize).value(value).value_two(second).op(op).build().unwrap();
            let mut rule = rule(&["socket"], LinuxSeccompAction::ScmpActAllow);
            rule.set_args(Some(vec![arg]));
            let filter = compile_new(&profile(LinuxSeccompAction::ScmpActErrno, vec![rule])).unwrap();
            for sample in samples {
                let expected = if holds(op, sample, value, second) { ALLOW } else { EPERM };
                let args = [9, 9, sample, 9, 9, 9];
                assert_eq!(run(&filter.program, NATIVE, nr("socket"), args), expected, "{op:?} {sample:x} {value:x}");
            }
        }
    }
}

#[test]
fn conditions_of_one_rule_all_hold_and_those_on_one_argument_are_alternatives() {
    let arg = |index: usize, value: u64| {
        LinuxSeccompArgBuilder::default().index(index).value(value).op(LinuxSeccompOperator::ScmpCmpEq).build().unwrap()
    };
    let filter = |args| {
        let mut rule = rule(&["socket"], LinuxSeccompAction::ScmpActAllow);
        rule.set_args(Some(args));
        compile_new(&profile(LinuxSeccompAction::ScmpActErrno, vec![rule])).unwrap().program
    };
    let both = filter(vec![arg(0, 1), arg(1, 2)]);
    assert_eq!(run(&both, NATIVE, nr("socket"), [1, 2, 0, 0, 0, 0]), ALLOW);
    assert_eq!(run(&both, NATIVE, nr("socket"), [1, 3, 0, 0, 0, 0]), EPERM);
    let either = filter(vec![arg(0, 1), arg(0, 2)]);
    assert_eq!(run(&either, NATIVE, nr("socket"), [2, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(run(&either, NATIVE, nr("socket"), [3, 0, 0, 0, 0, 0]), EPERM);
}

#[test]
fn newer_calls_than_the_profile_knows_do_not_exist() {
    let filter = compile_new(&profile(
        LinuxSeccompAction::ScmpActErrno,
        vec![rule(&["read", "openat"], LinuxSeccompAction::ScmpActAllow)],
    ))
    .unwrap();
    assert_eq!(run(&filter.program, NATIVE, nr("read"), [0; 6]), ALLOW);
    assert_eq!(run(&filter.program, NATIVE, nr("chroot").min(nr("openat") - 1), [0; 6]), EPERM);
    assert_eq!(run(&filter.program, NATIVE, 4000, [0; 6]), RET_ENOSYS);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn other_architectures_have_their_own_numbers_or_are_killed() {
    let filter = compile_new(&profile(
        LinuxSeccompAction::ScmpActAllow,
        vec![rule(&["mount"], LinuxSeccompAction::ScmpActErrno)],
    ))
    .unwrap();
    let x86 = Abi::X86.audit_arch();
    assert_eq!(run(&filter.program, x86, number("mount", Abi::X86).unwrap(), [0; 6]), EPERM);
    assert_eq!(run(&filter.program, x86, nr("mount"), [0; 6]), ALLOW);
    assert_eq!(run(&filter.program, NATIVE, X32_BIT | 1, [0; 6]), RET_KILL_PROCESS);
    assert_eq!(run(&filter.program, 0xdead, 0, [0; 6]), RET_KILL_PROCESS);
}

#[test]
fn the_default_profile_does_what_it_says() {
    let arch = crate::seccomp::native_arch().unwrap();
    let filter = compile_new(&crate::seccomp::docker_default(&[], arch)).unwrap();
    let ask = |name: &str, args| run(&filter.program, NATIVE, nr(name), args);
    for allowed in ["read", "openat", "execve", "futex", "clone", "wait4"] {
        assert_eq!(ask(allowed, [0; 6]), ALLOW, "{allowed}");
    }
    for forbidden in ["mount", "reboot", "init_module", "kexec_load", "setns", "bpf"] {
        assert_eq!(ask(forbidden, [0; 6]), EPERM, "{forbidden}");
    }
    assert_eq!(ask("clone3", [0; 6]), RET_ENOSYS);
    let namespaces = libc::CLONE_NEWUSER as u64;
    assert_eq!(ask("clone", [namespaces, 0, 0, 0, 0, 0]), EPERM);
    assert_eq!(ask("socket", [1, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(ask("socket", [38, 0, 0, 0, 0, 0]), EPERM);
    let admin = crate::seccomp::docker_default(&[oci_spec::runtime::Capability::SysAdmin], arch);
    let filter = compile_new(&admin).unwrap();
    assert_eq!(run(&filter.program, NATIVE, nr("mount"), [0; 6]), ALLOW);
    assert_eq!(run(&filter.program, NATIVE, nr("clone3"), [0; 6]), ALLOW);
}

#[test]
fn mistakes_are_refused() {
    let mut bad = rule(&["read"], LinuxSeccompAction::ScmpActAllow);
    bad.set_errno_ret(Some(3));
    let error = compile_new(&profile(LinuxSeccompAction::ScmpActErrno, vec![bad])).unwrap_err();
    assert_eq!(error, SeccompError::NoErrno(LinuxSeccompAction::ScmpActAllow));
    let notify = rule(&["read"], LinuxSeccompAction::ScmpActNotify);
    let error = compile_new(&profile(LinuxSeccompAction::ScmpActErrno, vec![notify])).unwrap_err();
    assert_eq!(error, SeccompError::NoListener);
    let empty = rule(&[], LinuxSeccompAction::ScmpActAllow);
    assert_eq!(
        compile_new(&profile(LinuxSeccompAction::ScmpActErrno, vec![empty])).unwrap_err(),
        SeccompError::NoNames
    );
}
