//! Output becomes lines.

use jiff::Timestamp;

use super::{Line, Part};

/// Longer lines are sent in parts, as by Docker.
const LINE_MAX: usize = 16 << 10;

/// One stream.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The beginning of a line that has not ended.
    partial: Vec<u8>,
    /// The last part of a long line that was sent.
    part: Option<Part>,
    count: u64,
}

impl Lines {
    pub(super) fn take(&mut self, error: bool, mut data: &[u8], mut send: impl FnMut(&Line<'_>)) {
        let time = Timestamp::now();
        while !data.is_empty() {
            let room = LINE_MAX - self.partial.len();
            let end = data.iter().take(room).position(|&byte| byte == b'\n');
            match end {
                Some(end) => {
                    self.partial.extend_from_slice(&data[..end]);
                    data = &data[end + 1..];
                    self.send(error, time, true, &mut send);
                }
                None if data.len() >= room => {
                    self.partial.extend_from_slice(&data[..room]);
                    data = &data[room..];
                    self.send(error, time, false, &mut send);
                }
                None => {
                    self.partial.extend_from_slice(data);
                    return;
                }
            }
        }
    }

    /// The stream has ended, perhaps in the middle of a line.
    pub(super) fn finish(&mut self, error: bool, mut send: impl FnMut(&Line<'_>)) {
        if !self.partial.is_empty() {
            self.send(error, Timestamp::now(), true, &mut send);
        }
    }

    fn send(&mut self, error: bool, time: Timestamp, last: bool, send: &mut impl FnMut(&Line<'_>)) {
        let part = match (self.part.take(), last) {
            (None, true) => None,
            (None, false) => {
                self.count += 1;
                Some(Part { id: self.count, ordinal: 1, last })
            }
            (Some(before), last) => Some(Part { id: before.id, ordinal: before.ordinal + 1, last }),
        };
        send(&Line { error, time, text: &self.partial, part: part.clone() });
        self.partial.clear();
        self.part = part.filter(|part| !part.last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_parts_of_long_ones() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        let mut note = |line: &Line<'_>| {
            seen.push((line.text.len(), line.part.as_ref().map(|part| (part.id, part.ordinal, part.last))));
        };
        lines.take(false, b"one\ntw", &mut note);
        lines.take(false, b"o!\n\n", &mut note);
        lines.take(false, &vec![b'x'; 2 * LINE_MAX + 5], &mut note);
        lines.take(false, b"\nend", &mut note);
        lines.finish(false, &mut note);
        let long = LINE_MAX;
        assert_eq!(
            seen,
            [
                (3, None),
                (4, None),
                (0, None),
                (long, Some((1, 1, false))),
                (long, Some((1, 2, false))),
                (5, Some((1, 3, true))),
                (3, None)
            ]
        );
    }
}
