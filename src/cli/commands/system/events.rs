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
            Some(template) => template.render(&template::Value::from(with_old_names(event)))?,
            None if json => event.to_string(),
            None => line(&event),
        })?;
    }
    Ok(Exit::OK)
}

/// An event with the names that templates have used since before there were types of events.
fn with_old_names(mut event: Value) -> Value {
    let of_type = |kinds: &[&str]| kinds.iter().any(|kind| event["Type"] == *kind);
    let (id, status, from) = match of_type(&["container", "image"]) {
        true => (event["Actor"]["ID"].clone(), event["Action"].clone(), event["Actor"]["Attributes"]["image"].clone()),
        false => (Value::Null, Value::Null, Value::Null),
    };
    if let Some(fields) = event.as_object_mut() {
        for (name, value) in [("id", id), ("status", status), ("from", from)] {
            fields.entry(name).or_insert(Value::String(value.as_str().unwrap_or_default().to_owned()));
        }
    }
    event
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
    fn old_names_are_there_for_templates() {
        let event = serde_json::json!({"Type": "container", "Action": "start", "timeNano": 5, "scope": "local",
            "Actor": {"ID": "0123", "Attributes": {"image": "busybox"}}});
        let template = Template::parse("{{.ID}} {{.Status}} {{.From}} {{.Scope}} {{.TimeNano}}").unwrap();
        let render = |event| template.render(&template::Value::from(with_old_names(event))).unwrap();
        assert_eq!(render(event), "0123 start busybox local 5");
        let event = serde_json::json!({"Type": "network", "Action": "connect", "timeNano": 5, "scope": "swarm",
            "Actor": {"ID": "0123", "Attributes": {}}});
        assert_eq!(render(event), "   swarm 5");
    }

    #[test]
    fn a_line_says_what_happened_to_what() {
        let event = serde_json::json!({"Type": "container", "Action": "start", "timeNano": 0,
            "Actor": {"ID": "0123", "Attributes": {"name": "web", "image": "busybox"}}});
        assert!(line(&event).ends_with(" container start 0123 (image=busybox, name=web)"), "{}", line(&event));
    }
}
