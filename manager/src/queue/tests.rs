#![allow(clippy::unwrap_used)]
//! Jobs from their submission to their end, with the other loops and a well-behaved agent.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use hoist_proto::{
    clock::Clock,
    id::NodeId,
    spec::{
        ArrayRequest, Caller, CheckpointOutcome, ContainerSpec, CronSpec, DeviceRequest, Job, JobCheckpoint,
        JobCondition, JobDependency, JobRequest, JobResources, JobSpec, JobWarning, Node, NodeState, PartitionSpec,
        QueueSpec, TaskState,
    },
};
use hoist_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::uses::Uses;
use crate::{
    Progress,
    control::{Control, NoImages},
    testing::{World, exited, gpus_of},
};

struct Lab {
    world: World,
    uses: Uses,
    control: Control,
}

fn caller(user: &str) -> Caller {
    Caller { user: user.into(), uid: if user == "root" { Some(0) } else { None } }
}

fn job(name: &str, gpus: u32) -> JobSpec {
    JobSpec {
        name: name.into(),
        container: ContainerSpec { image: "trainer".into(), ..ContainerSpec::default() },
        each: JobResources { devices: [("gpu".to_owned(), gpus)].into(), ..JobResources::default() },
        tasks: 1,
        ..JobSpec::default()
    }
}

impl Lab {
    async fn new(nodes: u32, gpus: u64) -> Self {
        let world = World::new(nodes).await;
        world
            .store
            .update(|tx| {
                let ids: Vec<_> = tx.nodes().iter().map(|node| node.id.clone()).collect();
                for id in ids {
                    tx.modify::<Node>(&id, |node| {
                        node.description.nano_cpus = 64_000_000_000;
                        node.description.memory = 1 << 40;
                        node.description.generic_resources.insert("gpu".into(), gpus);
                        node.description.devices = vec![gpus_of("lab.example/gpu", gpus)];
                    })?;
                }
                Ok::<_, StoreError>(())
            })
            .await
            .unwrap();
        let cancel = CancellationToken::new();
        let control =
            Control::new(world.store.clone(), Progress::default(), NodeId::random(), Arc::new(NoImages), cancel);
        Self { world, control, uses: Uses::default() }
    }

    async fn submit(&self, user: &str, spec: JobSpec) -> u64 {
        let request = JobRequest { spec, ..JobRequest::default() };
        self.control.submit(caller(user), request).await.unwrap().number
    }

    /// Everything moves until nothing does.
    async fn run(&self) {
        for _ in 0..50 {
            let before = self.world.store.index();
            super::pass(&self.world.store, &self.uses).await.unwrap();
            self.world.run().await;
            if self.world.store.index() == before {
                return;
            }
        }
        panic!("the queue does not come to rest:\n{}", self.text());
    }

    /// The tasks of a job end by themselves.
    async fn finish(&self, label: &str, code: i32) {
        let now = self.world.clock.now();
        let job = self.get(label);
        let service = job.status.service.unwrap();
        self.world
            .agent(|task| {
                (task.service == service && task.status.state == TaskState::Running).then(|| exited(task, code, now))
            })
            .await;
        self.run().await;
    }

    fn get(&self, label: &str) -> Job {
        self.control.jobs().into_iter().find(|job| job.label() == label).unwrap()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for job in self.control.jobs() {
            let reason = Some(&job.status.reason).filter(|reason| !reason.is_empty());
            let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            writeln!(text, "{} {} {}{reason}", job.label(), job.spec.name, job.status.state).unwrap();
        }
        text
    }

    async fn node(&self, index: usize, state: NodeState) {
        let id = self.world.store.view(|tables| tables.nodes().iter().nth(index).unwrap().id.clone());
        self.world.store.update(|tx| tx.modify::<Node>(&id, |node| node.status.state = state)).await.unwrap();
    }
}

