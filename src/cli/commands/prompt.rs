//! Asking before something is removed.

use std::io::{self, BufRead, IsTerminal};

use crate::cli::{Context, failure::Failure};

/// Asks; `Ok(false)` is a no.
pub fn confirm(cx: &Context, question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new("this removes things, and nobody is there to be asked").hint("say yes with --force"));
    }
    cx.printer.raw_err(format!("{question}\nAre you sure you want to continue? [y/N] ").as_bytes())?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
