//! Where in a command line one is, and what can stand there.

use clap::{Arg, Command, CommandFactory, ValueHint};

use super::names::Kind;
use crate::cli::args::Cli;

/// Where one is.
#[derive(Debug)]
pub struct Place {
    /// The names of the commands so far: `["network", "rm"]`.
    pub commands: Vec<String>,
    /// Words before the first command: flags that say which daemon is meant.
    pub flags: Vec<String>,
    /// Arguments of the last command so far.
    pub arguments: Vec<String>,
    /// What of the word cannot change: `--flag=`.
    pub before: String,
    /// What is being typed.
    pub typed: String,
    pub wanted: Wanted,
}

/// What can stand there.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    Nothing,
    /// Words, and what they are.
    Given(Vec<(String, String)>),
    Names(Kind),
    Files,
    Dirs,
}

impl Place {
    /// Follows the words to the last, which is being typed.
    pub fn of(words: &[String]) -> Self {
        let mut root = Cli::command();
        root.build();
        let (typed, words) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
        let mut place = Self {
            commands: Vec::new(),
            flags: Vec::new(),
            arguments: Vec::new(),
            before: String::new(),
            typed: typed.to_owned(),
            wanted: Wanted::Nothing,
        };
        let mut command = &root;
        let mut pending: Option<&Arg> = None;
        let mut only_arguments = false;
        for word in words {
            if place.commands.is_empty() {
                place.flags.push(word.clone());
            }
            if pending.take().is_some() {
                continue;
            }
            if !only_arguments && word == "--" {
                only_arguments = true;
            } else if !only_arguments && word.starts_with('-') && word.len() > 1 {
                pending = value_of(command, word);
            } else if let Some(found) = command.find_subcommand(word).filter(|_| place.arguments.is_empty()) {
                if place.commands.is_empty() {
                    // It is no flag.
                    place.flags.pop();
                }
                place.commands.push(found.get_name().to_owned());
                command = found;
            } else {
                place.arguments.push(word.clone());
                // What follows belongs to the command in the container.
                only_arguments |= positional(command, place.arguments.len()).is_some_and(Arg::is_trailing_var_arg_set);
            }
        }
        place.wanted = match pending {
            Some(arg) => place.value(arg),
            None if !only_arguments && typed.starts_with('-') => match typed.split_once('=') {
                Some((flag, value)) => {
                    let arg = by_name(command, flag);
                    (place.before, place.typed) = (format!("{flag}="), value.to_owned());
                    arg.map_or(Wanted::Nothing, |arg| place.value(arg))
                }
                None => Wanted::Given(flags(command)),
            },
            None => place.argument(command),
        };
        place
    }

    fn argument(&self, command: &Command) -> Wanted {
        if self.arguments.is_empty() && command.has_subcommands() {
            return Wanted::Given(
                command
                    .get_subcommands()
                    .filter(|sub| !sub.is_hide_set())
                    .map(|sub| (sub.get_name().to_owned(), about(sub.get_about().map(ToString::to_string))))
                    .collect(),
            );
        }
        match positional(command, self.arguments.len()) {
            // What runs in a container has files there, not here; but often of the same names.
            Some(arg) if arg.is_trailing_var_arg_set() && !self.is_first_of(command, arg) => Wanted::Files,
            Some(arg) => self.value(arg),
            None => Wanted::Nothing,
        }
    }

    /// Whether the word being typed is the first that the argument takes.
    fn is_first_of(&self, command: &Command, arg: &Arg) -> bool {
        command.get_positionals().position(|other| other.get_id() == arg.get_id()) == Some(self.arguments.len())
    }

    fn value(&self, arg: &Arg) -> Wanted {
        let possible = arg.get_possible_values();
        if !possible.is_empty() {
            let shown = possible.iter().filter(|value| !value.is_hide_set());
            let help = |value: &clap::builder::PossibleValue| about(value.get_help().map(ToString::to_string));
            return Wanted::Given(shown.map(|value| (value.get_name().to_owned(), help(value))).collect());
        }
        let name = arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
        match (name, arg.get_value_hint()) {
            ("FILE" | "PATH" | "SRC_PATH" | "COMMAND", _) | (_, ValueHint::FilePath | ValueHint::AnyPath) => {
                Wanted::Files
            }
            ("DIR", _) | (_, ValueHint::DirPath) => Wanted::Dirs,
            _ => Kind::of(name, arg.get_id().as_str(), &self.commands).map_or(Wanted::Nothing, Wanted::Names),
        }
    }
}

