//! One function a command.

use std::path::PathBuf;
use std::str::FromStr;

use nix::sys::signal::Signal;

use super::args::{Cli, Command, Create, Exec, Kill, List, Run, TableOrJson};
use super::{Outcome, events, features, print, print_json, report, spec, tables, update};
use crate::container::foreground::{Signals, stay};
use crate::container::{CreateOptions, Error, ExecOptions, Runtime, io_error};
use crate::sys;

/// The exit code of errors.
const FAILED: i32 = 1;
/// That of `exec`, whose own codes are those of the process that it runs.
const EXEC_FAILED: i32 = 255;

fn failed(error: Error) -> (Error, i32) {
    (error, FAILED)
}

pub(super) fn run(cli: &Cli, runtime: &Runtime) -> Outcome {
    match &cli.command {
        Command::Create(create) => {
            runtime.create(&create.id, create_options(create, false)?).map_err(failed)?;
            Ok(0)
        }
        Command::Start { id } => runtime.start(id).map(|()| 0).map_err(failed),
        Command::Run(run) => run_container(cli, runtime, run),
        Command::State { id } => {
            print_json(&runtime.state(id).map_err(failed)?)?;
            Ok(0)
        }
        Command::Kill(kill) => kill_container(runtime, kill).map(|()| 0).map_err(failed),
        Command::Delete(delete) => {
            for warning in runtime.delete(&delete.id, delete.force).map_err(failed)? {
                report(cli, "warning", &warning);
            }
            Ok(0)
        }
        Command::Exec(exec) => exec_in(runtime, exec).map_err(|error| (error, EXEC_FAILED)),
        Command::List(options) => list(runtime, options),
        Command::Ps(options) => {
            if !options.ps_options.is_empty() {
                return Err(failed(Error::Usage("ps: options for ps(1) are not supported".into())));
            }
            let pids = runtime.processes(&options.id).map_err(failed)?;
            match options.format {
                TableOrJson::Json => print(&format!("{}\n", serde_json::json!(pids)))?,
                TableOrJson::Table => print(&tables::processes(&pids))?,
            }
            Ok(0)
        }
        Command::Pause { id } => runtime.pause(id).map(|()| 0).map_err(failed),
        Command::Resume { id } => runtime.resume(id).map(|()| 0).map_err(failed),
        Command::Update(options) => update::run(runtime, options).map(|()| 0).map_err(failed),
        Command::Events(options) => events::run(runtime, options),
        Command::Features => {
            print_json(&features::features())?;
            Ok(0)
        }
        Command::Spec(options) => spec::write(options).map(|()| 0).map_err(failed),
        Command::Checkpoint(_) => Err(failed(Error::Usage("checkpoint is not supported".into()))),
        Command::Restore(_) => Err(failed(Error::Usage("restore is not supported".into()))),
    }
}

fn create_options(create: &Create, keep_terminal: bool) -> Result<CreateOptions, (Error, i32)> {
    Ok(CreateOptions {
        bundle: create.bundle.clone(),
        console_socket: create.console_socket.clone(),
        pid_file: create.pid_file.clone(),
        no_pivot: create.no_pivot,
        no_new_keyring: create.no_new_keyring,
        preserved: preserved(create.preserve_fds).map_err(failed)?,
        keep_terminal,
    })
}

fn preserved(count: u32) -> Result<Vec<std::os::fd::OwnedFd>, Error> {
    sys::inherited_fds(count).map_err(io_error(format!("--preserve-fds {count}")))
}

fn run_container(cli: &Cli, runtime: &Runtime, run: &Run) -> Outcome {
    let id = &run.create.id;
    let options = create_options(&run.create, !run.detach)?;
    // Blocked before the container exists, so that none is lost between.
    let signals =
        if run.detach { None } else { Some(Signals::take().map_err(io_error("take signals")).map_err(failed)?) };
    let (_, launched) = runtime.run(id, options).map_err(failed)?;
    let Some(signals) = signals else { return Ok(0) };
    let code = stay(&launched, &signals).map_err(io_error(format!("wait for container {id}"))).map_err(failed)?;
    if !run.keep {
        for warning in runtime.delete(id, true).map_err(failed)? {
            report(cli, "warning", &warning);
        }
    }
    Ok(code)
}

