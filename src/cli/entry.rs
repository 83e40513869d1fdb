//! From a command line to an exit code.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::ExitCode,
};

use clap::{
    CommandFactory, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{
    Context, Exit, Outcome,
    args::{Cli, Command, Global},
    client::{Autostart, Client, Host, TlsFiles},
    commands, completion,
    contexts::{self, Choice, Store, env},
    failure::Failure,
    help,
    preferences::Preferences,
    printer::Printer,
    suggest,
};

/// Runs one command line to its end.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let printer = Printer::new();
    // Whatever the program's file is called, help speaks of `hoist`.
    let args: Vec<OsString> = std::iter::once("hoist".into()).chain(args.skip(1)).collect();
    match run(args, printer) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            printer.failure(&failure);
            ExitCode::from(failure.code)
        }
    }
}

fn run(args: Vec<OsString>, printer: Printer) -> Outcome {
    // The runtime's own command line gets its words untouched.
    if args.get(1).is_some_and(|word| word == "oci") {
        let words = std::iter::once(OsString::from("hoist oci")).chain(args.into_iter().skip(2));
        return Ok(Exit((hoist_runtime::cli::main(words) & 0xff) as u8));
    }
    // `hoist help run` is `hoist run --help`.
    let mut args = args;
    if args.get(1).is_some_and(|word| word == "help") {
        args.remove(1);
        args.push("--help".into());
    }
    if args.get(1).is_some_and(|word| word == completion::COMMAND) {
        completion::answer(&args[2..], printer, reach);
        return Ok(Exit::OK);
    }
    if help::is_asked(&args[1..]) {
        printer.text(help::overview())?;
        return Ok(Exit::OK);
    }
    let cli = match parse(args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, printer),
    };
    let Cli { global, command } = cli;
    match command {
        Command::Daemon(flags) => commands::daemon::run(*flags, printer),
        Command::Context { command } => {
            commands::context::run(command, &choice(&global), &Store::of(&config_dir(&global)), printer)
        }
        Command::Lab { command } => {
            commands::lab::run(command, &global.data_root, &global.run_root, &Store::of(&config_dir(&global)), printer)
        }
        Command::Completion(args) => commands::completion::run(args, printer),
        Command::Oci(args) => {
            let words = std::iter::once(OsString::from("hoist oci")).chain(args.args);
            Ok(Exit((hoist_runtime::cli::main(words) & 0xff) as u8))
        }
        mut command => {
            let config_dir = config_dir(&global);
            let preferences = Preferences::load(&config_dir)?;
            let client = client(&global)?.with_headers(preferences.headers()?);
            preferences.fill(&mut command, &client.host().to_string());
            let proxies = preferences.proxies(&client.host().to_string());
            let name = contexts::current(&choice(&global), &Store::of(&config_dir))?;
            let context = Context { printer, client, name, config_dir, proxies };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let outcome = runtime.block_on(commands::dispatch(&context, command));
            // A read of standard input that is under way must not hold up the end.
            runtime.shutdown_background();
            outcome
        }
    }
}

/// Parses; `--flag=true` and `--flag=false` are understood where a flag takes no value.
fn parse(args: Vec<OsString>) -> Result<Cli, clap::Error> {
    let mut args = args;
    loop {
        let error = match Cli::try_parse_from(&args) {
            Ok(cli) => return Ok(cli),
            Err(error) => error,
        };
        let switch = match error.kind() {
            ErrorKind::TooManyValues => switch_with_value(&args, &error),
            ErrorKind::UnknownArgument => short_switch_with_value(&args, &error),
            _ => None,
        };
        match switch {
            Some((index, Some(name))) => args[index] = name,
            Some((index, None)) => {
                args.remove(index);
            }
            None => return Err(error),
        }
    }
}

