//! The names of signals.

/// Linux's, without the real-time ones.
const NAMES: &[&str] = &[
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
    "TERM", "STKFLT", "CHLD", "CLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
    "WINCH", "IO", "POLL", "PWR", "SYS",
];

/// Whether a node will know the signal: `USR1`, `SIGUSR1`, `10`, `RTMIN+3`.
pub(super) fn check(text: &str) -> Result<(), String> {
    let upper = text.to_ascii_uppercase();
    let plain = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str, sign: char| {
        rest.is_empty() || rest.strip_prefix(sign).and_then(|n| n.parse::<u8>().ok()).is_some_and(|n| n <= 30)
    };
    let known = NAMES.contains(&plain)
        || text.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number))
        || plain.strip_prefix("RTMIN").is_some_and(|rest| offset(rest, '+'))
        || plain.strip_prefix("RTMAX").is_some_and(|rest| offset(rest, '-'));
    if known { Ok(()) } else { Err(format!("no such signal: {text:?}")) }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn signals_have_names_and_numbers() {
        for good in ["USR1", "sigterm", "10", "RTMIN", "SIGRTMIN+3", "RTMAX-30"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "0", "65", "USR3", "RTMIN-1", "RTMAX-31"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
