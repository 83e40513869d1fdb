//! `hoist device inspect`

use super::{list, names, split, text};
use crate::cli::{Context, Outcome, args::device::InspectArgs, commands::each::inspected, failure::Failure};

/// Shows all that is known of devices.
pub async fn run(cx: &Context, args: InspectArgs) -> Outcome {
    let listed = list(cx).await?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for wanted in &args.devices {
        let (kind, name) = split(wanted)?;
        match listed.devices.iter().find(|device| text(device, "Kind") == kind && names(device).contains(&name)) {
            Some(device) => found.push(device.clone()),
            None => failures.push(Failure::new(format!("no such device: {wanted}")).hint("hoist device ls shows all")),
        }
    }
    inspected(cx, args.format.as_deref(), found, &failures)
}
