//! Files in, a project out, in the stages whose order the specification gives:
//! YAML, variables, schema, canonical form and paths for each file; then
//! `extends`, `include` and merging; then, on the whole, what must be there,
//! environment files, scalars, references, defaults and profiles.
//!
//! Every stage works on a tree that knows its places and goes on after an
//! error as far as that makes sense, so that a person sees all errors at once.

mod canonical;
mod check;
pub(crate) mod discover;
pub mod dotenv;
mod environment;
mod files;
mod formats;
mod interpolate;
mod layers;
mod merge;
mod name;
mod node;
mod normalize;
mod options;
mod paths;
mod pattern;
mod report;
pub(crate) mod scalar;
mod schema;
mod short;
pub mod template;
pub mod words;
mod yaml;

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::diagnostic::{Diagnostic, LoadError};
use crate::model::Project;
use layers::Layers;
use node::Node;
use report::Report;

pub use files::{Disk, Files, NoFiles};
pub use options::{ConfigFile, LoadOptions};

/// A project, and what else the load found out.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The project.
    pub project: Project,
    /// What is worth telling but stops nothing.
    pub warnings: Vec<Diagnostic>,
    /// Every file that was read, included and extended ones too.
    pub files: Vec<PathBuf>,
    /// The variables that the files mention, by name.
    pub variables: Vec<template::Variable>,
}

/// The merged files before they are a project, for `config --no-interpolate`
/// and `--no-normalize`.
#[derive(Debug, Clone)]
pub struct LoadedModel {
    /// The tree in canonical form, keys by name.
    pub model: Json,
    /// What is worth telling but stops nothing.
    pub warnings: Vec<Diagnostic>,
    /// The variables that the files mention, by name.
    pub variables: Vec<template::Variable>,
}

/// Loads a project from disk.
///
/// # Errors
/// All that is wrong, each with its place.
pub fn load(options: &LoadOptions) -> Result<Loaded, LoadError> {
    load_with(options, &Disk)
}

/// Loads a project from files that something else provides.
///
/// # Errors
/// All that is wrong, each with its place.
pub fn load_with(options: &LoadOptions, files: &dyn Files) -> Result<Loaded, LoadError> {
    let mut report = Report::new(options.current_directory.clone());
    let mut merged = merged(options, files, &mut report)?;
    let variables = std::mem::take(&mut merged.mentioned).into_values().collect();
    let project = finish(options, files, merged, &mut report)?;
    Ok(Loaded { project, warnings: report.take_warnings(), files: report.files().to_vec(), variables })
}

/// Merges the files and stops there: no defaults, no references checked.
///
/// # Errors
/// All that is wrong, each with its place.
pub fn load_model(options: &LoadOptions) -> Result<LoadedModel, LoadError> {
    let mut report = Report::new(options.current_directory.clone());
    let mut merged = merged(options, &Disk, &mut report)?;
    if options.interpolate {
        schema::check(&merged.tree, schema::Strictness::Whole, &mut report);
        formats::read(&mut merged.tree, &mut report);
    }
    report.checkpoint()?;
    let mut model = merged.tree.to_json();
    model.sort_all_objects();
    if let Json::Object(map) = &mut model {
        map.shift_remove("version");
        map.shift_insert(0, "name".to_owned(), Json::String(merged.name));
    }
    Ok(LoadedModel { model, warnings: report.take_warnings(), variables: merged.mentioned.into_values().collect() })
}

/// Loads one file's text; nothing is read from disk.
///
/// # Errors
/// All that is wrong, each with its place.
pub fn load_str(text: &str, options: &LoadOptions) -> Result<Loaded, LoadError> {
    let file = ConfigFile::Text { name: PathBuf::from("compose.yaml"), text: text.to_owned() };
    load_with(&LoadOptions { files: vec![file], ..options.clone() }, &NoFiles)
}

/// What the files say together.
struct Merged {
    tree: Node,
    name: String,
    working_dir: PathBuf,
    compose_files: Vec<PathBuf>,
    environment: indexmap::IndexMap<String, String>,
    profiles: Vec<String>,
    mentioned: interpolate::Mentioned,
}

