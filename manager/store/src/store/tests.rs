use std::{sync::Arc, time::Duration};

use hoist_proto::{
    clock::{Clock, ManualClock},
    id::{ClusterId, NodeId, ServiceId, TaskId},
    protocol::Protocol,
    spec::{Cluster, ClusterSpec, Meta, Service, ServiceSpec, Task, TaskState, TaskStatus},
};
use proptest::prelude::*;

use crate::{Change, Index, Local, Proposal, ProposeError, Proposer, Store, StoreError, Tx, Wake, encode_snapshot};

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
        name: String::new(),
        spec: service.spec.task.clone().into(),
        spec_hash: String::new(),
        desired: TaskState::Running,
        status: TaskStatus::default(),
        start_after: None,
        restarts: 0,
        started_with: Default::default(),
        addresses: Vec::new(),
        devices: Vec::new(),
        signal: None,
        checkpoint_on_stop: false,
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
        "the snapshot has format version 9, and this program reads up to 3"
    );
    assert!(restored.restore(&bytes[..bytes.len() - 1]).is_err());
}

#[test]
fn what_an_earlier_program_wrote_is_read() {
    let web = service("web");
    let mut old = serde_json::to_value(task(&web)).unwrap();
    old["spec"] = serde_json::json!({ "container": { "name": "web.1", "image": "busybox" } });
    old.as_object_mut().unwrap().remove("name");
    let object = serde_json::json!({ "kind": "task", "record": old });
    let written = |value: serde_json::Value| [&[1], serde_json::to_vec(&value).unwrap().as_slice()].concat();
    let changes = crate::decode_changes(
        &written(serde_json::json!([
            { "op": "put", "object": object },
            { "op": "remove", "of": "service", "id": web.id },
        ])),
        Protocol::NEWEST,
    )
    .unwrap();
    let [Change::Put { object: crate::Object::Task(task) }, Change::Remove { .. }] = changes.as_slice() else {
        panic!("{changes:?}");
    };
    assert_eq!((task.name.as_str(), task.spec.container.name.as_str()), ("web.1", ""));
    let restored = Store::new(Arc::new(ManualClock::default()));
    assert_eq!(restored.restore(&written(serde_json::json!({ "index": 7, "objects": [object] }))).unwrap(), 7);
    assert_eq!(
        restored.view(|tables| tables.tasks().iter().map(|task| task.name.clone()).collect::<Vec<_>>()),
        ["web.1"]
    );
}

/// Keeps what is proposed, as it lies in the log.
struct Written {
    store: Store,
    entries: std::sync::Mutex<Vec<Vec<u8>>>,
}

impl Proposer for Written {
    fn propose(&self, _: u64, changes: Vec<Change>) -> Proposal<'_> {
        let mut entries = self.entries.lock().unwrap();
        entries.push(crate::encode_changes(&changes));
        let index = entries.len() as u64;
        self.store.apply(index, changes);
        Box::pin(std::future::ready(Ok(index)))
    }
}

fn must(outcome: Result<(), StoreError>) {
    outcome.unwrap();
}

fn cluster(protocol: Protocol) -> Cluster {
    Cluster {
        id: ClusterId::random(),
        meta: Meta::default(),
        name: "default".into(),
        task_history_limit: 5,
        spec: ClusterSpec::default(),
        pki: None,
        protocol,
        mesh_by_hand: false,
    }
}

