use std::{collections::HashMap, time::Duration};

use hoist_proto::{
    clock::Clock,
    spec::{Health, Lifecycle, Service, Task, TaskState},
};
use hoist_store::StoreError;
use proptest::prelude::*;

use crate::testing::{World, exited, willing};

const CHAIN: &str = "
services:
  db:
    image: db
    healthcheck: {test: [CMD, 'true']}
  migrate:
    image: migrate
    depends_on: {db: {condition: service_healthy}}
  web:
    image: web
    deploy: {replicas: 2}
    depends_on:
      migrate: {condition: service_completed_successfully}
      db: {condition: service_healthy, restart: true}
";

async fn fail(world: &World, name: &str, code: i32) {
    let now = world.clock.now();
    world
        .agent(|task| {
            let hit = task.name == name && task.status.state == TaskState::Running;
            hit.then(|| exited(task, code, now))
        })
        .await;
}

async fn lifecycle(world: &World, lifecycle: Lifecycle) {
    world
        .store
        .update(|tx| {
            let ids: Vec<_> = tx.services().iter().map(|service| service.id.clone()).collect();
            ids.iter().try_for_each(|id| tx.modify::<Service>(id, |service| service.spec.lifecycle = lifecycle))
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn services_start_in_the_order_of_their_dependencies() {
    let world = World::new(1).await;
    world.up(CHAIN).await;
    world.run().await;
    insta::assert_snapshot!(world.describe(), @"
    demo-db-1 should be running, is running healthy
    demo-migrate-1 should be running, is running
    demo-web-1 should be ready, is ready
    demo-web-2 should be ready, is ready
    ");
    fail(&world, "demo-migrate-1", 0).await;
    world.run().await;
    insta::assert_snapshot!(world.describe(), @"
    demo-db-1 should be running, is running healthy
    demo-migrate-1 should be running, is complete
    demo-web-1 should be running, is running
    demo-web-2 should be running, is running
    ");
}

#[tokio::test]
async fn a_failed_dependency_holds_the_others_back() {
    let world = World::new(1).await;
    world.up(CHAIN).await;
    world.run().await;
    fail(&world, "demo-migrate-1", 3).await;
    world.run().await;
    insta::assert_snapshot!(world.describe(), @"
    demo-db-1 should be running, is running healthy
    demo-migrate-1 should be running, is failed (exited (3))
    demo-web-1 should be ready, is ready
    demo-web-2 should be ready, is ready
    ");
}

#[tokio::test]
async fn stopping_goes_the_other_way_and_keeps_the_tasks_and_starting_makes_new_ones() {
    let world = World::new(1).await;
    world.up(CHAIN).await;
    world.run().await;
    fail(&world, "demo-migrate-1", 0).await;
    world.run().await;
    lifecycle(&world, Lifecycle::Stopped).await;
    world.settle().await;
    // The database waits for those that use it.
    insta::assert_snapshot!(world.describe(), @"
    demo-db-1 should be running, is running healthy
    demo-migrate-1 should be running, is complete
    demo-web-1 should be shutdown, is running
    demo-web-2 should be shutdown, is running
    ");
    world.run().await;
    insta::assert_snapshot!(world.describe(), @"
    demo-db-1 should be shutdown, is shutdown healthy
    demo-migrate-1 should be shutdown, is complete
    demo-web-1 should be shutdown, is shutdown
    demo-web-2 should be shutdown, is shutdown
    ");
    lifecycle(&world, Lifecycle::Running).await;
    world.run().await;
    fail(&world, "demo-migrate-1", 0).await;
    world.run().await;
    let running = world.store.view(|t| t.tasks().iter().filter(|t| t.status.state == TaskState::Running).count());
    assert_eq!(running, 3, "{}", world.describe());

    lifecycle(&world, Lifecycle::Removed).await;
    world.run().await;
    assert_eq!(world.describe(), "");
    assert!(world.store.view(|tables| tables.services().is_empty()));
}

#[tokio::test]
async fn a_restart_policy_waits_counts_and_gives_up() {
    let world = World::new(1).await;
    let yaml = "
services:
  web:
    image: web
    deploy: {restart_policy: {condition: on-failure, delay: 5s, max_attempts: 2}}
";
    world.up(yaml).await;
    world.run().await;
    for attempt in 0..2 {
        fail(&world, "demo-web-1", 1).await;
        world.run().await;
        let live = |t: &&std::sync::Arc<Task>| t.desired <= TaskState::Running;
        let state = world.store.view(|t| t.tasks().iter().find(live).map(|t| (t.status.state, t.restarts)));
        assert_eq!(state, Some((TaskState::Ready, attempt + 1)), "{}", world.describe());
        world.clock.advance(Duration::from_secs(5));
        world.run().await;
    }
    fail(&world, "demo-web-1", 1).await;
    world.run().await;
    insta::assert_snapshot!(world.describe(), @"
    demo-web-1 should be shutdown, is failed (exited (1))
    demo-web-1 should be shutdown, is failed (exited (1))
    demo-web-1 should be running, is failed (exited (1))
    ");
}

#[tokio::test]
async fn an_unhealthy_task_is_replaced() {
    let world = World::new(1).await;
    world.up("services: {web: {image: web, healthcheck: {test: [CMD, 'true']}}}").await;
    world.run().await;
    let now = world.clock.now();
    world
        .agent(|task| {
            let mut status = exited(task, 1, now);
            status.exit_code = None;
            status.health = Health::Unhealthy;
            status.error = Some("unhealthy: no answer".into());
            Some(status)
        })
        .await;
    world.run().await;
    insta::assert_snapshot!(world.describe(), @"
    demo-web-1 should be running, is running healthy
    demo-web-1 should be shutdown, is failed unhealthy (unhealthy: no answer)
    ");
}

#[tokio::test]
async fn an_update_goes_slot_by_slot_and_a_failed_one_rolls_back() {
    let world = World::new(1).await;
    let yaml = |image: &str| {
        format!(
            "
services:
  web:
    image: {image}
    deploy:
      replicas: 3
      update_config: {{parallelism: 1, failure_action: rollback, monitor: 10s}}
"
        )
    };
    world.up(&yaml("one")).await;
    world.run().await;
    world.clock.advance(Duration::from_secs(60));
    world.up(&yaml("two")).await;
    world.settle().await;
    // One at a time: its predecessor must be gone before it is made.
    insta::assert_snapshot!(world.describe(), @"
    demo-web-1 should be remove, is running
    demo-web-2 should be running, is running
    demo-web-3 should be running, is running
    ");
    // The new one fails at once.
    for _ in 0..6 {
        let now = world.clock.now();
        world
            .agent(|task| {
                let new = task.spec.container.image == "two" && task.status.state == TaskState::Running;
                if new { Some(exited(task, 1, now)) } else { willing(task, now) }
            })
            .await;
        world.settle().await;
    }
    world.run().await;
    let images: Vec<String> = world.store.view(|tables| {
        let live = tables.tasks().iter().filter(|task| task.status.state == TaskState::Running);
        live.map(|task| task.spec.container.image.clone()).collect()
    });
    assert_eq!(images, ["one", "one", "one"], "{}", world.describe());
}

#[tokio::test]
async fn a_dependent_restarts_when_its_dependency_was_updated() {
    let world = World::new(1).await;
    world.up(CHAIN).await;
    world.run().await;
    fail(&world, "demo-migrate-1", 0).await;
    world.run().await;
    let before: Vec<_> = world.store.view(|t| t.tasks().iter().map(|t| t.id.clone()).collect());
    world.up(&CHAIN.replace("image: db", "image: db2")).await;
    world.run().await;
    let new: Vec<String> = world.store.view(|tables| {
        let mut new: Vec<String> =
            tables.tasks().iter().filter(|task| !before.contains(&task.id)).map(|task| task.name.clone()).collect();
        new.sort();
        new
    });
    // web has `restart: true` on db; migrate, which has ended, was started again by `up`.
    assert!(new.contains(&"demo-db-1".to_owned()) && new.contains(&"demo-web-1".to_owned()), "{new:?}");
}

#[tokio::test]
async fn tasks_of_a_node_that_is_down_are_made_elsewhere() {
    let world = World::new(2).await;
    world.up("services: {web: {image: web, deploy: {replicas: 4}}, agent: {image: a, deploy: {mode: global}}}").await;
    world.run().await;
    let lost = world.store.view(|t| t.nodes().iter().next().map(|node| node.id.clone())).unwrap();
    world
        .store
        .update(|tx| {
            tx.modify::<hoist_proto::spec::Node>(&lost, |node| node.status.state = hoist_proto::spec::NodeState::Down)
        })
        .await
        .unwrap();
    world.settle().await;
    let counts = world.store.view(|tables| {
        let live = tables.tasks().iter().filter(|task| task.desired == TaskState::Running);
        live.fold(HashMap::new(), |mut counts, task| {
            *counts.entry((task.service_name.clone(), task.node == Some(lost.clone()))).or_insert(0) += 1;
            counts
        })
    });
    assert_eq!(counts.get(&("demo_web".to_owned(), true)), None);
    assert_eq!(counts.get(&("demo_web".to_owned(), false)), Some(&4));
    assert_eq!(counts.get(&("demo_agent".to_owned(), false)), Some(&1));
}

#[tokio::test]
async fn a_job_runs_so_many_at_once_and_is_done() {
    let world = World::new(1).await;
    world.up("services: {job: {image: j, deploy: {mode: replicated-job, replicas: 3}}}").await;
    world
        .store
        .update(|tx| {
            let id = tx.services().named("demo_job").map(|service| service.id.clone()).unwrap();
            tx.modify::<Service>(&id, |service| {
                service.spec.mode =
                    hoist_proto::spec::ServiceMode::ReplicatedJob { max_concurrent: 2, total_completions: 3 };
            })
        })
        .await
        .unwrap();
    world.run().await;
    assert_eq!(world.store.view(|t| t.tasks().len()), 2);
    fail(&world, "demo-job-1", 0).await;
    world.run().await;
    insta::assert_snapshot!(world.describe(), @"
    demo-job-1 should be running, is complete
    demo-job-2 should be running, is running
    demo-job-3 should be running, is running
    ");
}

/// What happens in a random run.
#[derive(Debug, Clone)]
enum Event {
    Step,
    Fail(u8),
    Scale(u8),
    Image(u8),
    Stop,
    Start,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Step),
        2 => any::<u8>().prop_map(Event::Fail),
        1 => (0..4_u8).prop_map(Event::Scale),
        1 => (0..3_u8).prop_map(Event::Image),
        1 => Just(Event::Stop),
        1 => Just(Event::Start),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Whatever happens, no slot has two containers at once, and when it stops happening all is as asked.
    #[test]
    fn it_always_comes_to_what_was_asked(events in proptest::collection::vec(event(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new(2).await;
            let (mut replicas, mut image) = (2, 0);
            let yaml = |replicas: u8, image: u8| format!("
services:
  db: {{image: db{image}, deploy: {{replicas: {replicas}, restart_policy: {{condition: any, delay: 0s}}}}}}
  web: {{image: web, depends_on: {{db: {{condition: service_started}}}}, deploy: {{restart_policy: {{condition: any, delay: 1s}}}}}}
");
            world.up(&yaml(replicas, image)).await;
            for event in events {
                world.clock.advance(Duration::from_millis(700));
                let now = world.clock.now();
                match event {
                    Event::Step => { world.agent(|task| willing(task, now)).await; }
                    Event::Fail(which) => {
                        let mut n = 0_u8;
                        world.agent(|task| {
                            if task.status.state != TaskState::Running { return None }
                            n = n.wrapping_add(1);
                            (n % 3 == which % 3).then(|| exited(task, i32::from(which % 2), now))
                        }).await;
                    }
                    Event::Scale(to) => { replicas = to; world.up(&yaml(replicas, image)).await; }
                    Event::Image(to) => { image = to; world.up(&yaml(replicas, image)).await; }
                    Event::Stop => lifecycle(&world, Lifecycle::Stopped).await,
                    Event::Start => lifecycle(&world, Lifecycle::Running).await,
                }
                world.settle().await;
                one_container_a_slot(&world);
            }
            lifecycle(&world, Lifecycle::Running).await;
            for _ in 0..10 {
                world.run().await;
                world.clock.advance(Duration::from_secs(2));
            }
            let running = world.store.view(|tables| {
                let current = |task: &&std::sync::Arc<Task>| {
                    let hash = tables.services().get(&task.service).map(|service| &service.spec_hash);
                    task.status.state == TaskState::Running && hash == Some(&task.spec_hash)
                };
                tables.tasks().iter().filter(current).count()
            });
            assert_eq!(running, usize::from(replicas) + 1, "{}", world.describe());
            Ok::<_, StoreError>(())
        }).unwrap();
    }
}

fn one_container_a_slot(world: &World) {
    let mut names: HashMap<String, u32> = HashMap::new();
    world.store.view(|tables| {
        for task in tables.tasks().iter() {
            let state = task.status.state;
            if state >= TaskState::Ready && !state.is_final() {
                *names.entry(task.name.clone()).or_default() += 1;
            }
        }
    });
    assert!(names.values().all(|count| *count == 1), "{}", world.describe());
}

/// How many of its tasks run on each node.
fn spread_of(world: &World, service: &str) -> Vec<usize> {
    let mut counts: std::collections::BTreeMap<_, usize> = Default::default();
    world.store.view(|tables| {
        for task in tables.tasks().iter().filter(|task| task.service_name.ends_with(service)) {
            if task.status.state == TaskState::Running && task.desired == TaskState::Running {
                *counts.entry(task.node.clone()).or_default() += 1;
            }
        }
    });
    counts.into_values().collect()
}

#[tokio::test]
async fn tasks_move_to_a_node_that_comes_back_when_their_service_asks_for_it() {
    let world = World::new(2).await;
    let services = "
services:
  moves: {image: moves, deploy: {replicas: 4, labels: {hoist.rebalance: auto}}}
  stays: {image: stays, deploy: {replicas: 4}}
";
    let nodes: Vec<_> = world.store.view(|tables| tables.nodes().iter().map(|node| node.id.clone()).collect());
    let drain = async |availability| {
        let change = world
            .store
            .update(|tx| tx.modify::<hoist_proto::spec::Node>(&nodes[1], |node| node.spec.availability = availability));
        change.await.map_err(|error: StoreError| error).unwrap();
    };
    drain(hoist_proto::spec::Availability::Drain).await;
    world.up(services).await;
    world.run().await;
    assert_eq!((spread_of(&world, "moves"), spread_of(&world, "stays")), (vec![4], vec![4]));
    assert!(!super::by_policy(&world.store).await.unwrap());
    world.run().await;
    assert_eq!(spread_of(&world, "moves"), [4], "there is nowhere to go");
    drain(hoist_proto::spec::Availability::Active).await;
    super::by_policy(&world.store).await.unwrap();
    world.run().await;
    assert_eq!((spread_of(&world, "moves"), spread_of(&world, "stays")), (vec![2, 2], vec![4]));
    let before = world.store.index();
    assert!(!super::by_policy(&world.store).await.unwrap());
    assert_eq!(world.store.index(), before, "what is even stays as it is");
}
