//! Where results go, and that they are what they should be.

use std::collections::BTreeMap;

use hoist_build::*;

use crate::support::*;
use crate::{build, context, request};

const FILE: &str = "\
FROM busybox AS build
RUN mkdir /out && echo built > /out/file && ln -s file /out/link && chmod 4750 /out/file
FROM scratch
COPY --from=build /out/ /
COPY x /sub/
";

pub fn results_go_where_they_are_asked() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[("x", "context")]);
        let place = m.root().join("results");
        std::fs::create_dir(&place).unwrap();
        let file = FILE.replace("chmod", "/bin/busybox chmod").replace("mkdir", "/bin/busybox mkdir");
        let file = file.replace("ln -s", "/bin/busybox ln -s");
        let mut wanted = request(&file, &dir);
        wanted.tags = vec!["out:1".into()];
        wanted.outputs = vec![
            Output::Local(place.join("files")),
            Output::Tar(place.join("files.tar")),
            Output::Docker(place.join("docker.tar"), ImageOutput::default()),
            Output::Oci(place.join("oci.tar"), ImageOutput::default()),
        ];
        let built = build(&engine, wanted).await;
        assert_eq!(built.result.as_ref().map(|result| result.image.clone()), Ok(None));
        assert_eq!(std::fs::read_to_string(place.join("files/link")).unwrap(), "built\n");
        assert_eq!(std::fs::read_to_string(place.join("files/sub/x")).unwrap(), "context");
        let names = |tar: &str| {
            let mut archive = tar::Archive::new(std::fs::File::open(place.join(tar)).unwrap());
            let mut names: Vec<String> = archive
                .entries()
                .unwrap()
                .map(|entry| entry.unwrap().path().unwrap().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names("files.tar"), ["./", "file", "link", "sub/", "sub/x"]);
        assert!(names("docker.tar").contains(&"manifest.json".to_owned()));
        assert!(names("oci.tar").contains(&"oci-layout".to_owned()));
        // An archive is no image of the engine's, until it is loaded.
        assert!(engine.images().get("out:1").await.is_err());
        let archive = tokio::fs::File::open(place.join("docker.tar")).await.unwrap();
        engine.images().load(archive, Vec::new(), std::sync::Arc::new(())).await.unwrap();
        assert_eq!(engine.images().get("out:1").await.unwrap().config.history.len(), 2);
        let mut unknown = request(&file, &dir);
        unknown.cache_to.push(CacheLocation { kind: "gha".into(), options: BTreeMap::new() });
        assert!(build(&engine, unknown).await.error().contains("gha"));
        engine.close().await;
    });
}

pub fn the_same_sources_make_the_same_bytes() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[("x", "context")]);
        let file = "FROM busybox\nRUN /bin/busybox mkdir -p /a/b; echo 1 > /a/b/c\nWORKDIR /w\nCOPY x /y/\n";
        let mut wanted = request(file, &dir);
        wanted.source_date_epoch = Some(1_700_000_000);
        wanted.no_cache = true;
        let first = build(&engine, wanted.clone()).await.image();
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        std::fs::write(dir.join("x"), "context").unwrap();
        assert_eq!(build(&engine, wanted.clone()).await.image(), first);
        let image = engine.images().get(&first).await.unwrap();
        assert_eq!(image.config.created.as_deref(), Some("2023-11-14T22:13:20Z"));
        wanted.source_date_epoch = Some(1_600_000_000);
        assert_ne!(build(&engine, wanted).await.image(), first);
        engine.close().await;
    });
}
