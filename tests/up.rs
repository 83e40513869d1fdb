//! `hoist up` and its family on real compose files, as a person uses them.

mod support;

use support::{Host, wait_until};

/// The example of the README.
fn hello() -> String {
    format!("{}/examples/hello/compose.yaml", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_hello_example_comes_up_answers_and_goes_down() {
    let host = Host::new();
    host.hoist(&["up", "-d", "-f", &hello()]).ok();
    let page = host.get("http://127.0.0.1:8080/");
    assert!(page.contains("service:   web") && page.contains("store says:"), "{page}");
    assert!(page.contains("visits:    1"), "{page}");
    let ps = host.hoist(&["compose", "-f", &hello(), "ps"]).ok();
    assert!(ps.contains("hello-web-1") && ps.contains("hello-store-1") && ps.contains("(healthy)"), "{ps}");
    // Nothing has changed, so nothing is done.
    let before = host.hoist(&["ps", "-q", "--no-trunc"]).ok();
    let plan = host.hoist(&["up", "--dry-run", "-f", &hello()]).ok();
    assert!(!plan.contains("create ") && !plan.contains("recreate"), "{plan}");
    host.hoist(&["up", "-d", "-f", &hello()]).ok();
    assert_eq!(before, host.hoist(&["ps", "-q", "--no-trunc"]).ok());

    host.hoist(&["down", "-f", &hello()]).ok();
    assert_eq!(host.hoist(&["ps", "-aq"]).ok(), "");
    assert!(host.hoist(&["volume", "ls", "-q"]).ok().contains("hello_visits"), "a named volume stays");
    assert!(!host.hoist(&["network", "ls"]).ok().contains("hello_default"));
    assert_eq!(host.leftovers(), [] as [String; 0]);

    // The volume's data is still there for the next up.
    host.hoist(&["up", "-d", "-f", &hello()]).ok();
    assert!(host.get("http://127.0.0.1:8080/").contains("visits:    2"));
    host.hoist(&["down", "-v", "-f", &hello()]).ok();
    assert_eq!(host.hoist(&["volume", "ls", "-q"]).ok(), "");
}

#[test]
fn a_change_replaces_only_what_changed_and_the_plan_says_why() {
    let host = Host::new();
    host.busybox();
    let file = |greeting: &str| {
        let text = format!(
            "name: demo\nservices:\n  one:\n    image: busybox\n    command: sleep 1000\n    environment:\n      GREETING: {greeting}\n    stop_grace_period: 0s\n  two:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n"
        );
        host.write("compose.yaml", &text)
    };
    file("hello");
    host.hoist(&["up", "-d"]).ok();
    let id = |name: &str| host.hoist(&["inspect", "-f", "{{.Id}}", name]).ok();
    let (one, two) = (id("demo-one-1"), id("demo-two-1"));
    file("goodbye");
    let plan = host.hoist(&["up", "--dry-run"]).ok();
    let line = plan.lines().find(|line| line.contains("demo-one-1")).unwrap_or_default();
    assert!(line.starts_with("recreate"), "{plan}");
    host.hoist(&["up", "-d"]).ok();
    assert_ne!(id("demo-one-1"), one);
    assert_eq!(id("demo-two-1"), two);
    assert!(host.hoist(&["compose", "exec", "-T", "one", "env"]).ok().contains("GREETING=goodbye"));
}

#[test]
fn scale_up_and_down_and_names_by_number() {
    let host = Host::new();
    host.busybox();
    host.write(
        "compose.yaml",
        "name: many\nservices:\n  w:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n",
    );
    host.hoist(&["up", "-d", "--scale", "w=3"]).ok();
    let names = || {
        let mut names: Vec<String> =
            host.hoist(&["ps", "--format", "{{.Names}}"]).ok().lines().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(names(), ["many-w-1", "many-w-2", "many-w-3"]);
    host.hoist(&["compose", "scale", "w=1"]).ok();
    assert!(wait_until(|| names() == ["many-w-1"]), "{:?}", names());
    let found = host.hoist(&["compose", "exec", "-T", "w", "nslookup", "w"]).ok();
    assert!(found.contains("Address"), "{found}");
}

#[test]
fn stop_keeps_containers_and_start_brings_the_same_back() {
    let host = Host::new();
    host.busybox();
    host.write(
        "compose.yaml",
        "name: keep\nservices:\n  w:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n",
    );
    host.hoist(&["up", "-d"]).ok();
    host.hoist(&["compose", "exec", "-T", "w", "touch", "/mark"]).ok();
    host.hoist(&["compose", "stop"]).ok();
    assert_eq!(host.hoist(&["compose", "ps", "-q"]).ok(), "");
    assert!(host.hoist(&["ps", "-a"]).ok().contains("keep-w-1"));
    host.hoist(&["compose", "start"]).ok();
    host.hoist(&["compose", "exec", "-T", "w", "ls", "/mark"]).ok();
}

#[test]
fn a_dependency_that_fails_is_told_and_nothing_waits_for_ever() {
    let host = Host::new();
    host.busybox();
    host.write(
        "compose.yaml",
        "name: dep\nservices:\n  job:\n    image: busybox\n    command: sh -c 'exit 3'\n  app:\n    image: busybox\n    command: sleep 1000\n    depends_on:\n      job:\n        condition: service_completed_successfully\n",
    );
    let error = host.hoist(&["up", "-d"]).fails(1);
    assert!(error.contains("job") && error.contains('3'), "{error}");
}

#[test]
fn exit_code_from_is_the_containers_own() {
    let host = Host::new();
    host.busybox();
    host.write(
        "compose.yaml",
        "name: code\nservices:\n  server:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n  test:\n    image: busybox\n    command: sh -c 'echo testing; exit 42'\n    depends_on: [server]\n",
    );
    let done = host.hoist(&["up", "--exit-code-from", "test"]);
    assert_eq!(done.code, 42, "{done:?}");
    assert!(done.stdout.contains("testing"), "{done:?}");
    assert!(wait_until(|| host.hoist(&["ps", "-q"]).ok().is_empty()));
}

#[test]
fn an_unhealthy_task_is_replaced() {
    let host = Host::new();
    host.busybox();
    host.write(
        "compose.yaml",
        "name: sick\nservices:\n  w:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n    healthcheck:\n      test: test ! -e /sick\n      interval: 200ms\n      retries: 1\n",
    );
    host.hoist(&["up", "-d", "--wait"]).ok();
    let id = || host.hoist(&["inspect", "-f", "{{.Id}}", "sick-w-1"]).stdout;
    let first = id();
    host.hoist(&["compose", "exec", "-T", "w", "touch", "/sick"]).ok();
    assert!(wait_until(|| {
        let now = id();
        !now.trim().is_empty() && now != first
    }));
}

#[test]
fn services_run_as_the_person_who_brings_them_up() {
    let host = Host::new();
    host.busybox();
    let text = "name: mine\nx-hoist-as-me: true\nservices:\n  me:\n    image: busybox\n    command: sh -c 'touch made; echo $$(id -u):$$(id -g) $$PWD $$HOME'\n  not:\n    image: busybox\n    x-hoist-as-me: false\n    command: sh -c 'echo $$PWD'\n  own:\n    image: busybox\n    user: \"7\"\n    working_dir: /tmp\n    command: sh -c 'echo $$(id -u) $$PWD'\n";
    let file = host.write("compose.yaml", text);
    let here = file.parent().unwrap().display().to_string();
    let uid = |flag: &str| support::run(std::process::Command::new("id").arg(flag)).ok().trim().to_owned();
    host.hoist(&["up", "-d"]).ok();
    let says = |service: &str| host.hoist(&["compose", "logs", "--no-log-prefix", service]).stdout.trim().to_owned();
    let expected = format!("{}:{} {here} ", uid("-u"), uid("-g"));
    assert!(wait_until(|| says("me").starts_with(&expected)), "{} is not {expected}", says("me"));
    assert!(says("me").len() > expected.len(), "HOME is set: {}", says("me"));
    assert!(file.with_file_name("made").exists(), "the directory is the person's");
    assert!(wait_until(|| says("not") == "/" && says("own") == "7 /tmp"), "{} {}", says("not"), says("own"));
    host.hoist(&["down"]).ok();
    host.write("compose.yaml", &text.replace("as-me: true", "as-me: maybe"));
    assert!(host.hoist(&["up", "-d"]).fails(125).contains("it must be true or false"));
}

#[test]
fn errors_name_the_place_and_the_way_out() {
    let host = Host::new();
    host.write("compose.yaml", "services:\n  web:\n    image: busybox\n    prots: ['80:80']\n");
    let error = host.hoist(&["up", "-d"]).fails(1);
    assert!(error.contains("compose.yaml:4:5") && error.contains("did you mean \"ports\"?"), "{error}");
    host.write("compose.yaml", "name: gone\nservices:\n  web:\n    image: 127.0.0.1:1/none:1\n");
    let error = host.hoist(&["up", "-d"]).fails(1);
    assert!(error.contains("127.0.0.1:1/none:1"), "{error}");
    assert_eq!(host.hoist(&["ps", "-aq"]).ok(), "");
}

#[test]
fn preparation_runs_once_in_order_before_its_service() {
    let host = Host::new();
    host.busybox();
    let file = |second: &str, command: &str| {
        format!(
            "name: prep\nservices:\n  app:\n    image: busybox\n    command: {command}\n    stop_grace_period: 0s\n    \
             scale: 2\n    volumes: ['data:/data']\n    pre_start:\n      - command: sh -c 'echo one >> /data/log'\n      \
             - command: sh -c '{second}'\n        environment: {{WORD: two}}\nvolumes:\n  data: {{}}\n"
        )
    };
    let log = || host.hoist(&["compose", "exec", "-T", "app", "cat", "/data/log"]).ok();
    host.write("compose.yaml", &file("exit 4", "sleep 1000"));
    let error = host.hoist(&["up", "-d"]).fails(1);
    assert!(error.contains("\"app-pre_start-2\" did not complete successfully: exit 4"), "{error}");
    assert_eq!(host.hoist(&["compose", "ps", "-q"]).ok(), "", "the service has not started");

    host.write("compose.yaml", &file("echo $$WORD >> /data/log", "sleep 1000"));
    host.hoist(&["up", "-d"]).ok();
    assert_eq!(log(), "one\none\ntwo\n", "a service that is made anew is prepared anew");
    let again = host.hoist(&["up", "--dry-run"]).ok();
    assert!(again.lines().all(|line| line.starts_with("keep")), "{again}");
    host.hoist(&["up", "-d", "--scale", "app=3"]).ok();
    host.hoist(&["compose", "restart", "app"]).ok();
    host.hoist(&["compose", "stop"]).ok();
    host.hoist(&["compose", "start"]).ok();
    assert_eq!(log(), "one\none\ntwo\n", "what has succeeded is not run again");
    host.write("compose.yaml", &file("echo $$WORD >> /data/log", "sleep 1001"));
    host.hoist(&["up", "-d", "--no-deps", "app"]).ok();
    assert_eq!(log(), "one\none\ntwo\none\ntwo\n");
    host.hoist(&["down", "-v"]).ok();
    assert_eq!(host.hoist(&["ps", "-aq"]).ok(), "");
}

#[test]
fn images_are_pulled_and_pushed_with_the_callers_login() {
    let mut host = Host::new();
    host.busybox();
    let registry = host.registry_with_login("ann", "word");
    let image = format!("{registry}/box");
    host.hoist(&["tag", "busybox", &image]).ok();
    host.write(
        "compose.yaml",
        &format!("name: private\nservices:\n  one:\n    image: {image}\n    build: .\n    command: 'true'\n"),
    );
    let refused = host.hoist(&["compose", "push"]).fails(1);
    assert!(refused.contains("login") || refused.contains("denied"), "{refused}");
    host.hoist(&["login", "-u", "ann", "-p", "word", &registry]).ok();
    host.hoist(&["compose", "push"]).ok();
    let fresh = || host.hoist(&["rmi", &image]).ok();
    fresh();
    host.hoist(&["compose", "pull"]).ok();
    fresh();
    host.hoist(&["up", "--no-build", "--pull", "always", "-d"]).ok();
    host.hoist(&["down"]).ok();
    fresh();
    host.hoist(&["logout", &registry]).ok();
    let refused = host.hoist(&["up", "--no-build", "--pull", "always", "-d"]).fails(1);
    assert!(refused.contains(&image), "{refused}");
}

#[test]
fn a_dry_run_plans_with_images_that_are_to_be_built() {
    let host = Host::new();
    host.busybox();
    host.write("Dockerfile", "FROM busybox\nRUN true\n");
    host.write("compose.yaml", "name: dry\nservices:\n  app:\n    build: .\n    command: sleep 1000\n");
    let plan = host.hoist(&["up", "--dry-run"]).ok();
    assert!(plan.starts_with("build image dry-app of service app\n"), "{plan}");
    assert!(plan.contains("create   container dry-app-1"), "{plan}");
    assert_eq!(host.hoist(&["images", "-q", "dry-app"]).ok(), "");
}
