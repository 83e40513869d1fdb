//! What runs: command, entrypoint, environment, user, streams.

use super::{SpecError, Surroundings, env};
use crate::{
    api::dto::{config::Config, exec::ExecBody},
    cli::args::{container::ExecArgs, create::CreateFlags},
};

pub fn config(flags: &CreateFlags, around: &Surroundings) -> Result<Config, SpecError> {
    let process = &flags.process;
    let (image, command) = flags
        .words
        .split_first()
        .filter(|(image, _)| !image.is_empty())
        .ok_or_else(|| SpecError::value("image", "", "the image is missing"))?;
    let mut attach = (false, false, false);
    for stream in &process.attach {
        match stream.to_ascii_lowercase().as_str() {
            "stdin" => attach.0 = true,
            "stdout" => attach.1 = true,
            "stderr" => attach.2 = true,
            _ => return Err(SpecError::value("attach", stream, "expected stdin, stdout or stderr")),
        }
    }
    if process.attach.is_empty() {
        attach = (process.interactive, true, true);
    }
    Ok(Config {
        hostname: flags.network.hostname.clone().unwrap_or_default(),
        domainname: flags.network.domainname.clone().unwrap_or_default(),
        user: process.user.clone().unwrap_or_default(),
        attach_stdin: attach.0,
        attach_stdout: attach.1,
        attach_stderr: attach.2,
        tty: process.tty,
        open_stdin: process.interactive,
        stdin_once: process.interactive && attach.0,
        env: env::variables(&process.env, &process.env_files, around)?,
        cmd: (!command.is_empty()).then(|| command.to_vec()),
        image: image.clone(),
        working_dir: process.workdir.clone().unwrap_or_default(),
        // An empty word takes the image's entrypoint away.
        entrypoint: process.entrypoint.clone().map(|program| vec![program]),
        labels: env::labels(&flags.lifecycle.label, &flags.lifecycle.label_file, around)?,
        stop_signal: flags.lifecycle.stop_signal.clone().unwrap_or_default(),
        stop_timeout: flags.lifecycle.stop_timeout,
        ..Config::default()
    })
}

/// The body of `POST /containers/{id}/exec`; the first word is the container.
///
/// # Errors
/// [`SpecError`], naming the flag and its value.
pub fn exec(args: &ExecArgs, around: &Surroundings) -> Result<ExecBody, SpecError> {
    Ok(ExecBody {
        attach_stdin: args.interactive && !args.detach,
        attach_stdout: !args.detach,
        attach_stderr: !args.detach,
        detach_keys: args.detach_keys.clone().unwrap_or_default(),
        tty: args.tty,
        env: env::variables(&args.env, &args.env_files, around)?,
        cmd: Some(args.words.iter().skip(1).cloned().collect()),
        privileged: args.privileged,
        user: args.user.clone().unwrap_or_default(),
        working_dir: args.workdir.clone().unwrap_or_default(),
        console_size: None,
    })
}
