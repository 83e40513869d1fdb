//! `hoist login`

use std::io::{self, BufRead, IsTerminal, Read};

use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use serde::Deserialize;

use super::server;
use crate::cli::{
    Context, Exit, Outcome,
    args::registry::LoginArgs,
    credentials::{Config, Credentials},
    failure::Failure,
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Answer {
    status: String,
    identity_token: String,
}

/// Checks credentials with the registry and keeps them.
pub async fn run(cx: &Context, args: LoginArgs) -> Outcome {
    let server = server(args.server.as_deref());
    let mut config = Config::load(&cx.config_dir)?;
    let kept = config.credentials(&server)?;
    let given = args.username.is_some() || args.password.is_some() || args.password_stdin;
    let mut credentials = match kept {
        Some(kept) if !given => kept,
        kept => {
            let username = match args.username {
                Some(name) if !name.is_empty() => name,
                _ => ask_name(cx, kept.as_ref().map(|kept| kept.username.as_str()))?,
            };
            let password = match args.password.filter(|password| password != "-") {
                Some(password) => {
                    cx.printer.warn("a password on the command line can be read by others; use --password-stdin");
                    password
                }
                None if args.password_stdin => {
                    let mut text = String::new();
                    io::stdin().lock().read_to_string(&mut text)?;
                    text.trim_end_matches(['\r', '\n']).to_owned()
                }
                None => ask_password(cx)?,
            };
            Credentials { username, password, ..Credentials::default() }
        }
    };
    if credentials.password.is_empty() && credentials.identitytoken.is_empty() {
        return Err(Failure::new("the password is missing"));
    }
    credentials.serveraddress = server.clone();
    let answer: Answer = cx.client.post("/auth").json(&credentials)?.read().await?;
    if !answer.identity_token.is_empty() {
        credentials.identitytoken = answer.identity_token;
        credentials.password = String::new();
    }
    config.store(&server, &credentials)?;
    config.save(&cx.config_dir)?;
    if config.helper(&server).is_none() {
        cx.printer.warn(format!(
            "the credentials are kept unencrypted in {}; a credential helper keeps them better",
            cx.config_dir.join("config.json").display()
        ));
    }
    cx.printer.line(if answer.status.is_empty() { "Login Succeeded".to_owned() } else { answer.status })?;
    Ok(Exit::OK)
}

fn ask_name(cx: &Context, kept: Option<&str>) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return Err(
            Failure::new("the user name is missing").hint("give it with -u, and the password with --password-stdin")
        );
    }
    let offer = kept.filter(|name| !name.is_empty()).map(|name| format!(" ({name})")).unwrap_or_default();
    cx.printer.raw_err(format!("Username{offer}: ").as_bytes())?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    match (line.trim(), kept) {
        ("", Some(kept)) => Ok(kept.to_owned()),
        ("", None) => Err(Failure::new("the user name is missing")),
        (name, _) => Ok(name.to_owned()),
    }
}

fn ask_password(cx: &Context) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new("the password is missing").hint("pipe it in with --password-stdin"));
    }
    cx.printer.raw_err(b"Password: ")?;
    let hidden = Hidden::begin()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    drop(hidden);
    cx.printer.say("");
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// What is typed is not shown while this lives.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