#[tokio::test]
async fn what_came_later_is_not_written_before_all_managers_speak_it() {
    let store = Store::new(Arc::new(ManualClock::at_millis(1_000)));
    let written = Arc::new(Written { store: store.clone(), entries: Default::default() });
    store.serve(written.clone());
    let (record, web) = (cluster(Protocol::FIRST), service("web"));
    let (id, task) = (record.id.clone(), task(&web));
    let (name, of) = (task.id.clone(), task.service.clone());
    must(store.update(|tx| tx.put(record)).await);
    must(store.update(|tx| tx.put(task)).await);
    let say = async |message: &str| {
        must(store.update(|tx| tx.modify::<Task>(&name, |task| task.status.message = message.into())).await);
    };
    say("is pulled").await;
    let raised = |tx: &mut Tx<'_>| tx.modify::<Cluster>(&id, |cluster| cluster.protocol = Protocol::STATUS_ALONE);
    must(store.update(raised).await);
    say("runs").await;
    must(store.update(|tx| tx.modify::<Task>(&name, |task| task.slot = 7)).await);

    // Whoever reads the log with the older program has all but what came after the agreement, and stops there.
    let entries = written.entries.lock().unwrap().clone();
    let read = |bytes: &Vec<u8>, spoken| crate::decode_changes(bytes, spoken).map_err(|error| error.to_string());
    let refusal = "the log entry is in version 2 of the cluster's protocol, and this program speaks no more than 1: a newer hoist must run here";
    let seen: Vec<_> = entries.iter().map(|bytes| read(bytes, Protocol::FIRST).err()).collect();
    let refused = || Some(refusal.to_owned());
    assert_eq!(seen, [None, None, None, refused(), refused(), None]);

    // And who reads it with this one has the same tables.
    let other = Store::new(Arc::new(ManualClock::default()));
    for (at, bytes) in entries.iter().enumerate() {
        other.apply(at as u64 + 1, read(bytes, Protocol::NEWEST).unwrap());
    }
    assert_eq!(other.view(|tables| tables.get::<Task>(&name).cloned()), store.view(|t| t.get::<Task>(&name).cloned()));
    other.view(|tables| {
        let task = tables.get::<Task>(&name).unwrap();
        assert_eq!((task.status.message.as_str(), task.slot, task.service == of), ("runs", 7, true));
    });
    let snapshot = store.view(|tables| encode_snapshot(tables, 6));
    let older = Store::speaking(Arc::new(ManualClock::default()), Protocol::FIRST);
    let error = older.restore(&snapshot).unwrap_err().to_string();
    assert!(error.starts_with("the snapshot is in version 2"), "{error}");
}

#[test]
fn what_only_a_later_program_can_read_is_known_by_the_version_it_names() {
    let later = serde_json::json!([
        { "put": { "object": { "kind": "cluster", "record": { "protocol": 9 } } } },
        { "teleport": { "task": "x" } },
    ]);
    let bytes = [&[2], serde_json::to_vec(&later).unwrap().as_slice()].concat();
    let error = crate::decode_changes(&bytes, Protocol::NEWEST).unwrap_err().to_string();
    assert!(error.starts_with("the log entry is in version 9"), "{error}");
    // Without it the kind is named at least, and nothing is passed over.
    let bytes = [&[2], serde_json::to_vec(&[&later[1]]).unwrap().as_slice()].concat();
    let error = crate::decode_changes(&bytes, Protocol::NEWEST).unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("unknown variant `teleport`"), "{why}");
}

/// Commits when it is told to.
struct Slow {
    store: Store,
    commits: std::sync::Mutex<Vec<usize>>,
    go: tokio::sync::Semaphore,
    /// More changes at once are too many.
    limit: usize,
}

impl Slow {
    fn store(limit: usize) -> (Store, Arc<Self>) {
        let store = Store::new(Arc::new(ManualClock::at_millis(1_000)));
        let go = tokio::sync::Semaphore::new(0);
        let slow = Arc::new(Self { store: store.clone(), commits: Default::default(), go, limit });
        store.serve(slow.clone());
        (store, slow)
    }

    fn commits(&self) -> Vec<usize> {
        self.commits.lock().unwrap().clone()
    }
}

impl Proposer for Slow {
    fn propose(&self, base: u64, changes: Vec<Change>) -> Proposal<'_> {
        Box::pin(async move {
            if changes.len() > self.limit {
                return Err(ProposeError::TooLarge { size: changes.len(), limit: self.limit });
            }
            let gone = || ProposeError::Storage("the disk is full".into());
            self.go.acquire().await.map_err(|_| gone())?.forget();
            assert_eq!(base, self.store.index());
            self.commits.lock().unwrap().push(changes.len());
            self.store.apply(base + 1, changes);
            Ok(base + 1)
        })
    }
}

/// A transaction that is being committed.
async fn begin(store: &Store, web: &Service) -> tokio::task::JoinHandle<Result<(), StoreError>> {
    let (store, web) = (store.clone(), web.clone());
    let first = tokio::spawn(async move { store.update(|tx| tx.put(web)).await });
    tokio::task::yield_now().await;
    first
}

