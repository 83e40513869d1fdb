//! A disk in memory, for logs whose machine loses its power.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redb::StorageBackend;

const SECTOR: usize = 512;

/// Keeps what was synced, and of the rest what chance decides. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Sectors that were written since the last sync.
    dirty: BTreeSet<usize>,
    full: bool,
    forgets: bool,
    /// After so many writes and syncs nothing is written any more.
    left: Option<u32>,
    open: u64,
}

impl Disk {
    /// The disk after a power cut: each sector that was not synced is old or new as `chance` says.
    pub fn after_power_cut(&self, chance: &mut dyn Iterator<Item = bool>) -> Self {
        let state = self.state();
        let mut is_new = || chance.next().unwrap_or_default();
        let mut bytes = state.synced.clone();
        if is_new() {
            bytes.resize(bytes.len().max(state.now.len()), 0);
        }
        for sector in &state.dirty {
            if is_new() {
                let (start, end) = (sector * SECTOR, ((sector + 1) * SECTOR).min(state.now.len()).min(bytes.len()));
                if start < end {
                    bytes[start..end].copy_from_slice(&state.now[start..end]);
                }
            }
        }
        let state = State { now: bytes.clone(), synced: bytes, forgets: state.forgets, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// From now on nothing can be written, or all can again.
    pub fn fill(&self, full: bool) {
        self.state().full = full;
    }

    /// After so many writes and syncs more it is as when the power has gone: nothing is written any more.
    pub fn break_after(&self, writes: u32) {
        self.state().left = Some(writes);
    }

    /// Whether nothing can be written now.
    pub fn fails(&self) -> bool {
        let state = self.state();
        state.full || state.left == Some(0)
    }

    /// From now on it says that it has synced, and has not: a disk that lies, by which a check shows that it can fail.
    pub fn forget(&self) {
        self.state().forgets = true;
    }

    /// For whoever opens it: only the last one who did may write. A machine that has lost its power writes nothing more.
    pub(crate) fn opened(&self) -> Opened {
        let mut state = self.state();
        state.open += 1;
        Opened { disk: self.clone(), number: state.open }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A disk as one program has it open.
#[derive(Debug)]
pub(crate) struct Opened {
    disk: Disk,
    number: u64,
}

impl Opened {
    fn to_write(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.disk.state();
        if state.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        match &mut state.left {
            Some(0) => return Err(io::ErrorKind::BrokenPipe.into()),
            Some(left) => *left -= 1,
            None => {}
        }
        if state.open != self.number {
            return Err(io::ErrorKind::StaleNetworkFileHandle.into());
        }
        Ok(state)
    }
}

impl StorageBackend for Opened {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.disk.state();
        let start = place(offset)?;
        let from = state.now.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.to_write()?.now.resize(place(len)?, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut guard = self.to_write()?;
        let state = &mut *guard;
        if state.forgets {
            return Ok(());
        }
        state.synced.resize(state.now.len(), 0);
        for sector in std::mem::take(&mut state.dirty) {
            let (start, end) = (sector * SECTOR, ((sector + 1) * SECTOR).min(state.now.len()));
            if start < end {
                state.synced[start..end].copy_from_slice(&state.now[start..end]);
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.to_write()?;
        let (start, end) = (place(offset)?, place(offset)? + data.len());
        state.now.get_mut(start..end).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        state.dirty.extend(start / SECTOR..end.div_ceil(SECTOR));
        Ok(())
    }
}

fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}
