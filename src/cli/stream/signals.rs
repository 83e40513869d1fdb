//! Signals sent to this program.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// A signal's name, as Docker takes it, and its number.
pub type Signal = (&'static str, i32);

/// Signals that are passed on to a container. Those that stop or continue a job are the shell's business.
pub const PROXIED: [Signal; 8] =
    [("HUP", 1), ("INT", 2), ("QUIT", 3), ("USR1", 10), ("USR2", 12), ("ALRM", 14), ("TERM", 15), ("VTALRM", 26)];

/// Signals that would end this program without giving the terminal back.
pub const ENDING: [Signal; 4] = [("HUP", 1), ("INT", 2), ("QUIT", 3), ("TERM", 15)];

/// Catches signals from now on.
pub fn catch(signals: &'static [Signal]) -> std::io::Result<mpsc::UnboundedReceiver<Signal>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    for &(name, number) in signals {
        let mut stream = signal(SignalKind::from_raw(number))?;
        let sender = sender.clone();
        tokio::spawn(async move { while stream.recv().await.is_some() && sender.send((name, number)).is_ok() {} });
    }
    Ok(receiver)
}

/// Catches changes of the window's size from now on.
pub fn window() -> std::io::Result<tokio::signal::unix::Signal> {
    signal(SignalKind::window_change())
}
