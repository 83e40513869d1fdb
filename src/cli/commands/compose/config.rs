//! `hoist compose config`: checks the files and prints them in canonical form, or a part of what they say.

use std::collections::BTreeSet;

use hoist_compose::{
    LoadOptions, load_model,
    model::{Dependents, Project},
};

use super::{
    args::{ConfigArgs, ConfigFormat, ProjectArgs},
    project,
};
use crate::cli::{Context, Exit, Outcome, failure::Failure};

pub async fn run(context: &Context, args: &ProjectArgs, config: &ConfigArgs) -> Outcome {
    let options = LoadOptions {
        interpolate: !config.no_interpolate,
        normalize: !config.no_normalize,
        resolve_paths: !config.no_path_resolution,
        check_consistency: !config.no_consistency,
        resolve_environment: !config.no_env_resolution,
        services: config.only.clone(),
        ..project::options(args)?
    };
    let text = if config.variables {
        variables(context, &options, config.format)?
    } else if config.no_interpolate || config.no_normalize {
        unfinished(context, &options, config)?
    } else {
        let project = project::load_with(context, &options)?;
        let project = project
            .with_services(&config.only, Dependents::WithDependencies)
            .map_err(|error| Failure::from_error(&error))?;
        let project = if args.all_resources { project } else { project.without_unused_resources() };
        match part(context, config, &project).await? {
            Some(lines) => lines,
            None => canonical(&project, config.format),
        }
    };
    if config.quiet {
        return Ok(Exit::OK);
    }
    match &config.output {
        Some(path) => fs_err::write(path, text)?,
        None => context.printer.text(text)?,
    }
    Ok(Exit::OK)
}

/// The files in canonical form, with or without variables filled in.
pub fn text(context: &Context, args: &ProjectArgs, interpolate: bool) -> Result<String, Failure> {
    let options = LoadOptions { interpolate, ..project::options(args)? };
    if !interpolate {
        return unfinished(context, &options, &ConfigArgs::default());
    }
    Ok(canonical(&project::load_with(context, &options)?, ConfigFormat::Yaml))
}

fn canonical(project: &Project, format: ConfigFormat) -> String {
    match format {
        ConfigFormat::Yaml => project.to_yaml(),
        ConfigFormat::Json => project.to_json(),
    }
}

/// The merged files before they are a project: variables may still be in them.
fn unfinished(context: &Context, options: &LoadOptions, config: &ConfigArgs) -> Result<String, Failure> {
    let loaded = load_model(options).map_err(|error| Failure::new(error.to_string()))?;
    for warning in &loaded.warnings {
        context.printer.warn(warning.to_string());
    }
    let keys = |section: &str| -> String {
        let names = loaded.model.get(section).and_then(|value| value.as_object());
        names.into_iter().flat_map(|map| map.keys()).map(|name| format!("{name}\n")).collect()
    };
    let services = || loaded.model.get("services").and_then(|value| value.as_object()).into_iter().flatten();
    Ok(match config {
        ConfigArgs { services: true, .. } => keys("services"),
        ConfigArgs { networks: true, .. } => keys("networks"),
        ConfigArgs { volumes: true, .. } => keys("volumes"),
        ConfigArgs { models: true, .. } => keys("models"),
        ConfigArgs { images: true, .. } => {
            services().filter_map(|(_, service)| Some(format!("{}\n", service.get("image")?.as_str()?))).collect()
        }
        ConfigArgs { profiles: true, .. } => {
            let names: BTreeSet<&str> = services()
                .filter_map(|(_, service)| service.get("profiles")?.as_array())
                .flatten()
                .filter_map(|name| name.as_str())
                .collect();
            names.iter().map(|name| format!("{name}\n")).collect()
        }
        ConfigArgs { hash: Some(_), .. } => {
            return Err(Failure::usage(
                "--hash needs the finished model: leave out --no-interpolate and --no-normalize",
            ));
        }
        ConfigArgs { format: ConfigFormat::Json, .. } => format!("{:#}\n", loaded.model),
        ConfigArgs { .. } => hoist_compose::model::to_yaml(&loaded.model),
    })
}

