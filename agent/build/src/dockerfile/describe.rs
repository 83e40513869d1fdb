//! What a Dockerfile says of itself: the parameters of a target, the targets, the findings of the checks; in the
//! documents that BuildKit's frontend answers with (`--call`), as JSON and as text.

use std::{cell::RefCell, collections::BTreeSet, fmt::Write};

use base64::Engine as _;
use serde::Serialize;

use super::{
    Dockerfile, Error, GlobalScope, Instruction, Kind, MountKind, Origin, Plan, Span, StageScope, Word, check::Warning,
};

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Question {
    /// The parameters of the target.
    Outline,
    /// The stages.
    Targets,
    /// What the checks find.
    Lint,
}

impl std::str::FromStr for Question {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "outline" => Ok(Self::Outline),
            "targets" => Ok(Self::Targets),
            "lint" | "check" => Ok(Self::Lint),
            other => Err(format!("{other:?} cannot be asked of a Dockerfile: check, outline and targets can")),
        }
    }
}

/// An answer in both forms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Description {
    pub json: String,
    pub text: String,
    /// The checks found something.
    pub found: bool,
}

#[derive(Serialize)]
struct Location {
    ranges: Vec<Range>,
}

#[derive(Serialize)]
struct Range {
    start: Position,
    end: Position,
}

#[derive(Serialize)]
struct Position {
    line: u32,
}

impl From<Span> for Location {
    fn from(span: Span) -> Self {
        let line = |line| Position { line };
        Self { ranges: vec![Range { start: line(span.start.line), end: line(span.end.line) }] }
    }
}

#[derive(Default, Serialize)]
struct Outline {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<Parameter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<Offer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ssh: Vec<Offer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cache: Vec<CacheMount>,
    sources: Vec<String>,
}

#[derive(Serialize)]
struct Parameter {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
    location: Location,
}

/// A secret or an agent that the client may have.
#[derive(Serialize)]
struct Offer {
    name: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    required: bool,
    location: Location,
}

#[derive(Serialize)]
struct CacheMount {
    #[serde(rename = "ID")]
    id: String,
    location: Location,
}

#[derive(Serialize)]
struct Targets {
    targets: Vec<Target>,
    sources: Vec<String>,
}

#[derive(Serialize)]
struct Target {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    default: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    base: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    platform: String,
    location: Location,
}

#[derive(Serialize)]
struct Lint {
    warnings: Vec<Finding>,
    sources: Vec<Source>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    rule_name: String,
    url: String,
    detail: String,
    location: Location,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    file_name: String,
    language: &'static str,
    data: String,
}