fn merged(options: &LoadOptions, files: &dyn Files, report: &mut Report) -> Result<Merged, LoadError> {
    let mut found = discover::discover(options, files, report)?;
    let mut layers = Layers::new(options, files, report);
    let documents = layers.parse_all(&found.files);
    let name = name::project_name(options, &found, &documents, layers.report);
    layers.report.checkpoint()?;
    let name = name.unwrap_or_default();
    found.environment.insert("COMPOSE_PROJECT_NAME".to_owned(), name.clone());
    let tree = layers.load_root(documents, &found);
    let mentioned = std::mem::take(&mut layers.mentioned);
    let mut tree = tree;
    merge::strip_resets(&mut tree);
    if report.has_errors() {
        // What is left may have more to tell.
        formats::read(&mut tree, report);
    }
    report.checkpoint()?;
    if let Some(version) = tree.get("version") {
        let mark = version.key;
        report.warn(Some(mark), "the key \"version\" is obsolete and has no effect; it can go");
    }
    Ok(Merged {
        tree,
        name,
        working_dir: found.working_dir,
        compose_files: found.files.iter().filter_map(ConfigFile::path).map(|path| path.to_owned()).collect(),
        environment: found.environment,
        profiles: found.profiles,
        mentioned,
    })
}

fn finish(
    options: &LoadOptions,
    files: &dyn Files,
    mut merged: Merged,
    report: &mut Report,
) -> Result<Project, LoadError> {
    schema::check(&merged.tree, schema::Strictness::Whole, report);
    if options.resolve_environment {
        environment::resolve(&mut merged.tree, &merged.environment, &merged.working_dir, files, report);
    }
    formats::read(&mut merged.tree, report);
    if options.check_consistency {
        check::check(&merged.tree, report);
    }
    report.checkpoint()?;
    let mut tree = merged.tree.to_json();
    if let Json::Object(map) = &mut tree {
        map.shift_remove("version");
        map.shift_remove("include");
        map.insert("name".to_owned(), Json::String(merged.name));
        for section in ["services", "networks", "volumes", "secrets", "configs", "models"] {
            let Some(Json::Object(entries)) = map.get_mut(section) else {
                map.shift_remove(section);
                continue;
            };
            // A network or volume of which nothing is said.
            entries.values_mut().filter(|v| v.is_null()).for_each(|v| *v = Json::Object(Default::default()));
        }
    }
    tree.sort_all_objects();
    let mut project: Project = match Project::deserialize(&tree) {
        Ok(project) => project,
        Err(error) => {
            blame(&merged.tree, &error, report);
            return Err(report.fail());
        }
    };
    project.working_dir = merged.working_dir;
    project.compose_files = merged.compose_files;
    project.environment = merged.environment;
    if options.normalize {
        normalize::normalize(&mut project);
    }
    let project = project.with_profiles(&merged.profiles);
    let project = project.with_targets_enabled(&options.services).map_err(|error| {
        report.plain_error(error.to_string());
        report.fail()
    })?;
    if options.check_consistency {
        check::check_order(&project, &merged.tree, report);
    }
    report.checkpoint()?;
    Ok(project)
}

/// Finds the value that the model cannot hold. The schema and the table of
/// scalars catch what people write; this is for what they do not look into.
fn blame(tree: &Node, error: &serde_json::Error, report: &mut Report) {
    for section in ["services", "networks", "volumes", "secrets", "configs", "models"] {
        for (name, resource) in tree.get(section).and_then(Node::as_map).into_iter().flatten() {
            for (key, value) in resource.as_map().into_iter().flatten() {
                let alone = serde_json::json!({ "name": "", section: { name: { key: value.to_json() } } });
                if let Err(error) = Project::deserialize(&alone)
                    && !error.to_string().starts_with("missing field")
                {
                    let subject = pattern::subject([section, name, key]);
                    report.error(value.mark, format!("{subject}: {error}"));
                }
            }
        }
    }
    if !report.has_errors() {
        report.plain_error(error.to_string());
    }
}
