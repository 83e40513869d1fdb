//! Launches the bundle in a directory and waits for it: `launch DIRECTORY [REPETITIONS]`.
//! With repetitions, prints how long each launch took, in microseconds.

use std::path::Path;
use std::process::ExitCode;

use hoist_runtime::launch::{CgroupPath, Launch, Rootfs, Stdio, launch};

#[allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)]
fn main() -> ExitCode {
    hoist_runtime::guard();
    let args: Vec<String> = std::env::args().collect();
    let bundle = Path::new(&args[1]);
    let spec = oci_spec::runtime::Spec::load(bundle.join("config.json")).unwrap();
    let count: Option<u32> = args.get(2).map(|count| count.parse().unwrap());
    let mut code = 0;
    for _ in 0..count.unwrap_or(1) {
        let begin = std::time::Instant::now();
        let id = format!("launch-{}", std::process::id());
        let cgroup = CgroupPath::for_container(&id).unwrap();
        let launched = launch(Launch {
            id: &id,
            spec: &spec,
            bundle,
            rootfs: Rootfs::Path(bundle.join(spec.root().as_ref().unwrap().path())),
            stdio: Stdio::Inherit,
            cgroup: cgroup.clone(),
            init: std::env::var_os("INIT").is_some(),
            mounts: Vec::new(),
            pass_fds: Vec::new(),
        });
        let up = begin.elapsed();
        let launched = match launched {
            Ok(launched) => launched,
            Err(error) => {
                let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
                eprintln!("launch: {error}{}", source.unwrap_or_default());
                return ExitCode::from(u8::try_from(error.exit_code()).unwrap());
            }
        };
        let pid = rustix::process::Pid::from_raw(launched.pid).unwrap();
        let (_, status) = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap().unwrap();
        let down = begin.elapsed();
        hoist_runtime::cgroup::Cgroup::open(&cgroup).unwrap().delete().unwrap();
        code = status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0));
        if count.is_some() {
            println!("{} {} {}", up.as_micros(), down.as_micros(), begin.elapsed().as_micros());
        }
    }
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
