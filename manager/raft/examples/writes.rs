//! How fast three managers agree, each with its own log on this machine's disk: one writer alone, and many at once.
//!
//! `cargo run --release -p hoist-raft --example writes [-- DIRECTORY]`
#![allow(clippy::print_stdout, clippy::unwrap_used)] // it reports, and has nobody to pass an error on to

use std::{
    collections::HashMap,
    fs::File,
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use hoist_proto::{
    clock,
    id::ConfigId,
    spec::{Config, Meta},
};
use hoist_raft::{
    Begin, Raft, Transport,
    messages::{ConfChangeSingle, ConfChangeType, ConfChangeV2, Message},
};
use hoist_store::{Store, StoreError};

/// Hands messages over within this process.
#[derive(Clone, Default)]
struct Wires(Arc<Mutex<HashMap<u64, Raft>>>);

impl Transport for Wires {
    fn send(&mut self, messages: Vec<Message>) {
        let peers = self.0.lock().unwrap();
        for message in messages {
            let (to, snapshot) = (message.to, message.has_snapshot());
            let from = peers.get(&message.from).cloned();
            if let Some(peer) = peers.get(&to) {
                peer.step(message);
            }
            if let Some(from) = from.filter(|_| snapshot) {
                from.snapshot_sent(to, true);
            }
        }
    }
}

#[tokio::main]
async fn main() {
    let place = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let dir = tempfile::tempdir_in(place).unwrap();
    let (leader, store) = three(dir.path()).await;
    let sync = sync_time(dir.path());
    println!("one sync of this disk: {:.2} ms", sync.as_secs_f64() * 1e3);

    let count = 500;
    let begun = Instant::now();
    for number in 0..count {
        write(&store, number).await.unwrap();
    }
    let each = begun.elapsed() / count;
    let syncs = each.as_secs_f64() / sync.as_secs_f64();
    println!("one writer: {:.2} ms a write, {syncs:.1} syncs", each.as_secs_f64() * 1e3);

    for writers in [64, 512, 4096] {
        let begun = Instant::now();
        let until = begun + Duration::from_secs(5);
        let mut running = tokio::task::JoinSet::new();
        for writer in 0..writers {
            let store = store.clone();
            running.spawn(async move {
                let mut done = 0;
                while Instant::now() < until {
                    write(&store, 1_000 + writer).await.unwrap();
                    done += 1;
                }
                done
            });
        }
        let done: u32 = running.join_all().await.iter().sum();
        println!(
            "{writers:>4} writers: {:.0} committed writes a second",
            f64::from(done) / begun.elapsed().as_secs_f64()
        );
    }
    drop(leader);
}

/// One record made or changed.
async fn write(store: &Store, number: u32) -> Result<(), StoreError> {
    store
        .update(|tx| {
            let name = format!("config{number}");
            let there = tx.configs().named(&name).map(|config| (**config).clone());
            let mut config = there.unwrap_or_else(|| Config {
                id: ConfigId::random(),
                meta: Meta::default(),
                name,
                labels: Default::default(),
                data: Default::default(),
                templating: None,
            });
            config.labels.insert("written".into(), tx.now().to_string());
            tx.put(config)
        })
        .await
}

async fn three(dir: &Path) -> (Vec<Raft>, Store) {
    let wires = Wires::default();
    let mut all = Vec::new();
    let mut first = None;
    for id in 1..=3 {
        let store = Store::new(clock::system());
        let begin = if id == 1 { Begin::Alone } else { Begin::Joining(id) };
        let config = hoist_raft::Config { dir: dir.join(id.to_string()), begin, ..hoist_raft::Config::default() };
        let raft = Raft::start(config, store.clone(), wires.clone()).await.unwrap();
        wires.0.lock().unwrap().insert(id, raft.clone());
        first.get_or_insert(store);
        all.push(raft);
    }
    all[0].welcome().await.unwrap();
    for id in 2..=3 {
        let mut single = ConfChangeSingle::default();
        single.set_change_type(ConfChangeType::AddNode);
        single.node_id = id;
        let mut change = ConfChangeV2::default();
        change.set_changes(vec![single].into());
        all[0].change_membership(change).await.unwrap();
    }
    while all[0].members().await.iter().any(|member| !member.active || member.behind > 0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (all, first.unwrap())
}

fn sync_time(dir: &Path) -> Duration {
    let mut file = File::create(dir.join("sync")).unwrap();
    let begun = Instant::now();
    for _ in 0..100 {
        file.write_all(&[0; 4096]).unwrap();
        file.sync_data().unwrap();
    }
    begun.elapsed() / 100
}
