//! `hoist run`: create, start, attach and wait on one connection.

use serde_json::{Value, json};

use crate::cli::{
    Context, Exit, Outcome,
    args::create::{CreateFlags, PullWhen, RunArgs},
    client::Upgraded,
    commands::container::{
        create::{CidFile, here_only},
        hints,
    },
    credentials,
    failure::Failure,
    progress::{Message, Mode, Transfer},
    spec::{self, SpecError, Surroundings},
    stream::{DetachKeys, End, Events, Session, Wire, terminal},
};

/// Runs a new container.
pub async fn run(cx: &Context, args: RunArgs) -> Outcome {
    let flags = &args.create;
    here_only(cx, flags)?;
    let mut config = spec::container(flags, &Surroundings::real())?;
    let detach_keys = DetachKeys::parse(args.detach_keys.as_deref())?;
    if args.detach {
        if !flags.process.attach.is_empty() {
            return Err(SpecError::conflict("detach", "cannot be combined with --attach").into());
        }
        (config.attach_stdin, config.attach_stdout, config.attach_stderr) = (false, false, false);
        config.stdin_once = false;
    } else {
        terminal::check(config.tty, config.attach_stdin)?;
    }
    let cid_file = CidFile::claim(flags.lifecycle.cidfile.as_deref())?;
    let (tty, stdin) = (config.tty, config.attach_stdin);
    let size = if tty && !args.detach { terminal::size() } else { None };
    let body = json!({
        "name": flags.lifecycle.name.clone().unwrap_or_default(),
        "platform": flags.lifecycle.platform,
        "pull": flags.lifecycle.pull.as_str(),
        "auth": auth(cx, flags, &config.image).await?,
        "create": config,
        "attach": { "stdin": stdin, "stdout": config.attach_stdout, "stderr": config.attach_stderr },
        "detach": args.detach,
        "console_size": size,
    });
    let running = Running {
        tty,
        stdin,
        signals: args.sig_proxy && !args.detach,
        detach: args.detach,
        detach_keys,
        progress: if flags.lifecycle.quiet { Mode::Quiet } else { Mode::Auto },
        cid_file,
    };
    run_body(cx, &body, &config.image, running).await
}

/// How a run is connected to this terminal.
pub struct Running {
    pub tty: bool,
    pub stdin: bool,
    pub signals: bool,
    pub detach: bool,
    pub detach_keys: DetachKeys,
    pub progress: Mode,
    pub cid_file: CidFile,
}

/// Sends the body of a run and stays connected until it has ended.
pub async fn run_body(cx: &Context, body: &Value, image: &str, running: Running) -> Outcome {
    let Running { tty, stdin, signals, detach, detach_keys, progress, cid_file } = running;
    let stream = open(cx, "/hoist/v1/run", body).await.map_err(|failure| failure.code(Failure::USAGE));
    let stream = match stream {
        Ok(stream) => stream,
        Err(failure) => return Err(hints::images(cx, failure, image).await),
    };
    let session = Session { wire: Wire::Frames, tty, stdin, signals, detach_keys };
    let mut events = RunEvents { cx, detach, progress, cid_file, id: String::new(), transfer: None };
    match session.run(cx, stream, &mut events).await {
        Ok(End::Event(last)) => match ended(&last) {
            Err(failure) => Err(hints::images(cx, failure, image).await),
            done => done,
        },
        Ok(End::Detached | End::Closed) => Ok(Exit::OK),
        Err(failure) => Err(failure),
    }
}

/// The credentials of the image's registry. A helper program is asked only when the image must be fetched.
async fn auth(cx: &Context, flags: &CreateFlags, image: &str) -> Result<Option<String>, Failure> {
    if flags.lifecycle.pull == PullWhen::Never {
        return Ok(None);
    }
    let config = credentials::Config::load(&cx.config_dir)?;
    let registry = credentials::registry_of(image);
    if config.helper(registry).is_some() && flags.lifecycle.pull == PullWhen::Missing {
        let path = format!("/images/{}/json", crate::cli::client::path_segment(image));
        if cx.client.get(path).done().await.is_ok() {
            return Ok(None);
        }
    }
    Ok(config.credentials(registry)?.map(|found| found.header()))
}

/// Opens one of Hoist's framed streams.
pub async fn open(cx: &Context, path: &str, body: &Value) -> Result<Upgraded, Failure> {
    let (stream, _) = cx.client.post(path).json(body)?.upgrade("hoist-frames").await?;
    Ok(stream)
}

/// What the last event says: the container's code, or why there is none.
pub fn ended(last: &Value) -> Outcome {
    if last["event"] == "error" {
        let mut failure = Failure::new(last["message"].as_str().unwrap_or("the daemon gave no reason"));
        failure.code = last["exit_code"].as_u64().and_then(|code| u8::try_from(code).ok()).unwrap_or(Failure::USAGE);
        failure.status = last["status"].as_u64().and_then(|status| u16::try_from(status).ok());
        return Err(failure);
    }
    Ok(Exit::container(last["code"].as_i64().unwrap_or(0)))
}

struct RunEvents<'a> {
    cx: &'a Context,
    detach: bool,
    progress: Mode,
    cid_file: CidFile,
    id: String,
    transfer: Option<Transfer>,
}

impl Events for RunEvents<'_> {
    fn event(&mut self, event: Value) -> Result<Option<Value>, Failure> {
        match event["event"].as_str().unwrap_or_default() {
            "pull" => {
                let transfer =
                    self.transfer.get_or_insert_with(|| Transfer::new(self.cx.printer, self.progress, "Pulling"));
                transfer.message(serde_json::from_value::<Message>(event).unwrap_or_default())?;
            }
            "created" => {
                if let Some(mut transfer) = self.transfer.take() {
                    transfer.finish();
                }
                self.id = event["id"].as_str().unwrap_or_default().to_owned();
                self.cid_file.write(&self.id)?;
                for warning in event["warnings"].as_array().into_iter().flatten() {
                    self.cx.printer.warn(warning.as_str().unwrap_or_default());
                }
            }
            "started" if self.detach => {
                self.cx.printer.line(&self.id)?;
                return Ok(Some(json!({ "event": "exit", "code": 0 })));
            }
            "exit" | "error" => return Ok(Some(event)),
            _ => {}
        }
        Ok(None)
    }
}
