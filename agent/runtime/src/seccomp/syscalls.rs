//! System call numbers.

use std::collections::HashMap;
use std::sync::OnceLock;

/// Architectures in the order of the table's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Abi {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
    Riscv64,
}

const COLUMNS: usize = 6;

impl Abi {
    /// The architectures whose programs this kernel may run, the native one first.
    pub(crate) const HOST: &'static [Abi] = if cfg!(target_arch = "x86_64") {
        &[Abi::X86_64, Abi::X86, Abi::X32]
    } else if cfg!(target_arch = "aarch64") {
        &[Abi::Aarch64, Abi::Arm]
    } else if cfg!(target_arch = "riscv64") {
        &[Abi::Riscv64]
    } else {
        &[]
    };

    /// What the kernel puts into `seccomp_data.arch`. The same for x86_64 and x32.
    pub(crate) fn audit_arch(self) -> u32 {
        match self {
            Abi::X86_64 | Abi::X32 => 0xc000_003e,
            Abi::X86 => 0x4000_0003,
            Abi::Aarch64 => 0xc000_00b7,
            Abi::Arm => 0x4000_0028,
            Abi::Riscv64 => 0xc000_00f3,
        }
    }
}

fn table() -> &'static HashMap<&'static str, [Option<u32>; COLUMNS]> {
    static TABLE: OnceLock<HashMap<&'static str, [Option<u32>; COLUMNS]>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let rows = include_str!("table.tsv").lines().skip_while(|line| line.starts_with('#')).skip(1);
        rows.filter_map(|row| {
            let mut cells = row.split('\t');
            let name = cells.next()?;
            let mut numbers = [None; COLUMNS];
            for (number, cell) in numbers.iter_mut().zip(cells) {
                *number = cell.parse().ok();
            }
            Some((name, numbers))
        })
        .collect()
    })
}

/// The number of a system call; `None` if the architecture has none of this name.
pub(crate) fn number(name: &str, abi: Abi) -> Option<u32> {
    table().get(name)?[abi as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        assert_eq!(number("openat", Abi::X86_64), Some(257));
        assert_eq!(number("openat", Abi::X86), Some(295));
        assert_eq!(number("openat", Abi::X32), Some(0x4000_0000 + 257));
        assert_eq!(number("openat", Abi::Aarch64), Some(56));
        assert_eq!(number("open", Abi::Aarch64), None);
        assert_eq!(number("no_such_call", Abi::X86_64), None);
        for abi in Abi::HOST {
            assert_eq!(number("clone3", *abi).map(|nr| nr & 0xffff), Some(435));
        }
    }
}
