//! `hoist create`, and what `run` shares with it.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::cli::{
    Context, Exit, Outcome,
    args::create::{CreateArgs, CreateFlags, PullWhen},
    client::Host,
    commands::{container::hints, image::pull},
    failure::Failure,
    progress::Mode,
    spec::{self, Surroundings},
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

/// A user's number and directories of this machine mean nothing on another.
pub fn here_only(cx: &Context, flags: &CreateFlags) -> Result<(), Failure> {
    if flags.process.as_me && !matches!(cx.client.host(), Host::Unix(_)) {
        let host = cx.client.host();
        return Err(Failure::usage(format!(
            "--as-me works with the daemon of this machine only, and {host} may be another"
        )));
    }
    Ok(())
}

/// Creates a container and prints its id.
pub async fn run(cx: &Context, args: CreateArgs) -> Outcome {
    let flags = &args.create;
    here_only(cx, flags)?;
    let config = spec::container(flags, &Surroundings::real())?;
    let mut cid_file = CidFile::claim(flags.lifecycle.cidfile.as_deref())?;
    let platform = flags.lifecycle.platform.as_deref();
    let mode = if flags.lifecycle.quiet { Mode::Quiet } else { Mode::Auto };
    if flags.lifecycle.pull == PullWhen::Always {
        pull::fetch(cx, &config.image, platform, mode).await?;
    }
    let create = async || {
        let request = cx
            .client
            .post("/containers/create")
            .query_opt("name", flags.lifecycle.name.as_deref())
            .query_opt("platform", platform)
            .json(&config)?;
        request.read::<Created>().await.map_err(Failure::from)
    };
    let created = match create().await {
        Err(failure) if failure.is_not_found() && flags.lifecycle.pull == PullWhen::Missing && is_image(&failure) => {
            cx.printer.say(format!("image {} is not here yet", config.image));
            if let Err(failure) = pull::fetch(cx, &config.image, platform, mode).await {
                return Err(hints::images(cx, failure, &config.image).await);
            }
            create().await
        }
        other => other,
    };
    let created = match created {
        Ok(created) => created,
        Err(failure) => return Err(hints::images(cx, failure, &config.image).await),
    };
    for warning in created.warnings.unwrap_or_default() {
        cx.printer.warn(warning);
    }
    cid_file.write(&created.id)?;
    cx.printer.line(created.id)?;
    Ok(Exit::OK)
}

/// 404 is also the answer for a network or volume that is not there.
fn is_image(failure: &Failure) -> bool {
    failure.message.to_lowercase().contains("image")
}

/// `--cidfile`: made before anything else, so that a name that is taken stops all; gone again if no id came.
#[derive(Debug, Default)]
pub struct CidFile(Option<(PathBuf, fs_err::File)>);

impl CidFile {
    pub fn claim(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self(None)) };
        match fs_err::OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(file) => Ok(Self(Some((path.to_owned(), file)))),
            Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => Err(Failure::usage(format!(
                "--cidfile: {} is there already; another container may be using it",
                path.display()
            ))),
            Err(err) => Err(Failure::usage(format!("--cidfile: {err}"))),
        }
    }

    pub fn write(&mut self, id: &str) -> Result<(), Failure> {
        if let Some((_, mut file)) = self.0.take() {
            file.write_all(id.as_bytes())?;
        }
        Ok(())
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if let Some((path, _)) = self.0.take() {
            let _ = fs_err::remove_file(path);
        }
    }
}