#[tokio::test]
async fn a_job_waits_for_devices_runs_and_ends() {
    let lab = Lab::new(1, 2).await;
    lab.submit("ann", job("first", 2)).await;
    lab.submit("bob", job("second", 1)).await;
    lab.run().await;
    assert_eq!(lab.text(), "1 first running\n2 second pending (waits for 1 gpu: 1 node has too little free)\n");
    lab.finish("1", 0).await;
    assert_eq!(lab.text(), "1 first completed\n2 second running\n");
    lab.finish("2", 3).await;
    assert_eq!(lab.text(), "1 first completed\n2 second failed (exited (3))\n");
    assert_eq!(lab.get("2").status.exit_code, Some(3));
}

/// A request for GPUs with one more wish.
fn wish(count: i64, key: &str, value: &str) -> DeviceRequest {
    DeviceRequest {
        count: Some(count),
        capabilities: vec![vec!["gpu".into()]],
        options: [(key.to_owned(), value.to_owned())].into(),
        ..DeviceRequest::default()
    }
}

fn asking(name: &str, requests: &[DeviceRequest]) -> JobSpec {
    let mut spec = job(name, 0);
    spec.each.requests = requests.to_vec();
    spec
}

#[tokio::test]
async fn jobs_get_the_model_or_the_share_that_they_ask_for() {
    let lab = Lab::new(1, 3).await;
    let id = lab.world.store.view(|tables| tables.nodes().iter().next().unwrap().id.clone());
    let change = |tx: &mut hoist_store::Tx<'_>| {
        tx.modify::<Node>(&id, |node| {
            node.description.architecture = "x86_64".into();
            for (place, device) in node.description.devices[0].devices.iter_mut().enumerate() {
                device.facts.model = if place == 2 { "Lab 10".into() } else { "Lab 9".into() };
                device.facts.memory = Some(8 << 30);
            }
        })
    };
    lab.world.store.update(change).await.unwrap();
    // Any device would do for the first, and it leaves the only one of its model to the second want.
    lab.submit("ann", asking("both", &[wish(1, "memory", "4g"), wish(1, "model", "lab 10")])).await;
    lab.submit("bob", asking("half", &[wish(1, "share", "0.5")])).await;
    lab.submit("eve", asking("other half", &[wish(1, "share", "0.5")])).await;
    lab.submit("zoe", asking("third", &[wish(1, "share", "0.5")])).await;
    lab.submit("ann", asking("ten", &[wish(1, "model", "lab 10")])).await;
    lab.run().await;
    assert_eq!(
        lab.text(),
        "1 both running\n2 half running\n3 other half running\n\
         4 third pending (waits for 1 gpu with share=0.5: 1 node has too little free)\n\
         5 ten pending (behind 4: what is free is too little or kept for it)\n"
    );
    let given = |name: &str| {
        let tasks = lab.control.job_tasks(name).unwrap();
        tasks[0].devices.iter().map(|one| (one.name.clone(), one.parts)).collect::<Vec<_>>()
    };
    assert_eq!(given("both"), [("0".into(), None), ("2".into(), None)]);
    assert_eq!((given("half"), given("other half")), (vec![("1".into(), Some(1))], vec![("1".into(), Some(1))]));
    let refused = |spec| async {
        let request = JobRequest { spec, ..JobRequest::default() };
        lab.control.submit(caller("ann"), request).await.unwrap_err().to_string()
    };
    let never = refused(asking("big", &[wish(1, "memory", "80g")])).await;
    assert!(never.contains("that will do, of 3; the nearest that can be met is 1 gpu on"), "{never}");
    let senseless = refused(asking("odd", &[wish(1, "colour", "red")])).await;
    assert!(senseless.contains("option colour is not supported"), "{senseless}");
    // A set-aside device is no reason to refuse, and none to start.
    let aside = |tx: &mut hoist_store::Tx<'_>| {
        tx.modify::<Node>(&id, |node| node.description.devices[0].devices[2].set_aside = Some("broken".into()))
    };
    lab.world.store.update(aside).await.unwrap();
    lab.finish("1", 0).await;
    assert!(lab.text().contains("4 third running\n5 ten pending (waits for"), "{}", lab.text());
}

