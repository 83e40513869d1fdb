//! Several builds side by side, each as soon as those are done that it builds on. The daemon runs a step that they have
//! in common once.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream::FuturesUnordered};
use hoist_build::BuildResult;

use super::{Job, perform, prepare, view::Views};
use crate::cli::{Context, args::build::Progress, failure::Failure};

/// One of several builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    /// Those that must be done before it, each of them in front of it in the list.
    pub needs: Vec<String>,
}

/// What came of several builds.
#[derive(Debug, Default)]
pub struct Several {
    /// By name; none for those that were only checked.
    pub results: BTreeMap<String, BuildResult>,
    /// The checks of one of them found something.
    pub found: bool,
}

/// Carries out several builds; `kind` is what people call one of them, `job` makes it of its name and of the results so
/// far.
///
/// # Errors
/// The first failure, with the build's name; it ends the others.
pub async fn several(
    cx: &Context,
    (kind, parts): (&str, &[Part]),
    (progress, check): (Progress, bool),
    mut job: impl FnMut(&str, &BTreeMap<String, BuildResult>) -> Result<Job, Failure>,
) -> Result<Several, Failure> {
    let views = Views::new(cx.printer, progress);
    let alone = parts.len() == 1;
    // One context after the other: most are the same directory, which is then sent once.
    let sending = tokio::sync::Mutex::new(());
    let mut waiting: Vec<&Part> = parts.iter().collect();
    let mut running = FuturesUnordered::new();
    let mut done: Vec<String> = Vec::new();
    let mut several = Several::default();
    loop {
        let free = |part: &&Part| part.needs.iter().all(|need| done.contains(need));
        let (ready, rest): (Vec<&Part>, Vec<&Part>) = waiting.into_iter().partition(free);
        waiting = rest;
        for part in ready {
            let name = part.name.clone();
            let mine = job(&name, &several.results)?;
            let mut view = views.view((!alone).then_some(name.as_str()));
            let sending = &sending;
            running.push(async move {
                view.say(&format!(" {kind} {name}  Building"));
                let built = async {
                    let ready = {
                        let _turn = sending.lock().await;
                        prepare(cx, mine, &mut view).await?
                    };
                    perform(cx, ready, &mut view).await
                };
                match built.await {
                    Ok(result) => {
                        view.say(&format!(" {kind} {name}  {}", if check { "Checked" } else { "Built" }));
                        Ok((name, result, view.found_something()))
                    }
                    Err(failure) => {
                        let message = format!("{} {name}: {}", kind.to_lowercase(), failure.message);
                        Err(Failure { message, ..failure })
                    }
                }
            });
        }
        // Who waits for somebody that never comes is not in the plan: the callers put everybody behind what he needs.
        let Some(ended) = running.next().await else { break };
        let (name, result, found) = ended?;
        several.found |= found;
        several.results.extend(result.map(|result| (name.clone(), result)));
        done.push(name);
    }
    views.finish();
    Ok(several)
}