/// Where `--name=true` stands (and `--name`, to put there) or `--name=false` (nothing).
fn switch_with_value(args: &[OsString], error: &clap::Error) -> Option<(usize, Option<OsString>)> {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return None };
    let name = flag.split([' ', '=', ',']).find(|word| word.starts_with("--"))?;
    args.iter().enumerate().find_map(|(index, word)| {
        let (flag, value) = word.to_str()?.split_once('=')?;
        if flag != name {
            return None;
        }
        truth(value).map(|on| (index, on.then(|| flag.into())))
    })
}

/// What a command ends with that has too few arguments or too many; flags that are wrong are another matter.
const ARGUMENTS: u8 = 1;

/// Where `-i=true` or `-it=false` stands, which only the last of the letters is meant by.
fn short_switch_with_value(args: &[OsString], error: &clap::Error) -> Option<(usize, Option<OsString>)> {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) if flag == "-=" => {}
        _ => return None,
    }
    args.iter().enumerate().find_map(|(index, word)| {
        let (letters, value) = word.to_str()?.strip_prefix('-')?.split_once('=')?;
        if letters.is_empty() || !letters.bytes().all(|letter| letter.is_ascii_alphabetic()) {
            return None;
        }
        let others = &letters[..letters.len() - 1];
        match truth(value)? {
            true => Some((index, Some(format!("-{letters}").into()))),
            false if others.is_empty() => Some((index, None)),
            false => Some((index, Some(format!("-{others}").into()))),
        }
    })
}

/// A truth value as Go reads it.
fn truth(value: &str) -> Option<bool> {
    match value {
        "true" | "1" | "t" | "T" | "TRUE" | "True" => Some(true),
        "false" | "0" | "f" | "F" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Prints help to standard output, everything else as one line with hints.
fn usage(error: &clap::Error, printer: Printer) -> Outcome {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = error.render();
            printer.text(if printer.out_is_terminal() && printer.colour() {
                text.ansi().to_string()
            } else {
                text.to_string()
            })?;
            return Ok(Exit::OK);
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            printer.text(error.render().to_string())?;
            return Ok(Exit::OK);
        }
        _ => {}
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    let mut failure = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let typed = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            let mut failure = Failure::new(format!("{typed:?} is not a command")).code(1);
            if let Some(noun) = parent_of(&typed) {
                failure.message = format!("{typed:?} is not a command of \"hoist {noun}\"");
            }
            if let Some(hint) =
                suggest::did_you_mean(&suggest::nearest(&typed, siblings(&typed).iter().map(String::as_str)))
            {
                failure = failure.hint(hint);
            } else {
                failure = failure.hint("hoist --help lists the commands");
            }
            failure
        }
        ErrorKind::UnknownArgument => {
            let typed = text(ContextKind::InvalidArg).unwrap_or_default();
            // What clap shows as usage names the flag it guessed; the command's own help says more.
            match text(ContextKind::Usage).or_else(|| styled(error, ContextKind::Usage)) {
                Some(usage) if !typed.starts_with('-') => {
                    let failure = Failure::usage(format!("unexpected argument {typed:?}")).code(ARGUMENTS);
                    failure.hint(format!("usage: {}", bare(&usage)))
                }
                Some(usage) => Failure::usage(format!("there is no flag {typed}"))
                    .hint(format!("{} --help lists the flags", command_of(bare(&usage)))),
                None => Failure::usage(format!("there is no flag {typed}")),
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let names = text(ContextKind::InvalidArg).unwrap_or_default().replace(['<', '>'], "").replace("...", "");
            Failure::usage(format!("{names} is missing")).code(ARGUMENTS)
        }
        _ => {
            // The first paragraph of clap's own words, without its prefix.
            let rendered = error.render().to_string();
            let first = rendered.split("\n\n").next().unwrap_or_default();
            let words: Vec<&str> = first.split_whitespace().collect();
            Failure::usage(words.join(" ").trim_start_matches("error: ").to_owned())
        }
    };
    if let Some(flag) = text(ContextKind::SuggestedArg) {
        failure = failure.hint(format!("did you mean {flag}?"));
    }
    if let Some(value) = text(ContextKind::SuggestedValue) {
        failure = failure.hint(format!("did you mean {value}?"));
    }
    let wanted = error.kind() == ErrorKind::MissingRequiredArgument || error.kind() == ErrorKind::ArgumentConflict;
    if let Some(usage) = styled(error, ContextKind::Usage).filter(|_| wanted) {
        failure = failure.hint(format!("usage: {}", bare(&usage)));
    }
    Err(failure)
}