#[tokio::test]
async fn devices_by_their_names_are_waited_for() {
    let lab = Lab::new(2, 3).await;
    let these = |names: &[&str]| {
        let ids = names.iter().map(|name| (*name).to_owned()).collect();
        DeviceRequest { count: None, device_ids: ids, options: Default::default(), ..wish(1, "", "") }
    };
    lab.submit("ann", asking("twice named", &[these(&["1", "1"])])).await;
    lab.submit("ann", asking("the other's", &[these(&["1"])])).await;
    lab.submit("ann", asking("waits", &[these(&["0", "1"])])).await;
    lab.run().await;
    assert_eq!(
        lab.text(),
        "1 twice named running\n2 the other's running\n\
         3 waits pending (waits for 1 gpu (0, 1): 2 nodes have too little free)\n"
    );
    lab.finish("2", 0).await;
    let tasks = lab.control.job_tasks("waits").unwrap();
    assert_eq!(tasks[0].devices.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["0", "1"]);
    let refused = |request| async {
        let request = JobRequest { spec: asking("bad", &[request]), ..JobRequest::default() };
        lab.control.submit(caller("ann"), request).await.unwrap_err().to_string()
    };
    assert!(refused(these(&["all"])).await.contains("not for all"));
    assert!(refused(these(&["7"])).await.contains("no node has"), "there is none of that name");
}

#[tokio::test]
async fn a_job_comes_again_and_again_and_not_while_the_last_one_runs() {
    let lab = Lab::new(1, 4).await;
    let cron = |name: &str, schedule: &str, no_overlap| CronSpec {
        schedule: schedule.into(),
        no_overlap,
        request: JobRequest { spec: job(name, 1), ..JobRequest::default() },
        ..CronSpec::default()
    };
    let refused = lab.control.add_cron(caller("ann"), cron("bad", "99 * * * *", false)).await.unwrap_err();
    assert!(refused.to_string().contains("minute \"99\""), "{refused}");
    lab.control.add_cron(caller("ann"), cron("nightly", "@hourly", true)).await.unwrap();
    let taken = lab.control.add_cron(caller("bob"), cron("nightly", "@hourly", true)).await.unwrap_err();
    assert!(taken.to_string().contains("ann's cron \"nightly\" is there already"), "{taken}");
    lab.run().await;
    assert_eq!(lab.text(), "", "its time has not come");
    let next = lab.control.crons()["nightly"].next.unwrap();
    let wait = |lab: &Lab, until: hoist_proto::clock::Timestamp| {
        let span = until.duration_since(lab.world.clock.now());
        lab.world.clock.advance(span.try_into().unwrap());
    };
    wait(&lab, next);
    lab.run().await;
    assert_eq!(lab.text(), "1 nightly running\n");
    assert_eq!(lab.get("1").spec.labels["hoist.cron"], "nightly");
    wait(&lab, lab.control.crons()["nightly"].next.unwrap());
    lab.run().await;
    let cron_now = lab.control.crons()["nightly"].clone();
    assert_eq!((cron_now.missed, cron_now.last_job), (1, Some(1)));
    assert!(cron_now.problem.starts_with("job 1 had not ended"), "{}", cron_now.problem);
    lab.finish("1", 0).await;
    // Nobody was there for three hours: the next one is made in its time.
    wait(&lab, cron_now.next.unwrap().checked_add(Duration::from_secs(3 * 3600 + 600)).unwrap());
    lab.run().await;
    let later = lab.control.crons()["nightly"].clone();
    assert_eq!((later.missed, later.last_job), (5, Some(1)));
    let forbidden = lab.control.pause_cron(caller("bob"), "nightly", true).await.unwrap_err();
    assert_eq!(forbidden.to_string(), "cron nightly is ann's");
    lab.control.pause_cron(caller("ann"), "nightly", true).await.unwrap();
    wait(&lab, later.next.unwrap().checked_add(Duration::from_secs(3600)).unwrap());
    lab.run().await;
    assert_eq!(lab.control.jobs().len(), 1);
    lab.control.pause_cron(caller("ann"), "nightly", false).await.unwrap();
    wait(&lab, lab.control.crons()["nightly"].next.unwrap());
    lab.run().await;
    assert_eq!(lab.control.crons()["nightly"].last_job, Some(2));
    lab.control.remove_cron(caller("root"), "nightly").await.unwrap();
    assert!(lab.control.crons().is_empty());
    let mut made_up = cron("late", "@hourly", false);
    made_up.catch_up = true;
    lab.control.add_cron(caller("ann"), made_up).await.unwrap();
    wait(&lab, lab.control.crons()["late"].next.unwrap().checked_add(Duration::from_secs(2 * 3600 + 600)).unwrap());
    lab.run().await;
    assert_eq!((lab.control.crons()["late"].missed, lab.control.crons()["late"].last_job), (2, Some(3)));
}

