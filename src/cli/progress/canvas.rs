//! Lines on a terminal that are drawn over themselves.

use crate::cli::printer::Printer;

/// The lines drawn last, which the next ones replace.
#[derive(Debug)]
pub struct Canvas {
    printer: Printer,
    drawn: usize,
}

impl Canvas {
    pub fn new(printer: Printer) -> Self {
        Self { printer, drawn: 0 }
    }

    /// Columns and rows of the terminal.
    pub fn size() -> (usize, usize) {
        let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
        let width = size.map_or(80, |size| usize::from(size.ws_col)).max(20);
        let height = size.map_or(24, |size| usize::from(size.ws_row)).max(4);
        (width, height)
    }

    /// Draws lines, none wider than the terminal, in place of the last ones.
    pub fn draw(&mut self, lines: &[String]) {
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for line in lines {
            text.push_str(line);
            text.push_str("\x1b[K\n");
        }
        text.push_str("\x1b[J");
        self.drawn = lines.len();
        let _ = self.printer.raw_err(text.as_bytes());
    }

    /// Takes the lines away.
    pub fn erase(&mut self) {
        if self.drawn > 0 {
            let _ = self.printer.raw_err(format!("\x1b[{}A\x1b[J", self.drawn).as_bytes());
            self.drawn = 0;
        }
    }

    /// Leaves the lines where they are; the next ones come below.
    pub fn keep(&mut self) {
        self.drawn = 0;
    }
}
