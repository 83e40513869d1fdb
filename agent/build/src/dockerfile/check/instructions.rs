//! Checks that look at one instruction after the other.

use super::{super::*, CheckContext, Findings};

pub(super) fn check(file: &Dockerfile, context: &CheckContext<'_>, plan: &Plan, findings: &mut Findings) {
    casing(file, findings);
    for (index, span) in &file.empty_continuations {
        if let Some(instruction) = file.instructions.get(*index) {
            let message = format!("Empty continuation line found in: {}", instruction.source);
            findings.add("NoEmptyContinuation", *span, message);
        }
    }
    for instruction in &file.instructions {
        one(instruction, context, findings);
        if let Kind::Onbuild(trigger) = &instruction.kind {
            one(trigger, context, findings);
        }
    }
    for stage in &plan.stages {
        let body = file.instructions.get(stage.body.clone()).unwrap_or_default();
        for name in ["CMD", "HEALTHCHECK", "ENTRYPOINT"] {
            let same: Vec<&Instruction> = body.iter().filter(|instruction| instruction.name() == name).collect();
            for early in same.iter().rev().skip(1) {
                findings.add(
                    "MultipleInstructionsDisallowed",
                    early.span,
                    format!(
                        "Multiple {name} instructions should not be used in the same stage because only the last one \
                         will be used"
                    ),
                );
            }
        }
    }
}

fn casing(file: &Dockerfile, findings: &mut Findings) {
    let is_upper = |word: &Word| !word.text.contains(|c: char| c.is_ascii_lowercase());
    let is_lower = |word: &Word| !word.text.contains(|c: char| c.is_ascii_uppercase());
    let keywords: Vec<&Word> = file.instructions.iter().map(|instruction| &instruction.keyword).collect();
    let upper = keywords.iter().filter(|word| is_upper(word)).count();
    let lower = keywords.iter().filter(|word| is_lower(word)).count();
    for word in keywords {
        let fits = if upper >= lower { is_upper(word) } else { is_lower(word) };
        if !fits {
            let message = format!("Command '{}' should be consistently cased", word.text);
            findings.add("ConsistentInstructionCasing", word.span, message);
        }
    }
}

fn one(instruction: &Instruction, context: &CheckContext<'_>, findings: &mut Findings) {
    let span = instruction.span;
    match &instruction.kind {
        Kind::Maintainer(_) => {
            let message = "MAINTAINER instruction is deprecated in favor of using label";
            findings.add("MaintainerDeprecated", span, message);
        }
        Kind::Env(pairs) | Kind::Label(pairs) => {
            if pairs.iter().any(|pair| pair.legacy) {
                let name = instruction.name();
                let message =
                    format!("\"{name} key=value\" should be used instead of legacy \"{name} key value\" format");
                findings.add("LegacyKeyValueFormat", span, message);
            }
            if matches!(instruction.kind, Kind::Env(_)) {
                pairs.iter().for_each(|pair| secret("ENV", &pair.name, findings));
            }
        }
        Kind::Arg(args) => args.iter().for_each(|arg| secret("ARG", &arg.name, findings)),
        Kind::Expose(ports) => ports.iter().for_each(|port| expose(port, findings)),
        Kind::Copy(copy) if copy.from.is_none() => ignored(&copy.transfer, context, findings),
        Kind::Add(add) => ignored(&add.transfer, context, findings),
        Kind::From(from) => {
            if let Some((keyword, _)) = &from.alias {
                let upper = |word: &Word| word.text.starts_with(|c: char| c.is_ascii_uppercase());
                let same = upper(keyword) == upper(&instruction.keyword);
                let mixed = keyword.text != keyword.text.to_uppercase() && keyword.text != keyword.text.to_lowercase();
                if !same || mixed {
                    let message =
                        format!("'{}' and '{}' keywords' casing do not match", keyword.text, instruction.keyword.text);
                    findings.add("FromAsCasing", keyword.span, message);
                }
            }
        }
        _ => {}
    }
}

fn secret(of: &str, name: &Word, findings: &mut Findings) {
    const TELLING: [&str; 9] =
        ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "token"];
    let lower = name.text.to_lowercase();
    let mut parts = lower.split('_');
    let tells = parts.clone().any(|part| TELLING.contains(&part) || part == "secret");
    if tells && !parts.any(|part| part == "public") {
        findings.add(
            "SecretsUsedInArgOrEnv",
            name.span,
            format!(
                "Potentially sensitive data should not be used in the ARG or ENV commands ({of} \"{}\")",
                name.text
            ),
        );
    }
}

fn expose(port: &Word, findings: &mut Findings) {
    if port.text.contains('$') {
        return;
    }
    let (number, protocol) = port.text.split_once('/').unwrap_or((&port.text, ""));
    if protocol.contains(|c: char| c.is_ascii_uppercase()) {
        let message = format!("Defined protocol '{}' in EXPOSE instruction should be lowercase", port.text);
        findings.add("ExposeProtoCasing", port.span, message);
    }
    if number.contains(':') {
        let message =
            format!("EXPOSE instruction should not define an IP address or host-port mapping, found '{}'", port.text);
        findings.add("ExposeInvalidFormat", port.span, message);
    }
}

fn ignored(transfer: &Transfer, context: &CheckContext<'_>, findings: &mut Findings) {
    let Some(ignore) = context.ignore else { return };
    for source in &transfer.sources {
        let Source::Path(word) = source else { continue };
        let remote = word.text.contains("://") || word.text.starts_with("git@");
        if remote || word.text.contains(['$', '*', '?', '[']) {
            continue;
        }
        let parts: Vec<&str> = word.text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if !parts.is_empty() && ignore.is_ignored(&parts.join("/")) {
            let message = format!("Attempting to Copy file \"{}\" that is excluded by .dockerignore", word.text);
            findings.add("CopyIgnoredFile", word.span, message);
        }
    }
}