/// One of the lists that flags ask for; `None` when the whole is asked for.
async fn part(context: &Context, config: &ConfigArgs, project: &Project) -> Result<Option<String>, Failure> {
    let lines = |names: Vec<String>| Some(names.into_iter().map(|name| format!("{name}\n")).collect());
    Ok(if config.services {
        lines(project.services.keys().cloned().collect())
    } else if config.images {
        let images: BTreeSet<String> = project.services.values().map(|service| project.image_of(service)).collect();
        lines(images.into_iter().collect())
    } else if config.networks {
        lines(project.networks.keys().cloned().collect())
    } else if config.volumes {
        lines(project.volumes.keys().cloned().collect())
    } else if config.models {
        lines(project.models.keys().cloned().collect())
    } else if config.profiles {
        let services = project.services.values().chain(project.disabled_services.values());
        let profiles: BTreeSet<&String> = services.flat_map(|service| &service.profiles).collect();
        lines(profiles.into_iter().cloned().collect())
    } else if config.environment {
        let mut variables: Vec<String> =
            project.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        variables.sort();
        lines(variables)
    } else if let Some(which) = &config.hash {
        Some(hashes(project, which)?)
    } else if config.lock_image_digests {
        Some(lock(context, project, config.format).await?)
    } else if config.resolve_image_digests {
        Some(canonical(&pinned(context, project.clone()).await?, config.format))
    } else {
        None
    })
}

fn hashes(project: &Project, which: &str) -> Result<String, Failure> {
    let names: Vec<&str> = match which {
        "*" => project.services.keys().map(String::as_str).collect(),
        names => names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect(),
    };
    let mut out = String::new();
    for name in names {
        let service = project.services.get(name).ok_or_else(|| project::no_such_service(name, Some(project)))?;
        out.push_str(&format!("{name} {}\n", project.config_hash(service)));
    }
    Ok(out)
}

/// The project with each image named by its digest, as the registry (or this node) has it.
async fn pinned(context: &Context, mut project: Project) -> Result<Project, Failure> {
    for service in project.services.values_mut() {
        if let Some(image) = service.image.as_mut().filter(|image| !image.contains('@')) {
            let path = format!("/distribution/{}/json", crate::cli::client::path_segment(image));
            let answer: serde_json::Value = context.client.get(path).read().await?;
            let digest = answer["Descriptor"]["digest"]
                .as_str()
                .ok_or_else(|| Failure::new(format!("the registry told no digest of {image}")))?;
            *image = format!("{image}@{digest}");
        }
    }
    Ok(project)
}

async fn lock(context: &Context, project: &Project, format: ConfigFormat) -> Result<String, Failure> {
    let pinned = pinned(context, project.clone()).await?;
    let services: serde_json::Map<String, serde_json::Value> = pinned
        .services
        .iter()
        .filter_map(|(name, service)| Some((name.clone(), serde_json::json!({ "image": service.image.as_ref()? }))))
        .collect();
    let value = serde_json::json!({ "services": services });
    Ok(match format {
        ConfigFormat::Json => format!("{value:#}\n"),
        ConfigFormat::Yaml => hoist_compose::model::to_yaml(&value),
    })
}

/// The variables that the files mention, as a table.
fn variables(context: &Context, options: &LoadOptions, format: ConfigFormat) -> Result<String, Failure> {
    let loaded =
        load_model(&LoadOptions { interpolate: false, ..options.clone() }).map_err(|e| Failure::new(e.to_string()))?;
    for warning in &loaded.warnings {
        context.printer.warn(warning.to_string());
    }
    if format == ConfigFormat::Json {
        let map: serde_json::Map<String, serde_json::Value> = loaded
            .variables
            .iter()
            .map(|variable| {
                let value = serde_json::json!({
                    "Name": variable.name,
                    "DefaultValue": variable.default.clone().unwrap_or_default(),
                    "PresenceValue": variable.alternate.clone().unwrap_or_default(),
                    "Required": variable.required,
                });
                (variable.name.clone(), value)
            })
            .collect();
        return Ok(format!("{:#}\n", serde_json::Value::Object(map)));
    }
    let titles = ["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"].map(str::to_owned);
    let rows: Vec<Vec<String>> = loaded
        .variables
        .iter()
        .map(|variable| {
            vec![
                variable.name.clone(),
                variable.required.to_string(),
                variable.default.clone().unwrap_or_default(),
                variable.alternate.clone().unwrap_or_default(),
            ]
        })
        .collect();
    Ok(super::rows::columns(&titles, &rows))
}
