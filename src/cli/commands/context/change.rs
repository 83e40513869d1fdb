//! Making, changing, moving and removing contexts.

use std::io::{Read, Write};

use crate::cli::{
    args::context::{CreateArgs, ExportArgs, ImportArgs, RmArgs, UpdateArgs, UseArgs},
    client::Host,
    contexts::{self, Choice, DEFAULT, Endpoint, Meta, Store},
    failure::Failure,
    printer::Printer,
};

/// Certificates as they are put into the store.
type Certificates = Vec<(&'static str, Vec<u8>)>;

fn check_name(name: &str) -> Result<(), Failure> {
    if name == DEFAULT {
        return Err(Failure::new("\"default\" is the context that is always there; choose another name"));
    }
    let good = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
    if name.len() < 2 || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(good) {
        let rule = "it must begin with a letter or digit, and have two or more of letters, digits, '_', '.', '+', '-'";
        return Err(Failure::new(format!("invalid context name {name:?}: {rule}")));
    }
    Ok(())
}

/// `host=…,ca=…,cert=…,key=…`
fn endpoint(text: &str) -> Result<(Endpoint, Option<Certificates>), Failure> {
    let mut endpoint = Endpoint::default();
    let mut files = Certificates::new();
    for part in text.split(',') {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("invalid value {part:?} of --docker: expected KEY=VALUE")))?;
        let name = match key {
            "host" => {
                Host::parse(value)?;
                value.clone_into(&mut endpoint.host);
                continue;
            }
            "ca" => "ca.pem",
            "cert" => "cert.pem",
            "key" => "key.pem",
            "skip-tls-verify" => {
                return Err(Failure::usage("skip-tls-verify is not supported: a daemon must show who it is"));
            }
            _ => return Err(Failure::usage(format!("--docker has no {key:?}; it has host, ca, cert and key"))),
        };
        files.push((name, fs_err::read(value)?));
    }
    if endpoint.host.is_empty() {
        return Err(Failure::usage("--docker needs host=URL"));
    }
    if !files.is_empty() && files.len() != 3 {
        return Err(Failure::usage("TLS takes all of ca, cert and key"));
    }
    Ok((endpoint, Some(files)))
}

pub fn create(args: CreateArgs, store: &Store, printer: Printer) -> Result<(), Failure> {
    check_name(&args.name)?;
    if store.has(&args.name) {
        return Err(Failure::new(format!("context {:?} already exists", args.name)));
    }
    let mut meta = match args.from.as_deref().filter(|from| *from != DEFAULT) {
        Some(from) => {
            store.import(&args.name, &store.export(from)?)?;
            store.get(&args.name)?
        }
        None => Meta { name: args.name.clone(), ..Meta::default() },
    };
    let mut files = None;
    if let Some(text) = &args.docker {
        let (endpoint, certificates) = endpoint(text)?;
        meta.endpoints.insert("docker".to_owned(), endpoint);
        files = certificates;
    } else if meta.docker().host.is_empty() {
        let host = contexts::env("HOIST_HOST").or_else(|| contexts::env("DOCKER_HOST")).ok_or_else(|| {
            Failure::usage("--docker host=URL is missing, and neither HOIST_HOST nor DOCKER_HOST names a daemon")
        })?;
        meta.endpoints.insert("docker".to_owned(), Endpoint { host, skip_tls_verify: false });
    }
    if let Some(text) = args.description {
        meta.metadata.description = text;
    }
    store.put(&meta, files.as_deref())?;
    printer.line(&args.name)?;
    printer.say(format!("Successfully created context {:?}", args.name));
    Ok(())
}

pub fn update(args: UpdateArgs, store: &Store, printer: Printer) -> Result<(), Failure> {
    check_name(&args.name)?;
    let mut meta = store.get(&args.name)?;
    let mut files = None;
    if let Some(text) = &args.docker {
        let (endpoint, certificates) = endpoint(text)?;
        meta.endpoints.insert("docker".to_owned(), endpoint);
        files = certificates;
    }
    if let Some(text) = args.description {
        meta.metadata.description = text;
    }
    store.put(&meta, files.as_deref())?;
    printer.line(&args.name)?;
    printer.say(format!("Successfully updated context {:?}", args.name));
    Ok(())
}

pub fn export(args: ExportArgs, store: &Store, printer: Printer) -> Result<(), Failure> {
    let archive = store.export(&args.name)?;
    let file = args.file.unwrap_or_else(|| format!("{}.dockercontext", args.name));
    if file == "-" {
        std::io::stdout().write_all(&archive)?;
        return Ok(());
    }
    // A key may be in it; and what is there already is not written over.
    let mut options = fs_err::OpenOptions::new();
    fs_err::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
    options.open(&file)?.write_all(&archive)?;
    printer.say(format!("Written file {file:?}"));
    Ok(())
}

pub fn import(args: ImportArgs, store: &Store, printer: Printer) -> Result<(), Failure> {
    check_name(&args.name)?;
    if store.has(&args.name) {
        return Err(Failure::new(format!("context {:?} already exists", args.name)));
    }
    let archive = if args.file == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        bytes
    } else {
        fs_err::read(&args.file)?
    };
    store.import(&args.name, &archive)?;
    printer.line(&args.name)?;
    printer.say(format!("Successfully imported context {:?}", args.name));
    Ok(())
}

pub fn remove(args: RmArgs, choice: &Choice, store: &Store, printer: Printer) -> Result<(), Failure> {
    let current = contexts::current(choice, store)?;
    for name in &args.names {
        check_name(name)?;
        if !store.has(name) && args.force {
            continue;
        }
        store.get(name)?;
        if *name == current {
            if !args.force {
                return Err(Failure::new(format!("context {name:?} is in use"))
                    .hint("choose another one first (hoist context use default), or use --force"));
            }
            store.set_current(DEFAULT)?;
        }
        store.remove(name)?;
        printer.line(name)?;
    }
    Ok(())
}

pub fn select(args: UseArgs, store: &Store, printer: Printer) -> Result<(), Failure> {
    if args.name != DEFAULT {
        store.get(&args.name)?;
    }
    store.set_current(&args.name)?;
    printer.line(&args.name)?;
    printer.say(format!("Current context is now {:?}", args.name));
    if let Some(variable) = ["HOIST_HOST", "DOCKER_HOST"].into_iter().find(|name| contexts::env(name).is_some()) {
        printer.warn(format!("{variable} is set and counts more than the context"));
    }
    Ok(())
}
