use proptest::prelude::*;
use raft::eraftpb::{Entry, HardState};

use super::{Log, Position, Write};
use crate::{Begin, Disk, LogError};

fn entry(index: u64, term: u64, data: &[u8]) -> Entry {
    Entry { index, term, data: data.to_vec().into(), ..Entry::default() }
}

fn hard(term: u64, commit: u64) -> HardState {
    HardState { term, commit, ..HardState::default() }
}

#[test]
fn what_was_written_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), Begin::Alone).unwrap();
    assert_eq!(log.conf.voters, [1]);
    log.write(&Write { entries: &[entry(1, 1, b"a"), entry(2, 1, b"b")], hard: Some(&hard(1, 1)), ..Write::default() })
        .unwrap();
    // A new leader's entry replaces what was not committed.
    log.write(&Write { entries: &[entry(2, 2, b"c")], hard: Some(&hard(2, 2)), ..Write::default() }).unwrap();
    drop(log);
    let log = Log::open(dir.path(), Begin::Alone).unwrap();
    let data: Vec<_> = log.entries.iter().map(|e| (e.index, e.term, e.data.to_vec())).collect();
    assert_eq!(data, [(1, 1, b"a".to_vec()), (2, 2, b"c".to_vec())]);
    assert_eq!((log.hard.term, log.hard.commit), (2, 2));
}

#[test]
fn a_compacted_log_begins_where_it_was_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), Begin::Alone).unwrap();
    let entries: Vec<_> = (1..=10).map(|n| entry(n, 1, b"x")).collect();
    log.write(&Write { entries: &entries, hard: Some(&hard(1, 10)), ..Write::default() }).unwrap();
    let mut snapshot = raft::eraftpb::Snapshot::default();
    snapshot.set_data(b"tables".to_vec().into());
    snapshot.mut_metadata().index = 9;
    snapshot.mut_metadata().term = 1;
    log.compact(&snapshot, Position { index: 6, term: 1 }).unwrap();
    drop(log);
    let log = Log::open(dir.path(), Begin::Alone).unwrap();
    assert_eq!(log.entries.iter().map(|e| e.index).collect::<Vec<_>>(), [7, 8, 9, 10]);
    assert_eq!(log.term_at(6).unwrap(), 1);
    assert!(log.term_at(5).is_err());
    assert_eq!(log.read_snapshot().unwrap().get_data(), b"tables");
}

#[test]
fn a_second_daemon_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _log = Log::open(dir.path(), Begin::Alone).unwrap();
    let err = Log::open(dir.path(), Begin::Alone).unwrap_err();
    assert!(matches!(err, LogError::InUse { .. }), "{err}");
}

/// No secret of an entry is on the disk in the clear.
#[test]
fn records_at_rest_are_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), Begin::Alone).unwrap();
    log.write(&Write { entries: &[entry(1, 1, b"correct horse battery")], ..Write::default() }).unwrap();
    drop(log);
    let bytes = fs_err::read(dir.path().join("log.redb")).unwrap();
    assert!(!bytes.windows(13).any(|w| w == b"correct horse"));
}

/// Whatever part of the file is changed or cut off, the answer is a named error or an older state,
/// never a panic and never a wrong entry.
#[test]
fn damage_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), Begin::Alone).unwrap();
    for n in 1..=40 {
        log.write(&Write { entries: &[entry(n, 1, &[n as u8; 600])], hard: Some(&hard(1, n)), ..Write::default() })
            .unwrap();
    }
    drop(log);
    let path = dir.path().join("log.redb");
    let whole = fs_err::read(&path).unwrap();
    let mut refused = 0;
    for at in (0..whole.len()).step_by(whole.len() / 150) {
        for cut in [true, false] {
            let mut bytes = whole.clone();
            if cut {
                bytes.truncate(at);
            } else {
                for byte in bytes.iter_mut().skip(at).take(64) {
                    *byte ^= 0x5a;
                }
            }
            let copy = tempfile::tempdir().unwrap();
            fs_err::copy(dir.path().join("key"), copy.path().join("key")).unwrap();
            fs_err::write(copy.path().join("log.redb"), &bytes).unwrap();
            match std::panic::catch_unwind(|| Log::open(copy.path(), Begin::Alone)) {
                Ok(Ok(log)) => {
                    for (offset, e) in log.entries.iter().enumerate() {
                        assert_eq!(e.index, offset as u64 + 1);
                        assert_eq!(e.data.to_vec(), vec![e.index as u8; 600], "entry {} after damage at {at}", e.index);
                    }
                }
                Ok(Err(err)) => {
                    refused += 1;
                    assert!(err.to_string().contains("log.redb"), "{err}");
                }
                Err(_) => panic!("opening panicked after damage at {at} (cut: {cut})"),
            }
        }
    }
    assert!(refused > 20, "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// A power cut at any moment, with any part of the unsynced writes gone, loses nothing that was
    /// acknowledged and invents nothing.
    #[test]
    fn a_power_cut_loses_nothing_acknowledged(
        before in 1..30_u64,
        size in 1..3000_usize,
        chance in proptest::collection::vec(any::<bool>(), 1..64),
    ) {
        let disk = Disk::default();
        let mut log = Log::on(&disk, Begin::Alone).unwrap();
        for n in 1..=before {
            let e = [entry(n, 1, &vec![n as u8; size])];
            log.write(&Write { entries: &e, hard: Some(&hard(1, n)), ..Write::default() }).unwrap();
        }
        // The cut comes while the next write has been handed to the disk and not been synced.
        let txn = log.begin().unwrap();
        {
            let mut table = txn.open_table(super::ENTRIES).unwrap();
            table.insert(before + 1, log.seal.seal(&super::entry_place(before + 1), b"unfinished").as_slice()).unwrap();
        }
        let broken = disk.after_power_cut(&mut chance.iter().copied().cycle());
        drop(txn);
        let again = Log::on(&broken, Begin::Alone).unwrap();
        prop_assert_eq!(again.entries.len() as u64, before);
        for e in &again.entries {
            prop_assert_eq!(e.data.to_vec(), vec![e.index as u8; size]);
        }
    }
}
