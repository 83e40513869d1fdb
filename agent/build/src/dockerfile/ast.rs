//! What a Dockerfile says: directives and instructions with their flags, nothing expanded yet.

use super::Span;

/// A piece of the file: the text with continued lines joined, quotes and variables as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub span: Span,
}

/// A whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// What errors and warnings call the file.
    pub name: String,
    pub directives: Directives,
    /// In the order of the file, the global `ARG`s before the first `FROM` included.
    pub instructions: Vec<Instruction>,
    /// Instructions that have an empty line inside, which is deprecated: index into `instructions`, place of the line.
    pub empty_continuations: Vec<(usize, Span)>,
}

/// The parser directives at the top of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    pub syntax: Option<Word>,
    /// `\` unless the file says `` ` ``.
    pub escape: char,
    pub check: Option<CheckDirective>,
}

/// `# check=skip=…;error=…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckDirective {
    /// Names of checks not to run; `all` for none at all.
    pub skip: Vec<Word>,
    /// Names of experimental checks to run; `all` for every one.
    pub experimental: Vec<Word>,
    /// A warning fails the build.
    pub error: bool,
    pub span: Span,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// As written; compare without case.
    pub keyword: Word,
    pub span: Span,
    /// The instruction as one line (continued lines joined, no comments): for progress and history.
    pub source: String,
    /// The comment lines directly above it, without `#`.
    pub doc: Vec<Word>,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    From(From),
    Arg(Vec<ArgDecl>),
    Env(Vec<Pair>),
    Label(Vec<Pair>),
    Run(Run),
    Copy(Copy),
    Add(Add),
    Cmd(Command),
    Entrypoint(Command),
    Shell(Vec<Word>),
    Healthcheck(Healthcheck),
    Expose(Vec<Word>),
    Volume(Vec<Word>),
    User(Word),
    Workdir(Word),
    Stopsignal(Word),
    Maintainer(Word),
    /// The trigger, parsed now and run by the build that uses the image; its `source` is what the image records.
    Onbuild(Box<Instruction>),
}

/// `FROM [--platform=…] image [AS name]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    pub platform: Option<Word>,
    pub image: Word,
    /// The keyword `AS` as written, and the name.
    pub alias: Option<(Word, Word)>,
}

/// `ARG name[=default]`; one of possibly several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgDecl {
    pub name: Word,
    pub default: Option<Word>,
}

/// `name=value` of `ENV` and `LABEL`; both are expanded for labels, the value alone for variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub name: Word,
    pub value: Word,
    /// Written as `ENV name value`.
    pub legacy: bool,
}

/// A command in one of its two forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// For the shell in force; heredocs not included.
    Shell(Word),
    /// A JSON array: the words are decoded.
    Exec(Vec<Word>),
}

/// A here-document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter without quotes; for `COPY` and `ADD` also the file's name if the destination is a directory.
    pub name: String,
    /// The lines with their ends; tabs already taken off for `<<-`.
    pub content: String,
    /// The delimiter was not quoted: variables are expanded (`COPY`, `ADD`).
    pub expand: bool,
    /// `<<-`.
    pub strip_tabs: bool,
    /// The descriptor before `<<`, 0 if none.
    pub fd: u32,
    /// The word `<<EOF` in the instruction.
    pub span: Span,
    /// The lines.
    pub content_span: Span,
}

/// A flag that only says yes or no: `--link`, `--link=false`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flag {
    pub on: bool,
    pub span: Option<Span>,
}

/// `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub mounts: Vec<Mount>,
    pub network: Option<(NetworkMode, Span)>,
    pub security: Option<(SecurityMode, Span)>,
    pub devices: Vec<Device>,
    pub command: Command,
    /// In the order of their words; see [`Run::script`].
    pub heredocs: Vec<Heredoc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkMode {
    Default,
    None,
    Host,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityMode {
    Sandbox,
    Insecure,
}

/// `--device=name[,required]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub name: Word,
    pub required: bool,
}

/// `--mount=…`; words may hold variables except in `from` and the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub kind: MountKind,
    pub target: Option<Word>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// From the context unless `from` is given.
    Bind { from: Option<Word>, source: Option<Word>, writable: bool },
    Cache {
        /// The target's path unless given.
        id: Option<Word>,
        from: Option<Word>,
        source: Option<Word>,
        sharing: Sharing,
        read_only: bool,
        /// Octal; 0755 unless given.
        mode: Option<Word>,
        uid: Option<Word>,
        gid: Option<Word>,
    },
    /// `size` as written, such as `64m`.
    Tmpfs { size: Option<Word> },
    Secret {
        /// The last part of the target's path unless given.
        id: Option<Word>,
        env: Option<Word>,
        required: bool,
        /// Octal; 0400 unless given.
        mode: Option<Word>,
        uid: Option<Word>,
        gid: Option<Word>,
    },
    Ssh {
        /// `default` unless given.
        id: Option<Word>,
        required: bool,
        /// Octal; 0600 unless given.
        mode: Option<Word>,
        uid: Option<Word>,
        gid: Option<Word>,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    #[default]
    Shared,
    Private,
    Locked,
}

/// What `COPY` and `ADD` have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    pub sources: Vec<Source>,
    pub destination: Word,
    pub chown: Option<Word>,
    pub chmod: Option<Word>,
    pub link: Flag,
    pub exclude: Vec<Word>,
    /// Written as a JSON array.
    pub exec_form: bool,
}

/// One source of a `COPY` or `ADD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path or pattern; for `ADD` also a URL or git repository.
    Path(Word),
    Heredoc(Heredoc),
}

/// `COPY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    pub transfer: Transfer,
    pub from: Option<Word>,
    pub parents: Flag,
}

/// `ADD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    pub transfer: Transfer,
    pub checksum: Option<Word>,
    pub keep_git_dir: Flag,
    /// Unset: local archives are unpacked, downloaded ones are not.
    pub unpack: Option<Flag>,
}

/// `HEALTHCHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Healthcheck {
    None,
    /// Times as Go durations, 0 if not given; retries 0 if not given.
    Cmd {
        command: Command,
        interval_ns: u64,
        timeout_ns: u64,
        start_period_ns: u64,
        start_interval_ns: u64,
        retries: u32,
    },
}

impl Instruction {
    /// The keyword in capitals.
    pub fn name(&self) -> String {
        self.keyword.text.to_ascii_uppercase()
    }
}

impl Word {
    pub fn new(text: impl Into<String>, span: Span) -> Self {
        Self { text: text.into(), span }
    }
}
