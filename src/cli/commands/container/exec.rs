//! `hoist exec`

use serde_json::{Value, json};

use crate::cli::{
    Context, Exit, Outcome,
    args::container::ExecArgs,
    commands::container::{
        hints,
        run::{ended, open},
    },
    failure::Failure,
    spec::{self, Surroundings},
    stream::{DetachKeys, End, Events, Session, Wire, terminal},
};

/// Runs a command in a running container.
pub async fn run(cx: &Context, args: ExecArgs) -> Outcome {
    let container = args.words[0].clone();
    if args.words.len() < 2 {
        return Err(Failure::new("the command to run is missing")
            .hint("usage: hoist exec [OPTIONS] CONTAINER COMMAND [ARG...]"));
    }
    let detach_keys = DetachKeys::parse(args.detach_keys.as_deref())?;
    let exec = spec::exec(&args, &Surroundings::real())?;
    terminal::check(exec.tty, exec.attach_stdin)?;
    let size = if exec.tty && !args.detach { terminal::size() } else { None };
    let (tty, stdin) = (exec.tty, exec.attach_stdin);
    let body = json!({ "container": container, "exec": exec, "detach": args.detach, "console_size": size });
    let stream = match open(cx, "/hoist/v1/exec", &body).await {
        Ok(stream) => stream,
        Err(failure) => return Err(hints::containers(cx, failure, &container).await),
    };
    let session = Session { wire: Wire::Frames, tty, stdin, signals: !args.detach, detach_keys };
    let mut events = ExecEvents { detach: args.detach };
    match session.run(cx, stream, &mut events).await? {
        End::Event(last) => match ended(&last) {
            Err(failure) => Err(hints::containers(cx, failure, &container).await),
            done => done,
        },
        End::Detached | End::Closed => Ok(Exit::OK),
    }
}

struct ExecEvents {
    detach: bool,
}

impl Events for ExecEvents {
    fn event(&mut self, event: Value) -> Result<Option<Value>, Failure> {
        Ok(match event["event"].as_str().unwrap_or_default() {
            "started" if self.detach => Some(json!({ "event": "exit", "code": 0 })),
            "exit" | "error" => Some(event),
            _ => None,
        })
    }
}
