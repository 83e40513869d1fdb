//! What a `RUN` runs, once its heredocs are put in.

use super::{Command, Run};

/// A `RUN`'s command in the form in which it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    /// An argument for the shell in force (`SHELL`, `/bin/sh -c` unless given).
    Shell(String),
    /// A program and its arguments, with no shell.
    Exec(Vec<String>),
    /// A file with an interpreter line of its own: written, made executable and started by its path.
    File { name: String, content: String },
}

impl Run {
    /// The command with its heredocs: one that stands alone is the script (its own file if it begins with `#!`), others
    /// are handed to the shell as written.
    pub fn script(&self) -> Script {
        let line = match &self.command {
            Command::Exec(words) => return Script::Exec(words.iter().map(|word| word.text.clone()).collect()),
            Command::Shell(line) => line,
        };
        if let [heredoc] = self.heredocs.as_slice()
            && heredoc.span == line.span
        {
            return match heredoc.content.starts_with("#!") {
                true => Script::File { name: heredoc.name.clone(), content: heredoc.content.clone() },
                false => Script::Shell(heredoc.content.clone()),
            };
        }
        let mut script = line.text.clone();
        for heredoc in &self.heredocs {
            script.push('\n');
            script.push_str(&heredoc.content);
            script.push_str(&heredoc.name);
        }
        Script::Shell(script)
    }
}
