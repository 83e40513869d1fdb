//! Checks of variables: used and not declared.

use super::{super::words::near, super::*, CheckContext, Findings};

pub(super) fn check(
    file: &Dockerfile,
    global: &GlobalScope,
    plan: &Plan,
    context: &CheckContext<'_>,
    findings: &mut Findings,
) {
    from(file, global, findings);
    // Of each stage, what those built on it begin with; none where the base image is not known.
    let mut scopes: Vec<Option<StageScope>> = Vec::new();
    for stage in &plan.stages {
        let base = match &stage.base {
            Origin::Scratch => Some(StageScope::on_image(&[default_path()])),
            Origin::Stage(base) => scopes.get(*base).cloned().flatten(),
            Origin::Image { reference, .. } => context
                .image_env
                .and_then(|image_env| image_env(reference))
                .map(|env| StageScope::on_image(&[env, vec![default_path()]].concat())),
            Origin::Context(_) => None,
        };
        let known = base.is_some();
        let mut scope = base.unwrap_or_else(|| StageScope::on_image(&[default_path()]));
        for instruction in file.instructions.get(stage.body.clone()).unwrap_or_default() {
            for word in words(&instruction.kind) {
                undefined(word, global, &scope, known, findings);
            }
            match &instruction.kind {
                Kind::Arg(args) => {
                    for arg in args {
                        if let Some(default) = &arg.default {
                            undefined(default, global, &scope, known, findings);
                        }
                        let _ = scope.declare(arg, global);
                    }
                }
                Kind::Env(pairs) => drop(scope.set_env(pairs, global)),
                _ => {}
            }
        }
        scopes.push(known.then_some(scope));
    }
}

fn default_path() -> String {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()
}

/// `FROM` and its platform may only use what is declared in front of the first one.
fn from(file: &Dockerfile, global: &GlobalScope, findings: &mut Findings) {
    for instruction in &file.instructions {
        let Kind::From(from) = &instruction.kind else { continue };
        for word in from.platform.iter().chain([&from.image]) {
            let lookup = |name: &str| global.lookup(name).or_else(|| global.knows(name).then(String::new));
            let Ok(expanded) = global.lexer().expand_noting(&word.text, &lookup) else { continue };
            for name in expanded.unset {
                let hint = hint(near(&name, global.names()), "");
                findings.add("UndefinedArgInFrom", word.span, format!("FROM argument '{name}' is not declared{hint}"));
            }
        }
    }
}

fn hint(near: Option<String>, sign: &str) -> String {
    near.map(|near| format!(" (did you mean {sign}{near}?)")).unwrap_or_default()
}

fn undefined(word: &Word, global: &GlobalScope, scope: &StageScope, known: bool, findings: &mut Findings) {
    let lookup = |name: &str| scope.lookup(name).or_else(|| scope.knows(name).then(String::new));
    let Ok(expanded) = global.lexer().expand_noting(&word.text, &lookup) else { return };
    for name in expanded.unset {
        let near = near(&name, scope.names());
        // An unknown base image may define anything, but hardly what looks like a slip of the pen.
        if known || near.is_some() {
            let message = format!("Usage of undefined variable '${name}'{}", hint(near, "$"));
            findings.add("UndefinedVar", word.span, message);
        }
    }
}

/// The words of an instruction that the builder itself expands.
fn words(kind: &Kind) -> Vec<&Word> {
    fn transfer(transfer: &Transfer) -> Vec<&Word> {
        let sources = transfer.sources.iter().filter_map(|source| match source {
            Source::Path(word) => Some(word),
            Source::Heredoc(_) => None,
        });
        sources.chain([&transfer.destination]).chain(&transfer.chown).chain(&transfer.chmod).collect()
    }
    match kind {
        Kind::Env(pairs) | Kind::Label(pairs) => pairs.iter().flat_map(|pair| [&pair.name, &pair.value]).collect(),
        Kind::Copy(copy) => transfer(&copy.transfer),
        Kind::Add(add) => transfer(&add.transfer),
        Kind::Expose(words) | Kind::Volume(words) => words.iter().collect(),
        Kind::User(word) | Kind::Workdir(word) | Kind::Stopsignal(word) => vec![word],
        _ => Vec::new(),
    }
}