fn kill_container(runtime: &Runtime, kill: &Kill) -> Result<(), Error> {
    runtime.kill(&kill.id, signal_number(&kill.signal)?, kill.all)
}

/// `9`, `KILL`, `SIGKILL`, `SIGRTMIN+3`.
fn signal_number(text: &str) -> Result<i32, Error> {
    let unknown = || Error::Usage(format!("unknown signal {text:?}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (0..=libc::SIGRTMAX()).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let realtime = |rest: &str, base: i32| {
        let offset = if rest.is_empty() { Some(0) } else { rest.parse::<i32>().ok() };
        offset.map(|offset| base + offset).filter(|number| (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(number))
    };
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return realtime(rest, libc::SIGRTMIN()).ok_or_else(unknown);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return realtime(rest, libc::SIGRTMAX()).ok_or_else(unknown);
    }
    Signal::from_str(&format!("SIG{name}")).map(|signal| signal as i32).map_err(|_| unknown())
}

fn exec_in(runtime: &Runtime, exec: &Exec) -> Result<i32, Error> {
    let signals = if exec.detach { None } else { Some(Signals::take().map_err(io_error("take signals"))?) };
    let launched = runtime.exec(
        &exec.id,
        ExecOptions {
            process: exec.process.clone(),
            args: exec.args.clone(),
            cwd: exec.cwd.clone(),
            env: exec.env.clone(),
            tty: exec.tty,
            user: exec.user.clone(),
            additional_gids: exec.additional_gids.clone(),
            caps: exec.cap.clone(),
            no_new_privs: exec.no_new_privs,
            apparmor: exec.apparmor.clone(),
            label: exec.process_label.clone(),
            cgroup: exec.cgroup.clone(),
            ignore_paused: exec.ignore_paused,
            console_socket: exec.console_socket.clone(),
            pid_file: exec.pid_file.clone(),
            preserved: preserved(exec.preserve_fds)?,
            keep_terminal: !exec.detach,
        },
    )?;
    match signals {
        Some(signals) => stay(&launched, &signals).map_err(io_error(format!("wait for process {}", launched.pid))),
        None => Ok(0),
    }
}

fn list(runtime: &Runtime, options: &List) -> Outcome {
    let records = runtime.list().map_err(failed)?;
    if options.quiet {
        let ids: String = records.iter().map(|record| format!("{}\n", record.id)).collect();
        print(&ids)?;
    } else if options.format == TableOrJson::Json {
        let all: Vec<_> = records.iter().map(|record| record.state_json(record.status())).collect();
        print(&format!("{}\n", serde_json::Value::Array(all)))?;
    } else {
        let rows = records.iter().map(|record| {
            let status = record.status();
            let pid = if status == crate::container::Status::Stopped { 0 } else { record.pid };
            let bundle: PathBuf = record.bundle.clone();
            [
                record.id.clone(),
                pid.to_string(),
                status.to_string(),
                bundle.display().to_string(),
                record.created.clone(),
                record.owner.clone(),
            ]
        });
        print(&tables::table(["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], rows))?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_numbers_and_names() {
        for (text, number) in [("9", 9), ("KILL", 9), ("sigterm", 15), ("SIGUSR1", 10), ("0", 0)] {
            assert_eq!(signal_number(text).unwrap(), number, "{text}");
        }
        assert_eq!(signal_number("SIGRTMIN+3").unwrap(), libc::SIGRTMIN() + 3);
        assert_eq!(signal_number("RTMAX-1").unwrap(), libc::SIGRTMAX() - 1);
        for bad in ["", "NOPE", "-1", "999", "RTMIN+99"] {
            assert!(signal_number(bad).is_err(), "{bad:?}");
        }
    }
}
