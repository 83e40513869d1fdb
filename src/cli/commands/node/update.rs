//! `hoist node update`

use serde_json::json;

use super::change;
use crate::cli::{Context, Exit, Outcome, args::node::UpdateArgs, failure::Failure};

/// Changes a node.
pub async fn run(cx: &Context, args: UpdateArgs) -> Outcome {
    change(cx, &args.node, |spec| {
        if let Some(word) = &args.availability {
            spec["Availability"] = word.as_str().into();
        }
        if let Some(role) = &args.role {
            spec["Role"] = role.as_str().into();
        }
        if spec["Labels"].is_null() {
            spec["Labels"] = json!({});
        }
        for label in &args.label_add {
            let (key, value) = label.split_once('=').unwrap_or((label, ""));
            spec["Labels"][key] = value.into();
        }
        for key in &args.label_rm {
            if spec["Labels"].as_object_mut().and_then(|labels| labels.shift_remove(key)).is_none() {
                return Err(Failure::new(format!("key {key} doesn't exist in node's labels")));
            }
        }
        Ok(())
    })
    .await?;
    cx.printer.line(&args.node)?;
    Ok(Exit::OK)
}
