//! A name that stands for images of several platforms: one of them has the name, the others are kept with it.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};

use jiff::Timestamp;

use super::state::{ImageRecord, IndexMember, IndexRecord, State};
use crate::digest::ImageId;
use crate::manifest::Descriptor;

/// The index that an image was chosen from, and what it is called.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The name with the index's digest.
    pub name: String,
    pub index: Descriptor,
}

impl ImageRecord {
    fn is_called(&self, name: &str) -> bool {
        self.names.contains(name) || self.digests.contains(name)
    }

    fn is_nameless(&self) -> bool {
        self.names.is_empty() && self.digests.is_empty()
    }
}

impl State {
    /// The index that a name (with tag or digest) stands for as well, if there is one.
    pub(crate) fn index(&self, name: &str) -> Option<&IndexRecord> {
        let index = self.indexes.get(name)?;
        self.images.get(&index.primary).filter(|image| image.is_called(name)).map(|_| index)
    }

    /// The images that are here only as further platforms of a name: nobody else's, and no leftovers either.
    pub(crate) fn further(&self) -> HashSet<&ImageId> {
        self.indexes
            .keys()
            .filter_map(|name| self.index(name))
            .flat_map(|index| index.members.iter().map(|member| &member.id))
            .filter(|id| self.images.get(*id).is_some_and(ImageRecord::is_nameless))
            .collect()
    }

    /// An image's record as an index keeps it.
    fn member(&self, id: &ImageId) -> Option<IndexMember> {
        let record = self.images.get(id)?;
        Some(IndexMember { id: id.clone(), manifest: record.manifest.clone(), chain: record.chain.clone() })
    }

    /// Gives an image a name that may have been another's. An image of the index that the name stood for before joins
    /// the images that are here of it; the name is then that one's which `rank` puts highest.
    pub(crate) fn give(&mut self, id: &ImageId, name: &str, origin: Option<&Origin>, rank: impl Fn(&ImageId) -> u32) {
        let holder = self.images.iter().find(|(_, record)| record.is_called(name)).map(|(holder, _)| holder.clone());
        let same = holder.as_ref().zip(origin).is_some_and(|(holder, origin)| match self.index(name) {
            Some(known) => known.descriptor.digest == origin.index.digest,
            None => self.images[holder].is_called(&origin.name),
        });
        let known = if same { self.index(name).cloned() } else { None };
        let mut members = match (&known, &holder) {
            (Some(known), _) => known.members.clone(),
            (None, Some(holder)) if same => self.member(holder).into_iter().collect(),
            _ => Vec::new(),
        };
        if !members.iter().any(|member| member.id == *id) {
            members.extend(self.member(id));
        }
        // The first of equals: what was there before.
        let best = members.iter().map(|member| rank(&member.id)).max();
        let primary = members.iter().find(|member| Some(rank(&member.id)) == best).map_or(id, |member| &member.id);
        let primary = primary.clone();
        self.call(&primary, name);
        match (known, origin) {
            (Some(known), _) => drop(self.indexes.insert(name.to_owned(), IndexRecord { primary, members, ..known })),
            (None, Some(origin)) if members.len() > 1 => {
                let descriptor = origin.index.clone();
                let record = IndexRecord { descriptor, primary, members, extra: Vec::new(), unsynced: None };
                self.indexes.insert(name.to_owned(), record);
            }
            _ => drop(self.indexes.remove(name)),
        }
    }

    /// Calls an image so, and no other.
    pub(crate) fn call(&mut self, id: &ImageId, name: &str) {
        for (_, other) in self.images.iter_mut().filter(|(other, _)| *other != id) {
            other.names.remove(name);
            other.digests.remove(name);
        }
        let Some(record) = self.images.get_mut(id) else { return };
        if name.contains('@') {
            record.digests.insert(name.to_owned());
        } else if record.names.insert(name.to_owned()) {
            record.last_tagged = Some(Timestamp::now());
        }
    }

