//! The OCI command line: the commands and options that engines expect of a runtime.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Parser;

mod args;
mod commands;
mod events;
mod features;
mod spec;
mod tables;
mod update;

use crate::container::{Error, Runtime};
use args::{Cli, Command, LogFormat};

/// How a command ended: an exit code, or an error with the exit code that goes with it.
type Outcome = Result<i32, (Error, i32)>;

/// Runs one command; `args` begins after the program's own name (`create --bundle … id`). Returns the exit code.
pub fn main(args: impl Iterator<Item = OsString>) -> i32 {
    let cli = match Cli::try_parse_from(std::iter::once(OsString::from("hoist oci")).chain(args)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, and go to standard output.
            let _ = error.print();
            return if error.use_stderr() { 1 } else { 0 };
        }
    };
    match run(&cli) {
        Ok(code) => code,
        Err((error, code)) => {
            report(&cli, "error", &describe(&error));
            code
        }
    }
}

fn run(cli: &Cli) -> Outcome {
    let usage = |text: &str| Err((Error::Usage(text.to_owned()), 1));
    if cli.systemd_cgroup {
        return usage("--systemd-cgroup is not supported: cgroups are made directly, without systemd");
    }
    match cli.rootless.as_str() {
        "auto" | "false" | "" => {}
        "true" => return usage("--rootless=true is not supported"),
        other => return usage(&format!("--rootless {other:?} is not true, false or auto")),
    }
    let runtime = Runtime::new(cli.root.clone().unwrap_or_else(default_root));
    if matches!(cli.command, Command::Create(_) | Command::Run(_) | Command::Exec(_)) {
        // What enters containers must not be a file that can be overwritten from inside.
        crate::guard::reexec_sealed()
            .map_err(|source| (Error::Io { what: "run from a sealed copy of the program".into(), source }, 1))?;
    }
    commands::run(cli, &runtime)
}

fn default_root() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return "/run/hoist/oci".into();
    }
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(dir) => PathBuf::from(dir).join("hoist/oci"),
        None => std::env::temp_dir().join(format!("hoist-oci-{}", rustix::process::geteuid().as_raw())),
    }
}

/// An error with its causes, in one line.
fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}

/// Writes a message to standard error, and to the log file in the form that its reader wants.
fn report(cli: &Cli, level: &str, text: &str) {
    let _ = writeln!(io::stderr(), "hoist oci: {text}");
    let Some(path) = &cli.log else { return };
    let now = jiff::Timestamp::now();
    let line = match cli.log_format {
        LogFormat::Text => format!("time=\"{now}\" level={level} msg={text:?}\n"),
        LogFormat::Json => format!("{}\n", serde_json::json!({"level": level, "msg": text, "time": now.to_string()})),
    };
    let open = std::fs::OpenOptions::new().append(true).create(true).open(path);
    if let Err(error) = open.and_then(|mut file| file.write_all(line.as_bytes())) {
        let _ = writeln!(io::stderr(), "hoist oci: write {}: {error}", path.display());
    }
}

/// Writes to standard output. A reader that has gone away is no error of ours.
fn print(text: &str) -> Result<(), (Error, i32)> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err((Error::Io { what: "write to standard output".into(), source: error }, 1))
        }
        _ => Ok(()),
    }
}

/// Prints a value as JSON, for people too.
fn print_json(value: &serde_json::Value) -> Result<(), (Error, i32)> {
    print(&format!("{value:#}\n"))
}
