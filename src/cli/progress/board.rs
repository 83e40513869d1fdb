//! Live lines: one for each thing that is under way, redrawn in place; plain lines without a terminal.

use std::time::{Duration, Instant};

use hoist_proto::unit;
use indexmap::IndexMap;

use super::{Canvas, Mode};
use crate::cli::printer::Printer;

/// How far one thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Under way.
    Working,
    Done,
    Failed,
    /// Over, with something to be noted.
    Warned,
}

#[derive(Debug, Clone)]
struct Row {
    name: String,
    state: String,
    step: Step,
    bar: Option<(u64, u64)>,
    started: Instant,
    ended: Option<Instant>,
}

/// The lines of one operation. They stay when it is dropped.
#[derive(Debug)]
pub struct Board {
    printer: Printer,
    mode: Mode,
    title: String,
    rows: IndexMap<String, Row>,
    canvas: Canvas,
    last: Option<Instant>,
    changed: bool,
}

/// Redrawn no more often than this.
const PACE: Duration = Duration::from_millis(60);

impl Board {
    /// `title` heads the lines, as in `[+] Running 2/3`.
    pub fn new(printer: Printer, mode: Mode, title: &str) -> Self {
        let live = printer.err_is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let mode = match mode {
            Mode::Auto if live => Mode::Tty,
            Mode::Auto => Mode::Plain,
            mode => mode,
        };
        Self {
            printer,
            mode,
            title: title.to_owned(),
            rows: IndexMap::new(),
            canvas: Canvas::new(printer),
            last: None,
            changed: false,
        }
    }

    pub fn is_quiet(&self) -> bool {
        self.mode == Mode::Quiet
    }

    /// Sets what is known of one thing; `id` tells it from the others, `name` is shown.
    pub fn set(&mut self, id: &str, name: &str, state: &str, step: Step, bar: Option<(u64, u64)>) {
        let now = Instant::now();
        let before = self.rows.get(id).map(|row| (row.state.clone(), row.step));
        let row = self.rows.entry(id.to_owned()).or_insert_with(|| Row {
            name: name.to_owned(),
            state: String::new(),
            step: Step::Working,
            bar: None,
            started: now,
            ended: None,
        });
        row.name = name.to_owned();
        row.state = state.to_owned();
        row.step = step;
        row.bar = bar;
        row.ended = if step == Step::Working { None } else { Some(row.ended.unwrap_or(now)) };
        self.changed = true;
        let news = before.is_none_or(|(old, was)| old != state || was != step);
        match self.mode {
            Mode::Plain if news => self.printer.say(format!(" {name}  {state}")),
            Mode::Json => {
                let mut value = serde_json::json!({ "id": id, "name": name, "status": state });
                if let Some((current, total)) = bar {
                    value["current"] = current.into();
                    value["total"] = total.into();
                } else if !news {
                    return;
                }
                self.printer.say(value.to_string());
            }
            Mode::Tty if self.last.is_none_or(|last| now - last >= PACE) => self.draw(),
            _ => {}
        }
    }

    /// Draws what has changed, and times that go on. Called now and then.
    pub fn tick(&mut self) {
        if self.mode == Mode::Tty && self.rows.values().any(|row| row.step == Step::Working) || self.changed {
            self.draw();
        }
    }

    /// Says something that stays above the lines.
    pub fn say(&mut self, text: &str) {
        if self.is_quiet() {
            return;
        }
        self.canvas.erase();
        self.printer.say(text);
        self.draw();
    }

    /// Draws for the last time: what is said next stands below.
    pub fn finish(&mut self) {
        self.draw();
        self.canvas.keep();
        self.rows.clear();
    }

    fn draw(&mut self) {
        self.changed = false;
        if self.mode != Mode::Tty || self.rows.is_empty() {
            return;
        }
        let (width, height) = Canvas::size();
        let now = Instant::now();
        self.last = Some(now);
        let done = self.rows.values().filter(|row| row.step != Step::Working).count();
        let title = format!("[+] {} {done}/{}", self.title, self.rows.len());
        let mut lines = vec![clip(&title, width)];
        // More than fit: those that are over make room first.
        let room = height - 2;
        let excess = self.rows.len().saturating_sub(room);
        let mut skip = excess;
        let name_width = self.rows.values().map(|row| row.name.chars().count()).max().unwrap_or(0).min(width / 2);
        for row in self.rows.values() {
            if skip > 0 && row.step == Step::Done {
                skip -= 1;
                continue;
            }
            if lines.len() > room {
                break;
            }
            lines.push(self.row(row, name_width, width, now));
        }
        self.canvas.draw(&lines);
    }

    fn row(&self, row: &Row, name_width: usize, width: usize, now: Instant) -> String {
        const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
        let elapsed = row.ended.unwrap_or(now) - row.started;
        let (mark, colour) = match row.step {
            Step::Working => (SPINNER[(elapsed.as_millis() / 100) as usize % SPINNER.len()], "36"),
            Step::Done => ('✔', "32"),
            Step::Failed => ('✘', "31"),
            Step::Warned => ('!', "33"),
        };
        let mut middle = row.state.clone();
        if let Some((current, total)) = row.bar
            && row.step == Step::Working
        {
            middle.push_str(&bar(current, total));
        }
        let time = format!("{:.1}s", elapsed.as_secs_f64());
        let left = format!(" {mark} {:<name_width$} {middle}", row.name);
        let left = clip(&left, width - time.len() - 1);
        let padding = width - 1 - time.len() - left.chars().count();
        let mut painted = left.replacen(mark, &self.printer.paint(&mark.to_string(), colour), 1);
        if !row.state.is_empty() && row.step != Step::Working {
            painted = painted.replacen(&row.state, &self.printer.paint(&row.state, colour), 1);
        }
        format!("{painted}{}{time}", " ".repeat(padding))
    }
}

/// ` [=====>    ] 12.3MB/40MB`
fn bar(current: u64, total: u64) -> String {
    if total == 0 {
        return if current > 0 { format!(" {}", unit::format_bytes(current)) } else { String::new() };
    }
    let filled = (current.min(total) as f64 / total as f64 * 25.0) as usize;
    let head = if filled < 25 { ">" } else { "" };
    format!(
        " [{}{head}{}] {}/{}",
        "=".repeat(filled),
        " ".repeat(25 - filled - head.len()),
        unit::format_bytes(current),
        unit::format_bytes(total)
    )
}

fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars() {
        assert_eq!(bar(0, 0), "");
        assert_eq!(bar(1000, 0), " 1kB");
        assert_eq!(bar(500, 1000), " [============>            ] 500B/1kB");
        assert_eq!(bar(1000, 1000), " [=========================] 1kB/1kB");
        assert_eq!(clip("abcdef", 4), "abc…");
    }
}
