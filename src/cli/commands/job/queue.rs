//! `hoist queue`

use std::io::Read as _;

use hoist_proto::{
    clock::Timestamp,
    spec::{Job, JobState, QueueSpec},
    unit,
};

use super::ls::{HEADINGS, row, wants, whole_seconds};
use crate::cli::{
    Context, Exit, Outcome,
    args::job::{QueueArgs, QueueCommand},
    failure::Failure,
    format::List,
};

const LIST: List<'_> = List {
    headings: HEADINGS,
    columns: "{{.Job}}\t{{.Name}}\t{{.User}}\t{{.Priority}}\t{{.Tasks}}\t{{.Wants}}\t{{.Waits}}\t{{.Starts}}\t{{.Reason}}",
    quiet: "{{.Job}}",
    may_cut: &["Reason", "Name", "Wants"],
};

/// Shows who waits, or the rules.
pub async fn queue(cx: &Context, args: QueueArgs) -> Outcome {
    match args.command {
        Some(QueueCommand::Rules { file: None }) => {
            let rules: QueueSpec = cx.client.get("/hoist/v1/queue").read().await?;
            let text = serde_yaml::to_string(&rules).map_err(|error| Failure::from_error(&error))?;
            cx.printer.text(text)?;
            Ok(Exit::OK)
        }
        Some(QueueCommand::Rules { file: Some(path) }) => {
            let text = if path.as_os_str() == "-" {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text)?;
                text
            } else {
                fs_err::read_to_string(&path)?
            };
            let rules: QueueSpec =
                serde_yaml::from_str(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
            cx.client.put("/hoist/v1/queue").json(&rules)?.done().await?;
            Ok(Exit::OK)
        }
        None => list(cx, args.format.format.as_deref()).await,
    }
}

async fn list(cx: &Context, format: Option<&str>) -> Outcome {
    let jobs: Vec<Job> = cx.client.get("/hoist/v1/jobs").read().await?;
    let now = Timestamp::now();
    let mut waiting: Vec<&Job> = jobs.iter().filter(|job| job.status.state == JobState::Pending).collect();
    // In the order in which they start, as far as that is known.
    waiting.sort_by_key(|job| {
        let expected = job.status.expected;
        (expected.is_none(), expected, std::cmp::Reverse(job.spec.priority), job.meta.created, job.number)
    });
    let rows = waiting
        .into_iter()
        .map(|job| {
            let starts = job.status.expected.map(|at| match whole_seconds(at.duration_since(now)) {
                span if span.is_zero() => "now".to_owned(),
                span => format!("in {}", unit::format_duration(span)),
            });
            row(job, now)
                .set("Wants", wants(job))
                .set("Waits", unit::format_duration(whole_seconds(now.duration_since(job.meta.created))))
                .set("Starts", starts.unwrap_or_default())
        })
        .collect();
    LIST.print(cx.printer, format, false, false, rows)?;
    Ok(Exit::OK)
}
