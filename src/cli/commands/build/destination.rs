//! `--output`, `--load` and `--push`: where results go.

use std::path::{Path, PathBuf};

use hoist_build::Push;

use crate::{
    api::dto::{
        build::OutputOrder,
        build_output::{ImageAttributes, truth},
    },
    cli::{
        failure::Failure,
        suggest::{did_you_mean, nearest},
    },
};

/// One output: what the daemon is asked, and where it goes here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    pub order: OutputOrder,
    /// `-` is standard output.
    pub path: Option<PathBuf>,
    /// The archive's files are wanted, in a directory, and not the archive.
    pub unpacked: bool,
}

impl Destination {
    /// One that is nowhere but with the daemon.
    pub fn there(order: OutputOrder) -> Self {
        Self { order, path: None, unpacked: false }
    }
}

/// What outputs are asked for beside them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// `--load`.
    pub load: bool,
    /// `--push`.
    pub push: bool,
    /// There are names that every output has.
    pub named: bool,
    /// The build has a `SOURCE_DATE_EPOCH`.
    pub epoch: bool,
}

/// Reads `--output`, `--load` and `--push`.
///
/// # Errors
/// What is malformed or not supported, by name.
pub fn destinations(entries: &[String], wanted: Wanted) -> Result<Vec<Destination>, Failure> {
    let mut found = Vec::new();
    for entry in entries {
        let wrong = |what: String| Failure::usage(format!("invalid value '{entry}' for '--output': {what}"));
        found.push(destination(entry, wanted.epoch).map_err(wrong)?);
    }
    let images = || found.iter().any(|destination| matches!(destination.order, OutputOrder::Image(_)));
    if found.is_empty() || ((wanted.load || wanted.push) && !images()) {
        found.push(Destination::there(OutputOrder::an_image(false)));
    }
    if wanted.push {
        for destination in &mut found {
            if let OutputOrder::Image(how) = &mut destination.order {
                how.push.get_or_insert(Push::Tag);
            }
        }
    }
    for destination in &found {
        let Some(how) = destination.order.image().filter(|how| how.push.is_some()) else { continue };
        if how.names.is_empty() && !wanted.named {
            return Err(Failure::usage("an image without a name cannot be pushed").hint("give it one with -t"));
        }
        if how.push == Some(Push::Digest) && wanted.named {
            return Err(Failure::usage("push-by-digest=true pushes no tag, and -t names one")
                .hint("leave -t out, and write name=… without a tag"));
        }
    }
    let to_stdout = found.iter().filter(|destination| destination.path.as_deref() == Some(Path::new("-"))).count();
    if to_stdout > 1 {
        return Err(Failure::usage("two outputs cannot both go to standard output"));
    }
    Ok(found)
}

/// The fields of a line of CSV: a comma in double quotes ends none.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                fields.last_mut().expect("there is one at least").push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().expect("there is one at least").push(c),
        }
    }
    fields
}

