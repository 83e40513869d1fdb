//! Lines of several containers in one view, each with the name of its container.

use crate::cli::{failure::Failure, printer::Printer};

/// Colours of names, in the order in which containers appear.
const COLOURS: [&str; 12] = ["36", "33", "32", "35", "34", "96", "93", "92", "95", "94", "36;1", "33;1"];

/// How lines are shown.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    pub prefix: bool,
    pub colour: bool,
}

/// Writes lines of containers, names padded to the widest so far.
#[derive(Debug)]
pub struct LogView {
    printer: Printer,
    style: Style,
    names: Vec<String>,
    width: usize,
}

/// One container in a [`LogView`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source(usize);

impl LogView {
    pub fn new(printer: Printer, style: Style) -> Self {
        let colour = style.colour && printer.out_is_terminal() && printer.colour();
        Self { printer, style: Style { colour, ..style }, names: Vec::new(), width: 0 }
    }

    /// Makes a container known; one that was known keeps its colour.
    pub fn source(&mut self, name: &str) -> Source {
        if let Some(index) = self.names.iter().position(|known| known == name) {
            return Source(index);
        }
        self.names.push(name.to_owned());
        self.width = self.width.max(name.chars().count());
        Source(self.names.len() - 1)
    }

    /// Writes one line, without its line end.
    pub fn line(&self, source: Source, line: &[u8]) -> Result<(), Failure> {
        let mut out = self.prefix(source).into_bytes();
        out.extend_from_slice(line);
        out.push(b'\n');
        self.printer.raw(&out)
    }

    fn prefix(&self, source: Source) -> String {
        let Some(name) = self.names.get(source.0).filter(|_| self.style.prefix) else {
            return String::new();
        };
        let text = format!("{name:<width$}  | ", width = self.width);
        if self.style.colour { format!("\x1b[{}m{text}\x1b[0m", COLOURS[source.0 % COLOURS.len()]) } else { text }
    }
}

/// Cuts a stream into lines; a line that never ends is cut at a bound.
#[derive(Debug, Default)]
pub struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    const LONGEST: usize = 1 << 20;

    /// Takes bytes and gives the lines that are complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.pending.extend_from_slice(part);
            if self.pending.last() == Some(&b'\n') || self.pending.len() >= Self::LONGEST {
                lines.extend(self.finish());
            }
        }
        lines
    }

    /// What is left when the stream ends.
    pub fn finish(&mut self) -> Option<Vec<u8>> {
        let mut line = std::mem::take(&mut self.pending);
        if line.is_empty() {
            return None;
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"one\ntw"), [b"one".to_vec()]);
        assert_eq!(lines.push(b"o\r\n\nlast"), [b"two".to_vec(), b"".to_vec()]);
        assert_eq!(lines.finish(), Some(b"last".to_vec()));
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn names_line_up() {
        let mut view = LogView::new(Printer::new(), Style { prefix: true, colour: false });
        let (web, store) = (view.source("web-1"), view.source("store-1"));
        assert_eq!(view.prefix(web), "web-1    | ");
        assert_eq!(view.prefix(store), "store-1  | ");
        assert_eq!(view.source("web-1"), web);
    }
}
