//! Finding images: by name, digest or id; lists and histories.

use std::collections::HashMap;
use std::sync::Arc;

use super::{HistoryEntry, Image, ImageSummary, Images, ListFilter};
use crate::config::ImageConfig;
use crate::digest::{Digest, ImageId};
use crate::error::Error;
use crate::reference::Reference;
use crate::store::State;

/// What a text stands for.
pub(super) enum Found {
    /// A name; it is the normalised one that the record has.
    Name(ImageId, String),
    /// An id, or the beginning of one.
    Id(ImageId),
}

impl Found {
    pub(super) fn id(&self) -> &ImageId {
        match self {
            Found::Name(id, _) | Found::Id(id) => id,
        }
    }
}

/// Finds an image as Docker does: a whole id, then a name, then the beginning of an id.
pub(super) fn find(state: &State, text: &str) -> Result<Found, Error> {
    if let Ok(id) = text.parse::<Digest>()
        && state.images.contains_key(&id)
    {
        return Ok(Found::Id(id));
    }
    if let Ok(reference) = Reference::parse(text)
        && let Some(found) = find_name(state, &reference)
    {
        return Ok(found);
    }
    let prefix = text.strip_prefix("sha256:").unwrap_or(text);
    if !prefix.is_empty() && prefix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        let fits: Vec<&ImageId> = state.images.keys().filter(|id| id.hex().starts_with(prefix)).collect();
        match fits[..] {
            [id] => return Ok(Found::Id(id.clone())),
            [] => {}
            _ => return Err(Error::Ambiguous(text.to_owned(), fits.len())),
        }
    }
    let shown = Reference::parse(text).map_or_else(|_| text.to_owned(), |r| r.with_default_tag().familiar());
    Err(Error::NotFound(shown))
}

/// Finds the image that has this name.
pub(super) fn find_name(state: &State, reference: &Reference) -> Option<Found> {
    let by_digest = reference.digest().map(|digest| reference.with_digest(digest.clone()).to_string());
    let by_tag = reference.clone().with_default_tag().to_string();
    state.images.iter().find_map(|(id, record)| {
        let name = match &by_digest {
            Some(name) => record.digests.get(name),
            None => record.names.get(&by_tag),
        };
        name.map(|name| Found::Name(id.clone(), name.clone()))
    })
}

pub(super) fn familiar(name: &str) -> String {
    Reference::parse(name).map_or_else(|_| name.to_owned(), |r| r.familiar())
}

impl Images {
    /// Finds an image by name, name and digest, id or the beginning of an id.
    pub async fn get(&self, name_or_id: &str) -> Result<Image, Error> {
        let state = self.inner.state.view();
        let found = find(&state, name_or_id)?;
        self.image(&state, found.id())
    }

    /// What is here of an image's names, each platform for itself.
    pub async fn variants_of(&self, id: &ImageId) -> Result<Vec<super::Variant>, Error> {
        self.variants(&self.inner.state.view(), id)
    }

    /// The image of a record.
    pub(super) fn image(&self, state: &State, id: &ImageId) -> Result<Image, Error> {
        let record = state.images.get(id).ok_or_else(|| Error::NotFound(id.to_string()))?;
        let config = ImageConfig::clone(&*self.config(id)?);
        let layers: Vec<_> = record.chain.iter().filter_map(|c| state.layers.get(c)).collect();
        if layers.len() != record.chain.len() {
            return Err(Error::invalid(format!("image {id}"), "lacks a layer"));
        }
        Ok(Image {
            id: id.clone(),
            repo_tags: record.names.iter().map(|n| familiar(n)).collect(),
            repo_digests: record.digests.iter().map(|n| familiar(n)).collect(),
            created: config.created_at(),
            size: layers.iter().map(|l| l.size).sum(),
            layers: config.rootfs.diff_ids.clone(),
            manifest: record.manifest.clone(),
            last_tagged: record.last_tagged,
            parent: record.parent.clone(),
            layer_dirs: layers.iter().rev().map(|l| self.inner.dirs.layer(&l.dir)).collect(),
            config,
        })
    }