/// Answers a question about a file; `text` is the file's own, `warnings` are what the checks found.
///
/// # Errors
/// Words that cannot be expanded.
pub fn describe(
    question: Question,
    (file, text): (&Dockerfile, &str),
    global: &GlobalScope,
    plan: &Plan,
    warnings: &[Warning],
) -> Result<Description, Error> {
    let data = base64::prelude::BASE64_STANDARD.encode(text);
    match question {
        Question::Outline => {
            let outline = Outline { sources: vec![data], ..outline(file, global, plan)? };
            Ok(Description { json: json(&outline), text: outline.text(), found: false })
        }
        Question::Targets => {
            let targets = Targets { targets: targets(file, plan), sources: vec![data] };
            Ok(Description { json: json(&targets), text: targets.text(), found: false })
        }
        Question::Lint => {
            let finding = |warning: &Warning| Finding {
                rule_name: warning.rule.clone(),
                url: warning.url(),
                detail: warning.message.clone(),
                location: warning.span.into(),
            };
            let source = Source { file_name: file.name.clone(), language: "Dockerfile", data };
            let lint = Lint { warnings: warnings.iter().map(finding).collect(), sources: vec![source] };
            let said = findings(&file.name, text, warnings);
            Ok(Description { json: json(&lint), text: said, found: !warnings.is_empty() })
        }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("names are text, and text can always be written")
}

/// What the comment above an instruction says of a name: `# NAME does this`.
fn said_of(instruction: &Instruction, name: &str) -> String {
    let about = |word: &Word| {
        let rest = word.text.trim().strip_prefix(name)?;
        rest.strip_prefix(char::is_whitespace).map(|rest| rest.trim().to_owned())
    };
    if name.is_empty() { String::new() } else { instruction.doc.iter().find_map(about).unwrap_or_default() }
}

fn outline(file: &Dockerfile, global: &GlobalScope, plan: &Plan) -> Result<Outline, Error> {
    let mut found = Outline::default();
    let target = &plan.stages[plan.target];
    found.name = target.name.clone().unwrap_or_default();
    found.description = said_of(&file.instructions[target.from], &found.name);
    let used = RefCell::new(BTreeSet::new());
    let mut seen = BTreeSet::new();
    let mut secrets = BTreeSet::new();
    let mut agents = BTreeSet::new();
    let mut caches = BTreeSet::new();
    let mut own = Vec::new();
    for index in &plan.order {
        let stage = &plan.stages[*index];
        if let Kind::From(from) = &file.instructions[stage.from].kind {
            let note = |name: &str| {
                used.borrow_mut().insert(name.to_owned());
                global.lookup(name)
            };
            for word in [Some(&from.image), from.platform.as_ref()].into_iter().flatten() {
                word.expand(global.lexer(), &note)?;
            }
        }
        let mut scope = StageScope::default();
        for instruction in &file.instructions[stage.body.clone()] {
            let location = || Location::from(instruction.span);
            match &instruction.kind {
                Kind::Arg(declared) => {
                    for arg in declared {
                        scope.declare(arg, global)?;
                        let name = arg.name.text.clone();
                        used.borrow_mut().insert(name.clone());
                        if seen.insert(name.clone()) {
                            let value = scope.lookup(&name).unwrap_or_default();
                            let description = said_of(instruction, &name);
                            own.push(Parameter { name, description, value, location: location() });
                        }
                    }
                }
                Kind::Env(pairs) => drop(scope.set_env(pairs, global)?),
                Kind::Run(run) => {
                    for mount in &run.mounts {
                        let last = |word: &Option<Word>| {
                            let text = word.as_ref().map_or("", |word| word.text.as_str());
                            text.rsplit('/').next().unwrap_or(text).to_owned()
                        };
                        let named = |id: &Option<Word>, other: String| id.as_ref().map_or(other, |id| id.text.clone());
                        match &mount.kind {
                            MountKind::Secret { id, required, .. } => {
                                let name = named(id, last(&mount.target));
                                if secrets.insert(name.clone()) {
                                    found.secrets.push(Offer { name, required: *required, location: location() });
                                }
                            }
                            MountKind::Ssh { id, required, .. } => {
                                let name = named(id, "default".to_owned());
                                if agents.insert(name.clone()) {
                                    found.ssh.push(Offer { name, required: *required, location: location() });
                                }
                            }
                            MountKind::Cache { id, .. } => {
                                let target = mount.target.as_ref().map(|word| word.text.clone()).unwrap_or_default();
                                let id = named(id, target);
                                if caches.insert(id.clone()) {
                                    found.cache.push(CacheMount { id, location: location() });
                                }
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
    }
    let used = used.into_inner();
    let first = plan.stages.first().map_or(0, |stage| stage.from);
    for instruction in &file.instructions[..first] {
        let Kind::Arg(declared) = &instruction.kind else { continue };
        for arg in declared.iter().filter(|arg| used.contains(&arg.name.text)) {
            let name = arg.name.text.clone();
            let description = said_of(instruction, &name);
            match own.iter_mut().find(|parameter| parameter.name == name) {
                Some(known) if known.description.is_empty() => known.description = description,
                Some(_) => {}
                None => {
                    let value = global.lookup(&name).unwrap_or_default();
                    found.args.push(Parameter { name, description, value, location: instruction.span.into() });
                }
            }
        }
    }
    found.args.extend(own);
    Ok(found)
}

fn targets(file: &Dockerfile, plan: &Plan) -> Vec<Target> {
    let one = |(index, stage): (usize, &super::plan::Stage)| {
        let from = &file.instructions[stage.from];
        let name = stage.name.clone().unwrap_or_default();
        Target {
            description: said_of(from, &name),
            default: index + 1 == plan.stages.len(),
            base: match &stage.base {
                Origin::Scratch => "scratch".to_owned(),
                Origin::Stage(other) => plan.stages[*other].name.clone().unwrap_or_else(|| other.to_string()),
                Origin::Image { reference, .. } => reference.clone(),
                Origin::Context(name) => name.clone(),
            },
            platform: stage.platform.clone().unwrap_or_default(),
            location: from.span.into(),
            name,
        }
    };
    // One without a name can be built as the last one only.
    plan.stages.iter().enumerate().map(one).filter(|target| target.default || !target.name.is_empty()).collect()
}

/// Columns that are as wide as their widest word, three apart.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|word| word.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (word, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{word:width$}   ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push('\n');
    text
}

fn row<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

impl Outline {
    fn text(&self) -> String {
        let mut text = String::new();
        if !(self.name.is_empty() && self.description.is_empty()) {
            let mut rows = vec![row(["TARGET:", &self.name])];
            if !self.description.is_empty() {
                rows.push(row(["DESCRIPTION:", &self.description]));
            }
            text.push_str(&table(&rows));
        }
        if !self.args.is_empty() {
            let mut rows = vec![row(["BUILD ARG", "VALUE", "DESCRIPTION"])];
            rows.extend(self.args.iter().map(|arg| row([&arg.name, &arg.value, &arg.description])));
            text.push_str(&table(&rows));
        }
        for (title, offers) in [("SECRET", &self.secrets), ("SSH", &self.ssh)] {
            if !offers.is_empty() {
                let mut rows = vec![row([title, "REQUIRED"])];
                rows.extend(offers.iter().map(|one| row([&one.name, if one.required { "true" } else { "" }])));
                text.push_str(&table(&rows));
            }
        }
        text
    }
}

impl Targets {
    fn text(&self) -> String {
        let mut rows = vec![row(["TARGET", "DESCRIPTION"])];
        rows.extend(self.targets.iter().map(|target| {
            let name = match (target.name.as_str(), target.default) {
                ("", _) => "(default)".to_owned(),
                (name, true) => format!("{name} (default)"),
                (name, false) => name.to_owned(),
            };
            row([&name, &target.description])
        }));
        table(&rows)
    }
}

fn findings(name: &str, text: &str, warnings: &[Warning]) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut said = String::new();
    for warning in warnings {
        let (start, end) = (warning.span.start.line, warning.span.end.line);
        let _ = writeln!(said, "WARNING: {} - {}", warning.rule, warning.url());
        let _ = writeln!(said, "{}\n\n{name}:{start}\n--------------------", warning.message);
        for number in start.saturating_sub(2).max(1)..=end.saturating_add(2) {
            let Some(line) = usize::try_from(number).ok().and_then(|at| lines.get(at - 1)) else { break };
            let mark = if (start..=end).contains(&number) { ">>>" } else { "   " };
            let _ = writeln!(said, "{number:4} | {mark} {line}");
        }
        said.push_str("--------------------\n\n");
    }
    said
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::dockerfile::{Platform, parse};

    const TEXT: &str = "# BASE is where all begins\nARG BASE=busybox\nARG UNUSED=1\nFROM $BASE AS one\n\
        # WHO is greeted\nARG WHO=world\nARG WHO2=$WHO\nRUN --mount=type=secret,id=s,required=true true\n\
        # two is the last\nFROM one AS two\nRUN --mount=type=ssh --mount=type=cache,target=/c true\nFROM one\n";

    fn ask(question: Question, target: Option<&str>) -> Description {
        let file = parse("Dockerfile", TEXT.as_bytes()).unwrap();
        let local = Platform::local();
        let args = BTreeMap::from([("WHO".to_owned(), "you".to_owned())]);
        let global = GlobalScope::new(&file, &args, &local, &local).unwrap();
        let plan = Plan::new(&file, &global, [], target).unwrap();
        describe(question, (&file, TEXT), &global, &plan, &[]).unwrap()
    }

    #[test]
    fn an_outline_has_what_the_target_takes() {
        let outline = ask(Question::Outline, Some("two"));
        assert_eq!(
            outline.text,
            "TARGET:        two\nDESCRIPTION:   is the last\n\n\
             BUILD ARG   VALUE     DESCRIPTION\nBASE        busybox   is where all begins\n\
             WHO         you       is greeted\nWHO2        you\n\n\
             SECRET   REQUIRED\ns        true\n\nSSH       REQUIRED\ndefault\n\n"
        );
        let json: serde_json::Value = serde_json::from_str(&outline.json).unwrap();
        assert_eq!(json["args"][1]["location"]["ranges"][0]["start"]["line"], 6);
        assert_eq!(json["cache"][0]["ID"], "/c");
    }

    #[test]
    fn targets_are_named_and_the_last_is_the_default() {
        let targets = ask(Question::Targets, None);
        assert_eq!(targets.text, "TARGET      DESCRIPTION\none\ntwo         is the last\n(default)\n\n");
        let json: serde_json::Value = serde_json::from_str(&targets.json).unwrap();
        assert_eq!(
            (json["targets"][0]["base"].as_str(), json["targets"][1]["base"].as_str()),
            (Some("busybox"), Some("one"))
        );
        assert_eq!(json["targets"][2]["default"], true);
    }
}