#[tokio::test]
async fn a_job_that_does_not_use_its_devices_is_warned_then_ended() {
    let lab = Lab::new(1, 2).await;
    let partition = PartitionSpec {
        name: "main".into(),
        idle_percent: Some(10),
        idle_minutes: Some(30),
        idle_grace_minutes: Some(5),
        ..PartitionSpec::default()
    };
    let rules = QueueSpec { partitions: vec![partition], ..QueueSpec::default() };
    let half = QueueSpec {
        partitions: vec![PartitionSpec { idle_minutes: None, ..rules.partitions[0].clone() }],
        ..rules.clone()
    };
    assert!(lab.control.set_queue_spec(caller("root"), half).await.is_err());
    lab.control.set_queue_spec(caller("root"), rules).await.unwrap();
    lab.submit("ann", job("lazy", 1)).await;
    lab.submit("ann", job("busy", 1)).await;
    lab.run().await;
    let task = |name: &str| lab.control.job_tasks(name).unwrap()[0].id.clone();
    let (lazy, busy) = (task("lazy"), task("busy"));
    let mut told = 0_u64;
    let mut tell = |lazy_percent: u64| {
        told += 60_000;
        let used = |percent: u64| hoist_proto::spec::DeviceUse {
            measured_millis: told,
            busy_millis: told * percent / 100,
            energy_millijoules: told,
        };
        let said = vec![(lazy.clone(), used(lazy_percent)), (busy.clone(), used(80))];
        lab.uses.note(&serde_json::to_vec(&said).unwrap(), tokio::time::Instant::now());
    };
    let minutes = |minutes: u64| lab.world.clock.advance(Duration::from_secs(60 * minutes));
    tell(1);
    lab.run().await;
    assert!(lab.get("1").status.idle_since.is_some() && lab.get("2").status.idle_since.is_none());
    minutes(29);
    tell(1);
    lab.run().await;
    assert_eq!(lab.get("1").status.reason, "");
    minutes(1);
    tell(1);
    lab.run().await;
    let reason = lab.get("1").status.reason;
    assert!(reason.contains("less than 10 % of the time for 30 minutes: it is ended in 5 minutes"), "{reason}");
    // It works again in time, and then no more.
    tell(90);
    lab.run().await;
    assert_eq!((lab.get("1").status.reason.as_str(), lab.get("1").status.idle_since), ("", None));
    for wait in [0, 30, 5] {
        minutes(wait);
        tell(50);
        tell(0);
        lab.run().await;
    }
    assert_eq!(lab.get("1").status.state, hoist_proto::spec::JobState::Cancelled, "{}", lab.text());
    assert!(lab.get("1").status.used.measured_millis > 0);
    lab.finish("2", 0).await;
    let rows = lab.control.usage();
    assert!(rows[0].used.energy_millijoules > 0 && rows[0].used.busy_millis > 0, "{rows:?}");
}