    /// Lists images, newest first.
    pub async fn list(&self, filter: &ListFilter) -> Result<Vec<ImageSummary>, Error> {
        let state = self.inner.state.view();
        let created = |text: &Option<String>| -> Result<Option<jiff::Timestamp>, Error> {
            let Some(text) = text else { return Ok(None) };
            let config = self.config(find(&state, text)?.id())?;
            Ok(Some(config.created_at().unwrap_or_default()))
        };
        let (before, since) = (created(&filter.before)?, created(&filter.since)?);
        let mut users: HashMap<&Digest, usize> = HashMap::new();
        for chain in state.images.values().flat_map(|i| &i.chain) {
            *users.entry(chain).or_default() += 1;
        }
        let mut list = Vec::new();
        let further = state.further();
        for (id, record) in state.images.iter().filter(|(id, _)| !further.contains(id)) {
            let config = self.config(id)?;
            let made = config.created_at();
            let time = made.unwrap_or_default();
            let in_time = before.is_none_or(|b| time < b)
                && since.is_none_or(|s| time > s)
                && filter.until.is_none_or(|u| time < u);
            let dangling = record.names.is_empty();
            // Of an image with several names, those are listed that were asked for.
            let asked = |name: &&String| matches_reference(name, &filter.reference);
            let names: Vec<String> = record.names.iter().filter(asked).map(|n| familiar(n)).collect();
            let digests: Vec<String> = record.digests.iter().filter(asked).map(|n| familiar(n)).collect();
            if !in_time
                || filter.dangling.is_some_and(|d| d != dangling)
                || !filter.label.iter().all(|l| has_label(&config, l))
                || !(filter.reference.is_empty() || !names.is_empty() || !digests.is_empty())
            {
                continue;
            }
            let size = |only_shared: bool| -> u64 {
                let chain = record.chain.iter().filter(|c| !only_shared || users.get(c).is_some_and(|n| *n > 1));
                chain.filter_map(|c| state.layers.get(c)).map(|l| l.size).sum()
            };
            list.push(ImageSummary {
                id: id.clone(),
                repo_tags: names,
                repo_digests: digests,
                created: made,
                size: size(false),
                shared_size: size(true),
                parent: record.parent.clone(),
                labels: config.config.labels.clone(),
                variants: self.variants(&state, id)?,
            });
        }
        list.sort_by(|a, b| {
            b.created.cmp(&a.created).then_with(|| a.repo_tags.cmp(&b.repo_tags)).then_with(|| a.id.cmp(&b.id))
        });
        Ok(list)
    }

    /// How an image came to be, newest first.
    pub async fn history(&self, name_or_id: &str) -> Result<Vec<HistoryEntry>, Error> {
        let state = self.inner.state.view();
        let found = find(&state, name_or_id)?;
        let config: Arc<ImageConfig> = self.config(found.id())?;
        let record = &state.images[found.id()];
        let mut sizes = record.chain.iter().filter_map(|c| state.layers.get(c)).map(|l| l.size);
        let mut entries: Vec<HistoryEntry> = config
            .history
            .iter()
            .map(|step| HistoryEntry {
                id: None,
                created: step.created.as_deref().and_then(|c| c.parse().ok()),
                created_by: step.created_by.clone(),
                tags: Vec::new(),
                size: if step.empty_layer { 0 } else { sizes.next().unwrap_or(0) },
                comment: step.comment.clone(),
            })
            .collect();
        // Layers that the history does not mention.
        entries.extend(sizes.map(|size| HistoryEntry {
            id: None,
            created: config.created_at(),
            created_by: String::new(),
            tags: Vec::new(),
            size,
            comment: String::new(),
        }));
        entries.reverse();
        if let Some(newest) = entries.first_mut() {
            newest.id = Some(found.id().clone());
            newest.tags = record.names.iter().map(|n| familiar(n)).collect();
        }
        Ok(entries)
    }
}

/// `key`, or `key=value`.
pub(super) fn has_label(config: &ImageConfig, label: &str) -> bool {
    match label.split_once('=') {
        Some((key, value)) => config.config.labels.get(key).is_some_and(|v| v == value),
        None => config.config.labels.contains_key(label),
    }
}

fn matches_reference(name: &str, patterns: &[String]) -> bool {
    patterns.is_empty()
        || Reference::parse(name).is_ok_and(|reference| {
            let whole = reference.familiar();
            let name = reference.familiar_name();
            patterns.iter().any(|p| glob(p, &whole) || glob(p, &name))
        })
}

/// Shell patterns as in Go's `path.Match`: `*` and `?` do not match `/`, `[…]` is a set.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p + 1, t));
            p += 1;
            continue;
        }
        if t == text.len() {
            return p == pattern.len();
        }
        if let Some(next) = one(&pattern[p..], text[t]) {
            (p, t) = (p + next, t + 1);
            continue;
        }
        match star {
            Some((after, at)) if text[at] != '/' => {
                star = Some((after, at + 1));
                (p, t) = (after, at + 1);
            }
            _ => return false,
        }
    }
}

/// Matches one character; returns how much of the pattern that took.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => (c != '/').then_some(1),
        '\\' => (pattern.get(1) == Some(&c)).then_some(2),
        '[' => {
            let end = 1 + pattern[1..].iter().position(|p| *p == ']')?;
            let (negated, set) = match pattern[1..end].split_first() {
                Some(('^' | '!', rest)) => (true, rest),
                _ => (false, &pattern[1..end]),
            };
            let mut hit = false;
            let mut i = 0;
            while i < set.len() {
                if i + 2 < set.len() && set[i + 1] == '-' {
                    hit |= (set[i]..=set[i + 2]).contains(&c);
                    i += 3;
                } else {
                    hit |= set[i] == c;
                    i += 1;
                }
            }
            (hit != negated && c != '/').then_some(end + 1)
        }
        other => (*other == c).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::glob;
    use proptest::prelude::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("busybox", "busybox", true),
            ("busy*", "busybox:1", true),
            ("*:1.*", "busybox:1.36", true),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("b?[a-s]y", "busy", true),
            ("[^b]*", "busy", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("", "", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(pattern in "[a*?\\[\\]\\\\^/-]{0,12}", text in "[ab/]{0,12}") {
            glob(&pattern, &text);
        }
    }
}
