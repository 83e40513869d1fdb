//! A build as a person sees it: live lines, plain lines, or JSON.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use hoist_build::{
    BuildEvent, StepId,
    dockerfile::{Span, check::Warning},
};
use hoist_proto::unit;
use indexmap::IndexMap;

use crate::{
    api::dto::build::BuildFailure,
    cli::{args::build::Progress, failure::Failure, printer::Printer, progress::Canvas},
};

/// Of a running step so many lines are shown live.
const TAIL: usize = 5;

/// Of a failed step so many lines are shown.
const FAILED_TAIL: usize = 20;

/// Redrawn no more often than this.
const PACE: Duration = Duration::from_millis(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Planned,
    Running,
    Cached,
    Done,
    Failed,
    Canceled,
}

#[derive(Debug)]
struct Step {
    name: String,
    state: State,
    started: Option<Instant>,
    ended: Option<Instant>,
    lines: VecDeque<String>,
    progress: Option<(String, u64, Option<u64>)>,
}

/// Shows a build on standard error.
#[derive(Debug)]
pub struct View {
    printer: Printer,
    mode: Progress,
    begun: Instant,
    steps: IndexMap<StepId, Step>,
    canvas: Canvas,
    last: Option<Instant>,
    name: String,
    text: String,
    warnings: Vec<Warning>,
}

impl View {
    pub fn new(printer: Printer, mode: Progress) -> Self {
        let live = printer.err_is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let mode = match mode {
            Progress::Auto if live => Progress::Tty,
            Progress::Auto => Progress::Plain,
            mode => mode,
        };
        Self {
            printer,
            mode,
            begun: Instant::now(),
            steps: IndexMap::new(),
            canvas: Canvas::new(printer),
            last: None,
            name: "Dockerfile".to_owned(),
            text: String::new(),
            warnings: Vec::new(),
        }
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
        if self.mode == Progress::Quiet {
            return;
        }
        self.canvas.erase();
        self.printer.say(text);
        self.draw();
    }

    /// So much of a context was sent.
    pub fn sent(&mut self, bytes: u64) {
        if self.mode == Progress::Plain {
            self.printer.say(format!("#0 transferred context: {}", unit::format_bytes(bytes)));
        }
    }

    pub fn checks(&mut self, warnings: Vec<Warning>) {
        self.warnings = warnings;
    }

    pub fn event(&mut self, event: BuildEvent) {
        if self.mode == Progress::Rawjson
            && let Ok(line) = serde_json::to_string(&event)
        {
            self.printer.say(line);
        }
        let now = Instant::now();
        match event {
            BuildEvent::Planned(info) => {
                let step = Step {
                    name: info.name,
                    state: State::Planned,
                    started: None,
                    ended: None,
                    lines: VecDeque::new(),
                    progress: None,
                };
                self.steps.insert(info.id, step);
            }
            BuildEvent::Started { step } => self.change(step, State::Running, now, String::new),
            BuildEvent::Cached { step } => self.change(step, State::Cached, now, || "CACHED".to_owned()),
            BuildEvent::Done { step } => {
                let time = self.steps.get(&step).and_then(|step| step.started).map(|started| now - started);
                let time = time.unwrap_or_default().as_secs_f64();
                self.change(step, State::Done, now, || format!("DONE {time:.1}s"));
            }
            BuildEvent::Failed { step, message } => {
                self.change(step, State::Failed, now, || format!("ERROR: {}", first_line(&message)));
            }
            BuildEvent::Canceled { step } => self.change(step, State::Canceled, now, || "CANCELED".to_owned()),
            BuildEvent::Output { step, line, .. } => self.output(step, line, now),
            BuildEvent::Progress { step, part, current, total } => {
                if let Some(step) = self.steps.get_mut(&step) {
                    step.progress = Some((part, current, total));
                }
            }
            BuildEvent::Warning { message, span } => {
                let place = span.map(|span| format!("{}:{}: ", self.name, span.start)).unwrap_or_default();
                self.say(&format!("{} {place}{message}", self.printer.paint("WARNING:", "33")));
            }
        }
        if self.mode == Progress::Tty && self.last.is_none_or(|last| now - last >= PACE) {
            self.draw();
        }
    }

