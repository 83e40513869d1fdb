//! A cluster of real daemons, while machines lose their power and the lines between them are cut as chance decides: what
//! was acknowledged is kept, in one order, and in the end what runs is what should.
#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hoist_simulation::linear::{self, Action, Operation};
use serde_json::Value;
use support::{cluster::until, lab::Lab};

const MANAGERS: [&str; 3] = ["m1", "m2", "m3"];
const ALL: [&str; 5] = ["m1", "m2", "m3", "w1", "w2"];
const REGISTERS: u32 = 2;
/// How long things go wrong.
const FAULTS: Duration = Duration::from_secs(25);

/// Chance, each thread with its own.
fn chance(seed: u64) -> impl FnMut(usize) -> usize {
    let mut rng = fastrand::Rng::with_seed(seed);
    move |end| rng.usize(0..end)
}

/// What all clients know.
struct Clients {
    sockets: BTreeMap<&'static str, String>,
    began: Instant,
    history: Mutex<Vec<Operation>>,
    /// Configs whose making was acknowledged.
    made: Mutex<BTreeSet<String>>,
    next: AtomicU64,
    goes_on: AtomicBool,
}

impl Clients {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap()
    }

    /// A request to a machine's daemon: the status and the answer; none when no answer came.
    fn ask(&self, node: &str, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        let mut curl = std::process::Command::new("curl");
        curl.args(["-s", "--max-time", "5", "-X", method, "-w", "\n%{http_code}", "--unix-socket"]);
        curl.arg(&self.sockets[node]).arg(format!("http://hoist{path}"));
        if let Some(body) = body {
            curl.args(["-H", "Content-Type: application/json", "-d", &body.to_string()]);
        }
        let done = support::run(&mut curl);
        let (body, status) = done.stdout.trim_end().rsplit_once('\n').unwrap_or(("", done.stdout.trim()));
        let status = status.parse().ok().filter(|status| *status != 0)?;
        Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
    }

    /// Changes registers, each the label of a service, and makes configs.
    fn run(&self, client: usize, seed: u64) {
        let mut below = chance(seed);
        while self.goes_on.load(Ordering::Relaxed) {
            let node = MANAGERS[below(MANAGERS.len())];
            let value = self.next.fetch_add(1, Ordering::Relaxed);
            if below(4) == 0 {
                let name = format!("config{value}");
                let body = serde_json::json!({"Name": name, "Data": "aGVsbG8="});
                if self.ask(node, "POST", "/configs/create", Some(&body)).is_some_and(|(status, _)| status == 201) {
                    self.made.lock().unwrap().insert(name);
                }
            } else {
                let register = u32::try_from(below(REGISTERS as usize)).unwrap();
                self.swap(client, register, node, value);
            }
            thread::sleep(Duration::from_millis(below(150) as u64));
        }
    }

    /// Puts a value in the place of the one that it reads, from whichever manager: the version says that it is still there.
    fn swap(&self, client: usize, register: u32, node: &str, value: u64) {
        let Some((200, service)) = self.ask(node, "GET", &format!("/services/register{register}"), None) else {
            return;
        };
        let (saw, version) = (value_of(&service), service["Version"]["Index"].as_u64().unwrap());
        let mut spec = service["Spec"].clone();
        spec["Labels"]["value"] = Value::String(value.to_string());
        let path = format!("/services/{}/update?version={version}", service["ID"].as_str().unwrap());
        let called = self.now();
        let answered = match self.ask(node, "POST", &path, Some(&spec)) {
            Some((200, _)) => Some(self.now()),
            Some((_, why)) if why["message"].as_str().is_some_and(|why| why.contains("out of sequence")) => return,
            _ => None,
        };
        let operation = Operation { client, register, action: Action::Swap { saw, wrote: value }, called, answered };
        self.history.lock().unwrap().push(operation);
    }
}

