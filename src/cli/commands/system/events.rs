//! `hoist events`

use serde_json::Value;

use crate::cli::{
    Context, Exit, Outcome,
    args::system::EventsArgs,
    client::filters,
    format::{Template, list::unescape, template, time},
};

/// Shows what happens, until `--until` or the end of the daemon.
pub async fn run(cx: &Context, args: EventsArgs) -> Outcome {
    let template = match args.format.as_deref() {
        None | Some("" | "json") => None,
        Some(format) => Some(Template::parse(&unescape(format))?),
    };
    let json = args.format.as_deref() == Some("json");
    let since = args.since.as_deref().map(|text| time::parse("since", text)).transpose()?;
    let until = args.until.as_deref().map(|text| time::parse("until", text)).transpose()?;
    let mut lines = cx
        .client
        .get("/events")
        .query_opt("since", since)
        .query_opt("until", until)
        .query_opt("filters", filters(&args.filters)?)
        .lines()
        .await?;
    while let Some(event) = lines.next::<Value>().await? {
        cx.printer.line(match &template {
            Some(template) => template.render(&template::Value::from(event))?,
            None if json => event.to_string(),
            None => line(&event),
        })?;
    }
    Ok(Exit::OK)
}

/// `2026-01-02T… container start 0123… (image=busybox, name=web)`
fn line(event: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let nanos = event["timeNano"]
        .as_i64()
        .or_else(|| event["time"].as_i64().map(|seconds| seconds.saturating_mul(1_000_000_000)))
        .unwrap_or(0);
    let mut attributes: Vec<String> = event["Actor"]["Attributes"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect();
    attributes.sort();
    let mut out = format!("{} {} {}", time::precise(nanos), text(&event["Type"]), text(&event["Action"]));
    let id = text(&event["Actor"]["ID"]);
    if !id.is_empty() {
        out.push_str(&format!(" {id}"));
    }
    if !attributes.is_empty() {
        out.push_str(&format!(" ({})", attributes.join(", ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_happened_to_what() {
        let event = serde_json::json!({"Type": "container", "Action": "start", "timeNano": 0,
            "Actor": {"ID": "0123", "Attributes": {"name": "web", "image": "busybox"}}});
        assert!(line(&event).ends_with(" container start 0123 (image=busybox, name=web)"), "{}", line(&event));
    }
}
