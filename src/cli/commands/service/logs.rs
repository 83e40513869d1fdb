//! `hoist service logs`

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use super::{hint, node_names, path};
use crate::{
    api::dto::{service as dto, task::Task},
    cli::{
        Context, Exit, Outcome,
        args::service::LogsArgs,
        client::{ClientError, path_segment},
        failure::Failure,
        format::time,
        stream::{Arrival, Wire},
    },
};

/// Shows what the tasks of a service wrote, or one task.
pub async fn run(cx: &Context, args: LogsArgs) -> Outcome {
    if args.tail != "all" && args.tail.parse::<i64>().is_err() {
        return Err(Failure::new(format!("invalid value {:?} for --tail: expected a number or all", args.tail)));
    }
    let since = args.since.as_deref().map(|text| time::parse("since", text)).transpose()?;
    let (base, tty, service) = target(cx, &args.name).await?;
    let names = Names::load(cx, &service, &args).await;
    let response = cx
        .client
        .get(format!("{base}/logs"))
        .flag("stdout", true)
        .flag("stderr", true)
        .flag("follow", args.follow)
        .flag("timestamps", args.timestamps)
        // Which task a line is of is among the details.
        .flag("details", !args.raw || args.details)
        .query("tail", if args.tail.starts_with('-') { "all" } else { &args.tail })
        .query_opt("since", since)
        .send()
        .await?;
    let wire = Wire::Container { id: String::new(), multiplexed: !tty };
    let mut body = response.into_body();
    let mut buffer = BytesMut::new();
    let mut width = 0;
    while let Some(frame) = body.frame().await {
        let data: Bytes = frame.map_err(ClientError::Broken)?.into_data().unwrap_or_default();
        buffer.extend_from_slice(&data);
        if args.raw || tty {
            wire.pass_on(&mut buffer, cx.printer)?;
            continue;
        }
        while let Some(arrival) =
            wire.take(&mut buffer).map_err(|_| Failure::new("what the daemon sends is garbled"))?
        {
            let (line, err) = match &arrival {
                Arrival::Stdout(line) => (line, false),
                Arrival::Stderr(line) => (line, true),
                Arrival::Event(_) => continue,
            };
            let shown = names.show(line, &args, &mut width);
            if err { cx.printer.raw_err(&shown)? } else { cx.printer.raw(&shown)? }
        }
    }
    Ok(Exit::OK)
}

/// The path of what is named, whether it has a terminal, and the service.
async fn target(cx: &Context, name: &str) -> Result<(String, bool, dto::Service), Failure> {
    let tty = |spec: &dto::TaskSpec| spec.container_spec.as_ref().is_some_and(|container| container.tty);
    let failure = match cx.client.get(path(name)).read::<dto::Service>().await {
        Ok(service) => return Ok((path(&service.id), tty(&service.spec.task_template), service)),
        Err(err) => Failure::from(err),
    };
    if !failure.is_not_found() {
        return Err(failure);
    }
    let Ok(task) = cx.client.get(format!("/tasks/{}", path_segment(name))).read::<Task>().await else {
        return Err(hint(cx, failure, name).await);
    };
    let service = cx.client.get(path(&task.service_id)).read().await.unwrap_or_default();
    Ok((format!("/tasks/{}", task.id), tty(&task.spec), service))
}

/// Names of the service, of its tasks' places and of nodes.
struct Names {
    service: String,
    slots: BTreeMap<String, u32>,
    nodes: BTreeMap<String, String>,
}

impl Names {
    async fn load(cx: &Context, service: &dto::Service, args: &LogsArgs) -> Self {
        let nodes = if args.no_resolve { BTreeMap::new() } else { node_names(cx).await };
        let filter = super::only("service", &service.id);
        let tasks: Vec<Task> = cx.client.get("/tasks").query("filters", filter).read().await.unwrap_or_default();
        let slots = tasks.into_iter().map(|task| (task.id, task.slot)).collect();
        let service = if args.no_resolve { service.id.clone() } else { service.spec.name.clone() };
        Self { service, slots, nodes }
    }

    /// `web.1.id@node    | line`.
    fn show(&self, line: &[u8], args: &LogsArgs, width: &mut usize) -> Vec<u8> {
        let text = String::from_utf8_lossy(line);
        let (stamp, rest) = match args.timestamps {
            true => text.split_once(' ').unwrap_or(("", &text)),
            false => ("", &*text),
        };
        let (details, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let found: BTreeMap<&str, &str> = details.split(',').filter_map(|pair| pair.split_once('=')).collect();
        let get = |key: &str| found.get(key).copied().unwrap_or_default();
        let (task, node) = (get("com.docker.swarm.task.id"), get("com.docker.swarm.node.id"));
        let cut = |id: &str| if args.no_trunc { id.to_owned() } else { id.chars().take(12).collect() };
        let place = match self.slots.get(task) {
            Some(0) | None => cut(node),
            Some(slot) => slot.to_string(),
        };
        let mut name = format!("{}.{place}", self.service);
        if !args.no_task_ids {
            name.push_str(&format!(".{}", cut(task)));
        }
        name.push_str(&format!("@{}", self.nodes.get(node).cloned().unwrap_or_else(|| cut(node))));
        *width = (*width).max(name.chars().count());
        let mut out = if stamp.is_empty() { String::new() } else { format!("{stamp} ") };
        out.push_str(&format!("{name:<width$}    | ", width = *width));
        if args.details {
            let others: Vec<String> = found
                .iter()
                .filter(|(key, _)| !key.starts_with("com.docker.swarm."))
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            if !others.is_empty() {
                out.push_str(&format!("{} ", others.join(",")));
            }
        }
        out.push_str(rest);
        out.into_bytes()
    }
}
