//! Names come and go: tag, remove, prune.

use std::collections::BTreeSet;

use super::lookup::{Found, familiar, find, has_label};
use super::{ContainerUse, Images, PruneOptions, PruneReport, RemoveOptions, Removed};
use crate::digest::ImageId;
use crate::error::Error;
use crate::reference::Reference;
use crate::store::State;

impl Images {
    /// Gives an image another name; the name may have been another image's.
    pub async fn tag(&self, source: &str, target: &Reference) -> Result<(), Error> {
        if target.digest().is_some() {
            return Err(Error::invalid(target.familiar(), "cannot be given as a name: it has a digest"));
        }
        let name = target.clone().with_default_tag().to_string();
        self.inner
            .state
            .update(|state| {
                let found = find(state, source)?;
                let id = found.id().clone();
                // With an image's other name goes the index that it stands for there.
                let index = match &found {
                    Found::Name(_, source) => state.index(source).cloned(),
                    Found::Id(_) => None,
                };
                match index {
                    Some(index) => drop(state.indexes.insert(name.clone(), index)),
                    None => drop(state.indexes.remove(&name)),
                }
                state.call(&id, &name);
                Ok(())
            })
            .await
    }

    /// Takes a name away, and the image with its last one. By id all names go, if nothing stands against it.
    pub async fn remove(&self, name_or_id: &str, options: RemoveOptions) -> Result<Vec<Removed>, Error> {
        let removed = self
            .inner
            .state
            .update(|state| {
                let found = find(state, name_or_id)?;
                let all = self.of_platforms(state, name_or_id, &found, &[])?;
                let chosen = self.of_platforms(state, name_or_id, &found, &options.platforms)?;
                if chosen.len() == all.len() {
                    remove(state, name_or_id, &options)
                } else {
                    remove_platforms(state, &chosen, &options, |id| self.rank(id))
                }
            })
            .await?;
        if removed.iter().any(|r| matches!(r, Removed::Deleted(_))) {
            self.collect().await?;
        }
        Ok(removed)
    }

    /// Removes images that nobody needs.
    pub async fn prune(&self, options: PruneOptions) -> Result<PruneReport, Error> {
        let state = self.inner.state.view();
        let mut doomed = Vec::new();
        let further = state.further();
        for (id, record) in state.images.iter().filter(|(id, _)| !further.contains(id)) {
            let config = self.config(id)?;
            let family = family(&state, &record.names);
            let used = options.used_by.iter().any(|u| u.image == *id || family.contains(&u.image));
            let wanted = options.label.iter().all(|l| has_label(&config, l))
                && !options.label_not.iter().any(|l| has_label(&config, l));
            let old = options.until.is_none_or(|until| config.created_at().unwrap_or_default() < until);
            if !used && wanted && old && (options.all || record.names.is_empty()) {
                doomed.push(id.clone());
            }
        }
        let removed = self
            .inner
            .state
            .update(|state| {
                let mut removed = Vec::new();
                // Children first: an image that others were committed from stays while they do.
                loop {
                    let before = doomed.len();
                    doomed.retain(|id| {
                        let Some(record) = state.images.get(id) else { return false };
                        if state.images.values().any(|i| i.parent.as_ref() == Some(id))
                            || (!options.all && !record.names.is_empty())
                        {
                            return true;
                        }
                        let names: Vec<String> = record.names.iter().chain(&record.digests).cloned().collect();
                        removed.extend(names.iter().map(|name| untagged(name, id)));
                        removed.extend(delete(state, id));
                        drop_further(state, &names, &options.used_by, &mut removed);
                        false
                    });
                    if doomed.len() == before {
                        return Ok(removed);
                    }
                }
            })
            .await?;
        let reclaimed = self.collect().await? + self.collect_partials();
        Ok(PruneReport { removed, reclaimed })
    }
}

