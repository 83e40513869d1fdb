//! Pulls, pushes, loads: the messages of Docker's progress streams as lines.

use serde::Deserialize;

use super::{Board, Mode, Step};
use crate::cli::{client::JsonLines, failure::Failure, printer::Printer};

/// One message of a progress stream (`JSONMessage`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Message {
    pub stream: Option<String>,
    pub status: Option<String>,
    pub id: Option<String>,
    #[serde(rename = "progressDetail")]
    pub detail: Option<Detail>,
    pub error: Option<String>,
    #[serde(rename = "errorDetail")]
    pub error_detail: Option<ErrorDetail>,
    pub aux: Option<serde_json::Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Detail {
    pub current: u64,
    pub total: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ErrorDetail {
    pub code: Option<i64>,
    pub message: String,
}

/// Shows a transfer.
#[derive(Debug)]
pub struct Transfer {
    board: Board,
    closing: Vec<String>,
}

impl Transfer {
    pub fn new(printer: Printer, mode: Mode, title: &str) -> Self {
        Self { board: Board::new(printer, mode, title), closing: Vec::new() }
    }

    /// Shows one message.
    ///
    /// # Errors
    /// The message's own error: the transfer has failed.
    pub fn message(&mut self, message: Message) -> Result<(), Failure> {
        if let Some(error) = message.error_detail.map(|detail| detail.message).or(message.error) {
            self.board.finish();
            let mut failure = Failure::new(error);
            if failure.message.contains("not found") {
                failure.status = Some(404);
            }
            return Err(failure);
        }
        if let Some(text) = message.stream {
            let text = text.trim_end();
            if !text.is_empty() {
                self.board.say(text);
            }
        }
        let Some(status) = message.status else { return Ok(()) };
        match message.id {
            Some(id) if !status.starts_with("Pulling from ") => {
                let step = step(&status);
                let bar = message.detail.filter(|detail| detail.total > 0 || detail.current > 0);
                self.board.set(&id, &id, &status, step, bar.map(|detail| (detail.current, detail.total)));
            }
            Some(id) => self.board.say(&format!("{id}: {status}")),
            None if status.starts_with("Digest: ") || status.starts_with("Status: ") => self.closing.push(status),
            None => self.board.say(&status),
        }
        Ok(())
    }

    /// All is transferred.
    pub fn finish(&mut self) {
        self.board.finish();
        for line in std::mem::take(&mut self.closing) {
            self.board.say(&line);
        }
    }

    /// Shows a whole stream; `aux` is told what is meant for programs.
    pub async fn show(&mut self, mut lines: JsonLines, mut aux: impl FnMut(serde_json::Value)) -> Result<(), Failure> {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(100));
        loop {
            tokio::select! {
                message = lines.next::<Message>() => match message? {
                    Some(mut message) => {
                        if let Some(value) = message.aux.take() {
                            aux(value);
                        }
                        self.message(message)?;
                    }
                    None => break,
                },
                _ = ticks.tick() => self.board.tick(),
            }
        }
        self.finish();
        Ok(())
    }
}

fn step(status: &str) -> Step {
    match status {
        "Pull complete" | "Already exists" | "Pushed" | "Layer already exists" | "Mounted from" | "Loaded" => {
            Step::Done
        }
        status if status.starts_with("Mounted from") => Step::Done,
        status if status.starts_with("Skipped") => Step::Warned,
        _ => Step::Working,
    }
}