fn styled(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind) {
        Some(ContextValue::StyledStr(text)) => Some(text.to_string()),
        _ => None,
    }
}

/// A usage line without its label.
fn bare(usage: &str) -> &str {
    usage.trim_start_matches("Usage:").trim()
}

/// The words of a usage line that are the command's name.
fn command_of(usage: &str) -> String {
    let words: Vec<&str> = usage.split_whitespace().take_while(|word| !word.starts_with(['[', '<', '-'])).collect();
    // A usage of the guess may go on with the values of arguments, which are in capitals.
    words.into_iter().filter(|word| word.chars().any(char::is_lowercase)).collect::<Vec<_>>().join(" ")
}

/// The commands among which a mistyped one was looked for.
fn siblings(typed: &str) -> Vec<String> {
    let mut command = Cli::command();
    if let Some(noun) = parent_of(typed)
        && let Some(found) = command.find_subcommand(&noun)
    {
        let mut found = found.clone();
        found.build();
        return names(&found);
    }
    command.build();
    names(&command)
}

fn names(command: &clap::Command) -> Vec<String> {
    command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set())
        .flat_map(|sub| std::iter::once(sub.get_name().to_owned()).chain(sub.get_visible_aliases().map(str::to_owned)))
        .collect()
}

/// The noun before a mistyped verb.
fn parent_of(typed: &str) -> Option<String> {
    let mut before: Option<OsString> = None;
    for word in std::env::args_os().skip(1) {
        if word == OsStr::new(typed) {
            break;
        }
        before = Some(word);
    }
    let before = before?.into_string().ok()?;
    let mut command = Cli::command();
    let noun = command.find_subcommand_mut(&before)?;
    noun.build();
    noun.has_subcommands().then_some(before)
}

/// What the command line says of the daemon that is meant.
fn choice(global: &Global) -> Choice {
    let verify = global.tlsverify || env("DOCKER_TLS_VERIFY").is_some();
    let dir = env("DOCKER_CERT_PATH").map_or_else(|| config_dir(global), PathBuf::from);
    let usual = TlsFiles::of(&dir);
    let tls = verify.then(|| TlsFiles {
        ca: global.tlscacert.clone().unwrap_or(usual.ca),
        cert: global.tlscert.clone().unwrap_or(usual.cert),
        key: global.tlskey.clone().unwrap_or(usual.key),
    });
    Choice { host: global.host.clone(), context: global.context.clone(), tls }
}

/// `-H`, `--context`, `HOIST_HOST`, `DOCKER_HOST`, the current context, else the socket of the run root, whose daemon
/// is started when it is missing.
fn client(global: &Global) -> Result<Client, Failure> {
    if let Some(client) = contexts::client(&choice(global), &Store::of(&config_dir(global)))? {
        return Ok(client);
    }
    let autostart =
        Autostart { data_root: global.data_root.clone(), run_root: global.run_root.clone(), config_file: None };
    Ok(Client::new(Host::of_run_root(&global.run_root), Some(autostart)))
}

/// The daemon that is meant, for whoever does without when it does not run; and the client's own configuration.
fn reach(global: &Global) -> Option<(Client, PathBuf)> {
    let dir = config_dir(global);
    let named = contexts::client(&choice(global), &Store::of(&dir)).ok()?;
    Some((named.unwrap_or_else(|| Client::new(Host::of_run_root(&global.run_root), None)), dir))
}

fn config_dir(global: &Global) -> PathBuf {
    global.config.clone().unwrap_or_else(|| {
        std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from).join(".docker")
    })
}
