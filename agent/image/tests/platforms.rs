//! Several platforms under one name: pulled one after the other, saved, loaded, pushed, removed.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use hoist_image::{
    ContainerUse, Digest, Error, ListFilter, Platform, PruneOptions, PullOptions, PullPolicy, PushOptions, Reference,
    RemoveOptions, Removed, SaveFormat,
};
use support::{Registry, Store};

const OTHERS: [&str; 2] = ["linux/s390x", "linux/riscv64"];

/// This machine's platform, and two that it does not run.
fn all() -> [String; 3] {
    [Platform::host().to_string(), OTHERS[0].into(), OTHERS[1].into()]
}

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

struct Case {
    registry: Registry,
    store: Store,
    name: Reference,
    index: Digest,
}

impl Case {
    async fn new() -> Case {
        let registry = Registry::start();
        let kind = "application/vnd.oci.image.index.v1+json";
        let all = all();
        let platforms: Vec<&str> = all.iter().map(String::as_str).collect();
        let index = registry.publish_index("several", ("1", kind), &platforms).await;
        let name = registry.name("several:1");
        Case { store: Store::new().await, name, index, registry }
    }

    async fn pull(&self, wanted: &str, policy: PullPolicy) -> Result<hoist_image::Image, Error> {
        let options = PullOptions { platform: Some(platform(wanted)), policy, ..Default::default() };
        self.store.images.pull(&self.name, options, Arc::new(())).await
    }

    async fn save(&self, platforms: &[&str], format: SaveFormat) -> tokio::fs::File {
        let path = self.store.dir.path().join("saved.tar");
        let platforms: Vec<Platform> = platforms.iter().map(|text| platform(text)).collect();
        let file = tokio::fs::File::create(&path).await.unwrap();
        self.store.images.save(&[self.name.familiar()], &platforms, file, format).await.unwrap();
        tokio::fs::File::open(&path).await.unwrap()
    }

