//! `hoist job ls`

use hoist_proto::{
    clock::Timestamp,
    spec::{Job, JobState},
    unit,
};

use crate::cli::{
    Context, Exit, Outcome,
    args::job::LsArgs,
    failure::Failure,
    format::{List, Row},
};

/// What templates see of a job, with the column's name.
pub const HEADINGS: &[(&str, &str)] = &[
    ("ID", "ID"),
    ("Job", "JOB"),
    ("Name", "NAME"),
    ("User", "USER"),
    ("Project", "PROJECT"),
    ("Partition", "PARTITION"),
    ("State", "STATE"),
    ("Priority", "PRIORITY"),
    ("Tasks", "TASKS"),
    ("Wants", "EACH TASK HAS"),
    ("Time", "TIME"),
    ("Image", "IMAGE"),
    ("Attempts", "ATTEMPTS"),
    ("ExitCode", "EXIT CODE"),
    ("Reason", "REASON"),
    ("Expected", "EXPECTED"),
    ("Labels", "LABELS"),
    ("Waits", "WAITS"),
    ("Starts", "EXPECTED"),
];

const LIST: List<'_> = List {
    headings: HEADINGS,
    columns: "{{.Job}}\t{{.Name}}\t{{.User}}\t{{.State}}\t{{.Priority}}\t{{.Tasks}}\t{{.Wants}}\t{{.Time}}\t{{.Reason}}",
    quiet: "{{.Job}}",
    may_cut: &["Reason", "Name", "Wants"],
};

/// Lists jobs.
pub async fn run(cx: &Context, args: LsArgs) -> Outcome {
    let jobs: Vec<Job> = cx.client.get("/hoist/v1/jobs").read().await?;
    let state = args.state.as_deref().map(state).transpose()?;
    let rows = jobs
        .iter()
        .filter(|job| args.all || state.is_some() || !job.status.state.is_final())
        .filter(|job| state.is_none_or(|state| job.status.state == state))
        .filter(|job| args.user.as_ref().is_none_or(|user| job.user == *user))
        .map(|job| row(job, Timestamp::now()))
        .collect();
    LIST.print(cx.printer, args.format.format.as_deref(), args.quiet, false, rows)?;
    Ok(Exit::OK)
}

fn state(text: &str) -> Result<JobState, Failure> {
    serde_json::from_value(text.replace([' ', '-'], "_").into()).map_err(|_| {
        Failure::usage(format!(
            "--state {text:?} is none of pending, running, completed, failed, cancelled and timed_out"
        ))
    })
}

/// A job as templates see it.
pub fn row(job: &Job, now: Timestamp) -> Row {
    let since = |from: Option<Timestamp>, to: Timestamp| {
        from.map(|from| unit::format_duration(whole_seconds(to.duration_since(from)))).unwrap_or_default()
    };
    let status = &job.status;
    let time = match status.state {
        JobState::Pending => String::new(),
        JobState::Running => since(status.started, now),
        _ => since(status.started, status.ended.unwrap_or(now)),
    };
    let state = match (status.state, &status.leaving) {
        (JobState::Running, Some(_)) => "ending".to_owned(),
        (JobState::Pending, _) if status.held => "held".to_owned(),
        (state, _) => state.to_string(),
    };
    Row::new()
        .set("ID", job.id.to_string())
        .set("Job", job.label())
        .set("Name", job.spec.name.clone())
        .set("User", job.user.clone())
        .set("Project", job.spec.project.clone().unwrap_or_default())
        .set("Partition", job.spec.partition.clone().unwrap_or_default())
        .set("State", state)
        .set("Priority", job.spec.priority.to_string())
        .set("Tasks", job.spec.tasks.to_string())
        .set("Wants", wants(job))
        .set("Time", time)
        .set("Image", job.spec.container.image.clone())
        .set("Attempts", status.attempts.to_string())
        .set("ExitCode", status.exit_code.map(|code| code.to_string()).unwrap_or_default())
        .set("Reason", status.reason.clone())
        .set("Expected", status.expected.map(|at| at.to_string()).unwrap_or_default())
        .labels(&job.spec.labels)
}

/// `2 gpu, 4 CPUs, 16GiB`.
pub fn wants(job: &Job) -> String {
    let each = &job.spec.each;
    let mut parts: Vec<String> = each.devices.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    parts.extend(each.requests.iter().map(|request| match request.count {
        Some(count) if count > 0 => format!("{count} {}", request.what()),
        _ => request.what(),
    }));
    if each.nano_cpus > 0 {
        parts.push(format!("{} CPUs", each.nano_cpus as f64 / 1e9));
    }
    if each.memory > 0 {
        parts.push(unit::format_bytes_binary(each.memory));
    }
    parts.join(", ")
}

/// A span without its fraction; none when the clock went back.
pub fn whole_seconds(span: jiff::SignedDuration) -> std::time::Duration {
    std::time::Duration::from_secs(u64::try_from(span.as_secs()).unwrap_or(0))
}