/// Decides and does, in Docker's order: what stands against it is found before anything changes.
fn remove(state: &mut State, text: &str, options: &RemoveOptions) -> Result<Vec<Removed>, Error> {
    let found = find(state, text)?;
    let id = found.id().clone();
    let users: Vec<&ContainerUse> = options.used_by.iter().filter(|u| u.image == id).collect();
    let record = state.images.get(&id).ok_or_else(|| Error::NotFound(text.to_owned()))?;
    let mut removed = Vec::new();
    let mut gone: Vec<String> = Vec::new();
    match &found {
        Found::Name(_, name) => {
            let family = family(state, [name]);
            let last = if name.contains('@') {
                record.names.is_empty() && record.digests.len() == 1
            } else {
                record.names.len() == 1
            };
            if last {
                let users: Vec<&ContainerUse> =
                    options.used_by.iter().filter(|u| u.image == id || family.contains(&u.image)).collect();
                refuse_in_use(&users, options.force, |user| {
                    format!(
                        "unable to remove repository reference {:?} (must force) - container {} is using its referenced image {}",
                        familiar(name),
                        short(&user.container),
                        id.short()
                    )
                })?;
            }
            let repository = repository_of(name);
            let record = state.images.get_mut(&id).ok_or_else(|| Error::NotFound(text.to_owned()))?;
            record.names.remove(name);
            record.digests.remove(name);
            removed.push(untagged(name, &id));
            gone.push(name.clone());
            // With a repository's last tag its digests go too.
            if !record.names.iter().any(|n| repository_of(n) == repository) && !name.contains('@') {
                let digests: Vec<String> =
                    record.digests.iter().filter(|d| repository_of(d) == repository).cloned().collect();
                for digest in digests {
                    record.digests.remove(&digest);
                    removed.push(untagged(&digest, &id));
                    gone.push(digest);
                }
            }
            if !(record.names.is_empty() && record.digests.is_empty()) {
                drop_further(state, &gone, &options.used_by, &mut removed);
                return Ok(removed);
            }
        }
        Found::Id(_) => {
            let repositories: std::collections::BTreeSet<&str> =
                record.names.iter().map(|n| repository_of(n)).collect();
            if repositories.len() > 1 && !options.force {
                return Err(Error::InUse(format!(
                    "unable to delete {} (must be forced) - image is referenced in multiple repositories",
                    id.short()
                )));
            }
            if let Some(user) = users.iter().find(|u| u.running) {
                return Err(Error::InUse(format!(
                    "unable to delete {} (cannot be forced) - image is being used by running container {}",
                    id.short(),
                    short(&user.container)
                )));
            }
            refuse_in_use(&users, options.force, |user| {
                format!(
                    "unable to delete {} (must be forced) - image is being used by stopped container {}",
                    id.short(),
                    short(&user.container)
                )
            })?;
            if state.images.values().any(|i| i.parent.as_ref() == Some(&id)) && !options.force {
                return Err(Error::InUse(format!(
                    "unable to delete {} (cannot be forced) - image has dependent child images",
                    id.short()
                )));
            }
            gone.extend(record.names.iter().chain(&record.digests).cloned());
            removed.extend(gone.iter().map(|name| untagged(name, &id)));
        }
    }
    if state.images.values().any(|i| i.parent.as_ref() == Some(&id)) || users.iter().any(|u| u.running) {
        // Nameless, but still needed.
        if let Some(record) = state.images.get_mut(&id) {
            record.names.clear();
            record.digests.clear();
        }
        drop_further(state, &gone, &options.used_by, &mut removed);
        return Ok(removed);
    }
    let parent = state.images.get(&id).and_then(|i| i.parent.clone());
    if matches!(found, Found::Name(..)) && state.further().contains(&id) {
        // Another name has it as one of its platforms.
        drop_further(state, &gone, &options.used_by, &mut removed);
        return Ok(removed);
    }
    removed.extend(delete(state, &id));
    drop_further(state, &gone, &options.used_by, &mut removed);
    state.leave_indexes(std::slice::from_ref(&id), |_| 0);
    if !options.no_prune {
        prune_parents(state, parent, &options.used_by, &mut removed);
    }
    Ok(removed)
}

