use hoist_proto::{
    clock::Clock,
    spec::{Plan, TaskState, UpOptions},
};

use crate::{
    control::{ControlError, convert::Inputs},
    testing::{World, desired, exited},
};

const FILE: &str = "
services:
  db:
    image: db
    volumes: [data:/data]
    healthcheck: {test: [CMD, 'true']}
  web:
    image: web
    ports: ['8080:80']
    depends_on: {db: {condition: service_healthy}}
    deploy: {replicas: 2}
volumes: {data: {}}
";

fn options(change: impl FnOnce(&mut UpOptions)) -> UpOptions {
    let mut options = UpOptions::default();
    change(&mut options);
    options
}

async fn up(world: &World, yaml: &str, options: UpOptions) -> Plan {
    world.up_with(yaml, options).await.unwrap()
}

#[tokio::test]
async fn a_first_up_creates_everything_and_a_second_one_nothing() {
    let world = World::new(1).await;
    insta::assert_snapshot!(world.up(FILE).await, @r"
    create   network   demo_default  (it does not exist)
    create   volume    demo_data     (it does not exist)
    create   container demo-db-1     (the service is new)
    create   container demo-web-1    (the service is new)
    create   container demo-web-2    (the service is new)
    ");
    world.run().await;
    insta::assert_snapshot!(world.up(FILE).await, @r"
    keep     network   demo_default  (it exists)
    keep     volume    demo_data     (it exists)
    keep     container demo-db-1     (it is up to date)
    keep     container demo-web-1    (it is up to date)
    keep     container demo-web-2    (it is up to date)
    ");
    let before = world.store.index();
    assert!(up(&world, FILE, UpOptions::default()).await.is_empty());
    assert_eq!(world.store.index(), before, "an up without a change writes nothing");
}

#[tokio::test]
async fn only_what_changed_is_made_anew() {
    let world = World::new(1).await;
    world.up(FILE).await;
    world.run().await;
    insta::assert_snapshot!(world.up(&FILE.replace("image: web", "image: web2")).await, @r"
    keep     network   demo_default  (it exists)
    keep     volume    demo_data     (it exists)
    keep     container demo-db-1     (it is up to date)
    recreate container demo-web-1    (the configuration changed)
    recreate container demo-web-2    (the configuration changed)
    ");
    world.run().await;
    // How many there are is no reason to recreate those that are.
    insta::assert_snapshot!(world.up(&FILE.replace("image: web", "image: web2").replace("replicas: 2", "replicas: 3")).await, @r"
    keep     network   demo_default  (it exists)
    keep     volume    demo_data     (it exists)
    keep     container demo-db-1     (it is up to date)
    keep     container demo-web-1    (it is up to date)
    keep     container demo-web-2    (it is up to date)
    create   container demo-web-3    (scaled to 3)
    ");
    world.run().await;
    insta::assert_snapshot!(world.up(&FILE.replace("image: web", "image: web2").replace("replicas: 2", "replicas: 1")).await, @r"
    keep     network   demo_default  (it exists)
    keep     volume    demo_data     (it exists)
    keep     container demo-db-1     (it is up to date)
    keep     container demo-web-1    (it is up to date)
    remove   container demo-web-2    (scaled to 1)
    remove   container demo-web-3    (scaled to 1)
    ");
}

#[tokio::test]
async fn flags_decide_over_recreation() {
    let world = World::new(1).await;
    world.up(FILE).await;
    world.run().await;
    let changed = FILE.replace("image: web", "image: web2");
    insta::assert_snapshot!(up(&world, &changed, options(|o| o.no_recreate = true)).await, @r"
    keep     network   demo_default  (it exists)
    keep     volume    demo_data     (it exists)
    keep     container demo-db-1     (it is up to date)
    keep     container demo-web-1    (it is up to date)
    keep     container demo-web-2    (it is up to date)
    ");
    insta::assert_snapshot!(up(&world, FILE, options(|o| o.force_recreate = true)).await, @r"
    keep     network   demo_default  (it exists)
    keep     volume    demo_data     (it exists)
    recreate container demo-db-1     (recreation was asked for)
    recreate container demo-web-1    (recreation was asked for)
    recreate container demo-web-2    (recreation was asked for)
    ");
    world.run().await;
    insta::assert_snapshot!(up(&world, FILE, options(|o| { o.scale.insert("web".into(), 1); })).await, @r"
    keep     network   demo_default  (it exists)
    keep     volume    demo_data     (it exists)
    keep     container demo-db-1     (it is up to date)
    keep     container demo-web-1    (it is up to date)
    remove   container demo-web-2    (scaled to 1)
    ");
}

#[tokio::test]
async fn networks_that_change_are_made_anew_with_their_containers() {
    let world = World::new(1).await;
    let yaml = |subnet: &str| {
        format!(
            "
services:
  web: {{image: web, networks: [front]}}
  other: {{image: other, networks: [back]}}
networks:
  front: {{ipam: {{config: [{{subnet: {subnet}}}]}}}}
  back: {{}}
"
        )
    };
    world.up(&yaml("10.1.0.0/24")).await;
    world.run().await;
    insta::assert_snapshot!(world.up(&yaml("10.2.0.0/24")).await, @r"
    keep     network   demo_back     (it exists)
    recreate network   demo_front    (its definition changed)
    keep     container demo-other-1  (it is up to date)
    recreate container demo-web-1    (a network changed)
    ");
}

#[tokio::test]
async fn what_ended_is_started_and_what_the_file_forgot_is_an_orphan() {
    let world = World::new(1).await;
    world.up(FILE).await;
    world.run().await;
    let now = world.clock.now();
    world.agent(|task| (task.name == "demo-db-1").then(|| exited(task, 1, now))).await;
    let without =
        "services: {db: {image: db, volumes: [data:/data], healthcheck: {test: [CMD, 'true']}}}\nvolumes: {data: {}}";
    insta::assert_snapshot!(world.up(without).await, @r"
    keep     network   demo_default  (it exists)
    keep     volume    demo_data     (it exists)
    start    container demo-db-1     (it exited (1))
    warning: found orphan containers (demo-web-1, demo-web-2) for this project: if you removed or renamed a service in the compose file, run this command with --remove-orphans to clean up
    ");
    world.run().await;
    insta::assert_snapshot!(up(&world, without, options(|o| o.remove_orphans = true)).await, @r"
    keep     network   demo_default  (it exists)
    keep     volume    demo_data     (it exists)
    keep     container demo-db-1     (it is up to date)
    remove   container demo-web-1    (the file has no such service)
    remove   container demo-web-2    (the file has no such service)
    ");
    world.run().await;
    let left = world.store.view(|t| t.services().iter().map(|s| s.spec.name.clone()).collect::<Vec<_>>());
    assert_eq!(left, ["demo_db"]);
}

#[tokio::test]
async fn a_new_image_and_a_shared_namespace_are_causes() {
    let mut world = World::new(1).await;
    let yaml = "
services:
  web: {image: web}
  side: {image: side, network_mode: 'service:web'}
";
    world.up(yaml).await;
    world.run().await;
    world
        .agent(|task| {
            let mut status = task.status.clone();
            status.image_id = Some("sha256:1111111111111111".into());
            Some(status)
        })
        .await;
    world.known.images.insert("web".into(), "sha256:2222222222222222".into());
    insta::assert_snapshot!(world.up(yaml).await, @r"
    keep     network   demo_default  (it exists)
    recreate container demo-web-1    (the image changed from 111111111111 to 222222222222)
    recreate container demo-side-1   (a secret, a config or a service that it shares a namespace with changed)
    ");
}

#[tokio::test]
async fn two_cannot_have_the_same_port_or_name() {
    let world = World::new(1).await;
    let error = world
        .up_with(
            "
services:
  a: {image: a, container_name: one, ports: ['80:80']}
  b: {image: b, container_name: one, ports: ['127.0.0.1:80:80', '80:80/udp']}
",
            UpOptions::default(),
        )
        .await
        .unwrap_err();
    insta::assert_snapshot!(error, @r#"
    service "a": container name "one" is used by service "b" of project "demo"
    service "a": port 80/tcp is already published by service "b" of project "demo"
    "#);
    assert_eq!(world.store.index(), 1, "nothing was written");
}

#[tokio::test]
async fn created_is_not_started() {
    let world = World::new(1).await;
    up(&world, FILE, options(|o| o.no_start = true)).await;
    world.run().await;
    let states: Vec<_> = world.store.view(|t| t.tasks().iter().map(|task| task.status.state).collect());
    assert_eq!(states, [TaskState::Ready; 3]);
    insta::assert_snapshot!(world.up(FILE).await, @r"
    keep     network   demo_default  (it exists)
    keep     volume    demo_data     (it exists)
    start    container demo-db-1     (it is created and not started)
    start    container demo-web-1    (it is created and not started)
    start    container demo-web-2    (it is created and not started)
    ");
    world.run().await;
    let states: Vec<_> = world.store.view(|t| t.tasks().iter().map(|task| task.status.state).collect());
    assert_eq!(states, [TaskState::Running; 3]);
}

#[tokio::test]
async fn a_secret_that_changes_rolls_what_uses_it() {
    let world = World::new(1).await;
    let yaml = "
services:
  web: {image: web, secrets: [token]}
  other: {image: other}
secrets: {token: {file: ./token}}
";
    let up = async |content: &str| {
        let mut inputs = Inputs::default();
        inputs.files.insert("/work/token".into(), Ok(content.as_bytes().to_vec()));
        let desired = desired(yaml, &inputs).unwrap();
        world
            .store
            .update(|tx| {
                let mut planned = super::plan(tx, &desired, &UpOptions::default(), &world.known)?;
                std::mem::take(&mut planned.writes).write(tx)?;
                Ok::<_, ControlError>(planned.plan.to_string())
            })
            .await
            .unwrap()
    };
    insta::assert_snapshot!(up("one").await, @r"
    create   network   demo_default  (it does not exist)
    create   secret    demo_token    (it does not exist)
    create   container demo-other-1  (the service is new)
    create   container demo-web-1    (the service is new)
    ");
    world.run().await;
    insta::assert_snapshot!(up("two").await, @r"
    keep     network   demo_default  (it exists)
    update   secret    demo_token    (its content changed)
    keep     container demo-other-1  (it is up to date)
    recreate container demo-web-1    (a secret, a config or a service that it shares a namespace with changed)
    ");
    world.run().await;
    up("two").await;
    assert_eq!(world.store.view(|t| t.secrets().len()), 1, "the old one is forgotten");
}
