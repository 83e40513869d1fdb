//! What contexts there are.

use serde_json::{Value, json};

use crate::cli::{
    args::context::{InspectArgs, LsArgs},
    contexts::{self, Choice, DEFAULT, Store},
    failure::Failure,
    format::{List, Row, inspect as rendered},
    printer::Printer,
};

const LIST: List<'_> = List {
    headings: &[
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("DockerEndpoint", "DOCKER ENDPOINT"),
        ("Error", "ERROR"),
        // No heading: the star behind the name says it.
        ("Current", ""),
    ],
    columns: "{{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}",
    quiet: "{{.Name}}",
    may_cut: &["Description"],
};

/// What the default context stands for now.
fn default_host(choice: &Choice) -> String {
    choice
        .host
        .clone()
        .or_else(|| contexts::env("HOIST_HOST"))
        .or_else(|| contexts::env("DOCKER_HOST"))
        .unwrap_or_else(|| "unix:///run/hoist/hoist.sock".to_owned())
}

pub fn list(args: LsArgs, choice: &Choice, store: &Store, printer: Printer) -> Result<(), Failure> {
    let current = contexts::current(choice, store)?;
    let row = |name: &str, description: &str, host: String| {
        Row::new()
            .set("Current", Value::Bool(name == current))
            .set("Description", description)
            .set("DockerEndpoint", host)
            .set("Error", "")
            .set("Name", name)
    };
    let mut rows = vec![row(DEFAULT, "The environment's daemon, or this machine's", default_host(choice))];
    for meta in store.list()? {
        rows.push(row(&meta.name, &meta.metadata.description, meta.docker().host));
    }
    LIST.print(printer, args.format.format.as_deref(), args.quiet, false, rows)
}

pub fn inspect(args: InspectArgs, choice: &Choice, store: &Store, printer: Printer) -> Result<(), Failure> {
    let names = if args.names.is_empty() { vec![contexts::current(choice, store)?] } else { args.names };
    let mut objects = Vec::new();
    for name in names {
        if name == DEFAULT {
            objects.push(json!({
                "Name": DEFAULT,
                "Metadata": {},
                "Endpoints": {"docker": {"Host": default_host(choice), "SkipTLSVerify": false}},
                "TLSMaterial": {},
                "Storage": {"MetadataPath": "<IN MEMORY>", "TLSPath": "<IN MEMORY>"},
            }));
            continue;
        }
        let meta = store.get(&name)?;
        let tls = store.tls(&name);
        let material = if tls.is_some() { json!({"docker": ["ca.pem", "cert.pem", "key.pem"]}) } else { json!({}) };
        let mut object = serde_json::to_value(&meta)?;
        object["TLSMaterial"] = material;
        object["Storage"] = store.places(&name);
        objects.push(object);
    }
    printer.text(rendered::render(args.format.as_deref(), objects)?)
}
