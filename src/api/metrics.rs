//! What a monitor reads, in Prometheus' text form. Docker's names where it has them.

mod devices;
mod swarm;

use std::fmt::{Display, Write};

use hoist_engine::{Action, Histogram, ListOptions, Status};

use super::{State, error::ApiError};

/// All metrics of the daemon, now.
///
/// # Errors
/// When the containers or images cannot be listed.
pub async fn text(state: &State) -> Result<String, ApiError> {
    let containers = state.engine.list(ListOptions { all: true, ..ListOptions::default() }).await?;
    let count = |wanted: &[Status]| containers.iter().filter(|one| wanted.contains(&one.state.status)).count();
    let images = state.engine.images().list(&hoist_image::ListFilter::default()).await?;
    let networks = state.engine.networks().list().await.len();
    let cache = state.builds.door.cache().await?;
    let facts = state.facts();
    let host = super::docker::info::Host::read();
    let (events, subscribers) = state.engine.events().counts();
    let metrics = state.engine.metrics();
    let (checks, failed) = metrics.health_checks();

    let mut page = Page(String::new());
    page.family(
        "engine_daemon_container_actions_seconds",
        "histogram",
        "The number of seconds it takes to process each container action",
    );
    for action in Action::ALL {
        page.histogram("engine_daemon_container_actions_seconds", action.name(), metrics.action(action));
    }
    page.family("engine_daemon_container_states_containers", "gauge", "The count of containers in various states");
    for (name, wanted) in [
        ("paused", &[Status::Paused][..]),
        ("running", &[Status::Running, Status::Restarting]),
        ("stopped", &[Status::Created, Status::Exited, Status::Dead, Status::Removing]),
    ] {
        page.labelled("engine_daemon_container_states_containers", &[("state", name)], count(wanted));
    }
    page.one(
        "engine_daemon_engine_cpus_cpus",
        "gauge",
        "The number of cpus that the host system of the engine has",
        std::thread::available_parallelism().map_or(1, usize::from),
    );
    page.family(
        "engine_daemon_engine_info",
        "gauge",
        "The information related to the engine and the OS it is running on",
    );
    let labels = [
        ("architecture", std::env::consts::ARCH),
        ("daemon_id", &facts.id),
        ("graphdriver", "overlay2"),
        ("kernel", &super::docker::ping::kernel()),
        ("os", &host.operating_system),
        ("os_type", "linux"),
        ("os_version", &host.os_version),
        ("version", env!("CARGO_PKG_VERSION")),
    ];
    page.labelled("engine_daemon_engine_info", &labels, 1);
    page.one(
        "engine_daemon_engine_memory_bytes",
        "gauge",
        "The number of bytes of memory that the host system of the engine has",
        host.memory,
    );
    page.one(
        "engine_daemon_events_subscribers_total",
        "gauge",
        "The number of current subscribers to events",
        subscribers,
    );
    page.one("engine_daemon_events_total", "counter", "The number of events logged", events);
    page.one("engine_daemon_health_checks_total", "counter", "The total number of health checks", checks);
    page.one("engine_daemon_health_checks_failed_total", "counter", "The total number of failed health checks", failed);
    page.one("hoist_images", "gauge", "The number of images", images.len());
    page.one("hoist_networks", "gauge", "The number of networks of this machine", networks);
    page.one("hoist_build_cache_entries", "gauge", "The number of results of build steps that are kept", cache.len());
    page.one(
        "hoist_build_cache_bytes",
        "gauge",
        "The bytes that the build cache has for itself",
        cache.iter().filter(|entry| !entry.shared).map(|entry| entry.size).sum::<u64>(),
    );
    devices::write(&mut page, state).await?;
    swarm::write(&mut page, state);
    process(&mut page);
    Ok(page.0)
}

/// In which the kernel tells times to programs, a second (`USER_HZ`).
const TICKS: f64 = 100.0;

/// The daemon's own process, under the names that Prometheus' libraries give.
fn process(page: &mut Page) {
    let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
    // proc_pid_stat(5): what follows the command's closing parenthesis begins with the third field.
    let stat = read("/proc/self/stat");
    let fields: Vec<u64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
        .unwrap_or_default();
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0);
    let status = read("/proc/self/status");
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0_u64) * 1024
    };
    let boot: f64 =
        read("/proc/stat").lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok()).unwrap_or(0.0);
    page.one(
        "process_cpu_seconds_total",
        "counter",
        "Total user and system CPU time spent in seconds",
        (field(14) + field(15)) as f64 / TICKS,
    );
    page.one(
        "process_open_fds",
        "gauge",
        "Number of open file descriptors",
        fs_err::read_dir("/proc/self/fd").map_or(0, Iterator::count),
    );
    page.one("process_resident_memory_bytes", "gauge", "Resident memory size in bytes", bytes("VmRSS"));
    page.one(
        "process_start_time_seconds",
        "gauge",
        "Start time of the process since unix epoch in seconds",
        boot + field(22) as f64 / TICKS,
    );
    page.one("process_threads", "gauge", "Number of threads", field(20));
    page.one("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes", bytes("VmSize"));
}

/// The text as it grows.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.labelled(name, &[], value);
    }

    fn labelled(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", quoted(value))).collect();
        let _ = match labels.is_empty() {
            true => writeln!(self.0, "{name} {value}"),
            false => writeln!(self.0, "{name}{{{}}} {value}", labels.join(",")),
        };
    }

    fn histogram(&mut self, name: &str, action: &str, durations: &Histogram) {
        let (bucket, action) = (format!("{name}_bucket"), ("action", action));
        for (bound, count) in durations.cumulative() {
            self.labelled(&bucket, &[action, ("le", &bound.to_string())], count);
        }
        self.labelled(&bucket, &[action, ("le", "+Inf")], durations.count());
        self.labelled(&format!("{name}_sum"), &[action], durations.sum());
        self.labelled(&format!("{name}_count"), &[action], durations.count());
    }
}

#[cfg(test)]
mod tests {
    use hoist_engine::BOUNDS;

    use super::*;

    #[test]
    fn the_form_is_that_of_prometheus() {
        let mut page = Page(String::new());
        page.one("a_total", "counter", "what", 3);
        page.family("b", "gauge", "more");
        page.labelled("b", &[("x", "say \"hi\"\n"), ("y", "\\")], 1.5);
        page.histogram("c", "start", &Histogram::default());
        let lines: Vec<&str> = page.0.lines().collect();
        assert_eq!(
            lines[..5],
            ["# HELP a_total what", "# TYPE a_total counter", "a_total 3", "# HELP b more", "# TYPE b gauge",]
        );
        assert_eq!(lines[5], r#"b{x="say \"hi\"\n",y="\\"} 1.5"#);
        assert_eq!(lines[6], r#"c_bucket{action="start",le="0.005"} 0"#);
        assert_eq!(lines.len(), 6 + BOUNDS.len() + 3);
    }
}