    /// Takes names from their indexes. Returns the images that were further platforms of these and are nobody's now.
    pub(crate) fn forget_indexes<'n>(&mut self, names: impl IntoIterator<Item = &'n String>) -> BTreeSet<ImageId> {
        let gone: Vec<IndexRecord> = names.into_iter().filter_map(|name| self.indexes.remove(name)).collect();
        let further = self.further();
        gone.into_iter()
            .flat_map(|index| index.members)
            .map(|member| member.id)
            .filter(|id| self.images.get(id).is_some_and(ImageRecord::is_nameless) && !further.contains(id))
            .collect()
    }

    /// Takes images out of every index; the names of those that had one are given to the best of what is left.
    pub(crate) fn leave_indexes(&mut self, gone: &[ImageId], rank: impl Fn(&ImageId) -> u32) {
        let mut moved = Vec::new();
        for (name, index) in &mut self.indexes {
            index.members.retain(|member| !gone.contains(&member.id));
            if gone.contains(&index.primary)
                && let Some(next) = index.members.iter().min_by_key(|member| Reverse(rank(&member.id)))
            {
                index.primary = next.id.clone();
                moved.push((name.clone(), next.id.clone()));
            }
        }
        for (name, id) in moved {
            self.call(&id, &name);
        }
        self.indexes.retain(|_, index| index.members.len() > 1 || !index.extra.is_empty() && !index.members.is_empty());
    }

    /// Records of earlier programs kept further platforms in the index alone.
    pub(super) fn record_members(&mut self) {
        let State { images, indexes, .. } = self;
        for index in indexes.values() {
            for member in &index.members {
                images.entry(member.id.clone()).or_insert_with(|| ImageRecord {
                    manifest: member.manifest.clone(),
                    chain: member.chain.clone(),
                    names: BTreeSet::new(),
                    digests: BTreeSet::new(),
                    parent: None,
                    last_tagged: None,
                    unsynced: index.unsynced.clone(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn state(images: &[&str]) -> State {
        let mut state = State::default();
        for image in images {
            let manifest = Descriptor::new("m", Digest::of(format!("manifest of {image}").as_bytes()), 1);
            let record = ImageRecord {
                manifest,
                chain: Vec::new(),
                names: BTreeSet::new(),
                digests: BTreeSet::new(),
                parent: None,
                last_tagged: None,
                unsynced: None,
            };
            state.images.insert(id(image), record);
        }
        state
    }

    fn id(image: &str) -> ImageId {
        Digest::of(image.as_bytes())
    }

    fn origin(text: &str) -> Origin {
        let digest = Digest::of(text.as_bytes());
        Origin { name: format!("r/a@{digest}"), index: Descriptor::new("index", digest, 1) }
    }

    /// The host runs `b`.
    fn rank(image: &ImageId) -> u32 {
        u32::from(*image == id("b"))
    }

    fn pull(state: &mut State, image: &str, origin: &Origin) {
        for name in ["r/a:1", &origin.name] {
            state.give(&id(image), name, Some(origin), rank);
        }
    }

    #[test]
    fn platforms_of_one_index_share_a_name() {
        let mut state = state(&["a", "b", "c"]);
        let first = origin("first");
        pull(&mut state, "a", &first);
        assert!(state.indexes.is_empty() && state.images[&id("a")].names.contains("r/a:1"));
        pull(&mut state, "b", &first);
        pull(&mut state, "c", &first);
        pull(&mut state, "a", &first);
        for name in ["r/a:1", &first.name] {
            let index = state.index(name).unwrap();
            assert_eq!((index.members.len(), &index.primary), (3, &id("b")), "{name}");
        }
        assert_eq!(state.further(), [&id("a"), &id("c")].into());
        // Without the one that had the names, another has them.
        state.images.remove(&id("b"));
        state.leave_indexes(&[id("b")], rank);
        let primary = state.index("r/a:1").unwrap().primary.clone();
        assert!(state.images[&primary].digests.contains(&first.name));
        assert_eq!(state.further().len(), 1);
    }

    #[test]
    fn what_another_index_brought_is_a_leftover() {
        let mut state = state(&["a", "b", "c"]);
        let (first, second) = (origin("first"), origin("second"));
        pull(&mut state, "a", &first);
        pull(&mut state, "b", &first);
        pull(&mut state, "c", &second);
        assert!(state.index("r/a:1").is_none() && state.images[&id("c")].names.contains("r/a:1"));
        // By its digest the first index is still here.
        assert_eq!(state.further(), [&id("a")].into());
        assert_eq!(state.forget_indexes([&first.name]), BTreeSet::from([id("a")]));
        assert!(state.further().is_empty());
    }
}
