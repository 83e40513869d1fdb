//! `hoist job cron …`, and `hoist job submit --cron`

use std::collections::BTreeMap;

use hoist_proto::{
    clock::Timestamp,
    spec::{Cron, CronSpec, JobRequest},
    unit,
};

use super::ls::whole_seconds;
use crate::cli::{
    Context, Exit, Outcome,
    args::job::{CronCommand, CronLsArgs, JobFlags},
    client::path_segment,
    commands::each::each,
    failure::Failure,
    format::{List, Row},
};

const LIST: List<'_> = List {
    headings: &[
        ("Name", "NAME"),
        ("Schedule", "SCHEDULE"),
        ("Zone", "ZONE"),
        ("User", "USER"),
        ("State", "STATE"),
        ("Next", "NEXT"),
        ("Comes", "COMES"),
        ("Last", "LAST"),
        ("LastJob", "LAST JOB"),
        ("Missed", "MISSED"),
        ("Problem", "PROBLEM"),
    ],
    columns: "{{.Name}}\t{{.Schedule}}\t{{.Zone}}\t{{.User}}\t{{.State}}\t{{.Comes}}\t{{.LastJob}}\t{{.Missed}}\t{{.Problem}}",
    quiet: "{{.Name}}",
    may_cut: &["Problem"],
};

fn path(name: &str) -> String {
    format!("/hoist/v1/crons/{}", path_segment(name))
}

/// Sets one, and prints its name.
pub async fn add(cx: &Context, schedule: &str, flags: &JobFlags, request: JobRequest) -> Outcome {
    let own = jiff::tz::TimeZone::system().iana_name().unwrap_or("UTC").to_owned();
    let spec = CronSpec {
        schedule: schedule.to_owned(),
        zone: flags.zone.clone().unwrap_or(own),
        no_overlap: flags.no_overlap,
        catch_up: flags.catch_up,
        request,
    };
    let answer = cx.client.post("/hoist/v1/crons").json(&spec)?.read::<String>().await;
    cx.printer.line(answer.map_err(|error| Failure::from(error).code(Failure::USAGE))?)?;
    Ok(Exit::OK)
}

pub async fn run(cx: &Context, command: CronCommand) -> Outcome {
    match command {
        CronCommand::Ls(args) => ls(cx, args).await,
        CronCommand::Pause(args) => change(cx, &args.names, "pause").await,
        CronCommand::Resume(args) => change(cx, &args.names, "resume").await,
        CronCommand::Rm(args) => {
            each(cx, &args.names, |name| async move {
                cx.client.delete(path(name)).done().await?;
                Ok(name.to_owned())
            })
            .await
        }
    }
}

async fn change(cx: &Context, names: &[String], verb: &str) -> Outcome {
    each(cx, names, |name| async move {
        cx.client.post(format!("{}/{verb}", path(name))).done().await?;
        Ok(name.to_owned())
    })
    .await
}

async fn ls(cx: &Context, args: CronLsArgs) -> Outcome {
    let crons: BTreeMap<String, Cron> = cx.client.get("/hoist/v1/crons").read().await?;
    let now = Timestamp::now();
    let rows = crons.iter().map(|(name, cron)| row(name, cron, now)).collect();
    LIST.print(cx.printer, args.format.format.as_deref(), args.quiet, false, rows)?;
    Ok(Exit::OK)
}

fn row(name: &str, cron: &Cron, now: Timestamp) -> Row {
    let zone = if cron.spec.zone.is_empty() { "UTC" } else { &cron.spec.zone };
    let moment = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let comes = cron.next.map(|at| format!("in {}", unit::format_duration(whole_seconds(at.duration_since(now)))));
    Row::new()
        .set("Name", name)
        .set("Schedule", cron.spec.schedule.clone())
        .set("Zone", zone)
        .set("User", cron.user.clone())
        .set("State", if cron.paused { "paused" } else { "active" })
        .set("Next", moment(cron.next))
        .set("Comes", comes.unwrap_or_default())
        .set("Last", moment(cron.last))
        .set("LastJob", cron.last_job.map(|job| job.to_string()).unwrap_or_default())
        .set("Missed", cron.missed.to_string())
        .set("Problem", cron.problem.clone())
}