#[tokio::test]
async fn a_job_leaves_a_device_with_which_something_is_wrong() {
    let lab = Lab::new(2, 1).await;
    lab.submit("ann", job("train", 1)).await;
    lab.run().await;
    let first = lab.get("1").status.nodes[0].clone();
    let break_it = |tx: &mut hoist_store::Tx<'_>| {
        tx.modify::<Node>(&first, |node| {
            let device = &mut node.description.devices[0].devices[0];
            (device.faulty, device.set_aside) = (true, Some("XID 79".into()));
        })
    };
    lab.world.store.update(break_it).await.unwrap();
    lab.run().await;
    let job = lab.get("1");
    assert_eq!((job.status.state, job.status.attempts), (hoist_proto::spec::JobState::Running, 2), "{}", lab.text());
    assert_ne!(job.status.nodes[0], first);
}

#[tokio::test]
async fn what_never_can_be_is_refused_with_the_nearest_that_can() {
    let lab = Lab::new(2, 4).await;
    let request = |spec| JobRequest { spec, ..JobRequest::default() };
    let error = lab.control.submit(caller("ann"), request(job("big", 5))).await.unwrap_err();
    assert!(
        error.to_string().starts_with("no node has 5 gpu; the most that could be had: 4 gpu on node node"),
        "{error}"
    );
    let mut unknown = job("odd", 0);
    unknown.each.devices = [("tpu".to_owned(), 1)].into();
    let error = lab.control.submit(caller("ann"), request(unknown)).await.unwrap_err();
    assert_eq!(error.to_string(), "no node has a device of the kind \"tpu\"");
    let mut lost = job("lost", 1);
    lost.partition = Some("fast".into());
    let error = lab.control.submit(caller("ann"), request(lost)).await.unwrap_err();
    assert_eq!(error.to_string(), "no such partition: \"fast\"; there are default");
    assert!(lab.control.jobs().is_empty(), "what is refused leaves nothing");
}

#[tokio::test]
async fn a_gang_goes_and_comes_back_whole_when_a_node_is_lost() {
    let lab = Lab::new(3, 2).await;
    let mut gang = job("gang", 2);
    gang.tasks = 2;
    lab.submit("ann", gang).await;
    lab.run().await;
    let before = lab.get("1");
    assert_eq!(before.status.nodes.len(), 2);
    let index = lab
        .world
        .store
        .view(|tables| tables.nodes().iter().position(|node| node.id == before.status.nodes[1]).unwrap());
    lab.node(index, NodeState::Down).await;
    lab.run().await;
    let after = lab.get("1");
    assert_eq!((after.status.state.to_string(), after.status.attempts), ("running".to_owned(), 2), "{}", lab.text());
    assert!(!after.status.nodes.contains(&before.status.nodes[1]));
    let envs: Vec<String> = lab.world.store.view(|tables| {
        let service = after.status.service.as_ref().unwrap();
        tables.tasks_of(service).map(|task| task.spec.container.env.join(" ")).collect()
    });
    assert!(envs.iter().any(|env| env.contains("RANK=1 WORLD_SIZE=2 MASTER_ADDR=job-1-try2.1")), "{envs:?}");
}

#[tokio::test]
async fn time_limits_end_jobs_and_retries_start_them_again() {
    let lab = Lab::new(1, 2).await;
    let mut limited = job("limited", 1);
    limited.time_limit = Some(Duration::from_secs(90));
    lab.submit("ann", limited).await;
    let mut stubborn = job("stubborn", 1);
    stubborn.retries = 1;
    lab.submit("ann", stubborn).await;
    lab.run().await;
    lab.finish("2", 1).await;
    assert_eq!(lab.get("2").status.attempts, 2);
    lab.finish("2", 1).await;
    lab.world.clock.advance(Duration::from_secs(100));
    lab.run().await;
    assert_eq!(lab.text(), "1 limited timed out (its time limit of 1m30s is up)\n2 stubborn failed (exited (1))\n");
}

