//! Which variables are seen where: the reference's sections `ARG`, `ENV` and "Predefined ARGs".

use std::collections::BTreeMap;

use super::{ArgDecl, Dockerfile, Error, ExpandError, Kind, Lexer, Pair, Platform, Word};

/// Arguments that need no `ARG`: seen by `RUN`, kept out of the history and of the cache's keys.
pub const PROXY_ARGS: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Arguments that every build has, to be declared without a value where they are wanted.
pub const PLATFORM_ARGS: [&str; 8] = [
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETARCH",
    "TARGETVARIANT",
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDARCH",
    "BUILDVARIANT",
];

/// Arguments that configure the builder itself.
pub const BUILDER_ARGS: [&str; 8] = [
    "BUILDKIT_BUILD_NAME",
    "BUILDKIT_CACHE_MOUNT_NS",
    "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
    "BUILDKIT_INLINE_CACHE",
    "BUILDKIT_MULTI_PLATFORM",
    "BUILDKIT_SANDBOX_HOSTNAME",
    "BUILDKIT_SYNTAX",
    "SOURCE_DATE_EPOCH",
];

impl Word {
    /// The word with variables put in; a mistake carries the word's place but no file name.
    ///
    /// # Errors
    /// As [`Lexer::expand`].
    pub fn expand(&self, lexer: Lexer, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, Error> {
        lexer.expand(&self.text, lookup).map_err(|error| self.wrong(error))
    }

    pub(super) fn wrong(&self, error: ExpandError) -> Error {
        Error::at(self.span, error.to_string())
    }
}

/// What `FROM` sees: the platform's arguments and the `ARG`s in front of the first `FROM`.
#[derive(Clone, Debug)]
pub struct GlobalScope {
    build_args: BTreeMap<String, String>,
    values: BTreeMap<String, String>,
    /// Declared by the file, with or without a value.
    declared: Vec<String>,
    lexer: Lexer,
}

impl GlobalScope {
    /// `build_args` are those of `--build-arg`.
    ///
    /// # Errors
    /// A default that cannot be expanded; a file in another language.
    pub fn new(
        file: &Dockerfile,
        build_args: &BTreeMap<String, String>,
        target: &Platform,
        build: &Platform,
    ) -> Result<Self, Error> {
        let chosen = build_args.get("BUILDKIT_SYNTAX").map(String::as_str);
        file.directives.check_frontend(chosen).map_err(|error| match chosen {
            Some(_) => error,
            None => error.in_file(&file.name),
        })?;
        let mut values = BTreeMap::new();
        for (prefix, platform) in [("TARGET", target), ("BUILD", build)] {
            values.insert(format!("{prefix}PLATFORM"), platform.to_string());
            values.insert(format!("{prefix}OS"), platform.os.clone());
            values.insert(format!("{prefix}ARCH"), platform.architecture.clone());
            values.insert(format!("{prefix}VARIANT"), platform.variant.clone().unwrap_or_default());
        }
        for name in PLATFORM_ARGS {
            if let Some(value) = build_args.get(name) {
                values.insert(name.to_owned(), value.clone());
            }
        }
        let lexer = Lexer::new(file.directives.escape);
        let mut scope = Self { build_args: build_args.clone(), values, declared: Vec::new(), lexer };
        for instruction in &file.instructions {
            match &instruction.kind {
                Kind::Arg(args) => {
                    for arg in args {
                        scope.declare(arg).map_err(|error| error.in_file(&file.name))?;
                    }
                }
                _ => break,
            }
        }
        Ok(scope)
    }

    fn declare(&mut self, arg: &ArgDecl) -> Result<(), Error> {
        let name = arg.name.expand(self.lexer, &|name| self.lookup(name))?;
        let value = match (self.build_args.get(&name), &arg.default) {
            (Some(value), _) => Some(value.clone()),
            (None, Some(default)) => Some(default.expand(self.lexer, &|name| self.lookup(name))?),
            (None, None) => None,
        };
        if let Some(value) = value {
            self.values.insert(name.clone(), value);
        }
        self.declared.push(name);
        Ok(())
    }

    pub fn lookup(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }

