//! The same for several objects, at once; each failure is said, none stops the others.

use std::future::Future;

use futures_util::{StreamExt, stream};

use crate::cli::{Context, Exit, Outcome, failure::Failure};

/// How many are under way at a time.
const AT_ONCE: usize = 50;

/// Does it for every name; prints what it returns, in the order of the names.
pub async fn each<'a, F>(cx: &Context, names: &'a [String], act: impl Fn(&'a str) -> F) -> Outcome
where
    F: Future<Output = Result<String, Failure>>,
{
    let mut exit = Exit::OK;
    let mut results = stream::iter(names.iter().map(|name| act(name))).buffered(AT_ONCE);
    while let Some(result) = results.next().await {
        match result {
            Ok(text) if text.is_empty() => {}
            Ok(text) => cx.printer.line(text)?,
            Err(failure) if failure.is_quiet() => return Err(failure),
            Err(failure) => {
                cx.printer.failure(&failure);
                exit = Exit::FAILED;
            }
        }
    }
    Ok(exit)
}

/// Asks for JSON by name, one after the other; failures are said, what was found is returned.
pub async fn gather<'a, F>(
    cx: &Context,
    names: &'a [String],
    ask: impl Fn(&'a str) -> F,
) -> (Vec<serde_json::Value>, Vec<Failure>)
where
    F: Future<Output = Result<serde_json::Value, Failure>>,
{
    let _ = cx;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        match ask(name).await {
            Ok(value) => found.push(value),
            Err(failure) => failures.push(failure),
        }
    }
    (found, failures)
}

/// Prints inspected objects, then what was not found.
pub fn inspected(cx: &Context, format: Option<&str>, found: Vec<serde_json::Value>, failures: &[Failure]) -> Outcome {
    if !found.is_empty() || format.is_none() {
        cx.printer.text(crate::cli::format::inspect::render(format, found)?)?;
    }
    for failure in failures {
        cx.printer.failure(failure);
    }
    Ok(if failures.is_empty() { Exit::OK } else { Exit::FAILED })
}
