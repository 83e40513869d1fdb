use super::*;

fn spec(name: &str, options: &[(&str, &str)]) -> VolumeSpec {
    let driver_options = options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    VolumeSpec { name: name.into(), driver_options, ..VolumeSpec::default() }
}

#[test]
fn volumes_are_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let volumes = Volumes::open(dir.path()).unwrap();
    let made = volumes.create(VolumeSpec { labels: [("a".into(), "b".into())].into(), ..spec("data", &[]) }).unwrap();
    let anonymous = volumes.create(spec("", &[])).unwrap();
    assert!(anonymous.anonymous && anonymous.name.len() == 64);
    std::fs::write(made.mountpoint.join("file"), "kept").unwrap();
    assert_eq!(volumes.create(spec("data", &[])).unwrap(), made);

    let volumes = Volumes::open(dir.path()).unwrap();
    assert_eq!(volumes.inspect("data").unwrap(), made);
    assert_eq!(volumes.inspect(&anonymous.name).unwrap(), anonymous);
    volumes.remove("data").unwrap();
    assert!(matches!(volumes.inspect("data"), Err(Error::NotFound(_))));
    assert!(!made.mountpoint.exists());
}

#[test]
fn what_is_used_stays() {
    let dir = tempfile::tempdir().unwrap();
    let volumes = Volumes::open(dir.path()).unwrap();
    let anonymous = volumes.create(spec("", &[])).unwrap();
    volumes.create(spec("named", &[])).unwrap();
    volumes.acquire(&anonymous.name, "0123456789abcdef").unwrap();
    let error = volumes.remove(&anonymous.name).unwrap_err();
    assert!(error.to_string().ends_with("by container 0123456789ab"), "{error}");
    assert!(volumes.prune(&PruneOptions::default()).unwrap().removed.is_empty());
    volumes.release(&anonymous.name, "0123456789abcdef");
    assert_eq!(volumes.prune(&PruneOptions::default()).unwrap().removed, [anonymous.name]);
    let all = PruneOptions { all: true, ..PruneOptions::default() };
    assert_eq!(volumes.prune(&all).unwrap().removed, ["named"]);
}

#[test]
fn a_file_system_is_there_as_long_as_somebody_uses_it() {
    let dir = tempfile::tempdir().unwrap();
    let volumes = Volumes::open(dir.path()).unwrap();
    let options = [("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=64k,uid=7")];
    volumes.create(spec("ram", &options)).unwrap();
    assert!(matches!(volumes.create(spec("ram", &options[..2])), Err(Error::Exists(_))));
    let path = volumes.mount("ram", "one").unwrap();
    assert_eq!(volumes.mount("ram", "two").unwrap(), path);
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&path).unwrap()), 7);
    std::fs::write(path.join("file"), "x").unwrap();
    volumes.unmount("ram", "one").unwrap();
    assert!(path.join("file").exists());
    volumes.unmount("ram", "two").unwrap();
    assert!(!path.join("file").exists());
}

#[test]
fn bad_names_and_paths_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let volumes = Volumes::open(dir.path()).unwrap();
    for name in ["a", "../x", ".hidden", "with space", "a/b"] {
        assert!(matches!(volumes.create(spec(name, &[])), Err(Error::Invalid(_))), "{name}");
    }
    std::fs::create_dir(dir.path().join("in")).unwrap();
    std::os::unix::fs::symlink("/etc", dir.path().join("out")).unwrap();
    std::os::unix::fs::symlink("in", dir.path().join("good")).unwrap();
    assert_eq!(subpath(dir.path(), "good").unwrap(), dir.path().canonicalize().unwrap().join("in"));
    for path in ["out", "../..", "/etc", "missing"] {
        assert!(subpath(dir.path(), path).is_err(), "{path}");
    }
}
