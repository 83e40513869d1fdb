//! The build checks: what Docker's reference of build checks warns of, with places.

mod instructions;
mod stages;
#[cfg(test)]
mod tests;
mod variables;

use serde::{Deserialize, Serialize};

use super::{Dockerfile, GlobalScope, IgnoreFile, Plan, Span};

/// Every check, as `# check=skip=…` names them.
pub const CHECKS: [&str; 21] = [
    "ConsistentInstructionCasing",
    "CopyIgnoredFile",
    "DuplicateStageName",
    "ExposeInvalidFormat",
    "ExposeProtoCasing",
    "FromAsCasing",
    "FromPlatformFlagConstDisallowed",
    "InvalidDefaultArgInFrom",
    "InvalidDefinitionDescription",
    "JSONArgsRecommended",
    "LegacyKeyValueFormat",
    "MaintainerDeprecated",
    "MultipleInstructionsDisallowed",
    "NoEmptyContinuation",
    "RedundantTargetPlatform",
    "ReservedStageName",
    "SecretsUsedInArgOrEnv",
    "StageNameCasing",
    "UndefinedArgInFrom",
    "UndefinedVar",
    "WorkdirRelativePath",
];

/// Checks that run only if `# check=experimental=…` names them.
const EXPERIMENTAL: [&str; 1] = ["InvalidDefinitionDescription"];

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The check's name.
    pub rule: String,
    pub message: String,
    pub span: Span,
}

impl Warning {
    /// The page of Docker's reference that explains the check.
    pub fn url(&self) -> String {
        let mut name = String::new();
        let mut before = '-';
        for c in self.rule.chars() {
            if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
                name.push('-');
            }
            // `JSONArgs` is `json-args`.
            if c.is_ascii_lowercase() && before.is_ascii_uppercase() && name.len() > 1 {
                let at = name.len() - 1;
                if !name.get(..at).is_some_and(|rest| rest.ends_with('-')) {
                    name.insert(at, '-');
                }
            }
            name.push(c.to_ascii_lowercase());
            before = c;
        }
        format!("https://docs.docker.com/go/dockerfile/rule/{name}/")
    }
}

/// What the checks know beside the file.
#[derive(Default)]
pub struct CheckContext<'a> {
    /// The context's `.dockerignore`.
    pub ignore: Option<&'a IgnoreFile>,
    /// The environment of an image (`NAME=value`), where it is known; what uses variables on unknown images is not
    /// checked for undefined ones.
    #[allow(clippy::type_complexity)]
    pub image_env: Option<&'a dyn Fn(&str) -> Option<Vec<String>>>,
}

/// All findings, in the order of the file, without those that the file skips.
///
/// `global` should come from the build's arguments; the plan from the same file.
pub fn check(file: &Dockerfile, global: &GlobalScope, plan: &Plan, context: &CheckContext<'_>) -> Vec<Warning> {
    let mut findings = Findings { warnings: Vec::new() };
    instructions::check(file, context, plan, &mut findings);
    stages::check(file, plan, &mut findings);
    variables::check(file, global, plan, context, &mut findings);
    let mut warnings = findings.warnings;
    let directive = file.directives.check.clone().unwrap_or_default();
    let named = |words: &[super::Word], rule: &str| words.iter().any(|word| word.text == rule || word.text == "all");
    warnings.retain(|warning| {
        let wanted = !EXPERIMENTAL.contains(&warning.rule.as_str()) || named(&directive.experimental, &warning.rule);
        wanted && !named(&directive.skip, &warning.rule)
    });
    warnings.sort_by(|a, b| (a.span, &a.rule).cmp(&(b.span, &b.rule)));
    warnings.dedup();
    warnings
}

/// Whether findings fail the build, as `# check=error=true` asks.
pub fn fails(file: &Dockerfile) -> bool {
    file.directives.check.as_ref().is_some_and(|check| check.error)
}

struct Findings {
    warnings: Vec<Warning>,
}

impl Findings {
    fn add(&mut self, rule: &'static str, span: Span, message: impl Into<String>) {
        self.warnings.push(Warning { rule: rule.to_owned(), message: message.into(), span });
    }
}
