//! What is told to those who follow what happens: every event that Docker tells, in Docker's order, with its attributes.

mod support;

use support::Host;

/// Everything of some kinds that has been told, a line each; what cannot be foreseen is written in words.
fn told(host: &Host, filters: &[&str]) -> Vec<String> {
    let mut args = vec!["events", "--since", "10m", "--until", "0s"];
    args.extend(filters.iter().flat_map(|filter| ["--filter", filter]));
    args.extend([
        "--format",
        "{{.Type}} {{.Action}} {{range $key, $value := .Actor.Attributes}}{{$key}}={{$value}} {{end}}",
    ]);
    let text = host.hoist(&args).ok();
    shortened(&text).lines().map(|line| line.trim_end().to_owned()).collect()
}

/// Long ids become `ID`.
fn shortened(text: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for letter in text.chars().chain(std::iter::once('\n')) {
        if letter.is_ascii_hexdigit() {
            word.push(letter);
            continue;
        }
        out.push_str(if word.len() == 64 { "ID" } else { &word });
        word.clear();
        out.push(letter);
    }
    out.truncate(out.trim_end().len());
    out
}

#[test]
fn a_containers_networks_and_volumes_are_told_with_its_beginning_and_end() {
    let host = Host::new();
    host.busybox();
    host.hoist(&["network", "create", "back"]).ok();
    host.hoist(&["run", "--rm", "--name", "one", "-v", "data:/x:ro", "--network", "back", "busybox", "true"]).ok();
    let expected = [
        "network create name=back type=bridge",
        "volume create driver=local",
        "container create image=busybox name=one",
        "container attach image=busybox name=one",
        "network connect container=ID name=back type=bridge",
        "container start image=busybox name=one",
        "container die execDuration=0 exitCode=0 image=busybox name=one",
        "network disconnect container=ID name=back type=bridge",
        "volume unmount container=ID driver=local",
        "container destroy image=busybox name=one",
    ];
    let mut lines = told(&host, &["type=container", "type=network", "type=volume"]);
    // Files and network are made ready side by side.
    let mount = "volume mount container=ID destination=/x driver=local propagation= read/write=false";
    let at = lines.iter().position(|line| line == mount).unwrap_or_else(|| panic!("a mount in {lines:#?}"));
    assert!((4..=5).contains(&at), "{lines:#?}");
    lines.remove(at);
    assert_eq!(lines, expected);
}

