//! Which project a command is about: its files loaded, or only its name.

use std::{
    env,
    io::Read,
    path::{Path, PathBuf},
};

use hoist_compose::{ConfigFile, LoadOptions, load, model::Project};

use super::{args::ProjectArgs, as_me, containers};
use crate::cli::{Context, failure::Failure, spec::Surroundings, suggest};

/// Loads the project's files; warnings go to the person.
pub fn load_project(context: &Context, args: &ProjectArgs) -> Result<Project, Failure> {
    let mut project = load_with(context, &options(args)?)?;
    fill_proxies(&mut project, &context.proxies);
    as_me::apply(context, &mut project, &Surroundings::real())?;
    Ok(if args.all_resources { project } else { project.without_unused_resources() })
}

/// What the client's own file says of proxies, for containers and builds that say nothing themselves.
fn fill_proxies(project: &mut Project, proxies: &[(String, String)]) {
    for service in project.services.values_mut() {
        let build = service.build.as_mut().map(|build| &mut build.args);
        for given in std::iter::once(&mut service.environment).chain(build) {
            for (name, value) in proxies {
                given.entry(name.clone()).or_insert_with(|| Some(value.clone()));
            }
        }
    }
}

/// Loads as `options` say; warnings go to the person.
pub fn load_with(context: &Context, options: &LoadOptions) -> Result<Project, Failure> {
    let loaded = load(options).map_err(|error| Failure::new(error.to_string()))?;
    for warning in &loaded.warnings {
        context.printer.warn(warning.to_string());
    }
    Ok(loaded.project)
}

/// What the flags and the process's environment say of the files.
pub fn options(args: &ProjectArgs) -> Result<LoadOptions, Failure> {
    let files = args.files.iter().map(|path| config_file(path)).collect::<Result<_, _>>()?;
    // Variables that are not text cannot be named in a file, so they are no part of interpolation.
    let env =
        env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))).collect();
    Ok(LoadOptions {
        files,
        project_directory: args.project_directory.clone(),
        project_name: args.project_name.clone(),
        profiles: args.profiles.clone(),
        env_files: args.env_files.clone(),
        env,
        ..LoadOptions::new(env::current_dir()?)
    })
}

fn config_file(path: &Path) -> Result<ConfigFile, Failure> {
    if path != Path::new("-") {
        return Ok(ConfigFile::Path(path.to_owned()));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(ConfigFile::Text { name: path.to_owned(), text })
}

/// A project that may have files or only containers.
#[derive(Debug)]
pub struct Known {
    pub name: String,
    /// `None` when only the name was given and no file is there.
    pub project: Option<Project>,
}

impl Known {
    /// Refuses a service that neither the files nor the containers know.
    pub async fn check_services(&self, context: &Context, services: &[String]) -> Result<(), Failure> {
        for service in services {
            let in_file = self.project.as_ref().is_some_and(|project| {
                project.services.contains_key(service) || project.disabled_services.contains_key(service)
            });
            if !in_file
                && containers::list(context, &self.name, std::slice::from_ref(service), containers::Which::WithOneOff)
                    .await?
                    .is_empty()
            {
                return Err(no_such_service(service, self.project.as_ref()));
            }
        }
        Ok(())
    }
}

/// The project that is meant, for commands that do with its name: a name without files is enough.
pub fn known(context: &Context, args: &ProjectArgs) -> Result<Known, Failure> {
    let name_alone = args.files.is_empty() && env::var_os("COMPOSE_FILE").is_none();
    match &args.project_name {
        Some(name) if name_alone && hoist_compose::find_files(&directory(args)).is_empty() => {
            Ok(Known { name: name.clone(), project: None })
        }
        _ => {
            let project = load_project(context, args)?;
            Ok(Known { name: project.name.clone(), project: Some(project) })
        }
    }
}

fn directory(args: &ProjectArgs) -> PathBuf {
    args.project_directory.clone().or_else(|| env::current_dir().ok()).unwrap_or_else(|| PathBuf::from("/"))
}

/// The error for a name that is no service, with the nearest that is.
pub fn no_such_service(name: &str, project: Option<&Project>) -> Failure {
    let failure = Failure::new(format!("no such service: {name}"));
    let names: Vec<&str> = project.iter().flat_map(|project| project.services.keys().map(String::as_str)).collect();
    match suggest::did_you_mean(&suggest::nearest(name, names.iter().copied())) {
        Some(hint) => failure.hint(hint),
        None if names.is_empty() => failure,
        None => failure.hint(format!("the services are: {}", names.join(", "))),
    }
}