    fn change(&mut self, id: StepId, state: State, now: Instant, word: impl FnOnce() -> String) {
        let Some(step) = self.steps.get_mut(&id) else { return };
        step.state = state;
        match state {
            State::Running => step.started = Some(now),
            _ => step.ended = Some(now),
        }
        if self.mode != Progress::Plain {
            return;
        }
        let name = step.name.clone();
        match state {
            State::Running => self.printer.say(format!("{id} {name}")),
            State::Cached if step.started.is_none() => self.printer.say(format!("{id} {name}\n{id} {}", word())),
            _ => self.printer.say(format!("{id} {}", word())),
        }
    }

    fn output(&mut self, id: StepId, line: String, now: Instant) {
        let Some(step) = self.steps.get_mut(&id) else { return };
        let since = step.started.map(|started| now - started).unwrap_or_default().as_secs_f64();
        if self.mode == Progress::Plain {
            self.printer.say(format!("{id} {since:.3} {line}"));
        }
        if step.lines.len() == FAILED_TAIL {
            step.lines.pop_front();
        }
        step.lines.push_back(format!("{since:.3} {line}"));
    }

    /// Times that go on. Called now and then.
    pub fn tick(&mut self) {
        if self.mode == Progress::Tty && self.steps.values().any(|step| step.state == State::Running) {
            self.draw();
        }
    }

    /// The end of a build that went well, or of the checks.
    pub fn finish(&mut self, check: bool) {
        self.draw();
        self.canvas.keep();
        if self.mode == Progress::Quiet && !check {
            return;
        }
        if check {
            for warning in &self.warnings {
                let line = warning.span.start.line;
                self.printer.say(format!(
                    "{} {} - {}\n{}\n\n{}:{line}\n{}",
                    self.printer.paint("WARNING:", "33"),
                    warning.rule,
                    warning.url(),
                    warning.message,
                    self.name,
                    self.excerpt(warning.span)
                ));
            }
            self.printer.say(match self.warnings.len() {
                0 => "Check complete, no warnings found.".to_owned(),
                1 => "Check complete, 1 warning has been found!".to_owned(),
                count => format!("Check complete, {count} warnings have been found!"),
            });
        } else if !self.warnings.is_empty() {
            let count = self.warnings.len();
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
            self.printer.say(self.printer.paint(&text, "33"));
        }
    }

