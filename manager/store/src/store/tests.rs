use std::{sync::Arc, time::Duration};

use hoist_proto::{
    clock::{Clock, ManualClock},
    id::{NodeId, ServiceId, TaskId},
    spec::{Meta, Service, ServiceSpec, Task, TaskState, TaskStatus},
};
use proptest::prelude::*;

use crate::{Change, Index, Local, Proposal, ProposeError, Proposer, Store, StoreError, Wake, encode_snapshot};

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

fn task(service: &Service) -> Task {
    Task {
        id: TaskId::random(),
        meta: Meta::default(),
        service: service.id.clone(),
        service_name: service.spec.name.clone(),
        project: Some("demo".into()),
        slot: 1,
        node: None,
        spec: service.spec.task.clone(),
        spec_hash: String::new(),
        desired: TaskState::Running,
        status: TaskStatus::default(),
        start_after: None,
        restarts: 0,
        started_with: Default::default(),
        addresses: Vec::new(),
    }
}

fn store() -> (Store, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at_millis(1_000));
    (Local::store(clock.clone()), clock)
}

#[tokio::test]
async fn a_transaction_sees_its_own_writes_and_the_world_sees_them_after() {
    let (store, clock) = store();
    let web = service("demo_web");
    let id = web.id.clone();
    store
        .update(|tx| {
            tx.put(web.clone())?;
            assert_eq!(tx.services().named("demo_web").map(|s| s.id.clone()), Some(id.clone()));
            tx.put(task(&web))?;
            assert_eq!(tx.tasks_of(&id).count(), 1);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    let stored = store.view(|tables| tables.services().get(&id).cloned()).unwrap();
    assert_eq!(stored.meta.version, 1);
    assert_eq!(stored.meta.created, clock.now());

    clock.advance(Duration::from_secs(5));
    store.update(|tx| tx.modify::<Service>(&id, |s| s.spec_hash = "x".into())).await.unwrap();
    let changed = store.view(|tables| tables.services().get(&id).cloned()).unwrap();
    assert_eq!(changed.meta.version, 2);
    assert_eq!(changed.meta.created, stored.meta.created);
    assert_eq!(changed.meta.updated, clock.now());
}

#[tokio::test]
async fn a_write_based_on_an_old_version_is_refused_and_changes_nothing() {
    let (store, _) = store();
    let web = service("web");
    store.update(|tx| tx.put(web.clone())).await.unwrap();
    let old = store.view(|tables| tables.get::<Service>(&web.id).cloned()).unwrap();
    store.update(|tx| tx.modify::<Service>(&web.id, |s| s.spec_hash = "new".into())).await.unwrap();

    let err = store
        .update(|tx| {
            tx.put(service("other"))?;
            tx.put((*old).clone())
        })
        .await
        .unwrap_err();
    assert!(matches!(err, StoreError::Conflict { read: 1, found: 2, .. }), "{err}");
    assert_eq!(store.view(|tables| tables.services().len()), 1);
    // The working copy has forgotten the failed transaction too.
    store.update(|tx| tx.put(service("other"))).await.unwrap();
}

#[tokio::test]
async fn names_are_unique_where_they_must_be() {
    let (store, _) = store();
    store.update(|tx| tx.put(service("web"))).await.unwrap();
    let err = store.update(|tx| tx.put(service("web"))).await.unwrap_err();
    assert_eq!(err.to_string(), "service \"web\" exists already");
}

#[tokio::test]
async fn a_watch_follows_its_snapshot_without_a_gap() {
    let (store, _) = store();
    let web = service("web");
    store.update(|tx| tx.put(web.clone())).await.unwrap();
    let (count, mut watch) = store.watch(|tables| tables.services().len());
    assert_eq!(count, 1);
    store.update(|tx| tx.put(task(&web))).await.unwrap();
    store.update(|tx| tx.remove::<Service>(&web.id)).await.unwrap();
    let Wake::Commits(commits) = watch.next().await else { panic!("not the commits") };
    assert_eq!(commits.len(), 2);
    let (before, after) = commits[0].events[0].of::<Task>().unwrap();
    assert!(before.is_none() && after.is_some());
    assert!(commits[1].events[0].of::<Task>().is_none());
    let (before, after) = commits[1].events[0].of::<Service>().unwrap();
    assert!(before.is_some() && after.is_none());
}

#[tokio::test]
async fn a_watcher_that_falls_behind_is_told_to_look_again() {
    let (store, _) = store();
    let web = service("web");
    store.update(|tx| tx.put(web.clone())).await.unwrap();
    let ((), mut watch) = store.watch(|_| ());
    for _ in 0..2000 {
        store.update(|tx| tx.modify::<Service>(&web.id, |_| ())).await.unwrap();
    }
    assert!(matches!(watch.next().await, Wake::Resync));
    store.update(|tx| tx.modify::<Service>(&web.id, |_| ())).await.unwrap();
    assert!(matches!(watch.next().await, Wake::Commits(commits) if commits.len() == 1));
}

#[tokio::test]
async fn a_snapshot_restores_everything() {
    let (store, clock) = store();
    let web = service("web");
    let mut bound = task(&web);
    let node = NodeId::random();
    bound.node = Some(node.clone());
    store.update(|tx| tx.put(web.clone()).and_then(|()| tx.put(bound))).await.unwrap();
    let bytes = store.view(|tables| encode_snapshot(tables, store.index()));

    let restored = Store::new(clock);
    assert_eq!(restored.restore(&bytes).unwrap(), 1);
    let bytes_again = restored.view(|tables| encode_snapshot(tables, 1));
    assert_eq!(bytes, bytes_again);
    assert_eq!(restored.view(|tables| tables.tasks_on(&node).count()), 1);
    assert_eq!(restored.view(|tables| tables.tasks().by(Index::Project, "demo").count()), 1);

    assert_eq!(restored.restore(&[]).unwrap_err().to_string(), "the snapshot is empty");
    assert_eq!(
        restored.restore(&[9, 1]).unwrap_err().to_string(),
        "the snapshot has format version 9, and this program reads up to 1"
    );
    assert!(restored.restore(&bytes[..bytes.len() - 1]).is_err());
}

struct Refuses;

impl Proposer for Refuses {
    fn propose(&self, _: u64, _: Vec<Change>) -> Proposal<'_> {
        Box::pin(std::future::ready(Err(ProposeError::NotLeader { leader: Some(7) })))
    }
}

#[tokio::test]
async fn what_is_not_committed_is_not_there() {
    let store = Store::new(Arc::new(ManualClock::default()));
    let err = store.update(|tx| tx.put(service("web"))).await.unwrap_err();
    assert!(matches!(err, StoreError::Propose(ProposeError::Stopped)));
    store.serve(Arc::new(Refuses));
    let err = store.update(|tx| tx.put(service("web"))).await.unwrap_err();
    assert!(matches!(err, StoreError::Propose(ProposeError::NotLeader { leader: Some(7) })));
    store
        .update(|tx| {
            assert_eq!(tx.services().len(), 0);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    // Writes of others still come in, and the next transaction sees them.
    store.apply(9, vec![Change::Put { object: crate::Object::Service(Arc::new(service("web"))) }]);
    store
        .update(|tx| {
            assert_eq!(tx.services().named("web").map(|s| s.meta.version), Some(9));
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

proptest! {
    /// Whatever is written and removed, the indexes say the same as a walk over the rows.
    #[test]
    fn indexes_agree_with_the_rows(steps in proptest::collection::vec((0..6_usize, 0..4_u8), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (store, _) = store();
        let services: Vec<_> = (0..3).map(|n| service(&format!("s{n}"))).collect();
        let nodes: Vec<_> = (0..3).map(|_| NodeId::random()).collect();
        let tasks: Vec<_> = (0..6).map(|n| task(&services[n % 3])).collect();
        for (which, what) in steps {
            let id = &tasks[which].id;
            runtime.block_on(store.update(|tx| {
                let mut current = tx.get::<Task>(id).map_or_else(|| tasks[which].clone(), |t| (**t).clone());
                match what {
                    3 => if tx.get::<Task>(id).is_some() { tx.remove::<Task>(id)? },
                    n => {
                        current.node = nodes.get(usize::from(n)).cloned();
                        tx.put(current)?;
                    }
                }
                Ok::<_, StoreError>(())
            })).unwrap();
            store.view(|tables| {
                for node in &nodes {
                    let walked = tables.tasks().iter().filter(|t| t.node.as_ref() == Some(node)).count();
                    assert_eq!(tables.tasks_on(node).count(), walked);
                }
                for service in &services {
                    let walked = tables.tasks().iter().filter(|t| t.service == service.id).count();
                    assert_eq!(tables.tasks_of(&service.id).count(), walked);
                }
            });
        }
    }

    /// No bytes make the decoders panic.
    #[test]
    fn decoding_survives_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = crate::decode_changes(&bytes);
        let _ = Store::new(Arc::new(ManualClock::default())).restore(&bytes);
    }
}