fn destination(entry: &str, epoch: bool) -> Result<Destination, String> {
    if entry == "-" {
        return Ok(Destination { order: OutputOrder::Tar, path: Some("-".into()), unpacked: false });
    }
    if !entry.contains('=') {
        return Ok(Destination { order: OutputOrder::Local, path: Some(entry.into()), unpacked: false });
    }
    let (mut kind, mut path, mut tar) = (String::new(), None, true);
    let mut others = Vec::new();
    for field in fields(entry) {
        let (key, value) = field.split_once('=').ok_or_else(|| format!("'{field}' is no KEY=VALUE"))?;
        match key.trim() {
            "type" => kind = value.to_owned(),
            "dest" => path = Some(PathBuf::from(value)),
            "tar" => tar = truth(key, value)?,
            key => others.push((key.to_owned(), value.to_owned())),
        }
    }
    // An archive for docker load that goes nowhere is loaded at once.
    let kept = kind == "docker" && path.is_none();
    let files = ["local", "tar", "cacheonly"].contains(&kind.as_str());
    let mut image = ImageAttributes::default();
    for (key, value) in &others {
        if files || !image.read(key, value)? {
            return Err(match key.as_str() {
                "platform-split" => "platform-split is not supported: several platforms have a directory each".into(),
                "attestation-prefix" => "attestation-prefix is not supported: attestations are kept with images".into(),
                _ => {
                    let near = if files { Vec::new() } else { nearest(key, ImageAttributes::KEYS) };
                    let hint = did_you_mean(&near).map(|hint| format!("; {hint}")).unwrap_or_default();
                    format!("the key {key} is not supported for type={kind}{hint}")
                }
            });
        }
    }
    let image = image.finish(if kept { "image" } else { &kind }, epoch)?;
    if !tar
        && (!["docker", "oci"].contains(&kind.as_str()) || path.as_deref().is_none_or(|path| path == Path::new("-")))
    {
        return Err("tar=false is for type=oci or docker with dest=DIRECTORY".into());
    }
    let stdout = || Some(PathBuf::from("-"));
    let (order, path) = match kind.as_str() {
        "local" => (OutputOrder::Local, Some(path.ok_or("type=local needs dest=…")?)),
        "tar" => (OutputOrder::Tar, path.or_else(stdout)),
        "oci" => (OutputOrder::Oci(image), path.or_else(stdout)),
        "docker" if kept => (OutputOrder::Image(image), None),
        "docker" => (OutputOrder::Docker(image), path),
        "image" | "registry" => (OutputOrder::Image(image), None),
        "cacheonly" => (OutputOrder::Cacheonly, None),
        other => {
            let known = "local, tar, oci, docker, image, registry or cacheonly";
            return Err(format!("type '{other}' is unknown, expected {known}"));
        }
    };
    Ok(Destination { order, path, unpacked: !tar })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[&str], wanted: Wanted) -> Result<Vec<Destination>, String> {
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        destinations(&entries, wanted).map_err(|failure| failure.message)
    }

    fn plain(entries: &[&str]) -> Result<Vec<Destination>, String> {
        read(entries, Wanted::default())
    }

    #[test]
    fn every_kind() {
        let local = Destination { order: OutputOrder::Local, path: Some("out".into()), unpacked: false };
        assert_eq!(plain(&["out"]).unwrap(), [local]);
        assert_eq!(plain(&["-"]).unwrap()[0].order, OutputOrder::Tar);
        assert!(matches!(plain(&["type=oci,dest=a.tar"]).unwrap()[0].order, OutputOrder::Oci(_)));
        assert!(plain(&["type=oci,dest=a,tar=false"]).unwrap()[0].unpacked);
        assert_eq!(plain(&[]).unwrap(), [Destination::there(OutputOrder::an_image(false))]);
        assert_eq!(plain(&["type=docker"]).unwrap(), plain(&[]).unwrap());
        let found = plain(&["type=image,\"name=x/y,z\",push=true,oci-mediatypes=true"]).unwrap();
        let how = found[0].order.image().unwrap();
        assert_eq!((how.oci, how.push, how.names.len()), (true, Some(Push::Tag), 2));
        for (entry, message) in [
            ("type=local", "type=local needs dest="),
            ("type=locl,dest=x", "type 'locl' is unknown"),
            ("type=registry", "cannot be pushed"),
            ("type=tar,name=x", "the key name is not supported for type=tar"),
            ("type=local,dest=x,platform-split=false", "platform-split is not supported"),
            ("type=image,compresion=zstd", "type=image; did you mean compression?"),
            ("type=image,tar=false", "tar=false is for"),
            ("type=image,compression=zstd", "kept here is not compressed"),
        ] {
            assert!(plain(&[entry]).unwrap_err().contains(message), "{entry}");
        }
        assert!(plain(&["-", "type=oci"]).unwrap_err().contains("both go to standard output"));
    }

    /// What is pushed is what asked for it, under its own names.
    #[test]
    fn a_push_is_of_its_own_output() {
        let found = plain(&["type=image,name=a", "type=registry,name=b", "type=oci,dest=x"]).unwrap();
        let pushes = |found: &[Destination]| found.iter().map(|one| one.order.pushes()).collect::<Vec<_>>();
        assert_eq!(pushes(&found), [false, true, false]);
        let pushed = Wanted { push: true, named: true, ..Wanted::default() };
        assert_eq!(pushes(&read(&["type=oci,dest=x"], pushed).unwrap()), [false, true]);
        assert_eq!(pushes(&read(&["type=image,name=a"], pushed).unwrap()), [true]);
        let load = Wanted { load: true, ..Wanted::default() };
        assert_eq!(read(&["type=local,dest=x"], load).unwrap().len(), 2);
        let digest = ["type=image,name=a,push=true,push-by-digest=true"];
        assert!(plain(&digest).is_ok() && read(&digest, pushed).unwrap_err().contains("-t names one"));
    }
}
