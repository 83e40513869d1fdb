//! Each instruction's arguments, as the reference's section of its name says.

use std::ops::Range;

use super::{
    Add, ArgDecl, Command, Copy, Error, From, Healthcheck, Heredoc, Instruction, Kind, NetworkMode, Pair, Run,
    SecurityMode, Source, Transfer, Word,
    duration::go_duration,
    flags::Flags,
    mount,
    text::Text,
    words::{json_array, near},
};

/// What may not be a trigger.
pub(super) fn check_trigger(trigger: &Instruction) -> Result<(), Error> {
    match trigger.kind {
        Kind::From(_) | Kind::Maintainer(_) | Kind::Onbuild(_) => {
            let message = format!("found {} in ONBUILD, expected another instruction", trigger.name());
            Err(Error::at(trigger.keyword.span, message))
        }
        _ => Ok(()),
    }
}

/// An instruction taken apart as far as all have it in common.
pub(super) struct Context<'t> {
    pub text: &'t Text,
    /// What follows the flags.
    pub rest: Range<usize>,
    pub escape: char,
    pub keyword: &'t Word,
    pub name: &'t str,
    pub flags: Flags<'t>,
}

impl Context<'_> {
    pub fn kind(&mut self, heredocs: &[Heredoc]) -> Result<Kind, Error> {
        Ok(match self.name {
            "FROM" => Kind::From(self.from()?),
            "ARG" => Kind::Arg(self.arg()?),
            "ENV" => Kind::Env(self.pairs()?),
            "LABEL" => Kind::Label(self.pairs()?),
            "RUN" => Kind::Run(self.run(heredocs)?),
            "COPY" => {
                let from = self.flags.word("from")?;
                if let Some(from) = from.as_ref().filter(|from| from.text.contains('$')) {
                    return Err(Error::at(
                        from.span,
                        "found a variable in --from, which expands none; name a stage for it with FROM … AS and use \
                         that name",
                    ));
                }
                let parents = self.flags.flag("parents")?.unwrap_or_default();
                Kind::Copy(Copy { transfer: self.transfer(heredocs)?, from, parents })
            }
            "ADD" => Kind::Add(Add {
                checksum: self.flags.word("checksum")?,
                keep_git_dir: self.flags.flag("keep-git-dir")?.unwrap_or_default(),
                unpack: self.flags.flag("unpack")?,
                transfer: self.transfer(heredocs)?,
            }),
            "CMD" => Kind::Cmd(self.command(true)?),
            "ENTRYPOINT" => Kind::Entrypoint(self.command(true)?),
            "SHELL" => match json_array(self.text, self.rest.clone())? {
                Some(words) if !words.is_empty() => Kind::Shell(words),
                _ => return Err(self.wrong("a JSON array such as [\"/bin/sh\", \"-c\"]")),
            },
            "HEALTHCHECK" => Kind::Healthcheck(self.healthcheck()?),
            "EXPOSE" => Kind::Expose(self.words("a port such as 80 or 53/udp")?),
            "VOLUME" => Kind::Volume(self.volume()?),
            "USER" => Kind::User(self.single("a user, or user:group")?),
            "WORKDIR" => Kind::Workdir(self.single("a path")?),
            "STOPSIGNAL" => Kind::Stopsignal(self.single("a signal such as SIGTERM")?),
            _ => Kind::Maintainer(self.single("a name")?),
        })
    }

    fn source(&self) -> &str {
        self.text.text.get(self.rest.clone()).unwrap_or_default()
    }

    /// The arguments are missing or are not what they should be.
    fn wrong(&self, expected: &str) -> Error {
        match self.rest.is_empty() {
            true => Error::at(self.keyword.span, format!("found {} with no argument, expected {expected}", self.name)),
            false => Error::at(
                self.text.span(self.rest.clone()),
                format!("found {} {}, expected {expected}", self.name, self.source()),
            ),
        }
    }

    fn single(&self, expected: &str) -> Result<Word, Error> {
        if self.rest.is_empty() {
            return Err(self.wrong(expected));
        }
        Ok(self.text.word(self.rest.clone()))
    }

    fn words(&self, expected: &str) -> Result<Vec<Word>, Error> {
        if self.rest.is_empty() {
            return Err(self.wrong(expected));
        }
        Ok(self.text.fields(self.rest.clone()).into_iter().map(|field| self.text.word(field)).collect())
    }

    fn from(&mut self) -> Result<From, Error> {
        let platform = self.flags.word("platform")?;
        let mut words = self.words("an image or a stage")?;
        let image = words.remove(0);
        let alias = match words.as_slice() {
            [] => None,
            [keyword, name] if keyword.text.eq_ignore_ascii_case("as") => {
                let lower = name.text.to_lowercase();
                let mut chars = lower.chars();
                let starts = chars.next().is_some_and(|c| c.is_ascii_lowercase());
                if !starts || !chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c)) {
                    return Err(Error::at(
                        name.span,
                        format!(
                            "found stage name {:?}, expected a letter and then letters, digits, dots, dashes or \
                             underscores",
                            name.text
                        ),
                    ));
                }
                Some((keyword.clone(), name.clone()))
            }
            [keyword] if keyword.text.eq_ignore_ascii_case("as") => {
                return Err(Error::at(keyword.span, "found AS at the end of FROM, expected a stage name behind it"));
            }
            [first, .., last] | [first @ last] => {
                let near = near(&first.text, ["AS"]);
                return Err(Error::at(
                    first.span.to(last.span),
                    format!("found {:?} behind the image of FROM, expected AS NAME or nothing", first.text),
                )
                .suggest(near));
            }
        };
        Ok(From { platform, image, alias })
    }

    fn arg(&self) -> Result<Vec<ArgDecl>, Error> {
        let fields = self.text.quoted_fields(self.rest.clone(), self.escape);
        if fields.is_empty() {
            return Err(self.wrong("NAME or NAME=DEFAULT"));
        }
        let mut args = Vec::new();
        for field in fields {
            let (name, default) = self.assignment(field.clone());
            if name.text.is_empty() {
                return Err(Error::at(self.text.span(field), "found ARG without a name, expected NAME=DEFAULT"));
            }
            args.push(ArgDecl { name, default });
        }
        Ok(args)
    }

    /// `name=value`, or a name alone.
    fn assignment(&self, field: Range<usize>) -> (Word, Option<Word>) {
        let source = self.text.text.get(field.clone()).unwrap_or_default();
        match source.find('=') {
            Some(equals) => (
                self.text.word(field.start..field.start + equals),
                Some(self.text.word(field.start + equals + 1..field.end)),
            ),
            None => (self.text.word(field), None),
        }
    }

    fn pairs(&self) -> Result<Vec<Pair>, Error> {
        let fields = self.text.quoted_fields(self.rest.clone(), self.escape);
        let expected = "NAME=VALUE";
        let Some(first) = fields.first().cloned() else { return Err(self.wrong(expected)) };
        if !self.text.text.get(first.clone()).unwrap_or_default().contains('=') {
            let name = self.text.word(first.clone());
            let value = self.text.trim(first.end..self.rest.end);
            if value.is_empty() {
                return Err(Error::at(
                    name.span,
                    format!("found {} {} without a value, expected {}=VALUE", self.name, name.text, name.text),
                ));
            }
            return Ok(vec![Pair { name, value: self.text.word(value), legacy: true }]);
        }
        let mut pairs = Vec::new();
        for field in fields {
            let (name, value) = self.assignment(field);
            let Some(value) = value else {
                return Err(Error::at(
                    name.span,
                    format!(
                        "found {:?} without = in {}, expected {expected}; put quotes around a value with spaces",
                        name.text, self.name
                    ),
                ));
            };
            if name.text.is_empty() {
                return Err(Error::at(
                    name.span.to(value.span),
                    format!("found {} with an empty name, expected {expected}", self.name),
                ));
            }
            pairs.push(Pair { name, value, legacy: false });
        }
        Ok(pairs)
    }

    fn command(&self, may_be_empty_array: bool) -> Result<Command, Error> {
        if self.rest.is_empty() {
            return Err(self.wrong("a command"));
        }
        match json_array(self.text, self.rest.clone())? {
            Some(words) if !words.is_empty() || may_be_empty_array => Ok(Command::Exec(words)),
            Some(_) => Err(self.wrong("a command in the JSON array")),
            None => Ok(Command::Shell(self.text.word(self.rest.clone()))),
        }
    }

    fn run(&mut self, heredocs: &[Heredoc]) -> Result<Run, Error> {
        let mut mounts = Vec::new();
        for (value, span) in self.flags.values("mount")? {
            mounts.push(mount::mount(&value, span)?);
        }
        let network = match self.flags.word("network")? {
            None => None,
            Some(word) => {
                let known = ["default", "none", "host"];
                let mode = match word.text.as_str() {
                    "default" => NetworkMode::Default,
                    "none" => NetworkMode::None,
                    "host" => NetworkMode::Host,
                    other => {
                        return Err(Error::at(
                            word.span,
                            format!("found --network={other}, expected default, none or host"),
                        )
                        .suggest(near(other, known)));
                    }
                };
                Some((mode, word.span))
            }
        };
        let security = match self.flags.word("security")? {
            None => None,
            Some(word) => {
                let known = ["sandbox", "insecure"];
                let mode = match word.text.as_str() {
                    "sandbox" => SecurityMode::Sandbox,
                    "insecure" => SecurityMode::Insecure,
                    other => {
                        return Err(Error::at(
                            word.span,
                            format!("found --security={other}, expected sandbox or insecure"),
                        )
                        .suggest(near(other, known)));
                    }
                };
                Some((mode, word.span))
            }
        };
        let mut devices = Vec::new();
        for (value, span) in self.flags.values("device")? {
            devices.push(mount::device(&value, span)?);
        }
        let command = self.command(false)?;
        Ok(Run { mounts, network, security, devices, command, heredocs: heredocs.to_vec() })
    }

    fn transfer(&mut self, heredocs: &[Heredoc]) -> Result<Transfer, Error> {
        let chown = self.flags.word("chown")?;
        let chmod = self.flags.word("chmod")?;
        let link = self.flags.flag("link")?.unwrap_or_default();
        let exclude = self.flags.words("exclude")?;
        let expected = "at least one source and a destination";
        let array = json_array(self.text, self.rest.clone())?;
        let exec_form = array.is_some();
        // A quoted heredoc delimiter may hold spaces; other words end at them, whatever the quotes.
        let words = match array {
            Some(words) => words,
            None if heredocs.is_empty() => self.words(expected)?,
            None => {
                let fields = self.text.quoted_fields(self.rest.clone(), self.escape);
                fields.into_iter().map(|field| self.text.word(field)).collect()
            }
        };
        let (Some(destination), true) = (words.last().cloned(), words.len() >= 2) else {
            return Err(self.wrong(expected));
        };
        if let Some(heredoc) = heredocs.iter().find(|heredoc| heredoc.span == destination.span) {
            return Err(Error::at(
                heredoc.span,
                format!("found a heredoc as the destination of {}, expected a path", self.name),
            ));
        }
        let sources = words.iter().take(words.len() - 1).map(|word| {
            let heredoc = heredocs.iter().find(|heredoc| heredoc.span == word.span && !exec_form);
            heredoc.cloned().map_or_else(|| Source::Path(word.clone()), Source::Heredoc)
        });
        Ok(Transfer { sources: sources.collect(), destination, chown, chmod, link, exclude, exec_form })
    }

    fn volume(&self) -> Result<Vec<Word>, Error> {
        let words = match json_array(self.text, self.rest.clone())? {
            Some(words) => words,
            None => self.words("a path")?,
        };
        match words.iter().find(|word| word.text.trim().is_empty()) {
            Some(empty) => Err(Error::at(empty.span, "found an empty VOLUME, expected a path")),
            None if words.is_empty() => Err(self.wrong("a path")),
            None => Ok(words),
        }
    }

    fn healthcheck(&mut self) -> Result<Healthcheck, Error> {
        let mut times = [0; 4];
        for (slot, name) in times.iter_mut().zip(["interval", "timeout", "start-period", "start-interval"]) {
            if let Some(word) = self.flags.word(name)? {
                *slot = go_duration(&word.text).ok_or_else(|| {
                    Error::at(
                        word.span,
                        format!("found --{name}={}, expected 0 or at least 1ms, such as 30s or 1m30s", word.text),
                    )
                })?;
            }
        }
        let [interval_ns, timeout_ns, start_period_ns, start_interval_ns] = times;
        let retries = match self.flags.word("retries")? {
            None => 0,
            Some(word) => word.text.parse().map_err(|_| {
                Error::at(word.span, format!("found --retries={}, expected a number from 0", word.text))
            })?,
        };
        let source = self.source();
        let length = source.find(char::is_whitespace).unwrap_or(source.len());
        let word = source.get(..length).unwrap_or_default().to_ascii_uppercase();
        let form = self.text.word(self.rest.start..self.rest.start + length);
        let arguments = self.text.trim(self.rest.start + length..self.rest.end);
        match word.as_str() {
            "NONE" if arguments.is_empty() => Ok(Healthcheck::None),
            "NONE" => Err(Error::at(self.text.span(arguments), "found words behind HEALTHCHECK NONE, expected none")),
            "CMD" if arguments.is_empty() => {
                Err(Error::at(form.span, "found HEALTHCHECK CMD without a command, expected one"))
            }
            "CMD" => {
                self.rest = arguments;
                let command = self.command(false)?;
                Ok(Healthcheck::Cmd { command, interval_ns, timeout_ns, start_period_ns, start_interval_ns, retries })
            }
            _ => Err(self.wrong("CMD command or NONE").suggest(near(&word, ["CMD", "NONE"]))),
        }
    }
}
