//! `hoist lab ls`

use super::{machine, state::State};
use crate::cli::{
    args::lab::LsArgs,
    failure::Failure,
    format::{List, Row},
    printer::Printer,
};

const LIST: List<'_> = List {
    headings: &[
        ("Name", "NAME"),
        ("Role", "ROLE"),
        ("Address", "ADDRESS"),
        ("State", "STATE"),
        ("Context", "CONTEXT"),
        ("Faults", "FAULTS"),
    ],
    columns: "{{.Name}}\t{{.Role}}\t{{.Address}}\t{{.State}}\t{{.Context}}\t{{.Faults}}",
    quiet: "{{.Name}}",
    may_cut: &["Faults"],
};

pub fn list(args: &LsArgs, state: &State, printer: Printer) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for node in &state.record.nodes {
        let runs = machine::daemon(&state.place, &node.name)?.is_some();
        let deaf = |from: &str, to: &str| state.record.cuts.contains(&(from.to_owned(), to.to_owned()));
        let mut faults: Vec<String> = state
            .record
            .nodes
            .iter()
            .filter_map(|other| match (deaf(&other.name, &node.name), deaf(&node.name, &other.name)) {
                (true, true) => Some(format!("cut off from {}", other.name)),
                (true, false) => Some(format!("does not hear {}", other.name)),
                (false, true) => Some(format!("not heard by {}", other.name)),
                (false, false) => None,
            })
            .collect();
        if !node.slow.is_empty() {
            faults.push(format!("slow ({})", node.slow));
        }
        rows.push(
            Row::new()
                .set("Address", node.address.to_string())
                .set("Context", state.place.context(&node.name))
                .set("Faults", faults.join(", "))
                .set("Name", node.name.as_str())
                .set("Role", if node.manager { "manager" } else { "worker" })
                .set("State", if runs { "running" } else { "down" }),
        );
    }
    LIST.print(printer, args.format.format.as_deref(), args.quiet, false, rows)
}
