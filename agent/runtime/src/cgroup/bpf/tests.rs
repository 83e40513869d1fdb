//! Device programs are judged by running them, in an interpreter of the instructions that they use.

use super::super::devices::{MKNOD, READ, WRITE};
use super::*;

/// What the program answers to a request: type (1 block, 2 char), access, major, minor.
fn ask(program: &[Insn], kind: u32, access: u32, major: u32, minor: u32) -> bool {
    let request = [access << 16 | kind, major, minor];
    let mut registers = [0u64; 11];
    let mut pc = 0usize;
    loop {
        let i = program[pc];
        pc += 1;
        let (dst, src) = (usize::from(i.registers & 15), usize::from(i.registers >> 4));
        let immediate = i64::from(i.immediate).cast_unsigned();
        let mut jump = |taken: bool| {
            if taken {
                pc = pc.strict_add_signed(i.offset.into());
            }
        };
        match i.code {
            LDX_W => registers[dst] = u64::from(request[i.offset as usize / 4]),
            ALU32_AND_K => registers[dst] = u64::from(registers[dst] as u32 & i.immediate as u32),
            ALU32_RSH_K => registers[dst] = u64::from((registers[dst] as u32) >> i.immediate),
            MOV32_X => registers[dst] = u64::from(registers[src] as u32),
            MOV64_K => registers[dst] = immediate,
            JNE_K => jump(registers[dst] != immediate),
            JEQ_K => jump(registers[dst] == immediate),
            JNE_X => jump(registers[dst] != registers[src]),
            EXIT => return registers[0] == 1,
            code => panic!("instruction {code:#x}"),
        }
    }
}

fn rule(allow: bool, kind: Option<Kind>, major: Option<u32>, minor: Option<u32>, access: u32) -> Rule {
    Rule { allow, kind, major, minor, access }
}

#[test]
fn nothing_is_allowed_that_no_rule_allows() {
    assert!(!ask(&device_program(&[]), 2, READ, 1, 3));
}

#[test]
fn the_last_rule_decides() {
    let program = device_program(&[
        rule(false, None, None, None, ALL),
        rule(true, Some(Kind::Char), Some(1), Some(3), ALL),
        rule(true, Some(Kind::Block), Some(8), None, READ),
        rule(false, Some(Kind::Block), Some(8), Some(1), READ),
    ]);
    assert!(ask(&program, 2, READ | WRITE, 1, 3));
    assert!(!ask(&program, 2, READ, 1, 5));
    assert!(!ask(&program, 1, READ, 1, 3));
    assert!(ask(&program, 1, READ, 8, 0));
    assert!(!ask(&program, 1, READ | WRITE, 8, 0));
    assert!(!ask(&program, 1, READ, 8, 1));
}

#[test]
fn the_kernel_accepts_the_programs() {
    let lists = [
        vec![],
        vec![rule(false, None, None, None, ALL)],
        vec![rule(true, None, None, None, ALL), rule(false, Some(Kind::Char), Some(7), None, WRITE)],
        vec![rule(false, None, None, None, ALL), rule(true, Some(Kind::Block), Some(8), Some(1), READ | MKNOD)],
    ];
    for rules in lists {
        load(&device_program(&rules)).unwrap();
    }
}

#[test]
fn a_denied_part_denies_the_whole() {
    let program =
        device_program(&[rule(true, None, None, None, ALL), rule(false, Some(Kind::Char), Some(7), None, WRITE)]);
    assert!(ask(&program, 2, READ | MKNOD, 7, 0));
    assert!(!ask(&program, 2, READ | WRITE, 7, 0));
    assert!(ask(&program, 2, WRITE, 8, 0));
}
