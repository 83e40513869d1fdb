//! The words of Docker's classic builder, one step after the other, though steps run side by side.

use hoist_build::{
    BuildError, BuildEvent, StepId, Stream,
    dockerfile::{Dockerfile, Plan},
};
use serde_json::{Value, json};

#[derive(Debug, Default)]
struct Step {
    source: String,
    line: u32,
    /// The builder's step, for those that do something.
    id: Option<StepId>,
    announced: bool,
    cached: bool,
    over: bool,
    /// What came before its turn.
    output: Vec<Value>,
}

/// Tells a build as if its steps ran in the order of the file.
#[derive(Debug)]
pub struct Classic {
    steps: Vec<Step>,
    at: usize,
    quiet: bool,
}

impl Classic {
    /// The steps are those of the stages that the plan needs, and the `ARG`s in front of them.
    pub fn new(file: &Dockerfile, plan: &Plan, quiet: bool) -> Self {
        let needed = |index: usize| {
            let stage = plan.stages.iter().position(|stage| stage.from == index || stage.body.contains(&index));
            stage.is_none_or(|stage| plan.order.contains(&stage))
        };
        let steps = file.instructions.iter().enumerate().filter(|(index, _)| needed(*index)).map(|(_, instruction)| {
            Step { source: instruction.source.clone(), line: instruction.span.start.line, ..Step::default() }
        });
        Self { steps: steps.collect(), at: 0, quiet }
    }

    fn of(&mut self, id: StepId) -> Option<&mut Step> {
        self.steps.iter_mut().find(|step| step.id == Some(id))
    }

    /// What there is to say after an event.
    pub fn event(&mut self, event: BuildEvent) -> Vec<Value> {
        match event {
            BuildEvent::Planned(info) => {
                let line = info.span.map(|span| span.start.line);
                if let Some(step) = self.steps.iter_mut().find(|step| Some(step.line) == line && step.id.is_none()) {
                    step.id = Some(info.id);
                }
                return Vec::new();
            }
            BuildEvent::Cached { step } => {
                if let Some(step) = self.of(step) {
                    (step.cached, step.over) = (true, true);
                }
            }
            BuildEvent::Done { step } | BuildEvent::Failed { step, .. } | BuildEvent::Canceled { step } => {
                if let Some(step) = self.of(step) {
                    step.over = true;
                }
            }
            BuildEvent::Output { step, stream, line } => {
                if let Some(step) = self.of(step) {
                    let line = match stream {
                        Stream::Stdout => format!("{line}\n"),
                        // Docker shows it in red.
                        Stream::Stderr => format!("\u{1b}[91m{line}\n\u{1b}[0m"),
                    };
                    step.output.push(json!({ "stream": line }));
                }
            }
            BuildEvent::Progress { step, part, current, total } => {
                if let Some(step) = self.of(step) {
                    let detail = json!({ "current": current, "total": total.unwrap_or_default() });
                    step.output.push(json!({ "status": "Downloading", "progressDetail": detail, "id": part }));
                }
            }
            BuildEvent::Warning { message, .. } => {
                let line = json!({ "stream": format!("[Warning] {message}\n") });
                if let Some(step) = self.steps.get_mut(self.at) {
                    step.output.push(line);
                }
            }
            BuildEvent::Started { .. } => {}
        }
        self.go_on(false)
    }

    /// Says all that has its turn; at the end, everything.
    fn go_on(&mut self, to_the_end: bool) -> Vec<Value> {
        let mut said = Vec::new();
        let count = self.steps.len();
        // Before the plan is known, no step can be told from those that do nothing.
        if !to_the_end && self.steps.iter().all(|step| step.id.is_none()) {
            return said;
        }
        while let Some(step) = self.steps.get_mut(self.at) {
            if !step.announced {
                step.announced = true;
                said.push(json!({ "stream": format!("Step {}/{count} : {}", self.at + 1, step.source) }));
                said.push(json!({ "stream": "\n" }));
            }
            said.append(&mut step.output);
            if !to_the_end && step.id.is_some() && !step.over {
                break;
            }
            if step.cached {
                said.push(json!({ "stream": " ---> Using cache\n" }));
            }
            self.at += 1;
        }
        if self.quiet { Vec::new() } else { said }
    }

