//! A whole raft node on a real directory: stopped, killed, started again.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use hoist_proto::{
    clock,
    id::ServiceId,
    spec::{Meta, Service, ServiceSpec},
};
use hoist_raft::{Alone, Begin, Config, Raft};
use hoist_store::{Change, Object, ProposeError, Proposer as _, Store, StoreError};

fn service(name: &str) -> Service {
    Service {
        id: ServiceId::random(),
        meta: Meta::default(),
        spec: ServiceSpec { name: name.into(), ..ServiceSpec::default() },
        previous: None,
        spec_hash: String::new(),
        update: None,
        virtual_ips: Vec::new(),
        mesh: None,
    }
}

async fn start(dir: &std::path::Path) -> (Raft, Store) {
    let store = Store::new(clock::system());
    let raft =
        Raft::start(Config { dir: dir.to_owned(), begin: Begin::Alone, ..Config::default() }, store.clone(), Alone)
            .await
            .unwrap();
    (raft, store)
}

fn names(store: &Store) -> Vec<String> {
    let mut names: Vec<_> = store.view(|t| t.services().iter().map(|s| s.spec.name.clone()).collect());
    names.sort();
    names
}

#[tokio::test]
async fn what_was_written_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (raft, store) = start(dir.path()).await;
    for name in ["a", "b", "c"] {
        store.update(|tx| tx.put(service(name))).await.unwrap();
    }
    let a = store.view(|t| t.services().named("a").cloned()).unwrap();
    store.update(|tx| tx.remove::<Service>(&a.id)).await.unwrap();
    let index = store.index();
    raft.stop().await;
    assert!(matches!(store.update(|tx| tx.put(service("late"))).await, Err(StoreError::Propose(_))));

    let (raft, store) = start(dir.path()).await;
    assert_eq!(names(&store), ["b", "c"]);
    assert!(store.index() > index);
    // Versions are the log's, and go on.
    let b = store.view(|t| t.services().named("b").cloned()).unwrap();
    assert!(b.meta.version < index);
    store.update(|tx| tx.put(service("d"))).await.unwrap();
    raft.stop().await;
}

/// A copy of the directory, taken while it is open and written to, is what a kill leaves behind.
#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let (raft, store) = start(dir.path()).await;
    for n in 0..20 {
        store.update(|tx| tx.put(service(&format!("s{n:02}")))).await.unwrap();
        if n % 5 == 4 {
            let copy = tempfile::tempdir().unwrap();
            for file in ["key", "log.redb"] {
                fs_err::copy(dir.path().join(file), copy.path().join(file)).unwrap();
            }
            let (again, restored) = start(copy.path()).await;
            assert_eq!(names(&restored).len(), n + 1);
            again.stop().await;
        }
    }
    raft.stop().await;
}

#[tokio::test]
async fn proposals_that_arrive_together_all_get_in_and_the_log_is_compacted() {
    let dir = tempfile::tempdir().unwrap();
    let (raft, store) = start(dir.path()).await;
    // Each is large, so that the log is cut several times.
    for n in 0..60 {
        store
            .update(move |tx| {
                let mut service = service(&format!("s{n}"));
                // What looks random does not shrink.
                service.spec_hash = (0..4_000).map(|_| ServiceId::random().to_string()).collect();
                tx.put(service)
            })
            .await
            .unwrap();
        let id = store.view(|t| t.services().named(&format!("s{n}")).map(|s| s.id.clone())).unwrap();
        if n >= 4 {
            store.update(|tx| tx.remove::<Service>(&id)).await.unwrap();
        }
    }
    assert_eq!(names(&store), ["s0", "s1", "s2", "s3"]);
    raft.stop().await;
    let (raft, store) = start(dir.path()).await;
    assert_eq!(names(&store), ["s0", "s1", "s2", "s3"]);
    raft.stop().await;
    let size = fs_err::metadata(dir.path().join("log.redb")).unwrap().len();
    assert!(size < 32 << 20, "{size}");
}

/// A leader that begins has its predecessor's entries to apply; what was worked out before that is not taken.
#[tokio::test]
async fn what_was_worked_out_on_old_tables_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (raft, store) = start(dir.path()).await;
    store.update(|tx| tx.put(service("a"))).await.unwrap();
    raft.stop().await;
    let (raft, store) = start(dir.path()).await;
    let changes = || vec![Change::Put { object: Object::Service(Arc::new(service("b"))) }];
    let refused = raft.propose(0, changes()).await;
    assert_eq!(refused, Err(ProposeError::NotLeader { leader: None }), "the tables at 0 had no service yet");
    assert!(raft.propose(store.index(), changes()).await.is_ok());
    assert_eq!(names(&store), ["a", "b"]);
    raft.stop().await;
}
