//! A transaction: reads see its own writes, and nothing is real before it is committed.

use std::{collections::HashMap, ops::Deref, sync::Arc};

use hoist_proto::clock::Timestamp;

use crate::{Change, Index, Kind, Object, Record, StoreError, Tables};

/// Handed to the closure of [`crate::Store::update`]. Reads go through [`Tables`], to which it derefs.
#[derive(Debug)]
pub struct Tx<'a> {
    tables: &'a mut Tables,
    /// In the order of their first write; `None` where a later one of the same record took over.
    changes: Vec<Option<Change>>,
    touched: HashMap<Key, Touched>,
    now: Timestamp,
    /// The version of what it writes until the commit gives the real one.
    provisional: u64,
}

pub(crate) type Key = (Kind, String);

/// What a transaction remembers of a record that it writes.
#[derive(Debug)]
struct Touched {
    /// As it was before; `None` when it was not there.
    before: Option<Object>,
    /// The version that whoever read it before the transaction has of it; 0 when it was not there.
    version: u64,
    /// Where its last change is.
    change: usize,
}

impl Deref for Tx<'_> {
    type Target = Tables;
    fn deref(&self) -> &Tables {
        self.tables
    }
}

/// Takes back what it wrote, unless it came to its end.
impl Drop for Tx<'_> {
    fn drop(&mut self) {
        for ((kind, id), touched) in std::mem::take(&mut self.touched) {
            match touched.before {
                Some(object) => drop(self.tables.insert(object)),
                None => drop(self.tables.remove(kind, &id)),
            }
        }
    }
}

impl<'a> Tx<'a> {
    pub(crate) fn new(tables: &'a mut Tables, now: Timestamp, provisional: u64) -> Self {
        Self { tables, changes: Vec::new(), touched: HashMap::new(), now, provisional }
    }

    /// What it asks for, which stays.
    pub(crate) fn into_changes(mut self) -> Vec<Change> {
        self.touched.clear();
        std::mem::take(&mut self.changes).into_iter().flatten().collect()
    }

    /// The moment that the transaction's writes carry.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether nothing has been written.
    pub fn is_clean(&self) -> bool {
        self.changes.is_empty()
    }

    /// Writes a record: a new one when its version is 0, else over the version that it was read at.
    pub fn put<T: Record>(&mut self, mut record: T) -> Result<(), StoreError> {
        let found = self.tables.get::<T>(record.id()).map(|record| record.meta().clone());
        let read = record.meta().version;
        let current = found.as_ref().map_or(0, |meta| meta.version);
        // What was read before this very transaction wrote it is no older than what it wrote.
        let own = || self.touched.get(&(T::KIND, record.id().to_string())).is_some_and(|t| t.version == read);
        if read != current && !own() {
            return Err(StoreError::Conflict { kind: T::KIND, id: record.id().to_string(), read, found: current });
        }
        if T::UNIQUE_NAME
            && let Some((_, name)) = record.keys().into_iter().find(|(index, _)| *index == Index::Name)
            && T::table(self.tables).by(Index::Name, name).any(|other| other.id() != record.id())
        {
            return Err(StoreError::NameTaken { kind: T::KIND, name: name.to_owned() });
        }
        let meta = record.meta_mut();
        meta.version = self.provisional;
        meta.updated = self.now;
        match found {
            Some(found) => meta.created = found.created,
            None => meta.created = self.now,
        }
        let id = record.id().to_string();
        let record = Arc::new(record);
        let before = T::table_mut(self.tables).insert(record.clone());
        let protocol = self.tables.protocol();
        self.record::<T>(id, before, |before| Change::put(T::wrap(record), before, protocol));
        Ok(())
    }

    /// Changes the record of that id.
    pub fn modify<T: Record>(&mut self, id: &T::Id, change: impl FnOnce(&mut T)) -> Result<(), StoreError> {
        let Some(record) = self.tables.get::<T>(id) else {
            return Err(StoreError::NotFound { kind: T::KIND, id: id.to_string() });
        };
        let mut record = T::clone(record);
        change(&mut record);
        self.put(record)
    }

    /// Removes the record of that id.
    pub fn remove<T: Record>(&mut self, id: &T::Id) -> Result<(), StoreError> {
        let Some(before) = T::table_mut(self.tables).remove(id) else {
            return Err(StoreError::NotFound { kind: T::KIND, id: id.to_string() });
        };
        let id = id.to_string();
        self.record::<T>(id.clone(), Some(before), |_| Change::Remove { kind: T::KIND, id });
        Ok(())
    }

    /// Only the last change of a record is worth proposing.
    fn record<T: Record>(
        &mut self,
        id: String,
        before: Option<Arc<T>>,
        change: impl FnOnce(Option<&Object>) -> Change,
    ) {
        let at = self.changes.len();
        let touched = self.touched.entry((T::KIND, id)).or_insert_with(|| Touched {
            version: before.as_ref().map_or(0, |record| record.meta().version),
            before: before.map(T::wrap),
            change: at,
        });
        if touched.change != at {
            self.changes[touched.change] = None;
            touched.change = at;
        }
        self.changes.push(Some(change(touched.before.as_ref())));
    }
}