    /// The end of a build that made an image.
    pub fn succeeded(&mut self, image: &str, tags: &[String]) -> Vec<Value> {
        let mut said = self.go_on(true);
        let short: String = image.trim_start_matches("sha256:").chars().take(12).collect();
        said.push(json!({ "aux": { "ID": image } }));
        if self.quiet {
            said.push(json!({ "stream": format!("{image}\n") }));
            return said;
        }
        said.push(json!({ "stream": format!(" ---> {short}\n") }));
        said.push(json!({ "stream": format!("Successfully built {short}\n") }));
        for tag in tags {
            let whole = hoist_image::Reference::parse(tag).map(|tag| tag.with_default_tag().familiar());
            let tag = whole.unwrap_or_else(|_| tag.clone());
            said.push(json!({ "stream": format!("Successfully tagged {tag}\n") }));
        }
        said
    }

    /// The end of a build that failed.
    pub fn failed(&mut self, error: &BuildError) -> Vec<Value> {
        let mut said = self.go_on(false);
        let (code, message) = super::words(error);
        let detail = match code {
            Some(code) => json!({ "code": code, "message": message }),
            None => json!({ "message": message }),
        };
        said.push(json!({ "errorDetail": detail, "error": message }));
        said
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hoist_build::{
        StepInfo,
        dockerfile::{GlobalScope, Platform, Pos, Span, parse},
    };

    use super::*;

    fn text(values: &[Value]) -> String {
        values.iter().filter_map(|value| value["stream"].as_str()).collect()
    }

    #[test]
    fn steps_come_in_the_files_order() {
        let file = parse("Dockerfile", b"FROM a AS x\nRUN 1\nFROM b AS unused\nFROM c\nENV A=b\nRUN 2\n").unwrap();
        let local = Platform::local();
        let global = GlobalScope::new(&file, &BTreeMap::new(), &local, &local).unwrap();
        let mut plan = Plan::new(&file, &global, [], None).unwrap();
        plan.order = vec![0, 2];
        let mut classic = Classic::new(&file, &plan, false);
        let planned = |id, line| {
            let at = Pos { line, column: 1 };
            let span = Some(Span { start: at, end: at });
            BuildEvent::Planned(StepInfo { id: StepId(id), name: String::new(), stage: None, span, inputs: Vec::new() })
        };
        // A base image is fetched before there is a plan.
        assert!(classic.event(BuildEvent::Started { step: StepId(0) }).is_empty());
        for event in [planned(1, 1), planned(2, 2), planned(3, 4), planned(4, 6)] {
            assert!(classic.event(event).is_empty());
        }
        let output =
            |id, line: &str| BuildEvent::Output { step: StepId(id), stream: Stream::Stdout, line: line.into() };
        assert_eq!(text(&classic.event(output(4, "two"))), "Step 1/5 : FROM a AS x\n");
        assert_eq!(text(&classic.event(BuildEvent::Cached { step: StepId(2) })), "");
        assert_eq!(text(&classic.event(BuildEvent::Done { step: StepId(3) })), "");
        let said = text(&classic.event(BuildEvent::Done { step: StepId(1) }));
        assert_eq!(
            said,
            "Step 2/5 : RUN 1\n ---> Using cache\nStep 3/5 : FROM c\nStep 4/5 : ENV A=b\nStep 5/5 : RUN 2\ntwo\n"
        );
        classic.event(BuildEvent::Done { step: StepId(4) });
        let said = text(&classic.succeeded("sha256:0123456789abcdef", &["x/y".into()]));
        assert_eq!(said, " ---> 0123456789ab\nSuccessfully built 0123456789ab\nSuccessfully tagged x/y:latest\n");
    }
}
