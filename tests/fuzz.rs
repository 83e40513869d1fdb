//! What outsiders can send never panics, never escapes: the fuzz targets of `fuzz/`, for a short time and without a
//! fuzzer's compiler. Each runs over its seeds, then over changed ones.
//!
//! `HOIST_FUZZ_SEED` chooses other changes, `HOIST_FUZZ_ROUNDS` a multiple of the usual number of them. The input at
//! work lies in a file meanwhile: what ends the whole process (a stack that overflows) can be had from there.

use std::{env, fs, os::unix::fs::FileExt, panic, path::PathBuf};

#[path = "../fuzz/src/lib.rs"]
mod targets;

/// A pseudo-random sequence (xorshift64*): the same from the same seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 16).expect("48 bits fit") % bound
    }
}

/// Seeds, and the words and lines in them, which make likelier changes than bytes do.
struct Corpus {
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Corpus {
    fn read(target: &str) -> Self {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        let mut paths: Vec<_> = fs::read_dir(directory).expect("seeds").flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let seeds: Vec<_> = paths.iter().map(|path| fs::read(path).expect("a seed can be read")).collect();
        assert!(!seeds.is_empty());
        let mut words: Vec<Vec<u8>> = ["-1", "0", "4294967296", "18446744073709551616", "null", "\0", "é", "\u{feff}"]
            .iter()
            .map(|word| word.as_bytes().to_vec())
            .collect();
        for seed in &seeds {
            words.extend(seed.split(|byte| *byte == b'\n').filter(|line| line.len() < 200).map(<[u8]>::to_vec));
            words.extend(seed.split(|byte| !byte.is_ascii_alphanumeric()).filter(|w| w.len() > 1).map(<[u8]>::to_vec));
            words.extend(seed.split(u8::is_ascii_alphanumeric).filter(|w| !w.is_empty()).map(<[u8]>::to_vec));
        }
        words.sort();
        words.dedup();
        words.retain(|word| word.len() < 200);
        Self { seeds, words }
    }

    /// A seed with a few changes.
    fn changed(&self, chance: &mut Chance) -> Vec<u8> {
        let mut data = self.seeds[chance.below(self.seeds.len())].clone();
        for _ in 0..=chance.below(4) {
            if data.is_empty() {
                data.push(b'a');
            }
            let at = chance.below(data.len());
            let piece = at..(at + 1 + chance.below(40)).min(data.len());
            match chance.below(8) {
                0 => data[at] ^= 1 << chance.below(8),
                1 => data[at] = [0, 1, 0x7f, 0x80, 0xff, b'0', b'7', b'/', b'.', b'"'][chance.below(10)],
                2 => drop(data.drain(piece)),
                3 => {
                    let copy = data[piece.clone()].repeat(1 + chance.below(4));
                    data.splice(piece, copy);
                }
                4 => {
                    let moved: Vec<u8> = data.drain(piece).collect();
                    let to = if data.is_empty() { 0 } else { chance.below(data.len()) };
                    data.splice(to..to, moved);
                }
                5 => data.truncate(at),
                6 => {
                    let word = &self.words[chance.below(self.words.len())];
                    data.splice(at..at, word.iter().copied());
                }
                _ => {
                    let word = &self.words[chance.below(self.words.len())];
                    let end = data[at..].iter().position(|b| !b.is_ascii_alphanumeric()).map_or(data.len(), |n| at + n);
                    data.splice(at..end, word.iter().copied());
                }
            }
        }
        data
    }
}

fn number(variable: &str, usual: u64) -> u64 {
    env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

/// Runs a target over its seeds and `rounds` changed ones.
fn fuzz(name: &str, rounds: u64, target: fn(&[u8])) {
    let seed = number("HOIST_FUZZ_SEED", 20_261_121);
    let rounds = rounds * number("HOIST_FUZZ_ROUNDS", 1);
    let corpus = Corpus::read(name);
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}-{}", std::process::id()));
    let changed =
        std::iter::repeat_with(|| corpus.changed(&mut chance)).take(usize::try_from(rounds).expect("a count"));
    let file = fs::File::create(&path).expect("a file for the input");
    for data in corpus.seeds.iter().cloned().chain(changed) {
        file.set_len(0).and_then(|()| file.write_all_at(&data, 0)).expect("the input can be written");
        if let Err(reason) = panic::catch_unwind(|| target(&data)) {
            let reason = reason
                .downcast_ref::<String>()
                .map_or_else(|| reason.downcast_ref::<&str>().copied().unwrap_or("it panicked"), String::as_str);
            panic!("{name} fails on the input in {} (HOIST_FUZZ_SEED={seed}): {reason}", path.display());
        }
    }
    fs::remove_file(&path).expect("the file can be removed");
}

macro_rules! targets {
    ($($name:ident $rounds:literal),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                fuzz(stringify!($name), $rounds, targets::$name);
            }
        )+

        /// A target that the suite does not run would rot.
        #[test]
        fn all_targets_are_run() {
            let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
            let mut found: Vec<_> = fs::read_dir(directory)
                .expect("targets")
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().trim_end_matches(".rs").to_owned())
                .collect();
            found.sort();
            let mut run = vec![$(stringify!($name)),+];
            run.sort_unstable();
            assert_eq!(found, run);
        }
    };
}

// The numbers of changed inputs let each run for about a second without optimisation.
targets! {
    compose 800,
    dockerfile 400,
    reference 5_000,
    archive 1500,
    image_archive 150,
    manifest 5_000,
    registry 5_000,
    image_config 5_000,
    oci_config 3_000,
}
