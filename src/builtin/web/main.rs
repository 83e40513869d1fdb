//! The web service inside the built-in image: it tells who answered and what was asked.
//!
//! Compiled by `build.rs` into one static executable, since its image holds nothing else: no libc, no
//! shell, no resolver. Hence only the standard library here, and a resolver of its own.
//!
//! ```text
//! hello [serve] [--listen ADDRESS:PORT] [--peer HOST[:PORT]] [--visits FILE] [--show FILE]...
//! hello check [HOST[:PORT]]
//! ```

mod resolve;
mod serve;
// Hoist itself, whose tests include this source, forbids what this needs.
#[cfg(not(test))]
mod signals;

use std::{env, process::ExitCode};

const USAGE: &str = "usage: hello [serve] [--listen ADDRESS:PORT] [--peer HOST[:PORT]] [--visits FILE] [--show FILE]...
       hello check [HOST[:PORT]]";

fn main() -> ExitCode {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let command = match arguments.first() {
        Some(first) if !first.starts_with('-') => arguments.remove(0),
        _ => "serve".to_owned(),
    };
    let outcome = match command.as_str() {
        "serve" => serve::Options::parse(arguments).and_then(|options| serve::run(&options)),
        "check" => {
            let target = arguments.first().map_or("127.0.0.1:80", String::as_str);
            serve::fetch(target, "/healthz").map(|_| ())
        }
        other => Err(format!("unknown command {other:?}\n{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("hello: {message}");
            ExitCode::FAILURE
        }
    }
}
