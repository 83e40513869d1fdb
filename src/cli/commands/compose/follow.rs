//! Shows what the daemon tells of a project's change, until it says how it ended.

use std::time::Duration;

use hoist_proto::spec::{ProjectEvent, ServiceReady};
use tokio::time::{MissedTickBehavior, interval};

use super::{args::ProjectArgs, output};
use crate::cli::{
    Context,
    client::{JsonLines, Request},
    failure::Failure,
    progress::{Board, Step},
};

/// How often times and spinners move.
pub const TICK: Duration = Duration::from_millis(100);

/// How many lines of a failed container are shown.
const LAST_WORDS: usize = 5;

/// How a change of a project ended well.
#[derive(Debug, Default)]
pub struct Ended {
    pub ready: Vec<ServiceReady>,
}

/// Sends a request whose answer is a stream of [`ProjectEvent`]s and shows them.
///
/// # Errors
/// What the stream says at its end, with the exit code that it gives.
pub async fn follow(
    context: &Context,
    args: &ProjectArgs,
    title: &'static str,
    request: Request<'_>,
) -> Result<Ended, Failure> {
    let mut lines = request.lines().await?;
    let mut board = Board::new(context.printer, args.progress.unwrap_or_default(), title);
    let mut pulls = Pulls::default();
    let mut suspect = None;
    let ended = watch(&mut lines, &mut board, &mut pulls, &mut suspect).await;
    board.finish();
    if let (Err(_), Some(suspect)) = (&ended, suspect) {
        for line in output::last_words(&context.client, &suspect.container_id, LAST_WORDS).await {
            context.printer.say(format!("{} | {line}", suspect.name));
        }
    }
    ended
}

/// A container that ended badly: its last words may tell why.
#[derive(Debug)]
struct Suspect {
    name: String,
    container_id: String,
}

async fn watch(
    lines: &mut JsonLines,
    board: &mut Board,
    pulls: &mut Pulls,
    suspect: &mut Option<Suspect>,
) -> Result<Ended, Failure> {
    let mut ended = Ended::default();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let event = tokio::select! {
            event = lines.next::<ProjectEvent>() => event?,
            _ = ticks.tick() => {
                board.tick();
                continue;
            }
        };
        match event {
            Some(ProjectEvent::Ready { services }) => ended.ready = services,
            Some(ProjectEvent::Done) => return Ok(ended),
            Some(ProjectEvent::Error { message, exit_code }) => {
                return Err(Failure::new(message).code(u8::try_from(exit_code).unwrap_or(1)));
            }
            Some(ProjectEvent::Warning { message }) => board.say(&format!("WARNING: {message}")),
            Some(event) => {
                if let ProjectEvent::Task { name, label, container_id: Some(id), exit_code, .. } = &event
                    && (label == "Error" || exit_code.is_some_and(|code| code != 0))
                {
                    *suspect = Some(Suspect { name: name.clone(), container_id: id.clone() });
                }
                show(board, pulls, event);
            }
            None => return Err(Failure::new("the daemon ended the stream before it said how it went")),
        }
    }
}

/// How much of each image has arrived, summed over its layers.
#[derive(Debug, Default)]
struct Pulls {
    layers: indexmap::IndexMap<(String, String), (u64, u64)>,
}

impl Pulls {
    fn note(&mut self, image: &str, layer: &str, current: u64, total: Option<u64>) -> (u64, u64) {
        let slot = self.layers.entry((image.to_owned(), layer.to_owned())).or_default();
        if let Some(total) = total {
            *slot = (current.min(total), total);
        }
        let of_image = self.layers.iter().filter(|((owner, _), _)| owner == image);
        of_image.fold((0, 0), |sum, (_, part)| (sum.0 + part.0, sum.1 + part.1))
    }
}

fn show(board: &mut Board, pulls: &mut Pulls, event: ProjectEvent) {
    match event {
        ProjectEvent::Pull { image, layer, phase, current, total } => {
            let thing = format!("Image {image}");
            match layer {
                Some(layer) => {
                    let downloading = phase.starts_with("Download");
                    let bar = pulls.note(&image, &layer, current, total.filter(|_| downloading));
                    board.set(&thing, &thing, "Pulling", Step::Working, Some(bar));
                }
                None if phase.starts_with("Pull complete") || phase.starts_with("Pulled") => {
                    board.set(&thing, &thing, "Pulled", Step::Done, None);
                }
                None if phase.starts_with("Error") => board.set(&thing, &thing, &phase, Step::Failed, None),
                None => board.set(&thing, &thing, "Pulling", Step::Working, None),
            }
        }
        ProjectEvent::Resource { resource, state, error } => {
            let step = match (&error, state.as_str()) {
                (Some(_), _) | (None, "Error") => Step::Failed,
                (None, state) if state.ends_with("ing") => Step::Working,
                (None, _) => Step::Done,
            };
            board.set(&resource, &resource, &with_reason(&state, error.as_deref()), step, None);
        }
        ProjectEvent::Task { name, label, error, .. } => {
            let step = match label.as_str() {
                "Error" => Step::Failed,
                "Running" => Step::Done,
                "Recreate" => Step::Working,
                label if label.ends_with("ing") => Step::Working,
                _ => Step::Done,
            };
            let thing = format!("Container {name}");
            board.set(&thing, &thing, &with_reason(&label, error.as_deref()), step, None);
        }
        ProjectEvent::Plan { .. }
        | ProjectEvent::Warning { .. }
        | ProjectEvent::Ready { .. }
        | ProjectEvent::Done
        | ProjectEvent::Error { .. } => {}
    }
}

fn with_reason(state: &str, error: Option<&str>) -> String {
    match error.and_then(|error| error.lines().next()) {
        Some(reason) => format!("{state}  {reason}"),
        None => state.to_owned(),
    }
}