    /// Whether an `ARG` in front of the first `FROM` names it, or the platform has it.
    pub fn knows(&self, name: &str) -> bool {
        self.values.contains_key(name) || self.declared.iter().any(|declared| declared == name)
    }

    /// All names that [`GlobalScope::knows`].
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().chain(self.declared.iter()).map(String::as_str)
    }

    pub fn build_arg(&self, name: &str) -> Option<&str> {
        self.build_args.get(name).map(String::as_str)
    }

    pub fn lexer(&self) -> Lexer {
        self.lexer
    }

    /// The proxy arguments that were given: in the environment of every `RUN`, and nowhere else.
    pub fn proxies(&self) -> impl Iterator<Item = (&str, &str)> {
        PROXY_ARGS.into_iter().filter_map(|name| self.build_arg(name).map(|value| (name, value)))
    }

    /// Arguments that were given and that no `ARG` of the file declares: worth a warning.
    pub fn unused(&self, file: &Dockerfile) -> Vec<String> {
        let declared: Vec<&str> = file
            .instructions
            .iter()
            .filter_map(|instruction| match &instruction.kind {
                Kind::Arg(args) => Some(args.iter().map(|arg| arg.name.text.as_str())),
                _ => None,
            })
            .flatten()
            .collect();
        let known = |name: &str| {
            declared.contains(&name)
                || PROXY_ARGS.contains(&name)
                || PLATFORM_ARGS.contains(&name)
                || BUILDER_ARGS.contains(&name)
        };
        self.build_args.keys().filter(|name| !known(name)).cloned().collect()
    }
}

/// What a stage's instructions see, and how that grows.
#[derive(Clone, Debug, Default)]
pub struct StageScope {
    /// In the order of declaration; none: declared without a value.
    args: Vec<(String, Option<String>)>,
    /// In the order of first setting.
    env: Vec<(String, String)>,
}

impl StageScope {
    /// A stage on an image whose configuration has these variables (`NAME=value`).
    pub fn on_image(env: &[String]) -> Self {
        let split = |entry: &String| match entry.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (entry.clone(), String::new()),
        };
        Self { args: Vec::new(), env: env.iter().map(split).collect() }
    }

    /// `ENV` first, then `ARG`.
    pub fn lookup(&self, name: &str) -> Option<String> {
        let arg = || self.args.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.clone());
        self.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).or_else(arg)
    }

    /// An `ARG` inside a stage: `--build-arg`, then the default, then the value of the global scope.
    ///
    /// # Errors
    /// A default that cannot be expanded.
    pub fn declare(&mut self, arg: &ArgDecl, global: &GlobalScope) -> Result<(), Error> {
        let name = arg.name.expand(global.lexer, &|name| self.lookup(name))?;
        let value = match (global.build_args.get(&name), &arg.default) {
            (Some(value), _) => Some(value.clone()),
            (None, Some(default)) => Some(default.expand(global.lexer, &|name| self.lookup(name))?),
            (None, None) => global.lookup(&name),
        };
        match self.args.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.args.push((name, value)),
        }
        Ok(())
    }

    /// An `ENV`: all its values are expanded before the first is set. Answers what was set.
    ///
    /// # Errors
    /// A word that cannot be expanded.
    pub fn set_env(&mut self, pairs: &[Pair], global: &GlobalScope) -> Result<Vec<(String, String)>, Error> {
        let set = expand_pairs(pairs, global.lexer, &|name| self.lookup(name))?;
        for (name, value) in &set {
            match self.env.iter_mut().find(|(known, _)| known == name) {
                Some((_, old)) => old.clone_from(value),
                None => self.env.push((name.clone(), value.clone())),
            }
        }
        Ok(set)
    }

    /// What `ENV` and the base image set: the image's environment.
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// The declared arguments that have a value and that no `ENV` hides: with [`StageScope::env`] they are what `RUN`
    /// sees, and they belong to its key in the cache and to its line in the history.
    pub fn args(&self) -> impl Iterator<Item = (&str, &str)> {
        let hidden = |name: &str| self.env.iter().any(|(known, _)| known == name);
        self.args
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)))
            .filter(move |(name, _)| !hidden(name))
    }

    /// Whether the name was declared or set in the stage or its base.
    pub fn knows(&self, name: &str) -> bool {
        self.args.iter().any(|(known, _)| known == name) || self.env.iter().any(|(known, _)| known == name)
    }

    /// All names that [`StageScope::knows`].
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.args.iter().map(|(name, _)| name).chain(self.env.iter().map(|(name, _)| name)).map(String::as_str)
    }
}

