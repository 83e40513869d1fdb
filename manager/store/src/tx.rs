//! A transaction: reads see its own writes, and nothing is real before it is committed.

use std::{collections::HashMap, ops::Deref, sync::Arc};

use hoist_proto::clock::Timestamp;

use crate::{Change, Index, Kind, Record, StoreError, Tables};

/// Handed to the closure of [`crate::Store::update`]. Reads go through [`Tables`], to which it derefs.
#[derive(Debug)]
pub struct Tx<'a> {
    tables: &'a mut Tables,
    /// In the order of their first write; `None` where a later one of the same record took over.
    changes: Vec<Option<Change>>,
    /// Where each record's last change is.
    last: HashMap<(Kind, String), usize>,
    now: Timestamp,
}

impl Deref for Tx<'_> {
    type Target = Tables;
    fn deref(&self) -> &Tables {
        self.tables
    }
}

impl<'a> Tx<'a> {
    pub(crate) fn new(tables: &'a mut Tables, now: Timestamp) -> Self {
        Self { tables, changes: Vec::new(), last: HashMap::new(), now }
    }

    pub(crate) fn into_changes(self) -> Vec<Change> {
        self.changes.into_iter().flatten().collect()
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
        // A record made in this very transaction still has version 0.
        if read != current {
            return Err(StoreError::Conflict { kind: T::KIND, id: record.id().to_string(), read, found: current });
        }
        if T::UNIQUE_NAME
            && let Some((_, name)) = record.keys().into_iter().find(|(index, _)| *index == Index::Name)
            && T::table(self.tables).by(Index::Name, name).any(|other| other.id() != record.id())
        {
            return Err(StoreError::NameTaken { kind: T::KIND, name: name.to_owned() });
        }
        let meta = record.meta_mut();
        meta.updated = self.now;
        match found {
            Some(found) => meta.created = found.created,
            None => meta.created = self.now,
        }
        let id = record.id().to_string();
        let record = Arc::new(record);
        T::table_mut(self.tables).insert(record.clone());
        self.record(T::KIND, &id, Change::Put { object: T::wrap(record) });
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
        if T::table_mut(self.tables).remove(id).is_none() {
            return Err(StoreError::NotFound { kind: T::KIND, id: id.to_string() });
        }
        let id = id.to_string();
        self.record(T::KIND, &id.clone(), Change::Remove { kind: T::KIND, id });
        Ok(())
    }

    /// Only the last change of a record is worth proposing.
    fn record(&mut self, kind: Kind, id: &str, change: Change) {
        if let Some(earlier) = self.last.insert((kind, id.to_owned()), self.changes.len()) {
            self.changes[earlier] = None;
        }
        self.changes.push(Some(change));
    }
}