    /// What a store has under the name: the platform that it stands for, and all.
    async fn here(&self, store: &Store) -> (String, Vec<String>) {
        let list = store.images.list(&ListFilter::default()).await.unwrap();
        let [line] = list.as_slice() else { panic!("one line: {list:?}") };
        assert_eq!(line.repo_tags, [self.name.familiar()]);
        let first = store.images.get(&self.name.familiar()).await.unwrap();
        assert_eq!(first.id, line.id);
        let mut platforms: Vec<String> = line.variants.iter().map(|v| v.platform.to_string()).collect();
        platforms.sort();
        for wanted in &platforms {
            let image = store.images.get_for(&self.name.familiar(), Some(&platform(wanted))).await.unwrap();
            let text = fs_err::read_to_string(image.layer_dirs[0].join("platform")).unwrap();
            assert_eq!(text, *wanted);
        }
        (first.config.platform().to_string(), platforms)
    }
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_keeps_all_that_were_pulled() {
    let case = Case::new().await;
    let [host, second, third] = all();
    case.pull(&second, PullPolicy::Always).await.unwrap();
    assert_eq!(case.here(&case.store).await, (second.clone(), vec![second.clone()]));
    case.pull(&host, PullPolicy::Always).await.unwrap();
    assert_eq!(case.here(&case.store).await, (host.clone(), sorted(vec![host.clone(), second.clone()])));
    // What is here is not asked for again; what is not is missed.
    let image = case.pull(&second, PullPolicy::Never).await.unwrap();
    assert_eq!(image.config.platform().to_string(), second);
    assert!(matches!(case.pull(&third, PullPolicy::Never).await, Err(Error::NotFound(_))));
    let error = case.store.images.get_for(&case.name.familiar(), Some(&platform(&third))).await.unwrap_err();
    assert!(matches!(error, Error::NoPlatform { .. }), "{error}");
    // Only part of it can be pushed: an index of that. With all of it, it is the same index.
    let again = case.registry.name("again:1");
    let push = async |platform| {
        let options = PushOptions { platform, ..Default::default() };
        case.store.images.push(&again, options, Arc::new(())).await.unwrap().digest
    };
    case.store.images.tag(&case.name.familiar(), &again).await.unwrap();
    assert_ne!(push(None).await, case.index);
    let (_, platforms) = case.store.images.remote(&again, None).await.unwrap();
    assert_eq!(sorted(platforms.iter().map(ToString::to_string).collect()), sorted(vec![host.clone(), second.clone()]));
    case.pull(&third, PullPolicy::Always).await.unwrap();
    case.store.images.tag(&case.name.familiar(), &again).await.unwrap();
    assert_eq!(push(None).await, case.index);
    push(Some(platform(&second))).await;
    let (_, platforms) = case.store.images.remote(&again, None).await.unwrap();
    assert_eq!(platforms, [platform(&second)]);
    // A later start knows all of it.
    case.store.images.sync().await.unwrap();
    case.store.images.remove(&again.familiar(), RemoveOptions::default()).await.unwrap();
    let reopened = hoist_image::Images::open(case.store.dir.path(), Default::default()).await.unwrap();
    assert_eq!(reopened.list(&ListFilter::default()).await.unwrap()[0].variants.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_hold_all_or_those_that_were_asked_for() {
    let case = Case::new().await;
    let [host, second, third] = all();
    for wanted in [&second, &host, &third] {
        case.pull(wanted, PullPolicy::Always).await.unwrap();
    }
    for format in [SaveFormat::Docker, SaveFormat::Oci] {
        for (saved, loaded, here) in [
            (vec![], vec![], sorted(all().to_vec())),
            (vec![], vec![second.as_str()], vec![second.clone()]),
            (vec![second.as_str()], vec![], vec![second.clone()]),
            (vec![second.as_str(), third.as_str()], vec![], sorted(vec![second.clone(), third.clone()])),
        ] {
            let archive = case.save(&saved, format).await;
            let other = Store::new().await;
            let platforms = loaded.iter().map(|text| platform(text)).collect();
            let names = other.images.load(archive, platforms, Arc::new(())).await.unwrap();
            assert_eq!(names[0].names, [case.name.familiar()]);
            let (first, platforms) = case.here(&other).await;
            assert_eq!(platforms, here, "{format:?} {saved:?} {loaded:?}");
            assert_eq!(first, if here.contains(&host) { host.clone() } else { second.clone() });
            if saved.is_empty() && loaded.is_empty() {
                let pushed = other.images.push(&case.name, PushOptions::default(), Arc::new(())).await.unwrap();
                assert_eq!(pushed.digest, case.index);
            }
        }
    }
    let archive = case.save(&[&second], SaveFormat::Docker).await;
    let error = Store::new().await.images.load(archive, vec![platform(&host)], Arc::new(())).await.unwrap_err();
    assert!(error.to_string().ends_with(&format!("has no image for {host}; it offers {second}")), "{error}");
    let nowhere = tokio::io::sink();
    let names = [case.name.familiar()];
    let error =
        case.store.images.save(&names, &[platform("linux/386")], nowhere, SaveFormat::Docker).await.unwrap_err();
    assert!(matches!(error, Error::NoPlatform { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_are_removed_one_by_one_or_with_their_name() {
    let case = Case::new().await;
    let images = &case.store.images;
    let name = case.name.familiar();
    let [host, second, third] = all();
    let fetch = async || {
        for wanted in all() {
            case.pull(&wanted, PullPolicy::Always).await.unwrap();
        }
    };
    let remove = async |platforms: &[&str], used_by: Vec<ContainerUse>| {
        let platforms = platforms.iter().map(|text| platform(text)).collect();
        images.remove(&name, RemoveOptions { platforms, used_by, ..Default::default() }).await
    };
    let use_of = |image: &hoist_image::Image, running| ContainerUse {
        container: "0123456789abcdef".into(),
        image: image.id.clone(),
        image_name: name.clone(),
        running,
    };
    let gone = |store: &Store| store.names("snapshots/l").is_empty() && store.names("blobs/sha256").is_empty();

    fetch().await;
    assert!(matches!(remove(&["linux/386"], Vec::new()).await, Err(Error::NoPlatform { .. })));
    let used = use_of(&case.pull(&second, PullPolicy::Never).await.unwrap(), true);
    assert!(matches!(remove(&[&second], vec![used.clone()]).await, Err(Error::InUse(_))));
    assert!(matches!(remove(&[], vec![used.clone()]).await, Err(Error::InUse(_))));
    let removed = remove(&[&host], vec![used.clone()]).await.unwrap();
    assert!(matches!(removed[0], Removed::Deleted(_)), "{removed:?}");
    let (_, platforms) = case.here(&case.store).await;
    assert_eq!(platforms, sorted(vec![second.clone(), third.clone()]));
    // What containers use stays when all else goes.
    let pruned = images.prune(PruneOptions { all: true, used_by: vec![used], ..Default::default() }).await.unwrap();
    assert!(pruned.removed.is_empty(), "{pruned:?}");
    remove(&[], Vec::new()).await.unwrap();
    assert!(gone(&case.store));

    fetch().await;
    let pruned = images.prune(PruneOptions::default()).await.unwrap();
    assert!(pruned.removed.is_empty(), "further platforms are no leftovers: {pruned:?}");
    images.prune(PruneOptions { all: true, ..Default::default() }).await.unwrap();
    assert!(gone(&case.store));

    // One of them by its id; then the rest by the id of the one with the name.
    fetch().await;
    let other = case.pull(&third, PullPolicy::Never).await.unwrap();
    images.remove(&other.id.to_string(), RemoveOptions::default()).await.unwrap();
    assert_eq!(case.here(&case.store).await.1, sorted(vec![host.clone(), second.clone()]));
    let first = images.get(&name).await.unwrap();
    images.remove(&first.id.to_string(), RemoveOptions { force: true, ..Default::default() }).await.unwrap();
    assert!(gone(&case.store));
}
