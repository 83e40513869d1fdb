//! Running steps of one build or of several, live or line by line.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use hoist_build::{BuildEvent, StepId};
use hoist_proto::unit;
use indexmap::IndexMap;
use serde::Serialize;

use crate::cli::{args::build::Progress, printer::Printer, progress::Canvas};

/// Of a running step so many lines are shown live.
const TAIL: usize = 5;

/// Of a failed step so many lines are shown.
const FAILED_TAIL: usize = 20;

/// Redrawn no more often than this.
const PACE: Duration = Duration::from_millis(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Planned,
    Running,
    Cached,
    Done,
    Failed,
    Canceled,
}

#[derive(Debug)]
pub(super) struct Step {
    /// What plain lines call it; its own number, if there is one build only.
    number: StepId,
    pub name: String,
    pub state: State,
    started: Option<Instant>,
    ended: Option<Instant>,
    pub lines: VecDeque<String>,
    progress: Option<(String, u64, Option<u64>)>,
}

/// A build's number on the screen, and what its steps are marked with if there are several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lane {
    pub number: usize,
    pub label: Option<String>,
}

/// What is on standard error.
#[derive(Debug)]
pub(super) struct Screen {
    pub printer: Printer,
    pub mode: Progress,
    begun: Instant,
    steps: IndexMap<(usize, StepId), Step>,
    canvas: Canvas,
    last: Option<Instant>,
    lanes: usize,
}

