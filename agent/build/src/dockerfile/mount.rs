//! `RUN --mount=…` and `--device=…`.

use super::{
    Device, Error, Mount, MountKind, Sharing, Span, Word,
    flags::{Value, boolean},
    words::near,
};

const KEYS: [&str; 17] = [
    "type",
    "target",
    "dst",
    "destination",
    "source",
    "src",
    "from",
    "id",
    "sharing",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
    "required",
    "readonly",
    "readwrite",
];

#[derive(Default)]
struct Options {
    kind: Option<Word>,
    target: Option<Word>,
    source: Option<Word>,
    from: Option<Word>,
    id: Option<Word>,
    sharing: Option<Word>,
    size: Option<Word>,
    mode: Option<Word>,
    uid: Option<Word>,
    gid: Option<Word>,
    env: Option<Word>,
    required: Option<(bool, Span)>,
    read_only: Option<(bool, Span)>,
}

pub(super) fn mount(value: &Value<'_>, span: Span) -> Result<Mount, Error> {
    let mut options = Options::default();
    for (key, value) in value.comma_separated() {
        options.set(key, value)?;
    }
    let kind = options.kind.take();
    let name = kind.as_ref().map_or("bind", |kind| kind.text.as_str()).to_ascii_lowercase();
    let target = options.target.take();
    if target.is_none() && !["secret", "ssh"].contains(&name.as_str()) {
        return Err(Error::at(span, format!("found a {name} mount without a target, expected target=PATH")));
    }
    let read_only = options.read_only.take();
    let required = options.required.take();
    let kind = match name.as_str() {
        "bind" => MountKind::Bind {
            from: options.from.take(),
            source: options.source.take(),
            writable: read_only.is_some_and(|(read_only, _)| !read_only),
        },
        "cache" => MountKind::Cache {
            id: options.id.take(),
            from: options.from.take(),
            source: options.source.take(),
            sharing: match options.sharing.take() {
                Some(word) => sharing(&word)?,
                None => Sharing::default(),
            },
            read_only: read_only.is_some_and(|(read_only, _)| read_only),
            mode: octal(options.mode.take())?,
            uid: options.uid.take(),
            gid: options.gid.take(),
        },
        "tmpfs" => MountKind::Tmpfs { size: options.size.take() },
        "secret" => {
            // Docker's own files write `source` for the id of a secret.
            let id = options.id.take().or_else(|| options.source.take());
            if id.is_none() && target.is_none() {
                return Err(Error::at(span, "found a secret mount that names no secret, expected id=NAME"));
            }
            MountKind::Secret {
                id,
                env: options.env.take(),
                required: required.is_some_and(|(required, _)| required),
                mode: octal(options.mode.take())?,
                uid: options.uid.take(),
                gid: options.gid.take(),
            }
        }
        "ssh" => MountKind::Ssh {
            id: options.id.take().or_else(|| options.source.take()),
            required: required.is_some_and(|(required, _)| required),
            mode: octal(options.mode.take())?,
            uid: options.uid.take(),
            gid: options.gid.take(),
        },
        other => {
            let at = kind.map_or(span, |kind| kind.span);
            let known = ["bind", "cache", "tmpfs", "secret", "ssh"];
            return Err(Error::at(at, format!("found mount type {other:?}, expected {}", known.join(", ")))
                .suggest(near(other, known)));
        }
    };
    if let (Some((_, at)), true) = (required, ["bind", "cache", "tmpfs"].contains(&name.as_str())) {
        return Err(Error::at(at, format!("found required on a {name} mount, expected it on secret or ssh only")));
    }
    if let (Some((_, at)), true) = (read_only, ["tmpfs", "secret", "ssh"].contains(&name.as_str())) {
        return Err(Error::at(at, format!("found ro or rw on a {name} mount, expected it on bind or cache only")));
    }
    if let Some((key, at)) = options.left() {
        return Err(Error::at(at, format!("found {key} on a {name} mount, which has no such option")));
    }
    Ok(Mount { kind, target, span })
}

