//! `hoist swarm snapshot save` and `hoist swarm snapshot restore`

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
};

use fs_err::os::unix::fs::OpenOptionsExt;
use hoist_link::UnlockKey;

use crate::{
    api::dto::swarm::SNAPSHOT_KEY as KEY,
    cli::{
        Context, Exit, Outcome,
        args::swarm::{RestoreArgs, SaveArgs},
        client::file_body,
        failure::Failure,
    },
};

/// Writes the cluster's whole state to a file that only its key opens.
pub async fn save(cx: &Context, args: SaveArgs) -> Outcome {
    let given = args.key_file.as_deref().map(read_key).transpose()?;
    let key = given.clone().unwrap_or_else(UnlockKey::random);
    let request = cx.client.post("/hoist/v1/swarm/snapshot").header(KEY, key.to_string());
    let sealed = request.bytes().await?;
    write(&args.file, &sealed)?;
    if args.quiet {
        if given.is_none() {
            cx.printer.line(key.to_string())?;
        }
        return Ok(Exit::OK);
    }
    cx.printer.line(format!("The swarm is saved in {}.", args.file.display()))?;
    if given.is_none() {
        cx.printer.line(format!(
            "To restore it, run `hoist swarm snapshot restore {}` and provide the following key:\n\n    {key}\n\n\
             Please remember to store this key in a password manager, since without it nobody can open the file.",
            args.file.display()
        ))?;
    }
    Ok(Exit::OK)
}

/// Whole or not at all, and readable by its owner only.
fn write(file: &Path, sealed: &[u8]) -> Result<(), Failure> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = file.with_file_name(name);
    let written = || {
        let mut options = fs_err::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut out = options.open(&fresh)?;
        out.write_all(sealed)?;
        out.sync_all()?;
        fs_err::rename(&fresh, file)
    };
    written().map_err(|error: io::Error| {
        // What is half-written is of no use; the first error is what counts.
        let _ = fs_err::remove_file(&fresh);
        error.into()
    })
}

/// Makes this machine the only manager of the cluster in a file.
pub async fn restore(cx: &Context, args: RestoreArgs) -> Outcome {
    let file = fs_err::tokio::File::open(&args.file).await?;
    let key = match args.key_file.as_deref() {
        Some(file) => read_key(file)?,
        None => {
            if io::stdin().is_terminal() {
                cx.printer.raw_err(b"Enter the snapshot's key: ")?;
            }
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line)?;
            parse(&line, "standard input")?
        }
    };
    let node: String = cx
        .client
        .post("/hoist/v1/swarm/restore")
        .query("listen", &args.listen_addr)
        .query("advertise", args.advertise_addr.as_deref().unwrap_or_default())
        .query("data-path", args.data_path_addr.as_deref().unwrap_or_default())
        .header(KEY, key.to_string())
        .stream(file_body(file), "application/octet-stream")
        .read()
        .await?;
    cx.printer.line(format!(
        "Swarm restored: current node ({node}) is now its only manager.\n\n\
         Workers that know this machine's address come back by themselves; other managers, and workers that do not,\n\
         have to leave and to join again. See 'hoist node ls', and remove what is lost with 'hoist node rm'."
    ))?;
    Ok(Exit::OK)
}

fn read_key(file: &Path) -> Result<UnlockKey, Failure> {
    parse(&fs_err::read_to_string(file)?, &file.display().to_string())
}

fn parse(text: &str, place: &str) -> Result<UnlockKey, Failure> {
    text.trim().parse().map_err(|_| Failure::new(format!("{place}: no key of a snapshot: one begins with SWMKEY-1-")))
}
