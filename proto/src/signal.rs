//! A signal as people write it.

use std::str::FromStr;

/// Linux's, by number; the same on all machines that we run on.
const NAMES: [(&str, i32); 34] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// The first real-time signal for programs: the C library keeps those below it for itself.
const FIRST: i32 = 34;
const LAST: i32 = 64;

/// A signal that there is: `TERM`, `SIGTERM`, `15`, `RTMIN+3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(i32);

impl Signal {
    /// As the kernel numbers it.
    pub fn number(self) -> i32 {
        self.0
    }
}

/// A text that names no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid signal: {0}")]
pub struct BadSignal(String);

impl FromStr for Signal {
    type Err = BadSignal;
    fn from_str(text: &str) -> Result<Self, BadSignal> {
        let upper = text.to_ascii_uppercase();
        let plain = upper.strip_prefix("SIG").unwrap_or(&upper);
        let offset = |rest: &str, sign: char| match rest.strip_prefix(sign) {
            None if rest.is_empty() => Some(0),
            None => None,
            Some(digits) => digits.parse::<u8>().ok().map(i32::from),
        };
        let number = if let Ok(number) = text.parse::<i32>() {
            Some(number).filter(|number| (1..=LAST).contains(number))
        } else if let Some(rest) = plain.strip_prefix("RTMIN") {
            offset(rest, '+').map(|more| FIRST + more).filter(|number| *number <= LAST)
        } else if let Some(rest) = plain.strip_prefix("RTMAX") {
            offset(rest, '-').map(|less| LAST - less).filter(|number| *number >= FIRST)
        } else {
            NAMES.iter().find(|(name, _)| *name == plain).map(|(_, number)| *number)
        };
        number.map(Self).ok_or_else(|| BadSignal(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::Signal;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            ("USR1", 10),
            ("sigterm", 15),
            ("10", 10),
            ("64", 64),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-30", 34),
            ("SIGIOT", 6),
            ("POLL", 29),
        ] {
            assert_eq!(text.parse::<Signal>().map(Signal::number), Ok(number), "{text}");
        }
        for bad in ["", "0", "65", "-1", "USR3", "RTMIN-1", "RTMIN+31", "RTMAX-31", "RTMIN+x"] {
            assert_eq!(bad.parse::<Signal>().unwrap_err().to_string(), format!("invalid signal: {bad}"));
        }
    }
}