impl Options {
    fn set(&mut self, key: Word, value: Option<Word>) -> Result<(), Error> {
        let name = key.text.to_ascii_lowercase();
        let said = |value: Option<Word>| match value {
            Some(word) => boolean(&word, &name),
            None => Ok(true),
        };
        match name.as_str() {
            "required" => {
                self.required = Some((said(value)?, key.span));
                return Ok(());
            }
            "ro" | "readonly" => {
                self.read_only = Some((said(value)?, key.span));
                return Ok(());
            }
            "rw" | "readwrite" => {
                self.read_only = Some((!said(value)?, key.span));
                return Ok(());
            }
            _ => {}
        }
        let slot = match name.as_str() {
            "type" => &mut self.kind,
            "target" | "dst" | "destination" => &mut self.target,
            "source" | "src" => &mut self.source,
            "from" => &mut self.from,
            "id" => &mut self.id,
            "sharing" => &mut self.sharing,
            "size" => &mut self.size,
            "mode" => &mut self.mode,
            "uid" => &mut self.uid,
            "gid" => &mut self.gid,
            "env" => &mut self.env,
            _ => {
                return Err(Error::at(key.span, format!("found unknown mount option {:?}", key.text))
                    .suggest(near(&name, KEYS)));
            }
        };
        let Some(value) = value else {
            return Err(Error::at(key.span, format!("found {name} without a value, expected {name}=…")));
        };
        if name == "from" && value.text.contains('$') {
            return Err(Error::at(
                value.span,
                "found a variable in from=, which expands none; name a stage for it with FROM … AS and use that name",
            ));
        }
        *slot = Some(value);
        Ok(())
    }

    fn left(&self) -> Option<(&'static str, Span)> {
        [
            ("source", &self.source),
            ("from", &self.from),
            ("id", &self.id),
            ("sharing", &self.sharing),
            ("size", &self.size),
            ("mode", &self.mode),
            ("uid", &self.uid),
            ("gid", &self.gid),
            ("env", &self.env),
        ]
        .into_iter()
        .find_map(|(name, word)| word.as_ref().map(|word| (name, word.span)))
    }
}

fn sharing(word: &Word) -> Result<Sharing, Error> {
    match word.text.to_ascii_lowercase().as_str() {
        "shared" => Ok(Sharing::Shared),
        "private" => Ok(Sharing::Private),
        "locked" => Ok(Sharing::Locked),
        other => {
            let known = ["shared", "private", "locked"];
            Err(Error::at(word.span, format!("found sharing={other}, expected {}", known.join(", ")))
                .suggest(near(other, known)))
        }
    }
}

/// A mode may hold variables; one without is checked here.
fn octal(word: Option<Word>) -> Result<Option<Word>, Error> {
    if let Some(word) = &word {
        let fits = u32::from_str_radix(&word.text, 8).is_ok_and(|mode| mode <= 0o7777);
        if !word.text.contains('$') && !fits {
            return Err(Error::at(word.span, format!("found mode {:?}, expected octal digits", word.text)));
        }
    }
    Ok(word)
}

pub(super) fn device(value: &Value<'_>, span: Span) -> Result<Device, Error> {
    let mut device: Option<Device> = None;
    let mut required = false;
    for (key, value) in value.comma_separated() {
        match (key.text.as_str(), value) {
            ("required", None) => required = true,
            ("required", Some(value)) => required = boolean(&value, "required")?,
            ("name", Some(value)) if device.is_none() => device = Some(Device { name: value, required }),
            (_, value) if device.is_none() => {
                // `vendor.com/class=name` is one name.
                let name = match value {
                    Some(value) => Word::new(format!("{}={}", key.text, value.text), key.span.to(value.span)),
                    None => key,
                };
                device = Some(Device { name, required });
            }
            _ => {
                return Err(Error::at(key.span, format!("found device option {:?}, expected required", key.text)));
            }
        }
    }
    match device {
        Some(device) if !device.name.text.is_empty() => Ok(Device { required, ..device }),
        _ => Err(Error::at(span, "found a device flag without a name, expected --device=NAME[,required]")),
    }
}