/// The argument at this place; the last one when it takes several.
fn positional(command: &Command, at: usize) -> Option<&Arg> {
    let all: Vec<&Arg> = command.get_positionals().collect();
    let many = |arg: &&&Arg| arg.get_num_args().is_some_and(|range| range.max_values() > 1);
    all.get(at).copied().or_else(|| all.last().filter(many).copied())
}

/// The flag whose value comes as the next word.
fn value_of<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let waits = |arg: &&Arg| arg.get_action().takes_values() && !arg.is_require_equals_set();
    if word.starts_with("--") {
        return if word.contains('=') { None } else { by_name(command, word).filter(waits) };
    }
    // `-it`: the first that takes a value takes the rest of the word, or the next word.
    let letters: Vec<char> = word.chars().skip(1).collect();
    for (at, letter) in letters.iter().enumerate() {
        let arg = command.get_arguments().find(|arg| {
            arg.get_short() == Some(*letter) || arg.get_all_short_aliases().is_some_and(|all| all.contains(letter))
        })?;
        if waits(&arg) {
            return (at + 1 == letters.len()).then_some(arg);
        }
    }
    None
}

fn by_name<'a>(command: &'a Command, flag: &str) -> Option<&'a Arg> {
    let name = flag.trim_start_matches('-');
    command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|all| all.contains(&name)))
}

fn flags(command: &Command) -> Vec<(String, String)> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    shown
        .filter_map(|arg| Some((format!("--{}", arg.get_long()?), about(arg.get_help().map(ToString::to_string)))))
        .collect()
}

/// The first line, as short as a shell can show.
fn about(text: Option<String>) -> String {
    text.unwrap_or_default().lines().next().unwrap_or_default().replace('\t', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: &str) -> Place {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Place::of(&words)
    }

    fn given(line: &str) -> Vec<String> {
        match place(line).wanted {
            Wanted::Given(list) => list.into_iter().map(|(name, _)| name).collect(),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn every_place_has_its_words() {
        assert!(given("").contains(&"run".to_owned()) && !given("").contains(&"plugin".to_owned()));
        assert!(given("network r").contains(&"rm".to_owned()));
        assert!(given("run --n").contains(&"--network".to_owned()));
        assert!(given("completion ").contains(&"fish".to_owned()));
        assert_eq!(given("run --pull "), ["always", "missing", "never"]);
        let equals = place("run --pull=al");
        assert_eq!((equals.before.as_str(), equals.typed.as_str()), ("--pull=", "al"));
        for (line, wanted) in [
            ("rm ", Wanted::Names(Kind::Containers)),
            ("rm -f web ", Wanted::Names(Kind::Containers)),
            ("exec -it ", Wanted::Names(Kind::Running)),
            ("start ", Wanted::Names(Kind::Stopped)),
            ("run -it --rm ", Wanted::Names(Kind::Images)),
            ("run --network ", Wanted::Names(Kind::Networks)),
            ("run -e A=b --network x busybox ", Wanted::Files),
            ("run busybox ls --", Wanted::Files),
            ("volume rm ", Wanted::Names(Kind::Volumes)),
            ("network connect ", Wanted::Names(Kind::Networks)),
            ("network connect x ", Wanted::Names(Kind::Containers)),
            ("service rm ", Wanted::Names(Kind::Services)),
            ("compose logs ", Wanted::Names(Kind::ComposeServices)),
            ("up ", Wanted::Names(Kind::ComposeServices)),
            ("load -i ", Wanted::Files),
            ("--host unix:///x rmi ", Wanted::Names(Kind::Images)),
            ("pause x", Wanted::Names(Kind::Running)),
            ("nothing ", Wanted::Nothing),
        ] {
            assert_eq!(place(line).wanted, wanted, "{line}");
        }
        assert_eq!(place("--host unix:///x rmi ").flags, ["--host", "unix:///x"]);
    }
}
