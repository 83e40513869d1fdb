//! A build as a person sees it: its steps on the screen, and at the end what was found or what failed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hoist_build::{
    BuildEvent,
    dockerfile::{Span, check::Warning, describe::Description},
};
use hoist_proto::unit;

use super::screen::{Lane, Screen, first_line};
use crate::{
    api::dto::build::BuildFailure,
    cli::{args::build::Progress, failure::Failure, printer::Printer},
};

/// Shows a build on standard error.
#[derive(Debug)]
pub struct View {
    screen: Arc<Mutex<Screen>>,
    lane: Lane,
    printer: Printer,
    name: String,
    text: String,
    warnings: Vec<Warning>,
    called: Option<Description>,
}

/// Shows several builds at once, each step marked with its build's name.
#[derive(Debug, Clone)]
pub struct Views {
    screen: Arc<Mutex<Screen>>,
}

impl Views {
    pub fn new(printer: Printer, mode: Progress) -> Self {
        Self { screen: Arc::new(Mutex::new(Screen::new(printer, mode))) }
    }

    /// One more build; without a name it is the only one.
    pub fn view(&self, label: Option<&str>) -> View {
        let mut screen = self.screen();
        View {
            lane: screen.lane(label.map(str::to_owned)),
            printer: screen.printer,
            screen: Arc::clone(&self.screen),
            name: "Dockerfile".to_owned(),
            text: String::new(),
            warnings: Vec::new(),
            called: None,
        }
    }

    /// All builds have ended.
    pub fn finish(&self) {
        self.screen().keep();
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// For a build that is alone.
    pub fn new(printer: Printer, mode: Progress) -> Self {
        Views::new(printer, mode).view(None)
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file that places in it are shown from.
    pub fn dockerfile(&mut self, name: &str, text: &str) {
        name.clone_into(&mut self.name);
        text.clone_into(&mut self.text);
    }

    /// Whether the checks had something to say.
    pub fn found_something(&self) -> bool {
        !self.warnings.is_empty()
    }

    /// Words above the steps.
    pub fn say(&mut self, text: &str) {
        self.screen().say(text);
    }

    /// So much of a context was sent.
    pub fn sent(&mut self, bytes: u64) {
        let label = self.lane.label.as_ref().map(|label| format!("[{label}] ")).unwrap_or_default();
        if self.screen().mode == Progress::Plain {
            self.printer.say(format!("#0 {label}transferred context: {}", unit::format_bytes(bytes)));
        }
    }

    /// What was asked about the Dockerfile.
    pub fn answered(&mut self, description: Description) {
        self.called = Some(description);
    }

    pub fn called(&self) -> Option<&Description> {
        self.called.as_ref()
    }

    pub fn checks(&mut self, warnings: Vec<Warning>) {
        self.warnings = warnings;
    }

    pub fn event(&mut self, event: BuildEvent) {
        if let BuildEvent::Warning { message, span } = &event {
            let place = span.map(|span| format!("{}:{}: ", self.name, span.start)).unwrap_or_default();
            self.say(&format!("{} {place}{message}", self.printer.paint("WARNING:", "33")));
        }
        self.screen().event(&self.lane, event);
    }

    /// Times that go on. Called now and then.
    pub fn tick(&mut self) {
        self.screen().tick();
    }

    /// The end of a build that went well, or of the checks.
    pub fn finish(&mut self, check: bool) {
        let alone = self.lane.label.is_none();
        let quiet = {
            let mut screen = self.screen();
            if alone {
                screen.keep();
            }
            screen.mode == Progress::Quiet
        };
        if quiet && !check {
            return;
        }
        if check {
            for warning in &self.warnings {
                let line = warning.span.start.line;
                self.tell(&format!(
                    "{} {} - {}\n{}\n\n{}:{line}\n{}",
                    self.printer.paint("WARNING:", "33"),
                    warning.rule,
                    warning.url(),
                    warning.message,
                    self.name,
                    self.excerpt(warning.span)
                ));
            }
            self.tell(&match self.warnings.len() {
                0 => "Check complete, no warnings found.".to_owned(),
                1 => "Check complete, 1 warning has been found!".to_owned(),
                count => format!("Check complete, {count} warnings have been found!"),
            });
        } else {
            self.tell_warnings();
        }
    }

    fn tell_warnings(&self) {
        let count = self.warnings.len();
        if count == 0 {
            return;
        }
        let mut text = format!("\n {count} warning{} found:", if count == 1 { "" } else { "s" });
        for warning in &self.warnings {
            text.push_str(&format!(
                "\n - {}: {} ({}:{})",
                warning.rule,
                first_line(&warning.message),
                self.name,
                warning.span.start
            ));
        }
        self.tell(&self.printer.paint(&text, "33"));
    }

    /// The end of a build that failed: the step's last lines, the Dockerfile's, and the error.
    pub fn failed(&mut self, failure: BuildFailure) -> Failure {
        let (name, mut lines): (String, Vec<String>) = {
            let mut screen = self.screen();
            screen.keep();
            match screen.failed(&self.lane) {
                Some(step) => (step.name.clone(), step.lines.iter().cloned().collect()),
                None => (String::new(), Vec::new()),
            }
        };
        self.tell_warnings();
        if lines.is_empty() {
            lines.clone_from(&failure.last_lines);
        }
        if !lines.is_empty() {
            let rule = "------";
            self.printer.say(format!("{rule}\n > {name}:\n{}\n{rule}", lines.join("\n")));
        }
        if let Some(span) = failure.span.filter(|span| span.start.line > 0) {
            self.printer.say(format!("{}:{}\n{}", self.name, span.start.line, self.excerpt(span)));
        }
        Failure::new(failure.message)
    }

    /// Words that the person asked for, quiet or not.
    fn tell(&self, text: &str) {
        let mut screen = self.screen();
        match screen.mode {
            Progress::Quiet => self.printer.say(text),
            _ => screen.say(text),
        }
    }

    /// The lines around a place, its own marked.
    fn excerpt(&self, span: Span) -> String {
        let rule = "--------------------";
        let (first, last) = (span.start.line.max(1), span.end.line.max(span.start.line).min(span.start.line + 10));
        let mut text = format!("{rule}\n");
        for (index, line) in self.text.lines().enumerate() {
            let number = index as u32 + 1;
            if number + 2 >= first && number <= last + 2 {
                let mark = if (first..=last).contains(&number) { ">>>" } else { "   " };
                text.push_str(format!("{number:>4} | {mark} {line}").trim_end());
                text.push('\n');
            }
        }
        text.push_str(rule);
        text
    }
}

#[cfg(test)]
mod tests {
    use hoist_build::dockerfile::Pos;

    use super::*;

    #[test]
    fn places_are_shown_with_the_lines_around() {
        let mut view = View::new(Printer::new(), Progress::Quiet);
        view.dockerfile("Dockerfile", "FROM a\n\nRUN x \\\n  y\nCMD z\n\n\nEND");
        let span = Span { start: Pos { line: 3, column: 1 }, end: Pos { line: 4, column: 4 } };
        let rule = "--------------------";
        assert_eq!(
            view.excerpt(span),
            format!(
                "{rule}\n   1 |     FROM a\n   2 |\n   3 | >>> RUN x \\\n   4 | >>>   y\n   5 |     CMD z\n   6 |\n{rule}"
            )
        );
    }
}
