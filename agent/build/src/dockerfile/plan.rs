//! The stages of a Dockerfile, where each `FROM`, `--from` and `from=` leads, and which stages a target needs.

use std::{collections::BTreeSet, ops::Range};

use super::{Dockerfile, Error, From, GlobalScope, Instruction, Kind, MountKind, Span, Word, words::near};

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `FROM scratch`: nothing.
    Scratch,
    /// A stage of the same file, by its index.
    Stage(usize),
    /// An image, and the stage that was perhaps meant.
    Image { reference: String, near: Option<String> },
    /// A named context (`--build-context`), by its name.
    Context(String),
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// In small letters.
    pub name: Option<String>,
    /// Its `FROM` in the file's instructions.
    pub from: usize,
    /// The instructions behind it.
    pub body: Range<usize>,
    pub base: Origin,
    /// The platform that `FROM` asks for, expanded; the target's if none.
    pub platform: Option<String>,
    /// The stages that it uses, and the words that say so; its base comes first.
    pub needs: Vec<(usize, Span)>,
}

/// How long a chain of stages that need later ones may be.
const DEEPEST: usize = 500;

/// All stages, and those that the target needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub stages: Vec<Stage>,
    pub target: usize,
    /// What the target needs and the target itself, each behind all that it needs itself.
    pub order: Vec<usize>,
    contexts: BTreeSet<String>,
}

impl Plan {
    /// `contexts` are the names of `--build-context`; `target` is a stage's name or index, the last stage if none.
    ///
    /// # Errors
    /// An unknown target (with the nearest name), an empty image name, an index that no stage has, a cycle.
    pub fn new(
        file: &Dockerfile,
        global: &GlobalScope,
        contexts: impl IntoIterator<Item = String>,
        target: Option<&str>,
    ) -> Result<Self, Error> {
        let contexts = contexts.into_iter().map(|name| familiar(&name)).collect();
        let mut plan = Self { stages: Vec::new(), target: 0, order: Vec::new(), contexts };
        plan.read(file, global).map_err(|error| error.in_file(&file.name))?;
        plan.target = plan.find_target(file, target)?;
        plan.connect(file).map_err(|error| error.in_file(&file.name))?;
        plan.sort().map_err(|error| error.in_file(&file.name))?;
        Ok(plan)
    }

    fn read(&mut self, file: &Dockerfile, global: &GlobalScope) -> Result<(), Error> {
        let starts: Vec<(usize, &From)> = file
            .instructions
            .iter()
            .enumerate()
            .filter_map(|(index, instruction)| match &instruction.kind {
                Kind::From(from) => Some((index, from)),
                _ => None,
            })
            .collect();
        for (number, (index, from)) in starts.iter().enumerate() {
            let lookup = |name: &str| global.lookup(name);
            let image = from.image.expand(global.lexer(), &lookup)?;
            if image.is_empty() {
                return Err(Error::at(
                    from.image.span,
                    format!("found {:?}, which expands to nothing, expected an image or a stage", from.image.text),
                ));
            }
            let platform = match &from.platform {
                Some(word) => Some(word.expand(global.lexer(), &lookup)?).filter(|platform| !platform.is_empty()),
                None => None,
            };
            let end = starts.get(number + 1).map_or(file.instructions.len(), |(next, _)| *next);
            let base = self.resolve(&image, number, false);
            self.stages.push(Stage {
                name: from.alias.as_ref().map(|(_, name)| name.text.to_lowercase()),
                from: *index,
                body: index + 1..end,
                base,
                platform,
                needs: Vec::new(),
            });
        }
        Ok(())
    }