#[tokio::test]
async fn transactions_that_come_during_a_commit_are_committed_together() {
    let (store, slow) = Slow::store(100);
    let web = service("web");
    let first = begin(&store, &web).await;
    let others: Vec<_> = (0..10)
        .map(|number| {
            let (store, id) = (store.clone(), web.id.clone());
            tokio::spawn(async move {
                // Each sees what those before it wrote, though nothing is committed yet.
                store.update(|tx| tx.modify::<Service>(&id, |s| s.spec_hash.push_str(&number.to_string()))).await
            })
        })
        .collect();
    let wrong = store.update(|tx| tx.put(Service { meta: Meta { version: 1, ..Meta::default() }, ..web.clone() }));
    let wrong = tokio::time::timeout(Duration::from_secs(5), wrong).await.unwrap().unwrap_err();
    assert!(matches!(wrong, StoreError::Conflict { read: 1, .. }), "{wrong}");
    assert_eq!(store.view(|tables| tables.services().len()), 0);
    slow.go.add_permits(2);
    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
    assert_eq!(slow.commits(), [1, 10]);
    let stored = store.view(|tables| tables.services().get(&web.id).cloned()).unwrap();
    assert_eq!((stored.spec_hash.as_str(), stored.meta.version), ("0123456789", 2));
    slow.go.add_permits(1);
    store.update(|tx| tx.put((*stored).clone())).await.unwrap();
}

#[tokio::test]
async fn who_writes_nothing_waits_for_what_it_saw() {
    let (store, slow) = Slow::store(100);
    let web = service("web");
    let first = begin(&store, &web).await;
    let look = || store.update(|tx| Ok::<_, StoreError>(tx.services().len()));
    let early = tokio::time::timeout(Duration::from_millis(50), look()).await;
    assert!(early.is_err(), "it is not committed yet");
    slow.go.add_permits(1);
    assert_eq!(look().await.unwrap(), 1);
    first.await.unwrap().unwrap();
    assert_eq!(look().await.unwrap(), 1);
    assert_eq!(slow.commits(), [1], "and nothing is proposed for it");
}

#[tokio::test]
async fn what_saw_a_write_that_failed_fails_too() {
    let (store, slow) = Slow::store(100);
    let web = service("web");
    let first = begin(&store, &web).await;
    let second = tokio::spawn({
        let (store, id) = (store.clone(), web.id.clone());
        async move { store.update(|tx| tx.modify::<Service>(&id, |_| ())).await }
    });
    tokio::task::yield_now().await;
    slow.go.close();
    let failed = |error| matches!(error, StoreError::Propose(ProposeError::Storage(_)));
    assert!(failed(first.await.unwrap().unwrap_err()));
    assert!(failed(second.await.unwrap().unwrap_err()));
    let outcome: Result<(), StoreError> = store
        .update(|tx| {
            assert_eq!(tx.services().len(), 0);
            Ok(())
        })
        .await;
    outcome.unwrap();
}

#[tokio::test]
async fn what_is_too_large_together_is_committed_apart() {
    let (store, slow) = Slow::store(2);
    let writers: Vec<_> = (0..5)
        .map(|number| {
            let store = store.clone();
            let count = if number == 3 { 3 } else { 1 };
            tokio::spawn(async move {
                store.update(|tx| (0..count).try_for_each(|n| tx.put(service(&format!("s{number}.{n}"))))).await
            })
        })
        .collect();
    slow.go.add_permits(5);
    let mut outcomes = Vec::new();
    for writer in writers {
        outcomes.push(writer.await.unwrap());
    }
    assert!(outcomes[..3].iter().all(Result::is_ok), "{outcomes:?}");
    assert!(matches!(outcomes[3], Err(StoreError::Propose(ProposeError::TooLarge { size: 3, .. }))), "{outcomes:?}");
    assert!(matches!(outcomes[4], Err(StoreError::Propose(ProposeError::Dropped))), "{outcomes:?}");
    assert_eq!(store.view(|tables| tables.services().len()), 3);
}

#[tokio::test]
async fn a_transaction_that_fails_leaves_what_others_wrote_before_it() {
    let (store, slow) = Slow::store(100);
    let web = service("web");
    let first = begin(&store, &web).await;
    let failed: Result<(), StoreError> = store
        .update(|tx| {
            tx.modify::<Service>(&web.id, |s| s.spec_hash = "lost".into())?;
            tx.put(service("other"))?;
            tx.put(service("web"))
        })
        .await;
    assert!(matches!(failed, Err(StoreError::NameTaken { .. })));
    slow.go.add_permits(2);
    first.await.unwrap().unwrap();
    store.update(|tx| tx.modify::<Service>(&web.id, |s| s.spec_hash.push('x'))).await.unwrap();
    let hashes: Vec<_> = store.view(|tables| tables.services().iter().map(|s| s.spec_hash.clone()).collect());
    assert_eq!(hashes, ["x"]);
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
        let _ = crate::decode_changes(&bytes, Protocol::NEWEST);
        let _ = Store::new(Arc::new(ManualClock::default())).restore(&bytes);
    }
}