#[tokio::test]
async fn tasks_are_warned_once_before_the_time_limit() {
    let lab = Lab::new(1, 2).await;
    let warned = |signal: &str, before| {
        let mut spec = job("limited", 1);
        spec.time_limit = Some(Duration::from_secs(90));
        spec.warning = Some(JobWarning { signal: signal.into(), before: Duration::from_secs(before) });
        spec
    };
    let submit = |spec| lab.control.submit(caller("ann"), JobRequest { spec, ..JobRequest::default() });
    let told = submit(warned("USR3", 30)).await.unwrap_err().to_string();
    assert!(told.contains("invalid signal: USR3"), "{told}");
    let told = submit(warned("USR1", 90)).await.unwrap_err().to_string();
    assert!(told.contains("before the time limit"), "{told}");
    let told = submit(JobSpec { time_limit: None, ..warned("USR1", 30) }).await.unwrap_err().to_string();
    assert!(told.contains("needs a time limit"), "{told}");
    lab.submit("ann", warned("USR1", 30)).await;
    lab.run().await;
    let signals = || -> Vec<_> {
        let tasks = lab.control.job_tasks("1").unwrap();
        tasks.into_iter().map(|task| task.signal.unwrap_or_default()).collect()
    };
    lab.world.clock.advance(Duration::from_secs(50));
    lab.run().await;
    assert_eq!(signals(), [""]);
    lab.world.clock.advance(Duration::from_secs(15));
    lab.run().await;
    assert_eq!(signals(), ["USR1"]);
    assert_eq!(lab.text(), "1 limited running\n");
    lab.world.clock.advance(Duration::from_secs(30));
    lab.run().await;
    assert_eq!(lab.text(), "1 limited timed out (its time limit of 1m30s is up)\n");
}

#[tokio::test]
async fn arrays_keep_to_their_number_and_dependants_wait_for_all() {
    let lab = Lab::new(1, 8).await;
    let array = Some(ArrayRequest { indices: vec![1, 2, 3], at_once: 2 });
    let request = JobRequest { spec: job("sweep", 1), array, ..JobRequest::default() };
    lab.control.submit(caller("ann"), request).await.unwrap();
    let mut after = job("after", 1);
    after.depends = vec![JobDependency { job: 1, when: JobCondition::Success }];
    lab.submit("ann", after).await;
    let mut instead = job("instead", 1);
    instead.depends = vec![JobDependency { job: 1, when: JobCondition::Failure }];
    lab.submit("ann", instead).await;
    lab.run().await;
    assert_eq!(
        lab.text(),
        "1_1 sweep running\n1_2 sweep running\n1_3 sweep pending (2 of its array run, and no more may at once)\n\
         2 after pending (waits for the success of job 1)\n3 instead pending (waits for the failure of job 1)\n"
    );
    for label in ["1_1", "1_2", "1_3"] {
        lab.finish(label, 0).await;
    }
    assert_eq!(lab.get("2").status.state.to_string(), "running");
    assert_eq!(lab.get("3").status.state.to_string(), "cancelled");
}

#[tokio::test]
async fn the_important_displace_where_the_partition_says_so() {
    let lab = Lab::new(1, 2).await;
    let partition = PartitionSpec { name: "main".into(), preempt: true, ..PartitionSpec::default() };
    let spec = QueueSpec { partitions: vec![partition], ..QueueSpec::default() };
    assert!(lab.control.set_queue_spec(caller("ann"), spec.clone()).await.is_err(), "only admins set rules");
    lab.control.set_queue_spec(caller("root"), spec).await.unwrap();
    lab.submit("ann", job("low", 2)).await;
    lab.run().await;
    let mut high = job("high", 1);
    high.priority = 10;
    lab.submit("bob", high).await;
    lab.run().await;
    assert_eq!(lab.get("2").status.state.to_string(), "running", "{}", lab.text());
    assert_eq!(lab.get("1").status.state.to_string(), "pending", "{}", lab.text());
    lab.finish("2", 0).await;
    assert_eq!((lab.get("1").status.state.to_string(), lab.get("1").status.attempts), ("running".to_owned(), 2));
}

