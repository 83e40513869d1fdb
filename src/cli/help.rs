//! The help of `hoist` alone: its many commands, in groups.

use clap::{Command, CommandFactory};

use super::args::Cli;

/// Heads of the groups, by the number that each command carries as its order.
const GROUPS: [(usize, &str); 6] = [
    (1, "Compose projects"),
    (2, "Everyday"),
    (3, "Containers"),
    (4, "Images"),
    (5, "Objects and the system"),
    (6, "Hoist itself"),
];

/// Whether a command line asks for help on `hoist` as a whole.
pub fn is_asked(words: &[std::ffi::OsString]) -> bool {
    match words {
        [] => true,
        [word] => word == "--help" || word == "-h",
        _ => false,
    }
}

/// What is printed.
pub fn overview() -> String {
    let mut cli = Cli::command();
    cli.build();
    let shown = |command: &&Command| !command.is_hide_set();
    let width = cli.get_subcommands().filter(shown).map(|command| command.get_name().len()).max().unwrap_or(0);
    let mut out =
        format!("{}\n\nUsage: hoist [OPTIONS] COMMAND\n", cli.get_about().map(ToString::to_string).unwrap_or_default());
    for (order, head) in GROUPS {
        out.push_str(&format!("\n{head}:\n"));
        for command in cli.get_subcommands().filter(shown).filter(|command| command.get_display_order() == order) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            out.push_str(&format!("  {:<width$}  {}\n", command.get_name(), about.trim_end_matches('.')));
        }
    }
    out.push_str("\nOptions:\n");
    for arg in cli.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let mut flag = match arg.get_short() {
            Some(short) => format!("-{short}, "),
            None => "    ".to_owned(),
        };
        flag.push_str(&format!("--{}", arg.get_long().unwrap_or_default()));
        if arg.get_action().takes_values() {
            let name = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
            flag.push_str(&format!(" <{}>", name.unwrap_or_default()));
        }
        out.push_str(&format!("  {flag:<18}  {}\n", arg.get_help().map(ToString::to_string).unwrap_or_default()));
    }
    if let Some(examples) = cli.get_after_help() {
        out.push_str(&format!("\n{examples}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_a_group() {
        let cli = Cli::command();
        let lost: Vec<&str> = cli
            .get_subcommands()
            .filter(|command| !GROUPS.iter().any(|(order, _)| *order == command.get_display_order()))
            .map(Command::get_name)
            .collect();
        assert_eq!(lost, [] as [&str; 0]);
    }
}