/// Removes some of a name's platforms; a name that one of them had goes to the best of what is left.
fn remove_platforms(
    state: &mut State,
    chosen: &[ImageId],
    options: &RemoveOptions,
    rank: impl Fn(&ImageId) -> u32,
) -> Result<Vec<Removed>, Error> {
    for id in chosen {
        let users: Vec<&ContainerUse> = options.used_by.iter().filter(|u| u.image == *id).collect();
        let force = options.force && !users.iter().any(|user| user.running);
        refuse_in_use(&users, force, |user| {
            let must = if user.running { "cannot be forced" } else { "must be forced" };
            let by = if user.running { "running" } else { "stopped" };
            format!(
                "unable to delete {} ({must}) - image is being used by {by} container {}",
                id.short(),
                short(&user.container)
            )
        })?;
    }
    state.leave_indexes(chosen, rank);
    let mut removed = Vec::new();
    for id in chosen {
        let child = state.images.values().any(|i| i.parent.as_ref() == Some(id));
        // Another name may mean this image alone.
        if !child && state.images.get(id).is_some_and(|i| i.names.is_empty() && i.digests.is_empty()) {
            removed.extend(delete(state, id));
        }
    }
    Ok(removed)
}

/// The images that are here under these names.
fn family<'n>(state: &State, names: impl IntoIterator<Item = &'n String>) -> BTreeSet<ImageId> {
    let indexes = names.into_iter().filter_map(|name| state.index(name));
    indexes.flat_map(|index| &index.members).map(|member| member.id.clone()).collect()
}

/// Removes what was here only as further platforms of names that are gone, unless a container needs it.
fn drop_further(state: &mut State, gone: &[String], used_by: &[ContainerUse], removed: &mut Vec<Removed>) {
    for id in state.forget_indexes(gone) {
        let child = state.images.values().any(|i| i.parent.as_ref() == Some(&id));
        if !child && !used_by.iter().any(|user| user.image == id) {
            removed.extend(delete(state, &id));
        }
    }
}

fn refuse_in_use(users: &[&ContainerUse], force: bool, message: impl Fn(&ContainerUse) -> String) -> Result<(), Error> {
    match users.first() {
        Some(user) if !force => Err(Error::InUse(message(users.iter().find(|u| u.running).unwrap_or(user)))),
        _ => Ok(()),
    }
}

fn untagged(name: &str, image: &ImageId) -> Removed {
    Removed::Untagged { name: familiar(name), image: image.clone() }
}

/// Removes an image's record, and tells it with the layers that only this image had.
fn delete(state: &mut State, id: &ImageId) -> Vec<Removed> {
    let Some(record) = state.images.remove(id) else { return Vec::new() };
    let mut removed = vec![Removed::Deleted(id.to_string())];
    for chain in record.chain.iter().rev() {
        if !state.images.values().any(|i| i.chain.contains(chain)) {
            removed.push(Removed::Layer(chain.to_string()));
        }
    }
    removed
}

/// Nameless ancestors that nothing else needs go with their last descendant.
fn prune_parents(state: &mut State, mut next: Option<ImageId>, used_by: &[ContainerUse], removed: &mut Vec<Removed>) {
    while let Some(id) = next {
        let Some(record) = state.images.get(&id) else { return };
        let needed = !record.names.is_empty()
            || !record.digests.is_empty()
            || used_by.iter().any(|u| u.image == id)
            || state.images.values().any(|i| i.parent.as_ref() == Some(&id));
        if needed {
            return;
        }
        next = record.parent.clone();
        removed.extend(delete(state, &id));
    }
}

fn repository_of(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
