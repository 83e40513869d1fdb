//! Pulling from and pushing to a real registry.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::sync::{Arc, Mutex};

use hoist_image::{
    Auth, Error, ListFilter, Options, Phase, PruneOptions, PullEvent, PullOptions, PullPolicy, PushOptions, Reference,
    RemoveOptions, Removed,
};
use support::*;

fn quiet() -> Arc<dyn hoist_image::Progress> {
    Arc::new(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_pulled_and_others_read_it() {
    let registry = Registry::start();
    let name = registry.name("team/app:1");
    let made = publish(&name, &[("bin/hello", b"hi"), ("etc/conf", b"x=1")]).await;
    let inspected = sh(&format!("skopeo inspect --tls-verify=false docker://{name}"), registry.dir.path());
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();

    let store = Store::new().await;
    let events: Arc<Mutex<Vec<PullEvent>>> = Arc::default();
    let sink = Arc::clone(&events);
    let image = store
        .images
        .pull(&name, PullOptions::default(), Arc::new(move |e| sink.lock().unwrap().push(e)))
        .await
        .unwrap();
    assert_eq!(image.id, made.id);
    assert_eq!(image.repo_tags, [name.familiar()]);
    assert_eq!(image.repo_digests, [format!("{}@{}", name.name(), inspected["Digest"].as_str().unwrap())]);
    assert_eq!(image.config.config.cmd.as_deref().unwrap(), ["/bin/sh"]);
    assert_eq!(fs_err::read(image.layer_dirs[0].join("bin/hello")).unwrap(), b"hi");
    let events = events.lock().unwrap().clone();
    let phases: Vec<Phase> = events
        .iter()
        .filter_map(|e| if let PullEvent::Layer { phase, .. } = e { Some(*phase) } else { None })
        .collect();
    for phase in [
        Phase::PullingFsLayer,
        Phase::VerifyingChecksum,
        Phase::DownloadComplete,
        Phase::Extracting,
        Phase::PullComplete,
    ] {
        assert!(phases.contains(&phase), "{phase:?} in {phases:?}");
    }
    let lines: Vec<&str> = events
        .iter()
        .filter_map(|e| if let PullEvent::Status { message, .. } = e { Some(message.as_str()) } else { None })
        .collect();
    assert_eq!(lines[0], "Pulling from team/app");
    assert!(
        lines[1].starts_with("Digest: sha256:") && lines[2].starts_with("Status: Downloaded newer image for"),
        "{lines:?}"
    );

    // Again, by digest: nothing is new.
    let by_digest = Reference::parse(&image.repo_digests[0]).unwrap();
    assert_eq!(store.images.pull(&by_digest, PullOptions::default(), quiet()).await.unwrap().id, image.id);
    for text in [
        name.familiar(),
        image.id.to_string(),
        image.id.short().to_owned(),
        image.id.hex()[..4].to_owned(),
        image.repo_digests[0].clone(),
    ] {
        assert_eq!(store.images.get(&text).await.unwrap().id, image.id, "{text}");
    }
    let removed = store.images.remove(&name.familiar(), RemoveOptions::default()).await.unwrap();
    assert_eq!(removed.len(), 4, "{removed:?}");
    assert_eq!(removed[0], Removed::Untagged { name: name.familiar(), image: image.id.clone() });
    assert!(store.images.list(&ListFilter::default()).await.unwrap().is_empty());
    assert!(store.names("blobs/sha256").is_empty() && store.names("snapshots/l").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_images_and_registries_are_told_apart() {
    let registry = Registry::start();
    let store = Store::new().await;
    let pull = |name: Reference| {
        let images = store.images.clone();
        async move { images.pull(&name, PullOptions::default(), quiet()).await.unwrap_err() }
    };
    let missing = pull(registry.name("no/such:1")).await;
    assert!(matches!(missing, Error::NotAtRegistry { .. }), "{missing:?}");
    assert!(missing.to_string().contains("no/such:1"));
    let nobody = pull(at(free_port(), "a:1")).await;
    assert!(matches!(nobody, Error::Unreachable { .. }) && nobody.to_string().contains("refused"), "{nobody}");
    let unknown = pull(Reference::parse("no-such-host.invalid/a:1").unwrap()).await;
    assert!(matches!(unknown, Error::Unreachable { .. }), "{unknown:?}");
    let never = PullOptions { policy: PullPolicy::Never, ..Default::default() };
    assert!(matches!(store.images.pull(&registry.name("x"), never, quiet()).await, Err(Error::NotFound(_))));
    assert_eq!(store.partial(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn basic_authentication_and_stored_credentials() {
    let registry = Registry::with(Wishes { htpasswd: Some(("me", "secret")), ..Default::default() });
    let name = registry.name("private:1");
    let auth = |password: &str| Some(Auth { username: "me".into(), password: password.into(), ..Default::default() });
    publish_with(
        &name,
        &[("f", b"1")],
        PushOptions { auth: auth("secret"), ..PushOptions::default() },
        Options::default(),
    )
    .await;

    let store = Store::new().await;
    let good = PullOptions { auth: auth("secret"), ..Default::default() };
    store.images.pull(&name, good, quiet()).await.unwrap();
    let bad =
        store.images.pull(&name, PullOptions { auth: auth("wrong"), ..Default::default() }, quiet()).await.unwrap_err();
    assert!(matches!(bad, Error::Unauthorized { .. }), "{bad:?}");
    let none = store.images.pull(&name, PullOptions::default(), quiet()).await.unwrap_err();
    assert!(matches!(none, Error::Unauthorized { .. }), "{none:?}");
    let domain = name.domain();
    store.images.check_login(domain, auth("secret").unwrap()).await.unwrap();
    assert!(store.images.check_login(domain, auth("no").unwrap()).await.is_err());

    // From a file.
    let file = registry.dir.path().join("config.json");
    fs_err::write(&file, format!(r#"{{"auths":{{"{domain}":{{"auth":"bWU6c2VjcmV0"}}}}}}"#)).unwrap();
    let store = Store::with(Options { auth_file: Some(file), ..Default::default() }).await;
    store.images.pull(&name, PullOptions::default(), quiet()).await.unwrap();
}

#[tokio::test]
async fn credential_helpers_are_asked() {
    let dir = tempfile::tempdir().unwrap();
    // Helpers are found by PATH, which a test must not change for all: a name that exists nowhere tells that it was looked for.
    let file = dir.path().join("config.json");
    fs_err::write(&file, r#"{"credHelpers":{"a.example":"hoist-test-none"},"auths":{"https://b.example/v2/":{"username":"u","password":"p"},"c.example":{"auth":"!"}}}"#).unwrap();
    let error = Auth::from_docker_config(&file, "a.example").await.unwrap_err();
    assert!(matches!(&error, Error::CredentialHelper { helper, .. } if helper == "hoist-test-none"), "{error:?}");
    assert_eq!(Auth::from_docker_config(&file, "b.example").await.unwrap().unwrap().username, "u");
    assert!(Auth::from_docker_config(&file, "c.example").await.unwrap_err().to_string().contains("no base64"));
    assert_eq!(Auth::from_docker_config(&file, "d.example").await.unwrap(), None);
    assert_eq!(Auth::from_docker_config(&dir.path().join("none"), "a").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_ones_own() {
    let registry = Registry::with(Wishes { tls: true, ..Default::default() });
    let name = registry.name("secure:1");
    let certs = registry.dir.path().join("certs.d");
    let host = certs.join(name.domain());
    fs_err::create_dir_all(&host).unwrap();
    fs_err::copy(registry.dir.path().join("ca.crt"), host.join("ca.crt")).unwrap();
    let trusting = Options { certs_dirs: vec![certs], ..Default::default() };
    publish_with(&name, &[("f", b"1")], PushOptions::default(), trusting.clone()).await;
    let store = Store::with(trusting).await;
    store.images.pull(&name, PullOptions::default(), quiet()).await.unwrap();
    // Without it the certificate is not believed, and plain HTTP is not what this server speaks.
    let strict = Store::new().await;
    let error = strict.images.pull(&name, PullOptions::default(), quiet()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }) && error.to_string().contains("certificate"), "{error}");
    // Unless it is listed as insecure.
    let lax = Store::with(Options { insecure_registries: vec!["127.0.0.0/8".into()], ..Default::default() }).await;
    lax.images.pull(&name, PullOptions::default(), quiet()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_blob_goes_on_where_it_broke_off() {
    let registry = Registry::start();
    let data = noise(1, 3 << 20);
    publish(&registry.name("big:1"), &[("data", &data)]).await;
    let mut cuts = 0;
    let proxy = Proxy::before(registry.port, move |line| {
        if line.contains("/blobs/") && cuts < 3 {
            cuts += 1;
            return Harm::CutAfter(700_000);
        }
        Harm::None
    });
    let store = Store::new().await;
    let image = store.images.pull(&at(proxy.port, "big:1"), PullOptions::default(), quiet()).await.unwrap();
    assert_eq!(fs_err::read(image.layer_dirs[0].join("data")).unwrap(), data);
    let ranges: Vec<String> =
        proxy.requests.lock().unwrap().iter().filter(|r| r.contains("ange: bytes=")).cloned().collect();
    assert!(ranges.iter().any(|r| r.ends_with("bytes=700000-")), "{ranges:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_blob_is_named_and_a_later_pull_goes_on() {
    let registry = Registry::start();
    publish(&registry.name("big:1"), &[("data", &noise(2, 2 << 20))]).await;
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let state = Arc::clone(&broken);
    let proxy = Proxy::before(registry.port, move |line| {
        // The configuration is small and passes; the layer never gets beyond its first million bytes.
        if !line.contains("/blobs/") || !state.load(std::sync::atomic::Ordering::SeqCst) {
            return Harm::None;
        }
        let cut = if line.contains("bytes=") { 0 } else { 1_000_000 };
        Harm::CutAfter(cut)
    });
    let store = Store::with(Options { max_attempts: 2, ..Default::default() }).await;
    let name = at(proxy.port, "big:1");
    let error = store.images.pull(&name, PullOptions::default(), quiet()).await.unwrap_err();
    assert!(matches!(error, Error::Truncated { got: 1_000_000, .. }), "{error:?}");
    assert_eq!(store.partial(), 1_000_000);
    assert!(store.images.get(&name.familiar()).await.is_err());
    broken.store(false, std::sync::atomic::Ordering::SeqCst);
    store.images.pull(&name, PullOptions::default(), quiet()).await.unwrap();
    assert!(proxy.count("bytes=1000000-") > 0);
    assert_eq!(store.partial(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn corrupt_blobs_and_manifests_are_refused() {
    let registry = Registry::start();
    publish(&registry.name("a:1"), &[("data", &noise(3, 1 << 20))]).await;
    let proxy =
        Proxy::before(registry.port, |line| if line.contains("/blobs/") { Harm::FlipAt(100) } else { Harm::None });
    let store = Store::new().await;
    let error = store.images.pull(&at(proxy.port, "a:1"), PullOptions::default(), quiet()).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    assert_eq!(store.partial(), 0);

    // Only the layer's bytes, late: it was being unpacked already.
    let proxy =
        Proxy::before(registry.port, |line| if line.contains("/blobs/") { Harm::FlipAt(900_000) } else { Harm::None });
    let error = store.images.pull(&at(proxy.port, "a:1"), PullOptions::default(), quiet()).await.unwrap_err();
    assert!(matches!(&error, Error::Corrupt { what, .. } if what.starts_with("blob")), "{error:?}");
    assert!(store.names("snapshots/l").is_empty());

    let proxy =
        Proxy::before(registry.port, |line| if line.contains("/manifests/") { Harm::FlipAt(50) } else { Harm::None });
    let error = store.images.pull(&at(proxy.port, "a:1"), PullOptions::default(), quiet()).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    store.images.prune(PruneOptions { all: true, ..Default::default() }).await.unwrap();
    assert!(store.names("blobs/sha256").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_at_once_get_each_blob_once() {
    let registry = Registry::start();
    publish(&registry.name("same:1"), &[("data", &noise(4, 1 << 20))]).await;
    let proxy = Proxy::before(registry.port, |_| Harm::None);
    let store = Store::new().await;
    let name = at(proxy.port, "same:1");
    let pulls: Vec<_> = (0..6)
        .map(|_| {
            let (images, name) = (store.images.clone(), name.clone());
            tokio::spawn(async move { images.pull(&name, PullOptions::default(), Arc::new(())).await.unwrap().id })
        })
        .collect();
    let mut ids = Vec::new();
    for pull in pulls {
        ids.push(pull.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(proxy.count("GET /v2/same/blobs/"), 2, "{:?}", proxy.requests.lock().unwrap());
    assert_eq!(store.names("snapshots/l").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platforms_image_is_chosen() {
    let registry = Registry::start();
    let offered = ["linux/arm64", "linux/amd64", "linux/arm/v6"];
    for (tag, kind) in [
        ("oci", "application/vnd.oci.image.index.v1+json"),
        ("docker", "application/vnd.docker.distribution.manifest.list.v2+json"),
    ] {
        registry.publish_index("multi", (tag, kind), &offered).await;
        let store = Store::new().await;
        for (wanted, got) in [("linux/amd64", "amd64"), ("linux/arm64", "arm64"), ("linux/arm/v7", "arm")] {
            let options = PullOptions { platform: Some(wanted.parse().unwrap()), ..Default::default() };
            let image = store.images.pull(&registry.name(&format!("multi:{tag}")), options, quiet()).await.unwrap();
            assert_eq!(image.config.architecture, got, "{tag} {wanted}");
        }
        let options = PullOptions { platform: Some("linux/s390x".parse().unwrap()), ..Default::default() };
        let error = store.images.pull(&registry.name(&format!("multi:{tag}")), options, quiet()).await.unwrap_err();
        assert!(error.to_string().contains("offers linux/arm64, linux/amd64, linux/arm/v6"), "{error}");
        let (top, platforms) = store.images.remote(&registry.name(&format!("multi:{tag}")), None).await.unwrap();
        assert_eq!((top.media_type.as_str(), platforms.len()), (kind, 3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn zstd_layers_from_another_tool() {
    let registry = Registry::start();
    let name = registry.name("plain:1");
    publish(&name, &[("data", &noise(5, 100_000))]).await;
    let target = registry.name("plain:zstd");
    sh(
        &format!(
            "skopeo copy -q --dest-tls-verify=false --src-tls-verify=false --format oci --dest-compress-format zstd --dest-compress docker://{name} oci:layout:x && skopeo copy -q --dest-tls-verify=false oci:layout:x docker://{target}"
        ),
        registry.dir.path(),
    );
    let kind = sh(&format!("skopeo inspect --raw --tls-verify=false docker://{target}"), registry.dir.path());
    let store = Store::new().await;
    let image = store.images.pull(&target, PullOptions::default(), quiet()).await.unwrap();
    assert_eq!(fs_err::read(image.layer_dirs[0].join("data")).unwrap(), noise(5, 100_000), "{kind}");
}

/// A file system of that size, which is taken away when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(bytes: usize) -> SmallDisk {
        let dir = tempfile::tempdir().unwrap();
        sh(&format!("mount -t tmpfs -o size={bytes} tmpfs ."), Path::new(dir.path()));
        SmallDisk(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").args(["-l".as_ref(), self.0.path().as_os_str()]).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_and_left_as_it_was() {
    let registry = Registry::start();
    let name = registry.name("large:1");
    publish(&name, &[("a", &noise(6, 2 << 20)), ("b", &[0; 3 << 20])]).await;
    // Too small for the blob, and too small for the blob with what is in it.
    for size in [1 << 20, 5 << 20] {
        let disk = SmallDisk::new(size);
        let images = hoist_image::Images::open(disk.0.path(), Options::default()).await.unwrap();
        let error = images.pull(&name, PullOptions::default(), quiet()).await.unwrap_err();
        assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
        let left = sh("find . -type f | grep -v state.json || true; ls snapshots/l", disk.0.path());
        assert_eq!(left, "");
        drop(images);
    }
}