    /// The end of a build that failed: the step's last lines, the Dockerfile's, and the error.
    pub fn failed(&mut self, failure: BuildFailure) -> Failure {
        self.draw();
        self.canvas.keep();
        let failed = self.steps.values().find(|step| step.state == State::Failed);
        let (name, mut lines): (String, Vec<String>) = match failed {
            Some(step) => (step.name.clone(), step.lines.iter().cloned().collect()),
            None => (String::new(), Vec::new()),
        };
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

    fn draw(&mut self) {
        if self.mode != Progress::Tty || self.steps.is_empty() {
            return;
        }
        let (width, height) = Canvas::size();
        let now = Instant::now();
        self.last = Some(now);
        let lines = self.lines(width, height, now);
        self.canvas.draw(&lines);
    }

    fn lines(&self, width: usize, height: usize, now: Instant) -> Vec<String> {
        let over = |step: &&Step| !matches!(step.state, State::Planned | State::Running);
        let shown: Vec<&Step> = self.steps.values().filter(|step| step.state != State::Planned).collect();
        let done = shown.iter().filter(|step| over(step)).count();
        let elapsed = (now - self.begun).as_secs_f64();
        let mut lines = vec![format!("[+] Building {elapsed:.1}s ({done}/{})", self.steps.len())];
        // More than fit: what is over makes room first.
        let running = shown.iter().filter(|step| step.state == State::Running).count();
        let tail = (height.saturating_sub(2 + running) / running.max(1)).min(TAIL);
        let needed: usize = shown.iter().map(|step| 1 + self.tail(step, tail).len()).sum();
        let mut skip = needed.saturating_sub(height - 2);
        for step in shown {
            if skip > 0 && over(&step) {
                skip -= 1;
                continue;
            }
            lines.push(self.line(step, width, now));
            lines.extend(self.tail(step, tail).into_iter().map(|line| {
                let line = clip(&format!("   {line}"), width);
                self.printer.paint(&line, "2")
            }));
        }
        lines.truncate(height.max(2) - 1);
        lines
    }

    fn tail<'s>(&self, step: &'s Step, count: usize) -> Vec<&'s str> {
        if step.state != State::Running {
            return Vec::new();
        }
        let skip = step.lines.len().saturating_sub(count);
        step.lines.iter().skip(skip).map(String::as_str).collect()
    }

    fn line(&self, step: &Step, width: usize, now: Instant) -> String {
        const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
        let elapsed = step.started.map_or(Duration::ZERO, |started| step.ended.unwrap_or(now) - started);
        let (mark, colour, word) = match step.state {
            State::Planned => (' ', "0", ""),
            State::Running => (SPINNER[(elapsed.as_millis() / 100) as usize % SPINNER.len()], "36", ""),
            State::Cached => ('✔', "32", "CACHED "),
            State::Done => ('✔', "32", ""),
            State::Failed => ('✘', "31", "ERROR "),
            State::Canceled => ('!', "33", "CANCELED "),
        };
        let progress = match (&step.progress, step.state) {
            (Some((part, current, total)), State::Running) => {
                let total = total.map(|total| format!("/{}", unit::format_bytes(total))).unwrap_or_default();
                format!("  {part} {}{total}", unit::format_bytes(*current))
            }
            _ => String::new(),
        };
        let time = format!("{:.1}s", elapsed.as_secs_f64());
        let name = first_line(&step.name);
        let left = clip(&format!(" {mark} {word}{name}{progress}"), width.saturating_sub(time.len() + 1));
        let padding = width.saturating_sub(1 + time.len() + left.chars().count());
        let painted = left.replacen(mark, &self.printer.paint(&mark.to_string(), colour), 1);
        format!("{painted}{}{time}", " ".repeat(padding))
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// At most so many columns, and nothing that moves the cursor.
fn clip(text: &str, width: usize) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    if text.chars().count() <= width {
        return clean.collect();
    }
    let mut short: String = clean.take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use hoist_build::{StepInfo, Stream, dockerfile::Pos};

    use super::*;

    fn planned(view: &mut View, id: u32, name: &str) {
        let info = StepInfo { id: StepId(id), name: name.into(), stage: None, span: None, inputs: Vec::new() };
        view.event(BuildEvent::Planned(info));
    }

    #[test]
    fn a_small_terminal_shows_what_runs() {
        let mut view = View::new(Printer::new(), Progress::Quiet);
        for id in 1..=9 {
            planned(&mut view, id, &format!("[{id}/9] RUN step {id}"));
        }
        for id in 1..=7 {
            view.event(BuildEvent::Cached { step: StepId(id) });
        }
        view.event(BuildEvent::Started { step: StepId(8) });
        for line in 0..30 {
            let line = format!("line {line}\x1b[2J");
            view.event(BuildEvent::Output { step: StepId(8), stream: Stream::Stdout, line });
        }
        let lines = view.lines(40, 8, Instant::now());
        assert!(lines.len() < 8, "{lines:?}");
        assert!(lines[0].ends_with("(7/9)"));
        assert!(lines.iter().any(|line| line.contains("RUN step 8")), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("line 29") && !line.contains("\x1b[2J")), "{lines:?}");
    }

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