#[tokio::test]
async fn what_gives_way_goes_on_from_its_checkpoint_once() {
    let lab = Lab::new(1, 2).await;
    let partition = PartitionSpec { name: "main".into(), preempt: true, ..PartitionSpec::default() };
    let spec = QueueSpec { partitions: vec![partition], ..QueueSpec::default() };
    lab.control.set_queue_spec(caller("root"), spec).await.unwrap();
    lab.submit("ann", JobSpec { checkpoint: Some(JobCheckpoint::default()), ..job("low", 2) }).await;
    lab.run().await;
    let task = || lab.control.job_tasks("1").unwrap().remove(0);
    let first = task().spec.checkpoint.clone().unwrap();
    assert!(first.restore.is_none() && !task().checkpoint_on_stop, "{first:?}");
    // Gives way, and is written down; then once more, and is not.
    for (attempt, outcome, restored, said) in [
        (2, CheckpointOutcome::Made, true, "made when attempt 1 ended"),
        (3, CheckpointOutcome::NotMade("no room".into()), false, "not made, so that it begins again: no room"),
    ] {
        let name = task().spec.checkpoint.clone().unwrap().name;
        let high = lab.submit("bob", JobSpec { priority: 10, ..job("high", 1) }).await.to_string();
        super::pass(&lab.world.store, &lab.uses).await.unwrap();
        assert!(task().checkpoint_on_stop);
        lab.world
            .agent(|task| {
                let mut status = task.status.clone();
                status.state = TaskState::Shutdown;
                status.checkpoint = Some(outcome.clone());
                task.checkpoint_on_stop.then_some(status)
            })
            .await;
        lab.run().await;
        assert_eq!(lab.get("1").status.checkpoint_said, said, "{}", lab.text());
        lab.finish(&high, 0).await;
        assert_eq!(lab.get("1").status.attempts, attempt, "{}", lab.text());
        assert_eq!(task().spec.checkpoint.clone().unwrap().restore, restored.then_some(name));
        assert_eq!(lab.get("1").status.checkpoint, None, "it is used once");
    }
    // One that is cancelled is not written down.
    lab.control.cancel_jobs(caller("ann"), "1").await.unwrap();
    assert!(!task().checkpoint_on_stop);
}

#[tokio::test]
async fn only_the_owner_and_admins_touch_a_job() {
    let lab = Lab::new(1, 2).await;
    lab.submit("ann", job("hers", 1)).await;
    lab.run().await;
    let error = lab.control.cancel_jobs(caller("bob"), "hers").await.unwrap_err();
    assert_eq!(error.to_string(), "job 1 is ann's");
    assert_eq!(lab.control.cancel_jobs(caller("ann"), "1").await.unwrap(), ["1"]);
    lab.run().await;
    assert_eq!(lab.text(), "1 hers cancelled (cancelled)\n");
    assert!(lab.control.cancel_jobs(caller("ann"), "2").await.is_err());
    lab.control.requeue_jobs(caller("root"), "1").await.unwrap();
    lab.run().await;
    assert_eq!(lab.get("1").status.state.to_string(), "running");
}

#[tokio::test]
async fn use_is_counted_by_account() {
    let lab = Lab::new(1, 4).await;
    let mut spec = job("work", 2);
    spec.project = Some("vision".into());
    lab.submit("ann", spec).await;
    lab.run().await;
    lab.world.clock.advance(Duration::from_secs(3600));
    assert_eq!(lab.control.usage()[0].device_millis / 100_000, 72);
    lab.finish("1", 0).await;
    let rows = lab.control.usage();
    assert_eq!(rows.len(), 1, "what has ended is counted once");
    assert_eq!((rows[0].user.as_str(), rows[0].project.as_deref(), rows[0].jobs), ("ann", Some("vision"), 1));
    assert_eq!(rows[0].device_millis / 100_000, 72);
}

#[tokio::test]
async fn a_job_that_is_cancelled_before_an_agent_saw_it_ends() {
    let lab = Lab::new(1, 2).await;
    lab.submit("ann", job("brief", 1)).await;
    super::pass(&lab.world.store, &lab.uses).await.unwrap();
    lab.control.cancel_jobs(caller("ann"), "1").await.unwrap();
    lab.run().await;
    assert_eq!(lab.text(), "1 brief cancelled (cancelled)\n");
}
