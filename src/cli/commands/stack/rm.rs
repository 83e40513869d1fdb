//! `hoist stack rm`

use hoist_proto::spec::{DownOptions, ProjectEvent};
use serde_json::Value;

use super::{label, nothing_in, project_args, services_of};
use crate::cli::{
    Context, Exit, Outcome,
    args::stack::RmArgs,
    client::{filters, path_segment},
    commands::compose,
    failure::Failure,
};

/// Removes stacks.
pub async fn run(cx: &Context, args: RmArgs) -> Outcome {
    let mut exit = Exit::OK;
    for stack in &args.stacks {
        if let Err(failure) = remove(cx, stack, args.detach).await {
            cx.printer.failure(&failure);
            exit = Exit::FAILED;
        }
    }
    Ok(exit)
}

async fn remove(cx: &Context, stack: &str, detach: bool) -> Result<(), Failure> {
    let project = cx.client.get(format!("/hoist/v1/projects/{}", path_segment(stack))).read::<Value>().await;
    let found = project.is_ok();
    if found {
        down(cx, stack, detach).await?;
    }
    // What other clients have made with the stack's label.
    let mut removed = 0;
    for service in services_of(cx, stack).await? {
        removed += 1;
        cx.printer.line(format!("Removing service {}", service.spec.name))?;
        cx.client.delete(format!("/services/{}", service.id)).done().await?;
    }
    for (kind, path) in [("secret", "/secrets"), ("config", "/configs"), ("network", "/networks")] {
        let all: Vec<Value> = cx.client.get(path).query_opt("filters", filters(&[label(stack)])?).read().await?;
        for one in all {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (id, name) = match kind {
                "network" => (text(&one["Id"]), text(&one["Name"])),
                _ => (text(&one["ID"]), text(&one["Spec"]["Name"])),
            };
            removed += 1;
            cx.printer.line(format!("Removing {kind} {name}"))?;
            cx.client.delete(format!("{path}/{id}")).done().await?;
        }
    }
    if found || removed > 0 { Ok(()) } else { Err(nothing_in(stack)) }
}

async fn down(cx: &Context, stack: &str, detach: bool) -> Result<(), Failure> {
    let options = DownOptions::default();
    if !detach {
        return compose::follow_down(cx, &project_args(&[], Some(stack), false), stack, &options).await;
    }
    for service in services_of(cx, stack).await? {
        cx.printer.line(format!("Removing service {}", service.spec.name))?;
    }
    let path = format!("/hoist/v1/projects/{}/down", path_segment(stack));
    let mut lines = cx.client.post(path).json(&options)?.lines().await?;
    // The first word of it says that it is under way, or that it cannot be.
    match lines.next::<ProjectEvent>().await? {
        Some(ProjectEvent::Error { message, exit_code }) => {
            Err(Failure::new(message).code(u8::try_from(exit_code).unwrap_or(1)))
        }
        _ => Ok(()),
    }
}
