//! Checks of stages: their names, platforms, shells and working directories.

use std::collections::BTreeMap;

use super::{super::*, Findings};

pub(super) fn check(file: &Dockerfile, plan: &Plan, findings: &mut Findings) {
    let mut names: Vec<String> = Vec::new();
    // What a stage hands to those built on it: a shell was named, a working directory is absolute.
    let mut inherited: Vec<(bool, bool)> = Vec::new();
    for stage in &plan.stages {
        let Some(Instruction { kind: Kind::From(from), .. }) = file.instructions.get(stage.from) else { continue };
        if let Some((_, name)) = &from.alias {
            stage_name(name, &names, findings);
            names.push(name.text.to_lowercase());
        }
        if let Some(platform) = &from.platform {
            check_platform(platform, stage, findings);
        }
        let base = match stage.base {
            Origin::Stage(base) => inherited.get(base).copied().unwrap_or_default(),
            _ => (false, false),
        };
        let body = file.instructions.get(stage.body.clone()).unwrap_or_default();
        inherited.push(walk(body, base, findings));
        describe(file, stage.from, from.alias.as_ref().map(|(_, name)| name.text.as_str()), findings);
    }
    for (index, instruction) in file.instructions.iter().enumerate() {
        if let Kind::Arg(args) = &instruction.kind {
            describe(file, index, args.first().map(|arg| arg.name.text.as_str()), findings);
        }
    }
    default_images(file, plan, findings);
}

fn stage_name(name: &Word, before: &[String], findings: &mut Findings) {
    let lower = name.text.to_lowercase();
    if name.text != lower {
        findings.add("StageNameCasing", name.span, format!("Stage name '{}' should be lowercase", name.text));
    }
    if ["scratch", "context"].contains(&lower.as_str()) {
        let message = format!("'{}' is reserved and should not be used as a stage name", name.text);
        findings.add("ReservedStageName", name.span, message);
    }
    if before.contains(&lower) {
        let message = format!("Duplicate stage name '{}', stage names should be unique", name.text);
        findings.add("DuplicateStageName", name.span, message);
    }
}

fn check_platform(platform: &Word, stage: &Stage, findings: &mut Findings) {
    let text = platform.text.as_str();
    if ["$TARGETPLATFORM", "${TARGETPLATFORM}"].contains(&text) {
        findings.add(
            "RedundantTargetPlatform",
            platform.span,
            format!("Setting platform to predefined {text} in FROM is redundant as this is the default behavior"),
        );
    }
    let said = |name: &str| text.split('/').any(|part| !part.is_empty() && name.contains(part));
    if !text.contains('$') && !stage.name.as_deref().is_some_and(said) {
        findings.add(
            "FromPlatformFlagConstDisallowed",
            platform.span,
            format!("FROM --platform flag should not use constant value \"{text}\""),
        );
    }
}

fn walk(body: &[Instruction], (mut shell, mut absolute): (bool, bool), findings: &mut Findings) -> (bool, bool) {
    let mut warned = false;
    for instruction in body {
        match &instruction.kind {
            Kind::Shell(_) => shell = true,
            Kind::Cmd(Command::Shell(_)) | Kind::Entrypoint(Command::Shell(_)) if !shell => {
                let message = format!(
                    "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                    instruction.name()
                );
                findings.add("JSONArgsRecommended", instruction.span, message);
            }
            Kind::Workdir(path) => {
                // A variable may hold an absolute path: it is taken for one.
                let path = path.text.trim_matches(['"', '\'']);
                absolute |= path.starts_with(['/', '$']);
                if !absolute && !warned {
                    let message =
                        format!("Relative workdir '{path}' can have unexpected results if the base image changes");
                    findings.add("WorkdirRelativePath", instruction.span, message);
                    warned = true;
                }
            }
            _ => {}
        }
    }
    (shell, absolute)
}

/// A comment directly above a stage or an argument that does not begin with its name.
fn describe(file: &Dockerfile, index: usize, name: Option<&str>, findings: &mut Findings) {
    let Some(instruction) = file.instructions.get(index) else { return };
    let Some(comment) = instruction.doc.last() else { return };
    let described = name.is_some_and(|name| {
        comment
            .text
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(char::is_whitespace) && !rest.trim().is_empty())
    });
    // The directives' lines are read before comments are, so none of them comes here.
    if name.is_some() && !described {
        findings.add(
            "InvalidDefinitionDescription",
            instruction.span,
            "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this \
             is not intended to be a description comment, add an empty line or comment between the instruction and the \
             comment.",
        );
    }
}

/// `FROM` with all arguments left at their defaults must still name an image.
fn default_images(file: &Dockerfile, plan: &Plan, findings: &mut Findings) {
    let local = Platform::local();
    let Ok(defaults) = GlobalScope::new(file, &BTreeMap::new(), &local, &local) else { return };
    for stage in &plan.stages {
        let Some(Instruction { kind: Kind::From(from), .. }) = file.instructions.get(stage.from) else { continue };
        if !from.image.text.contains('$') {
            continue;
        }
        let Ok(image) = from.image.expand(defaults.lexer(), &|name| defaults.lookup(name)) else { continue };
        if !is_reference(&image) {
            findings.add(
                "InvalidDefaultArgInFrom",
                from.image.span,
                format!("Default value for ARG {} results in empty or invalid base image name", from.image.text),
            );
        }
    }
}

/// Whether a text has the form `[registry/]name[:tag][@digest]`.
fn is_reference(text: &str) -> bool {
    const FORM: &str = r"(?x)^
        ([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]+)?/)?
        [a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*
        (:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@[a-z0-9]+:[0-9a-f]{32,})?$";
    regex::Regex::new(FORM).is_ok_and(|form| form.is_match(text))
}
