//! What is here: names, archives in and out, containers' snapshots, and what remains after a power cut.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use hoist_image::tarball::{Entry, EntryKind, TarWriter};
use hoist_image::{
    BuiltinImage, ChangeKind, CommitOptions, ContainerConfig, ContainerUse, Error, Image, Images, ImportOptions,
    ListFilter, Options, PruneOptions, Reference, RemoveOptions, Removed, SaveFormat,
};
use support::*;

fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

async fn import(images: &Images, name: &str, files: &[(&str, &[u8])]) -> Image {
    let options = ImportOptions { reference: Some(reference(name)), ..Default::default() };
    images.import(Cursor::new(tree(files)), options).await.unwrap()
}

async fn save(images: &Images, names: &[&str], format: SaveFormat) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let writer = tokio::fs::File::create(file.path()).await.unwrap();
    let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
    images.save(&names, &[], writer, format).await.unwrap();
    fs_err::read(file.path()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_come_and_go() {
    let store = Store::new().await;
    let images = &store.images;
    let one = import(images, "one", &[("f", b"1")]).await;
    let two = import(images, "two:x", &[("f", b"2")]).await;
    images.tag("one", &reference("other/one:v1")).await.unwrap();
    assert_eq!(images.get("one").await.unwrap().repo_tags, ["one:latest", "other/one:v1"]);
    assert!(matches!(images.get("two").await, Err(Error::NotFound(n)) if n == "two:latest"));
    // A name moves.
    images.tag("two:x", &reference("one")).await.unwrap();
    assert_eq!(images.get("one").await.unwrap().id, two.id);
    assert_eq!(images.get("other/one:v1").await.unwrap().id, one.id);
    let list = |filter: ListFilter| async move {
        images.list(&filter).await.unwrap().into_iter().map(|i| i.id).collect::<Vec<_>>()
    };
    assert_eq!(
        list(ListFilter { reference: vec!["other/*".into()], ..Default::default() }).await,
        std::slice::from_ref(&one.id)
    );
    assert_eq!(
        list(ListFilter { since: Some(one.id.to_string()), ..Default::default() }).await,
        std::slice::from_ref(&two.id)
    );
    assert_eq!(
        list(ListFilter { before: Some("two:x".into()), ..Default::default() }).await,
        std::slice::from_ref(&one.id)
    );
    assert!(list(ListFilter { dangling: Some(true), ..Default::default() }).await.is_empty());
    // The only name of an image goes, and the image with it.
    let removed = images.remove("other/one:v1", RemoveOptions::default()).await.unwrap();
    assert_eq!(
        removed[..2],
        [
            Removed::Untagged { name: "other/one:v1".into(), image: one.id.clone() },
            Removed::Deleted(one.id.to_string())
        ]
    );
    // Two names of different repositories: not by id without force.
    assert!(matches!(images.remove(two.id.short(), RemoveOptions::default()).await, Err(Error::InUse(_))));
    images.remove(two.id.short(), RemoveOptions { force: true, ..Default::default() }).await.unwrap();
    assert!(store.names("blobs/sha256").is_empty() && store.names("snapshots/l").is_empty());
    let history = import(images, "h", &[("f", b"123")]).await;
    let entries = images.history("h").await.unwrap();
    assert_eq!((entries.len(), entries[0].size, entries[0].id.clone()), (1, 3, Some(history.id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn images_in_use_stay() {
    let store = Store::new().await;
    let images = &store.images;
    let image = import(images, "app", &[("f", b"1")]).await;
    images.prepare("c1", &image.id).await.unwrap();
    let user =
        |running| ContainerUse { container: "c1".into(), image: image.id.clone(), image_name: "app".into(), running };
    let remove = |text: String, running: bool, force: bool| async move {
        images.remove(&text, RemoveOptions { force, used_by: vec![user(running)], ..Default::default() }).await
    };
    let error = remove("app".into(), false, false).await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "conflict: unable to remove repository reference \"app:latest\" (must force) - container c1 is using its referenced image {}",
            image.id.short()
        )
    );
    assert!(remove(image.id.to_string(), true, true).await.unwrap_err().to_string().contains("cannot be forced"));
    let pruned =
        images.prune(PruneOptions { all: true, used_by: vec![user(false)], ..Default::default() }).await.unwrap();
    assert!(pruned.removed.is_empty());
    // By force the image goes; what the container stands on does not.
    remove("app".into(), false, true).await.unwrap();
    assert!(images.get("app").await.is_err());
    let snapshot = images.snapshot("c1").await.unwrap();
    assert_eq!(fs_err::read(snapshot.lower[0].join("f")).unwrap(), b"1");
    images.remove_snapshot("c1").await.unwrap();
    assert!(store.names("snapshots/l").is_empty() && store.names("snapshots/c").is_empty());
    images.remove_snapshot("c1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn prune_takes_what_has_no_name() {
    let store = Store::new().await;
    let images = &store.images;
    let old = import(images, "a", &[("f", &[b'x'; 1000])]).await;
    let new = import(images, "a", &[("f", b"2")]).await;
    assert_eq!(images.list(&ListFilter { dangling: Some(true), ..Default::default() }).await.unwrap()[0].id, old.id);
    let report = images.prune(PruneOptions::default()).await.unwrap();
    assert_eq!(report.removed[0], Removed::Deleted(old.id.to_string()));
    assert!(report.reclaimed > 1000);
    assert!(
        images
            .prune(PruneOptions { all: true, label: vec!["keep".into()], ..Default::default() })
            .await
            .unwrap()
            .removed
            .is_empty()
    );
    assert_eq!(
        images.prune(PruneOptions { all: true, ..Default::default() }).await.unwrap().removed[1],
        Removed::Deleted(new.id.to_string())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_is_loaded() {
    let store = Store::new().await;
    let images = &store.images;
    let one = import(images, "one", &[("f", b"1")]).await;
    images.tag("one", &reference("one:v2")).await.unwrap();
    let two = import(images, "two", &[("f", b"2")]).await;
    for format in [SaveFormat::Docker, SaveFormat::Oci] {
        let archive = save(images, &["one", two.id.short()], format).await;
        for compress in ["cat", "gzip -c", "zstd -qc"] {
            let file = store.dir.path().join("archive");
            fs_err::write(&file, &archive).unwrap();
            if compress.starts_with("zstd") {
                fs_err::write(&file, zstd::encode_all(archive.as_slice(), 1).unwrap()).unwrap();
            } else {
                sh(&format!("{compress} archive > packed && mv packed archive"), store.dir.path());
            }
            let other = Store::new().await;
            let loaded =
                other.images.load(tokio::fs::File::open(&file).await.unwrap(), Vec::new(), Arc::new(())).await.unwrap();
            let found = loaded.iter().find(|l| l.id == one.id).unwrap();
            assert_eq!(found.names, ["one:latest", "one:v2"], "{format:?} {compress}");
            let again = other.images.get(&two.id.to_string()).await.unwrap();
            assert!(again.repo_tags.is_empty());
            assert_eq!(again.manifest, two.manifest, "{format:?}");
            assert_eq!(fs_err::read(again.layer_dirs[0].join("f")).unwrap(), b"2");
        }
    }
    // Others read it.
    let archive = save(images, &["one:v2"], SaveFormat::Docker).await;
    fs_err::write(store.dir.path().join("docker.tar"), archive).unwrap();
    let id = sh(
        "skopeo inspect --raw --config docker-archive:docker.tar:one:v2 | sha256sum | cut -d' ' -f1",
        store.dir.path(),
    );
    assert_eq!(id, one.id.hex());
    let oci = save(images, &["one:v2"], SaveFormat::Oci).await;
    fs_err::write(store.dir.path().join("oci.tar"), oci).unwrap();
    assert_eq!(
        sh("skopeo inspect --raw --config oci-archive:oci.tar | sha256sum | cut -d' ' -f1", store.dir.path()),
        one.id.hex()
    );
    // And what others write is read.
    sh("skopeo copy -q docker-archive:docker.tar:one:v2 docker-archive:theirs.tar:their/name:1", store.dir.path());
    sh("skopeo copy -q docker-archive:docker.tar:one:v2 oci-archive:theirs-oci.tar:their/oci:1", store.dir.path());
    for (file, name) in [("theirs.tar", "their/name:1"), ("theirs-oci.tar", "their/oci:1")] {
        let other = Store::new().await;
        let loaded = other
            .images
            .load(tokio::fs::File::open(store.dir.path().join(file)).await.unwrap(), Vec::new(), Arc::new(()))
            .await
            .unwrap();
        assert_eq!(loaded[0].names, [name], "{file}");
    }
}

fn archive_of(files: &[(&str, EntryKind, &[u8])]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (name, kind, data) in files {
        let mut entry = Entry::new(*name, *kind, 0o644);
        match kind {
            EntryKind::File => entry.size = data.len() as u64,
            _ => entry.link = data.to_vec(),
        }
        writer.append(&entry, &mut &data[..]).unwrap();
    }
    writer.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_archives_leave_nothing() {
    use EntryKind::{File, Symlink};
    let store = Store::new().await;
    let layer = tree(&[("../../escape", b"x")]);
    let diff_id = hoist_image::Digest::of(&layer);
    let config =
        format!(r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#);
    let manifest = br#"[{"Config":"c.json","RepoTags":["evil:1"],"Layers":["l.tar"]}]"#;
    let wrong = config.replace(&diff_id.hex()[..6], "000000");
    let short: &[u8] = br#"{"rootfs":{"type":"layers","diff_ids":[]}}"#;
    for (what, files) in [
        ("escape", vec![("manifest.json", File, &manifest[..]), ("c.json", File, config.as_bytes()), ("l.tar", File, &layer)]),
        ("wrong digest", vec![("manifest.json", File, manifest), ("c.json", File, wrong.as_bytes()), ("l.tar", File, &tree(&[("f", b"")]))]),
        ("count", vec![("manifest.json", File, manifest), ("c.json", File, short), ("l.tar", File, &layer)]),
        ("no layer", vec![("manifest.json", File, manifest), ("c.json", File, config.as_bytes())]),
        ("loop", vec![("manifest.json", File, manifest), ("c.json", Symlink, b"l.tar"), ("l.tar", Symlink, b"c.json")]),
        ("host file", vec![("manifest.json", File, manifest), ("c.json", Symlink, b"/etc/passwd"), ("l.tar", Symlink, b"../../../etc/passwd")]),
        ("no json", vec![("manifest.json", File, b"{")]),
        ("bad name", vec![("manifest.json", File, br#"[{"Config":"c.json","RepoTags":["UPPER"],"Layers":[]}]"#), ("c.json", File, short)]),
        ("nothing", vec![("other", File, b"x")]),
        ("oci layout without blobs", vec![("index.json", File, br#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":2,"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}"#)]),
    ] {
        let result = store.images.load(Cursor::new(archive_of(&files)), Vec::new(), Arc::new(())).await;
        assert!(result.is_err(), "{what}: {result:?}");
        assert!(store.images.list(&ListFilter::default()).await.unwrap().is_empty(), "{what}");
        assert!(store.names("blobs/sha256").is_empty() && store.names("snapshots/l").is_empty(), "{what}");
    }
    assert!(!Path::new("/escape").exists() && !store.dir.path().join("escape").exists());
    for garbage in [noise(9, 5000), b"\x1f\x8bgarbage".to_vec(), b"BZh91AY&SY".to_vec(), Vec::new()] {
        assert!(store.images.load(Cursor::new(garbage), Vec::new(), Arc::new(())).await.is_err());
    }
    assert_eq!(store.partial(), 0);
}

/// Mounts a container's tree as the runtime would, runs a script in it, and takes the mount away.
async fn in_container(images: &Images, id: &str, script: &str) {
    use std::os::fd::AsRawFd;
    let tree = images.mount(id, true).await.unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), tree.as_raw_fd());
    sh(script, Path::new(&path));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_containers_changes_become_a_layer() {
    let store = Store::new().await;
    let images = &store.images;
    let files: &[(&str, &[u8])] = &[
        ("etc/keep", b"1"),
        ("etc/change", b"2"),
        ("etc/gone", b"3"),
        ("d/x", b"4"),
        ("d/y", b"5"),
        ("big", &[0; 5000]),
    ];
    let base = import(images, "base", files).await;
    let snapshot = images.prepare("c1", &base.id).await.unwrap();
    assert!(matches!(images.prepare("c1", &base.id).await, Err(Error::SnapshotExists(_))));
    assert!(matches!(images.prepare("../c", &base.id).await, Err(Error::Invalid { .. })));
    assert_eq!(images.snapshot("c1").await.unwrap(), snapshot);
    let script = "echo new > etc/change; rm etc/gone; rm -r d; mkdir d; echo z > d/z; echo n > new; ln new new2; mkdir -m 700 m; chown 3:4 m; mkfifo m/p; ln -s x m/s; cat big > big2; mv big2 big3; touch -d 2001-02-03T04:05:06.7 m/p";
    in_container(images, "c1", script).await;
    let changes: Vec<String> = images
        .diff("c1")
        .await
        .unwrap()
        .iter()
        .map(|c| {
            format!(
                "{} {}",
                match c.kind {
                    ChangeKind::Modified => "C",
                    ChangeKind::Added => "A",
                    ChangeKind::Deleted => "D",
                },
                c.path
            )
        })
        .collect();
    assert_eq!(
        changes,
        [
            "A /big3",
            "C /d",
            "D /d/x",
            "D /d/y",
            "A /d/z",
            "C /etc",
            "C /etc/change",
            "D /etc/gone",
            "A /m",
            "A /m/p",
            "A /m/s",
            "A /new",
            "A /new2"
        ]
    );
    assert_eq!(images.snapshot_size("c1").await.unwrap().0, 5000 + 4 + 2 + 2);
    let options = CommitOptions {
        reference: Some(reference("made:1")),
        changes: vec!["ENV A=b".into()],
        comment: Some("note".into()),
        ..Default::default()
    };
    let made = images.commit("c1", options).await.unwrap();
    assert_eq!(
        (made.layers.len(), made.parent.as_ref(), made.config.config.env.as_slice()),
        (2, Some(&base.id), &["A=b".to_owned()][..])
    );
    // A container of the new image sees what the first one saw.
    images.prepare("c2", &made.id).await.unwrap();
    let look = "find . ! -type d -printf '%p %y %#m %U %G %n %l\\n' | sort; find . -type d -printf '%p %#m %U %G\\n' | sort; find . -type f | sort | xargs cat | sha256sum; stat -c %y m/p";
    let mut seen = Vec::new();
    for id in ["c1", "c2"] {
        use std::os::fd::AsRawFd;
        let tree = images.mount(id, false).await.unwrap();
        seen.push(sh(look, Path::new(&format!("/proc/{}/fd/{}", std::process::id(), tree.as_raw_fd()))));
        let file = store.dir.path().join(format!("{id}.tar"));
        images.export(id, tokio::fs::File::create(&file).await.unwrap()).await.unwrap();
        let out = store.dir.path().join(format!("{id}.d"));
        fs_err::create_dir(&out).unwrap();
        sh(&format!("tar -xpf {}", file.display()), &out);
        seen.push(sh(look, &out));
    }
    assert!(seen.iter().all(|s| *s == seen[0]), "{seen:#?}");
    assert!(seen[0].contains("./d/z") && !seen[0].contains("./d/x"));
    // Nothing of this is mounted anywhere.
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(store.dir.path().to_str().unwrap()), "{mounts}");
    // The parent stays while its child does.
    assert!(
        images
            .remove("base", RemoveOptions::default())
            .await
            .unwrap()
            .iter()
            .all(|r| matches!(r, Removed::Untagged { .. }))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiled_in_image_is_made_once() {
    let store = Store::new().await;
    let builtin = BuiltinImage {
        reference: reference("hoist/hello"),
        layer: tree(&[("hello", b"program")]),
        config: ContainerConfig { entrypoint: Some(vec!["/hello".into()]), ..Default::default() },
    };
    let first = store.images.ensure_builtin(&builtin).await.unwrap();
    let second = store.images.ensure_builtin(&builtin).await.unwrap();
    assert_eq!((first.id.clone(), first.repo_tags), (second.id, vec!["hoist/hello:latest".to_owned()]));
    assert_eq!(store.names("snapshots/l").len(), 1);
    let snapshot = store.images.prepare("c", &first.id).await.unwrap();
    assert_eq!(snapshot.lower.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_found_again() {
    let store = Store::new().await;
    let image = import(&store.images, "a", &[("f", b"1")]).await;
    let snapshot = store.images.prepare("c", &image.id).await.unwrap();
    store.images.sync().await.unwrap();
    let again = Images::open(store.dir.path(), Options::default()).await.unwrap();
    assert_eq!(again.get("a").await.unwrap().id, image.id);
    assert_eq!(again.snapshot("c").await.unwrap(), snapshot);
    assert_eq!(again.snapshots().await.unwrap(), ["c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_are_cleaned_up_and_half_written_things_never_believed() {
    let store = Store::new().await;
    let image = import(&store.images, "a", &[("f", b"1")]).await;
    store.images.sync().await.unwrap();
    let root = store.dir.path().to_owned();
    let layer = store.names("snapshots/l")[0].clone();
    // An interrupted pull: a blob and a layer that no record knows, temporary files, a partial blob.
    let orphan = hoist_image::Digest::of(b"other");
    fs_err::write(root.join("blobs/sha256").join(orphan.hex()), b"half").unwrap();
    fs_err::write(root.join("blobs/sha256/.tmp-x"), b"").unwrap();
    fs_err::write(root.join("blobs/partial/.new-x"), b"").unwrap();
    fs_err::create_dir_all(root.join("snapshots/l/zz/deep")).unwrap();
    fs_err::create_dir_all(root.join("snapshots/trash/1")).unwrap();
    fs_err::write(root.join("images/.tmp-1"), b"{").unwrap();
    let again = Images::open(&root, Options::default()).await.unwrap();
    assert_eq!(again.get("a").await.unwrap().id, image.id);
    assert_eq!(store.names("snapshots/l"), std::slice::from_ref(&layer));
    assert!(store.names("snapshots/trash").is_empty());
    assert_eq!(store.names("blobs/partial"), [format!("sha256-{}", orphan.hex())]);
    assert_eq!(store.names("images"), ["state.json"]);

    // Recorded, but the machine went down before it reached the disk: another boot does not believe it.
    let path = root.join("images/state.json");
    let text = fs_err::read_to_string(&path).unwrap();
    assert!(!text.contains("unsynced"));
    let mut state: serde_json::Value = serde_json::from_str(&text).unwrap();
    let past = serde_json::json!({"boot": "another", "device": 1});
    state["layers"].as_object_mut().unwrap().values_mut().for_each(|l| l["unsynced"] = past.clone());
    fs_err::write(&path, state.to_string()).unwrap();
    let after = Images::open(&root, Options::default()).await.unwrap();
    assert!(after.get("a").await.is_err());
    assert!(store.names("snapshots/l").is_empty() && store.names("blobs/sha256").is_empty());

    // A configuration that was damaged is not believed either.
    let image = import(&after, "b", &[("f", b"1")]).await;
    after.sync().await.unwrap();
    fs_err::write(root.join("blobs/sha256").join(image.id.hex()), b"{}").unwrap();
    let damaged = Images::open(&root, Options::default()).await.unwrap();
    assert!(matches!(damaged.get("b").await, Err(Error::NotFound(_))));
    // A record that cannot be read is an error that names it, and is not overwritten.
    fs_err::write(&path, "{").unwrap();
    let error = Images::open(&root, Options::default()).await.err().unwrap().to_string();
    assert!(error.contains("state.json"), "{error}");
    fs_err::write(&path, r#"{"version":99,"images":{},"layers":{}}"#).unwrap();
    assert!(Images::open(&root, Options::default()).await.err().unwrap().to_string().contains("version 99"));
}