    /// Where a name leads when `stage` uses it. Indices and later stages count only outside `FROM`.
    fn resolve(&self, name: &str, stage: usize, outside_from: bool) -> Origin {
        if self.contexts.contains(&familiar(name)) {
            return Origin::Context(familiar(name));
        }
        if name == "scratch" {
            return Origin::Scratch;
        }
        let lower = name.to_lowercase();
        let named = |candidate: &Stage| candidate.name.as_deref() == Some(lower.as_str());
        let earlier = self.stages.iter().take(stage).rposition(named);
        let later = || self.stages.iter().position(named).filter(|_| outside_from);
        if let Some(found) = earlier.or_else(later) {
            return Origin::Stage(found);
        }
        let index = name.parse().ok().filter(|index| outside_from && *index < self.stages.len());
        match index {
            Some(index) => Origin::Stage(index),
            None => Origin::Image { reference: name.to_owned(), near: near(&lower, self.names()) },
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().filter_map(|stage| stage.name.as_deref())
    }

    /// Where the `from` of a `COPY` or of a mount leads. For triggers of a base image too, which are known late.
    ///
    /// # Errors
    /// A number that is no stage's index.
    pub fn origin(&self, from: &Word, stage: usize) -> Result<Origin, Error> {
        let origin = self.resolve(&from.text, stage, true);
        let number = !from.text.is_empty() && from.text.bytes().all(|byte| byte.is_ascii_digit());
        match origin {
            Origin::Image { .. } if number => Err(Error::at(
                from.span,
                format!("found stage {}, expected 0 to {} or a name", from.text, self.stages.len().saturating_sub(1)),
            )),
            origin => Ok(origin),
        }
    }

    /// The words of an instruction that name an origin, and where each leads.
    ///
    /// # Errors
    /// As [`Plan::origin`].
    pub fn origins(&self, instruction: &Instruction, stage: usize) -> Result<Vec<(Origin, Span)>, Error> {
        let mut words: Vec<&Word> = Vec::new();
        match &instruction.kind {
            Kind::Copy(copy) => words.extend(&copy.from),
            Kind::Run(run) => words.extend(run.mounts.iter().filter_map(|mount| match &mount.kind {
                MountKind::Bind { from, .. } | MountKind::Cache { from, .. } => from.as_ref(),
                _ => None,
            })),
            _ => {}
        }
        words.into_iter().map(|word| Ok((self.origin(word, stage)?, word.span))).collect()
    }

    fn find_target(&self, file: &Dockerfile, target: Option<&str>) -> Result<usize, Error> {
        let last = self.stages.len().saturating_sub(1);
        let Some(target) = target.filter(|target| !target.is_empty()) else { return Ok(last) };
        let lower = target.to_lowercase();
        let named = self.stages.iter().rposition(|stage| stage.name.as_deref() == Some(lower.as_str()));
        let index = target.parse().ok().filter(|index| *index <= last);
        named.or(index).ok_or_else(|| {
            let names: Vec<&str> = self.names().collect();
            let expected = match names.as_slice() {
                [] => format!("expected 0 to {last}, as no stage has a name"),
                names => format!("expected one of {}", names.join(", ")),
            };
            Error::at(Span::default(), format!("{} has no such stage, {expected}", file.name))
                .suggest(near(&lower, names))
                .in_file(&format!("--target {target}"))
        })
    }

    fn connect(&mut self, file: &Dockerfile) -> Result<(), Error> {
        for index in 0..self.stages.len() {
            let stage = &self.stages[index];
            let mut needs = Vec::new();
            if let (Origin::Stage(base), Some(Kind::From(from))) =
                (&stage.base, file.instructions.get(stage.from).map(|instruction| &instruction.kind))
            {
                needs.push((*base, from.image.span));
            }
            for instruction in file.instructions.get(stage.body.clone()).unwrap_or_default() {
                for (origin, span) in self.origins(instruction, index)? {
                    match origin {
                        Origin::Stage(need) if !needs.iter().any(|(known, _)| *known == need) => {
                            needs.push((need, span));
                        }
                        _ => {}
                    }
                }
            }
            self.stages[index].needs = needs;
        }
        Ok(())
    }

    /// Puts the stages that the target needs into an order; looks for cycles in all.
    fn sort(&mut self) -> Result<(), Error> {
        let mut sorted = Vec::new();
        let mut seen = vec![false; self.stages.len()];
        for stage in 0..self.stages.len() {
            self.visit(stage, &mut Vec::new(), &mut seen, &mut sorted)?;
        }
        let mut needed = BTreeSet::from([self.target]);
        for stage in sorted.iter().rev() {
            if needed.contains(stage) {
                needed.extend(self.stages[*stage].needs.iter().map(|(need, _)| *need));
            }
        }
        self.order = sorted.into_iter().filter(|stage| needed.contains(stage)).collect();
        Ok(())
    }

    /// Depth first; `path` holds the stages on the way and the words that led from each to the next.
    fn visit(
        &self,
        stage: usize,
        path: &mut Vec<(usize, Span)>,
        seen: &mut [bool],
        sorted: &mut Vec<usize>,
    ) -> Result<(), Error> {
        if seen[stage] {
            return Ok(());
        }
        for (need, span) in &self.stages[stage].needs {
            path.push((stage, *span));
            if let Some(start) = path.iter().position(|(on_path, _)| on_path == need) {
                let steps: Vec<String> = path
                    .iter()
                    .skip(start)
                    .map(|(stage, span)| format!("{} ({})", self.label(*stage), span.start))
                    .collect();
                let cycle = format!("{} → {}", steps.join(" → "), self.label(*need));
                return Err(Error::at(*span, format!("found a cycle of stages: {cycle}, expected none")));
            }
            if path.len() > DEEPEST {
                let message = format!("found more than {DEEPEST} stages that each need a later one, expected fewer");
                return Err(Error::at(*span, message));
            }
            self.visit(*need, path, seen, sorted)?;
            path.pop();
        }
        seen[stage] = true;
        sorted.push(stage);
        Ok(())
    }

    /// A stage's name for people: its name, or `stage-` and its index.
    pub fn label(&self, stage: usize) -> String {
        let name = self.stages.get(stage).and_then(|stage| stage.name.clone());
        name.unwrap_or_else(|| format!("stage-{stage}"))
    }
}

/// An image name without what `docker.io` and `latest` add, so that spellings of one image are one.
fn familiar(name: &str) -> String {
    let name = name.strip_prefix("docker.io/library/").or_else(|| name.strip_prefix("docker.io/")).unwrap_or(name);
    name.strip_suffix(":latest").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::dockerfile::{Platform, parse};

    fn plan_with(source: &str, contexts: &[&str], target: Option<&str>) -> Result<Plan, String> {
        let file = parse("Dockerfile", source.as_bytes()).unwrap();
        let local = Platform::local();
        let global = GlobalScope::new(&file, &BTreeMap::new(), &local, &local).unwrap();
        Plan::new(&file, &global, contexts.iter().map(|name| (*name).to_owned()), target)
            .map_err(|error| error.to_string())
    }

    fn plan(source: &str) -> Plan {
        plan_with(source, &[], None).unwrap()
    }

    const FIVE: &str = "ARG base=a\nFROM img:1 AS Base\nFROM ${base:+base} AS left\nRUN x\nFROM --platform=$NONE base AS \
        right\nRUN --mount=from=extra,target=/x y\nFROM other AS unused\nFROM scratch AS extra\nFROM scratch\nCOPY \
        --from=left / /l\nCOPY --from=2 / /r\nCOPY --from=busybox:1 /bin /bin";

    #[test]
    fn only_needed_stages_in_an_order_that_works() {
        let plan = plan(FIVE);
        assert_eq!(plan.stages.len(), 6);
        assert_eq!(plan.target, 5);
        assert_eq!(plan.order, [0, 1, 4, 2, 5]);
        assert_eq!(plan.stages[1].base, Origin::Stage(0));
        assert_eq!(plan.stages[2].platform, None);
        assert_eq!(plan.stages[5].needs.iter().map(|(need, _)| *need).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((plan.label(0), plan.label(5)), ("base".into(), "stage-5".into()));
    }

    #[test]
    fn targets_by_name_and_number() {
        assert_eq!(plan_with(FIVE, &[], Some("LEFT")).unwrap().order, [0, 1]);
        assert_eq!(plan_with(FIVE, &[], Some("3")).unwrap().order, [3]);
        assert_eq!(
            plan_with(FIVE, &[], Some("rigth")).unwrap_err(),
            "--target rigth: Dockerfile has no such stage, expected one of base, left, right, unused, extra; did you \
             mean right?"
        );
    }

    #[test]
    fn named_contexts_come_first() {
        let plan = plan_with(FIVE, &["docker.io/library/img:1", "extra", "busybox:1"], None).unwrap();
        assert_eq!(plan.stages[0].base, Origin::Context("img:1".into()));
        assert_eq!(plan.order, [0, 1, 2, 5]);
    }

    #[test]
    fn names_lead_to_stages_before_images() {
        let plan =
            plan("FROM a AS a\nFROM a AS a\nFROM bild\nCOPY --from=a x y\nFROM b AS build\nCOPY --from=biuld / /");
        assert_eq!(plan.stages[0].base, Origin::Image { reference: "a".into(), near: None });
        assert_eq!(plan.stages[1].base, Origin::Stage(0));
        assert_eq!(plan.stages[2].needs[0].0, 1);
        let word = Word::from("biuld");
        assert_eq!(plan.origin(&word, 3), Ok(Origin::Image { reference: "biuld".into(), near: Some("build".into()) }));
    }

    #[test]
    fn mistakes() {
        assert_eq!(
            plan_with("FROM x AS a\nCOPY --from=b / /\nFROM x AS b\nRUN --mount=from=a,target=/t y", &[], None)
                .unwrap_err(),
            "Dockerfile:4:18: found a cycle of stages: a (2:13) → b (4:18) → a, expected none"
        );
        assert!(plan_with("FROM x AS a\nCOPY --from=a / /\nFROM y", &[], None).unwrap_err().contains("a (2:13) → a"));
        assert!(plan_with("FROM $none", &[], None).unwrap_err().starts_with("Dockerfile:1:6: found \"$none\", which"));
        assert!(
            plan_with("FROM a\nCOPY --from=7 / /", &[], None).unwrap_err().contains("found stage 7, expected 0 to 0")
        );
    }
}