impl Screen {
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
            lanes: 0,
        }
    }

    /// A place for one more build.
    pub fn lane(&mut self, label: Option<String>) -> Lane {
        self.lanes += 1;
        Lane { number: self.lanes, label }
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

    /// The steps stay as they are; what is said from now on comes below.
    pub fn keep(&mut self) {
        self.draw();
        self.canvas.keep();
    }

    /// The first of a build's steps that failed.
    pub fn failed(&self, lane: &Lane) -> Option<&Step> {
        let own = self.steps.iter().filter(|((number, _), _)| *number == lane.number);
        own.map(|(_, step)| step).find(|step| step.state == State::Failed)
    }

    /// What happened to steps; warnings are the build's own.
    pub fn event(&mut self, lane: &Lane, event: BuildEvent) {
        if self.mode == Progress::Rawjson {
            self.raw(lane, &event);
        }
        let now = Instant::now();
        let of = |step: StepId| (lane.number, step);
        match event {
            BuildEvent::Planned(info) => {
                let number = match lane.label {
                    Some(_) => StepId(u32::try_from(self.steps.len() + 1).unwrap_or(u32::MAX)),
                    None => info.id,
                };
                let step = Step {
                    number,
                    name: labelled(lane, info.name),
                    state: State::Planned,
                    started: None,
                    ended: None,
                    lines: VecDeque::new(),
                    progress: None,
                };
                self.steps.insert(of(info.id), step);
            }
            BuildEvent::Started { step } => self.change(of(step), State::Running, now, String::new),
            BuildEvent::Cached { step } => self.change(of(step), State::Cached, now, || "CACHED".to_owned()),
            BuildEvent::Done { step } => {
                let time = self.steps.get(&of(step)).and_then(|step| step.started).map(|started| now - started);
                let time = time.unwrap_or_default().as_secs_f64();
                self.change(of(step), State::Done, now, || format!("DONE {time:.1}s"));
            }
            BuildEvent::Failed { step, message } => {
                self.change(of(step), State::Failed, now, || format!("ERROR: {}", first_line(&message)));
            }
            BuildEvent::Canceled { step } => self.change(of(step), State::Canceled, now, || "CANCELED".to_owned()),
            BuildEvent::Output { step, line, .. } => self.output(of(step), line, now),
            BuildEvent::Progress { step, part, current, total } => {
                if let Some(step) = self.steps.get_mut(&of(step)) {
                    step.progress = Some((part, current, total));
                }
            }
            BuildEvent::Warning { .. } => {}
        }
        if self.mode == Progress::Tty && self.last.is_none_or(|last| now - last >= PACE) {
            self.draw();
        }
    }

    fn raw(&self, lane: &Lane, event: &BuildEvent) {
        #[derive(Serialize)]
        struct Line<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            build: &'a Option<String>,
            #[serde(flatten)]
            event: &'a BuildEvent,
        }
        if let Ok(line) = serde_json::to_string(&Line { build: &lane.label, event }) {
            self.printer.say(line);
        }
    }

    fn change(&mut self, id: (usize, StepId), state: State, now: Instant, word: impl FnOnce() -> String) {
        let Some(step) = self.steps.get_mut(&id) else { return };
        step.state = state;
        match state {
            State::Running => step.started = Some(now),
            _ => step.ended = Some(now),
        }
        if self.mode != Progress::Plain {
            return;
        }
        let (number, name) = (step.number, step.name.clone());
        match state {
            State::Running => self.printer.say(format!("{number} {name}")),
            State::Cached if step.started.is_none() => {
                self.printer.say(format!("{number} {name}\n{number} {}", word()));
            }
            _ => self.printer.say(format!("{number} {}", word())),
        }
    }

    fn output(&mut self, id: (usize, StepId), line: String, now: Instant) {
        let Some(step) = self.steps.get_mut(&id) else { return };
        let since = step.started.map(|started| now - started).unwrap_or_default().as_secs_f64();
        if self.mode == Progress::Plain {
            self.printer.say(format!("{} {since:.3} {line}", step.number));
        }
        if step.lines.len() == FAILED_TAIL {
            step.lines.pop_front();
        }
        step.lines.push_back(format!("{since:.3} {line}"));
    }

    /// Times that go on. Called now and then.
    pub fn tick(&mut self) {
        let due = self.last.is_none_or(|last| last.elapsed() >= PACE);
        if self.mode == Progress::Tty && due && self.steps.values().any(|step| step.state == State::Running) {
            self.draw();
        }
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

/// `[stage 1/2] RUN …` of a labelled build is `[label stage 1/2] RUN …`.
fn labelled(lane: &Lane, name: String) -> String {
    match (&lane.label, name.strip_prefix('[')) {
        (Some(label), Some(rest)) => format!("[{label} {rest}"),
        (Some(label), None) => format!("[{label}] {name}"),
        (None, _) => name,
    }
}

pub(super) fn first_line(text: &str) -> &str {
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
    use hoist_build::{StepInfo, Stream};

    use super::*;

    fn planned(screen: &mut Screen, lane: &Lane, id: u32, name: &str) {
        let info = StepInfo { id: StepId(id), name: name.into(), stage: None, span: None, inputs: Vec::new() };
        screen.event(lane, BuildEvent::Planned(info));
    }

    #[test]
    fn a_small_terminal_shows_what_runs() {
        let mut screen = Screen::new(Printer::new(), Progress::Quiet);
        let lane = screen.lane(None);
        for id in 1..=9 {
            planned(&mut screen, &lane, id, &format!("[{id}/9] RUN step {id}"));
        }
        for id in 1..=7 {
            screen.event(&lane, BuildEvent::Cached { step: StepId(id) });
        }
        screen.event(&lane, BuildEvent::Started { step: StepId(8) });
        for line in 0..30 {
            let line = format!("line {line}\x1b[2J");
            screen.event(&lane, BuildEvent::Output { step: StepId(8), stream: Stream::Stdout, line });
        }
        let lines = screen.lines(40, 8, Instant::now());
        assert!(lines.len() < 8, "{lines:?}");
        assert!(lines[0].ends_with("(7/9)"));
        assert!(lines.iter().any(|line| line.contains("RUN step 8")), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("line 29") && !line.contains("\x1b[2J")), "{lines:?}");
    }

    #[test]
    fn steps_of_several_builds_are_told_apart() {
        let mut screen = Screen::new(Printer::new(), Progress::Quiet);
        let lanes = ["app", "docs"].map(|label| screen.lane(Some(label.to_owned())));
        for lane in &lanes {
            planned(&mut screen, lane, 1, "load image busybox");
            planned(&mut screen, lane, 2, "[base 1/2] RUN x");
        }
        screen.event(&lanes[1], BuildEvent::Failed { step: StepId(2), message: "it broke".into() });
        let names: Vec<String> = screen.steps.values().map(|step| format!("{} {}", step.number, step.name)).collect();
        assert_eq!(
            names,
            [
                "#1 [app] load image busybox",
                "#2 [app base 1/2] RUN x",
                "#3 [docs] load image busybox",
                "#4 [docs base 1/2] RUN x"
            ]
        );
        assert!(screen.failed(&lanes[0]).is_none());
        assert_eq!(screen.failed(&lanes[1]).unwrap().name, "[docs base 1/2] RUN x");
    }
}
