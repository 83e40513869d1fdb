//! Dockerfiles and the files beside them.

use std::collections::BTreeMap;

use hoist_build::dockerfile::check::{CheckContext, check};
use hoist_build::dockerfile::describe::{Question, describe};
use hoist_build::dockerfile::{
    Dockerfile, GlobalScope, IgnoreFile, Instruction, Kind, Plan, Platform, Pos, StageScope, parse, parse_trigger,
};

/// A Dockerfile, and the same bytes as a `.dockerignore`. Every place that is told lies in the file; what is read is
/// planned, checked and described, and a trigger reads as the same where it is kept.
pub fn dockerfile(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let ignore = IgnoreFile::parse(".dockerignore", &text).unwrap_or_default();
    for path in ["a", "a/b/c.txt", "Dockerfile", ".git/x"] {
        let _ = (ignore.is_ignored(path), ignore.may_keep_below(path));
    }
    let lines = u32::try_from(text.split('\n').count()).unwrap_or(u32::MAX);
    let inside = |at: Pos| at.line == 0 || at.line <= lines;
    let file = match parse("Dockerfile", data) {
        Ok(file) => file,
        Err(error) => return assert!(inside(error.at), "{error} is beyond {lines} lines"),
    };
    for instruction in &file.instructions {
        assert!(inside(instruction.span.start) && inside(instruction.span.end), "{instruction:?}");
        if let Kind::Onbuild(trigger) = &instruction.kind
            && file.directives.escape == '\\'
        {
            same_again(trigger);
        }
    }
    let args = BTreeMap::from([("A".to_owned(), "given".to_owned())]);
    let platform = Platform::local();
    let Ok(global) = GlobalScope::new(&file, &args, &platform, &platform) else { return };
    let _ = global.unused(&file);
    let Ok(plan) = Plan::new(&file, &global, ["named".to_owned()], None) else { return };
    let context = CheckContext { ignore: Some(&ignore), image_env: None };
    let warnings = check(&file, &global, &plan, &context);
    for warning in &warnings {
        assert!(inside(warning.span.start), "{warning:?}");
    }
    for question in [Question::Outline, Question::Targets, Question::Lint] {
        let _ = describe(question, (&file, &text), &global, &plan, &warnings);
    }
    stages(&file, &global, &plan);
}

fn same_again(trigger: &Instruction) {
    let again = parse_trigger("trigger", &trigger.source);
    let again = again.unwrap_or_else(|error| panic!("{:?} does not read as a trigger: {error}", trigger.source));
    assert_eq!(again.name(), trigger.name(), "{:?}", trigger.source);
    assert_eq!(again.source, trigger.source.split('\n').next().unwrap_or_default());
}

/// Each stage's variables and words.
fn stages(file: &Dockerfile, global: &GlobalScope, plan: &Plan) {
    for (index, stage) in plan.stages.iter().enumerate() {
        let mut scope = StageScope::on_image(&["PATH=/bin".to_owned()]);
        for instruction in &file.instructions[stage.body.clone()] {
            match &instruction.kind {
                Kind::Arg(args) => args.iter().for_each(|arg| drop(scope.declare(arg, global))),
                Kind::Env(pairs) => drop(scope.set_env(pairs, global)),
                Kind::Run(run) => drop(run.script()),
                Kind::Workdir(word) | Kind::User(word) => {
                    drop(word.expand(global.lexer(), &|name| scope.lookup(name)));
                }
                Kind::Expose(words) => {
                    for word in words {
                        drop(global.lexer().expand_fields(&word.text, &|name| scope.lookup(name)));
                    }
                }
                _ => {}
            }
            let _ = plan.origins(instruction, index);
        }
    }
}