/// Names and values of an `ENV` or `LABEL`, expanded.
///
/// # Errors
/// A word that cannot be expanded.
pub fn expand_pairs(
    pairs: &[Pair],
    lexer: Lexer,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, Error> {
    let expand = |pair: &Pair| Ok((pair.name.expand(lexer, lookup)?, pair.value.expand(lexer, lookup)?));
    pairs.iter().map(expand).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::parse;

    fn scopes(source: &str, build_args: &[(&str, &str)]) -> (GlobalScope, StageScope) {
        let file = parse("Dockerfile", source.as_bytes()).unwrap();
        let build_args = build_args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let local = Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
        let target = Platform::parse("arm", &local).unwrap();
        let global = GlobalScope::new(&file, &build_args, &target, &local).unwrap();
        let mut stage = StageScope::on_image(&["PATH=/bin".to_owned()]);
        for instruction in &file.instructions[1..] {
            match &instruction.kind {
                Kind::Arg(args) => args.iter().for_each(|arg| stage.declare(arg, &global).unwrap()),
                Kind::Env(pairs) => drop(stage.set_env(pairs, &global).unwrap()),
                _ => {}
            }
        }
        (global, stage)
    }

    #[test]
    fn global_arguments_are_for_from_and_for_arg_without_a_value() {
        let (global, stage) = scopes(
            "ARG V=1 W=$V-$TARGETARCH U X=x\nFROM a\nARG W TARGETPLATFORM\nARG X=y\nARG N",
            &[("V", "2"), ("ZZ", "1"), ("HTTP_PROXY", "p")],
        );
        assert_eq!(global.lookup("W"), Some("2-arm".into()));
        assert!(global.knows("U") && global.lookup("U").is_none());
        assert_eq!(stage.lookup("V"), None);
        assert_eq!(stage.lookup("W"), Some("2-arm".into()));
        assert_eq!(stage.lookup("X"), Some("y".into()));
        assert_eq!(stage.lookup("TARGETPLATFORM"), Some("linux/arm/v7".into()));
        assert_eq!(stage.args().map(|(name, _)| name).collect::<Vec<_>>(), ["W", "TARGETPLATFORM", "X"]);
        assert_eq!(global.proxies().collect::<Vec<_>>(), [("HTTP_PROXY", "p")]);
        let file = parse("Dockerfile", b"ARG V\nFROM a").unwrap();
        assert_eq!(global.unused(&file), ["ZZ"]);
    }

    #[test]
    fn env_hides_arg_and_sees_its_own_line_late() {
        let (_, stage) = scopes(
            "FROM a\nARG A=1\nENV A=2\nARG A=3\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc P=$PATH:/x",
            &[("A", "4")],
        );
        assert_eq!(stage.lookup("A"), Some("2".into()));
        assert_eq!(stage.args().count(), 0);
        assert_eq!(stage.lookup("def"), Some("hello".into()));
        assert_eq!(stage.lookup("ghi"), Some("bye".into()));
        assert_eq!(stage.lookup("P"), Some("/bin:/x".into()));
    }

    #[test]
    fn a_mistake_in_a_default_has_its_place() {
        let file = parse("Dockerfile", b"ARG A=${B:?no-B}\nFROM a").unwrap();
        let local = Platform::local();
        let error = GlobalScope::new(&file, &BTreeMap::new(), &local, &local).unwrap_err();
        assert_eq!(error.to_string(), "Dockerfile:1:7: B: no-B");
    }

    #[test]
    fn platforms_have_one_spelling() {
        let local = Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
        for (text, platform) in [
            ("linux/x86_64", "linux/amd64"),
            ("aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux", "linux/amd64"),
            ("windows/amd64", "windows/amd64"),
        ] {
            assert_eq!(Platform::parse(text, &local).unwrap().to_string(), platform);
        }
        assert!(Platform::parse("a/b/c/d", &local).is_none() && Platform::parse("", &local).is_none());
    }
}