fn value_of(service: &Value) -> u64 {
    service["Spec"]["Labels"]["value"].as_str().and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Breaks one thing after the other and mends it again.
fn break_things(lab: &Lab, seed: u64) -> usize {
    let (mut below, began, mut count) = (chance(seed), Instant::now(), 0);
    while began.elapsed() < FAULTS {
        let (node, other) = (ALL[below(ALL.len())], MANAGERS[below(MANAGERS.len())]);
        let wait = Duration::from_millis(500 + below(4_000) as u64);
        count += 1;
        match below(6) {
            0 | 1 => {
                lab.lab(&["kill", node]).ok();
                thread::sleep(wait);
                lab.lab(&["start", node]).ok();
            }
            2 => {
                lab.lab(&["cut", node]).ok();
                thread::sleep(wait);
            }
            3 if node != other => {
                lab.lab(&["cut", node, "--from", other]).ok();
                thread::sleep(wait);
            }
            4 => {
                lab.lab(&["cut", node, if below(2) == 0 { "--hears" } else { "--speaks" }]).ok();
                thread::sleep(wait);
            }
            _ => {
                lab.lab(&["stop", node]).ok();
                thread::sleep(wait / 4);
                lab.lab(&["start", node]).ok();
            }
        }
        lab.lab(&["heal"]).ok();
        thread::sleep(Duration::from_millis(below(1_500) as u64));
    }
    count
}

/// The containers of a service that run on all machines.
fn running(lab: &Lab, service: &str) -> Vec<String> {
    let filter = format!("label=hoist.service.name={service}");
    ALL.iter()
        .flat_map(|node| {
            let lines = lab.on(node, &["ps", "-q", "-f", &filter]).stdout;
            lines.lines().map(|id| format!("{node} {id}")).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn what_was_acknowledged_outlives_machines_and_lines() {
    let lab = Lab::up(&["--managers", "3", "--workers", "2"]);
    let tar = lab.path().join("busybox.tar");
    support::busybox_tar(&tar);
    for node in ALL {
        lab.on(node, &["import", "-c", "CMD [\"sleep\",\"600\"]", tar.to_str().unwrap(), "busybox"]).ok();
    }
    lab.on("m1", &["swarm", "update", "--dispatcher-heartbeat", "1s"]).ok();
    let create = |name: &str, replicas: &str| {
        let create = ["service", "create", "-d", "--name", name, "--replicas", replicas, "--stop-grace-period", "0s"];
        let restart = ["--restart-delay", "500ms", "busybox", "sleep", "600"];
        lab.on("m1", &[&create[..], &restart[..]].concat()).ok();
    };
    (0..REGISTERS).for_each(|register| create(&format!("register{register}"), "0"));
    create("stays", "4");
    create("goes", "3");
    assert!(until(|| running(&lab, "stays").len() == 4 && running(&lab, "goes").len() == 3));

    let socket = |node: &str| {
        let host = lab.hoist(&["context", "inspect", &format!("lab-{node}"), "-f", "{{.Endpoints.docker.Host}}"]).ok();
        host.trim().trim_start_matches("unix://").to_owned()
    };
    let clients = Arc::new(Clients {
        sockets: MANAGERS.iter().map(|node| (*node, socket(node))).collect(),
        began: Instant::now(),
        history: Mutex::default(),
        made: Mutex::default(),
        next: AtomicU64::new(1),
        goes_on: AtomicBool::new(true),
    });
    let seed = u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap();
    let threads: Vec<_> = (0..3)
        .map(|client| {
            let clients = clients.clone();
            thread::spawn(move || clients.run(client, seed + client as u64))
        })
        .collect();
    let faults = thread::scope(|scope| {
        let faults = scope.spawn(|| break_things(&lab, seed));
        // In the middle of it a service goes.
        thread::sleep(FAULTS / 3);
        assert!(until(|| MANAGERS.iter().any(|node| lab.on(node, &["service", "rm", "goes"]).code == 0)));
        faults.join().unwrap()
    });
    clients.goes_on.store(false, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());

    let history = || std::mem::take(&mut *clients.history.lock().unwrap());
    let told = format!("seed {seed}, {faults} faults");
    let ready = || {
        let lines = lab.on("m1", &["node", "ls", "--format", "{{.Status}} {{.ManagerStatus}}"]).stdout;
        let able = lines.lines().filter(|line| line.ends_with("Leader") || line.ends_with("Reachable")).count();
        lines.lines().filter(|line| line.starts_with("Ready")).count() == ALL.len() && able == MANAGERS.len()
    };
    assert!(until(ready), "{told}: not all nodes are back:\n{}", lab.on("m1", &["node", "ls"]).stdout);
    let mut operations = history();
    let acknowledged = operations.iter().filter(|operation| operation.answered.is_some()).count();
    assert!(acknowledged > 10, "{told}: {acknowledged} of {} changes were acknowledged", operations.len());
    for register in 0..REGISTERS {
        let read = || {
            MANAGERS.map(|node| {
                let called = clients.now();
                let (_, service) = clients.ask(node, "GET", &format!("/services/register{register}"), None).unwrap();
                let action = Action::Read(value_of(&service));
                Operation { client: 9, register, action, called, answered: Some(clients.now()) }
            })
        };
        assert!(until(|| {
            let all = read();
            all.iter().all(|one| one.action == all[0].action)
        }));
        operations.extend(read());
    }
    linear::check(&operations).unwrap_or_else(|error| panic!("{told}: {error}"));
    for node in MANAGERS {
        let there = lab.on(node, &["config", "ls", "--format", "{{.Name}}"]).ok();
        let there: BTreeSet<&str> = there.lines().collect();
        let lost: Vec<_> =
            clients.made.lock().unwrap().iter().filter(|name| !there.contains(name.as_str())).cloned().collect();
        assert!(lost.is_empty(), "{told}: {node} has lost {lost:?}");
    }
    let mut found = (Vec::new(), Vec::new());
    let settled = until(|| {
        found = (running(&lab, "stays"), running(&lab, "goes"));
        found.0.len() == 4 && found.1.is_empty()
    });
    let tasks = || lab.on("m1", &["service", "ps", "stays"]).stdout;
    assert!(settled, "{told}: four should run and none of the other service: {found:?}\n{}", tasks());
    assert_eq!(lab.lab(&["down"]).code, 0);
    assert_eq!(lab.leftovers(), Vec::<String>::new());
}