#[test]
fn networks_that_are_none_and_volumes_without_a_name_are_told() {
    let host = Host::new();
    host.busybox();
    host.hoist(&["run", "--rm", "--network", "none", "busybox", "true"]).ok();
    host.hoist(&["run", "--name", "two", "--network", "host", "-v", "/anonymous", "busybox", "true"]).ok();
    host.hoist(&["network", "create", "back"]).ok();
    // One that does not run is connected by its start.
    host.hoist(&["create", "--name", "three", "busybox", "sleep", "1000"]).ok();
    host.hoist(&["network", "connect", "back", "three"]).ok();
    host.hoist(&["start", "three"]).ok();
    host.hoist(&["network", "disconnect", "bridge", "three"]).ok();
    host.hoist(&["kill", "three"]).ok();
    host.hoist(&["wait", "three"]).ok();
    host.hoist(&["rm", "-v", "two"]).ok();
    let lines = told(&host, &["type=network", "type=volume", "event=connect", "event=disconnect", "event=destroy"]);
    let expected = [
        "network connect container=ID name=none type=null",
        "network disconnect container=ID name=none type=null",
        "network connect container=ID name=host type=host",
        "network disconnect container=ID name=host type=host",
        "network connect container=ID name=bridge type=bridge",
        "network connect container=ID name=back type=bridge",
        "network disconnect container=ID name=bridge type=bridge",
        "network disconnect container=ID name=back type=bridge",
        "volume destroy driver=local",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_restarted_daemon_knows_what_its_containers_are_on() {
    let mut host = Host::new();
    host.busybox();
    host.hoist(&["network", "create", "back"]).ok();
    host.hoist(&["run", "-d", "--name", "web", "--network", "back", "-v", "data:/x", "busybox", "sleep", "1000"]).ok();
    host.kill_daemon();
    host.start_daemon();
    host.hoist(&["rm", "-f", "web"]).ok();
    let lines = told(&host, &["type=network", "type=volume"]);
    let expected =
        ["network disconnect container=ID name=back type=bridge", "volume unmount container=ID driver=local"];
    assert_eq!(lines, expected);
}

#[test]
fn what_is_done_with_containers_images_and_caches_is_told() {
    let host = Host::new();
    host.busybox();
    host.hoist(&["create", "--name", "web", "busybox", "sleep", "1000"]).ok();
    host.hoist(&["start", "web"]).ok();
    host.hoist(&["exec", "-d", "web", "true"]).ok();
    host.hoist(&["top", "web"]).ok();
    host.hoist(&["pause", "web"]).ok();
    host.hoist(&["unpause", "web"]).ok();
    host.hoist(&["update", "--cpu-shares", "500", "web"]).ok();
    host.hoist(&["rename", "web", "site"]).ok();
    host.hoist(&["cp", "site:/etc/passwd", "-"]).ok();
    host.hoist(&["export", "-o", "site.tar", "site"]).ok();
    host.hoist(&["commit", "-m", "as it is", "site", "made:1"]).ok();
    host.hoist(&["restart", "-t", "0", "site"]).ok();
    host.hoist(&["stop", "-t", "0", "site"]).ok();
    host.hoist(&["container", "prune", "-f"]).ok();
    host.hoist(&["tag", "made:1", "made:2"]).ok();
    host.hoist(&["save", "-o", "made.tar", "made:1"]).ok();
    host.hoist(&["rmi", "made:1"]).ok();
    host.hoist(&["rmi", "made:2"]).ok();
    host.hoist(&["load", "-i", "made.tar"]).ok();
    host.hoist(&["image", "prune", "-f"]).ok();
    host.hoist(&["volume", "prune", "-f"]).ok();
    host.hoist(&["network", "prune", "-f"]).ok();
    host.hoist(&["builder", "prune", "-f"]).ok();
    let actions = |filters: &[&str]| -> Vec<String> {
        let second = |line: &String| line.split(' ').nth(1).unwrap_or_default().trim_end_matches(':').to_owned();
        told(&host, filters).iter().map(second).collect()
    };
    let mut containers = actions(&["type=container"]);
    // A command ends when it does.
    let died = containers.iter().position(|action| action == "exec_die").expect("the command has ended");
    containers.remove(died);
    let expected = "create start exec_create exec_start top pause unpause update rename archive-path export commit kill kill \
                    die start restart kill kill die stop destroy prune";
    assert_eq!(containers.join(" "), expected);
    assert_eq!(actions(&["type=image"]).join(" "), "import create tag tag save untag untag delete load prune");
    assert_eq!(actions(&["type=volume"]), ["prune"]);
    assert_eq!(actions(&["type=network", "event=prune"]), ["prune"]);
    assert_eq!(actions(&["type=builder"]), ["prune"]);
    let commit = told(&host, &["event=commit"]);
    assert_eq!(commit, ["container commit comment=as it is image=busybox imageID=sha256:ID imageRef=made:1 name=site"]);
    // The image's id, and its name beside it.
    let asked = ["events", "--since", "10m", "--until", "0s", "-f", "event=untag", "--format"];
    let untagged = host.hoist(&[&asked[..], &["{{.Actor.ID}} {{.Actor.Attributes.name}}"]].concat()).ok();
    let id = host.hoist(&["images", "--no-trunc", "-q", "made"]).ok();
    assert_eq!(untagged, format!("{0} made:1\n{0} made:2\n", id.trim_end()));
}

#[test]
fn who_leaves_a_process_that_goes_on_is_told() {
    let host = Host::new();
    host.busybox();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/detach.py");
    let left = |program: &str, args: &[&str]| {
        let typed = [&[script, "ready", "\\x10\\x11", program][..], args].concat();
        let done = host.other("python3", &typed).ok();
        assert!(done.contains("ended with "), "{program}: {done}");
    };
    let command = ["busybox", "sh", "-c", "echo ready; sleep 1000"];
    left("docker", &[&["run", "-it", "--name", "one"][..], &command].concat());
    left("docker", &["exec", "-it", "one", "sh", "-c", "echo ready; sleep 1000"]);
    left(support::HOIST, &[&["run", "-it", "--name", "two"][..], &command].concat());
    left(support::HOIST, &["exec", "-it", "two", "sh", "-c", "echo ready; sleep 1000"]);
    for (name, event) in [("one", "detach"), ("one", "exec_detach"), ("two", "detach"), ("two", "exec_detach")] {
        let name = format!("container={name}");
        // The daemon hears of it after the client has ended.
        let filters = [name.as_str(), &format!("event={event}")];
        assert!(support::wait_until(|| told(&host, &filters).len() == 1), "{filters:?}: {:?}", told(&host, &[&name]));
    }
}
