//! What happens in a build, in the words that BuildKit's clients draw.

use std::collections::HashMap;

use hoist_build::{BuildEvent, StepId, Stream};
use hoist_proto::clock::Timestamp as Moment;
use sha2::{Digest, Sha256};

use super::words::control::{StatusResponse, Timestamp, Vertex, VertexLog, VertexStatus, VertexWarning};

/// The steps that were told of.
#[derive(Debug)]
pub struct Board {
    /// Sets the steps of builds apart.
    build: String,
    steps: HashMap<StepId, Vertex>,
    /// Where warnings are shown: the first thing that was told.
    first: Option<String>,
}

/// Something that is done before there is a plan, such as fetching the context.
#[derive(Debug)]
pub struct Errand {
    vertex: Vertex,
    what: &'static str,
}

impl Board {
    pub fn new(build: &str) -> Self {
        Self { build: build.to_owned(), steps: HashMap::new(), first: None }
    }

    fn digest(&self, what: &str) -> String {
        let hash = Sha256::digest(format!("{}\0{what}", self.build));
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }

    /// Begins an errand; `what` names what is counted.
    pub fn errand(&mut self, name: &str, what: &'static str, now: Moment) -> (Errand, StatusResponse) {
        let digest = self.digest(name);
        self.first.get_or_insert_with(|| digest.clone());
        let vertex = Vertex { digest, name: name.to_owned(), started: stamp(now), ..Vertex::default() };
        let told = StatusResponse { vertexes: vec![vertex.clone()], ..StatusResponse::default() };
        (Errand { vertex, what }, told)
    }

    /// What an event says.
    pub fn event(&mut self, event: BuildEvent, now: Moment) -> StatusResponse {
        let mut told = StatusResponse::default();
        let step = match event {
            BuildEvent::Planned(info) => {
                let inputs = info.inputs.iter().map(|step| self.digest(&step.to_string())).collect();
                let digest = self.digest(&info.id.to_string());
                self.first.get_or_insert_with(|| digest.clone());
                let vertex = Vertex { digest, inputs, name: info.name, ..Vertex::default() };
                self.steps.insert(info.id, vertex);
                info.id
            }
            BuildEvent::Warning { message, span } => {
                let place = span.map(|span| format!(" (line {})", span.start.line)).unwrap_or_default();
                told.warnings.push(VertexWarning {
                    vertex: self.first.clone().unwrap_or_default(),
                    level: 1,
                    short: format!("{message}{place}").into_bytes(),
                    ..VertexWarning::default()
                });
                return told;
            }
            BuildEvent::Output { step, stream, line } => {
                told.logs.push(VertexLog {
                    vertex: self.digest(&step.to_string()),
                    timestamp: stamp(now),
                    stream: if stream == Stream::Stdout { 1 } else { 2 },
                    msg: (line + "\n").into_bytes(),
                });
                return told;
            }
            BuildEvent::Progress { step, part, current, total } => {
                let whole = total.is_some_and(|total| current >= total);
                told.statuses.push(VertexStatus {
                    id: part.clone(),
                    vertex: self.digest(&step.to_string()),
                    name: part,
                    current: signed(current),
                    total: signed(total.unwrap_or(0)),
                    timestamp: stamp(now),
                    started: stamp(now),
                    completed: if whole { stamp(now) } else { None },
                });
                return told;
            }
            BuildEvent::Started { step } => {
                self.change(step, |vertex| vertex.started = stamp(now));
                step
            }
            BuildEvent::Cached { step } => {
                self.change(step, |vertex| {
                    vertex.started = stamp(now);
                    vertex.completed = stamp(now);
                    vertex.cached = true;
                });
                step
            }
            BuildEvent::Done { step } => {
                self.change(step, |vertex| vertex.completed = stamp(now));
                step
            }
            BuildEvent::Failed { step, message } => {
                self.change(step, |vertex| {
                    vertex.started = vertex.started.or(stamp(now));
                    vertex.completed = stamp(now);
                    vertex.error = message;
                });
                step
            }
            BuildEvent::Canceled { step } => {
                self.change(step, |vertex| {
                    if vertex.started.is_some() {
                        vertex.completed = stamp(now);
                        vertex.error = "context canceled".to_owned();
                    }
                });
                step
            }
        };
        told.vertexes.extend(self.steps.get(&step).cloned());
        told
    }

    fn change(&mut self, step: StepId, change: impl FnOnce(&mut Vertex)) {
        let digest = self.digest(&step.to_string());
        let new = || Vertex { digest, name: step.to_string(), ..Vertex::default() };
        change(self.steps.entry(step).or_insert_with(new));
    }
}

impl Errand {
    /// How much came so far.
    pub fn counted(&self, bytes: u64, done: bool, now: Moment) -> StatusResponse {
        let status = VertexStatus {
            id: self.what.to_owned(),
            vertex: self.vertex.digest.clone(),
            name: self.what.to_owned(),
            current: signed(bytes),
            total: 0,
            timestamp: stamp(now),
            started: self.vertex.started,
            completed: if done { stamp(now) } else { None },
        };
        StatusResponse { statuses: vec![status], ..StatusResponse::default() }
    }

    /// The errand is over.
    pub fn end(mut self, error: Option<&str>, now: Moment) -> StatusResponse {
        self.vertex.completed = stamp(now);
        self.vertex.error = error.unwrap_or_default().to_owned();
        StatusResponse { vertexes: vec![self.vertex], ..StatusResponse::default() }
    }
}

pub fn stamp(now: Moment) -> Option<Timestamp> {
    Some(Timestamp { seconds: now.as_second(), nanos: now.subsec_nanosecond() })
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use hoist_build::StepInfo;

    use super::*;

    #[test]
    fn a_step_is_told_of_from_its_plan_to_its_end() {
        let now = Moment::from_second(10).unwrap();
        let mut board = Board::new("b");
        let step = StepId(1);
        let name = "[1/1] RUN true".to_owned();
        let info = StepInfo { id: step, name, stage: None, span: None, inputs: vec![StepId(0)] };
        let planned = board.event(BuildEvent::Planned(info), now).vertexes.remove(0);
        assert!(planned.started.is_none() && planned.inputs.len() == 1 && planned.digest.len() == 71);
        let started = board.event(BuildEvent::Started { step }, now).vertexes.remove(0);
        assert_eq!((started.digest.clone(), started.started), (planned.digest.clone(), stamp(now)));
        let line = board.event(BuildEvent::Output { step, stream: Stream::Stderr, line: "x".into() }, now);
        assert_eq!((line.logs[0].stream, line.logs[0].msg.as_slice()), (2, b"x\n".as_slice()));
        let failed = board.event(BuildEvent::Failed { step, message: "no".into() }, now).vertexes.remove(0);
        assert_eq!((failed.error.as_str(), failed.completed), ("no", stamp(now)));
        let warned = board.event(BuildEvent::Warning { message: "w".into(), span: None }, now);
        assert_eq!(warned.warnings[0].vertex, planned.digest);
    }
}
