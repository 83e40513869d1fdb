//! `hoist job show`

use hoist_proto::{
    clock::Timestamp,
    spec::{Job, JobState},
    unit,
};

use super::{
    called,
    ls::{HEADINGS, row, wants},
};
use crate::cli::{Context, Exit, Outcome, args::job::ShowArgs, failure::Failure, format::List};

const LIST: List<'_> = List { headings: HEADINGS, columns: "{{.Job}}", quiet: "{{.Job}}", may_cut: &[] };

/// Shows jobs for a person, or as `--format` says.
pub async fn run(cx: &Context, args: ShowArgs) -> Outcome {
    let mut jobs = Vec::new();
    for name in &args.jobs {
        jobs.extend(called(cx, name).await?);
    }
    match args.format.as_deref() {
        Some("json") => cx.printer.line(serde_json::to_string_pretty(&jobs).map_err(|e| Failure::from_error(&e))?)?,
        Some(format) => {
            let rows = jobs.iter().map(|job| row(job, Timestamp::now())).collect();
            LIST.print(cx.printer, Some(format), false, true, rows)?;
        }
        None => {
            let texts: Vec<String> = jobs.iter().map(text).collect();
            cx.printer.text(texts.join("\n"))?;
        }
    }
    Ok(Exit::OK)
}

fn text(job: &Job) -> String {
    let status = &job.status;
    let mut lines: Vec<(&str, String)> = vec![
        ("Job", format!("{} {}", job.label(), job.spec.name)),
        ("State", status.state.to_string()),
        ("User", job.user.clone()),
    ];
    let mut optional = |name, text: Option<String>| lines.extend(text.filter(|t| !t.is_empty()).map(|t| (name, t)));
    optional("Reason", Some(status.reason.clone()));
    optional("Project", job.spec.project.clone());
    optional("Partition", job.spec.partition.clone());
    optional("Priority", Some(job.spec.priority.to_string()));
    optional("Image", Some(job.spec.container.image.clone()));
    optional("Command", job.spec.container.command.as_ref().map(|words| words.join(" ")));
    optional("Tasks", Some(job.spec.tasks.to_string()));
    optional("Each has", Some(wants(job)));
    optional("Time limit", job.spec.time_limit.map(unit::format_duration));
    optional(
        "Warning",
        job.spec.warning.as_ref().map(|one| format!("{} {} before", one.signal, unit::format_duration(one.before))),
    );
    let place = job
        .spec
        .checkpoint
        .as_ref()
        .map(|wish| wish.dir.as_ref().map_or("on its node".into(), |dir| format!("in {dir}")));
    let said = Some(&status.checkpoint_said).filter(|said| !said.is_empty());
    optional("Checkpoint", place.map(|place| said.map_or(place.clone(), |said| format!("{place}: {said}"))));
    optional("Submitted", Some(job.meta.created.to_string()));
    optional("Expected", status.expected.filter(|_| status.state == JobState::Pending).map(|at| at.to_string()));
    optional("Started", status.started.map(|at| at.to_string()));
    optional(
        "Ends by",
        hoist_manager::control::ends_by(job).filter(|_| !status.state.is_final()).map(|at| at.to_string()),
    );
    optional("Ended", status.ended.map(|at| at.to_string()));
    optional("Exit code", status.exit_code.map(|code| code.to_string()));
    let used = &status.used;
    optional("Devices idle", used.idle_percent().map(|percent| format!("{percent:.1} %")));
    let energy = (used.energy_millijoules > 0).then(|| format!("{:.4} kWh", used.energy_millijoules as f64 / 3.6e9));
    optional("Energy", energy);
    optional("Attempts", Some(status.attempts.to_string()));
    let nodes: Vec<&str> = status.nodes.iter().map(|node| node.short()).collect();
    optional("Nodes", Some(nodes.join(" ")));
    lines.into_iter().map(|(name, text)| format!("{:<12}{text}\n", format!("{name}:"))).collect()
}
