//! Texts and JSON documents.

use hoist_compose::model::Project;
use hoist_compose::{LoadOptions, dotenv, load_str};
use hoist_image::Reference;

/// A compose file, and the same bytes as a file of variables. What loads, prints; and what is printed, loads as the
/// same.
pub fn compose(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = dotenv::parse(&text, &|name| (name == "SET").then(|| "value".to_owned()));
    let _ = dotenv::parse_raw(&text);
    let Ok(project) = load(&text) else { return };
    let _ = project.dependency_order();
    let printed = project.to_yaml();
    let again = load(&printed).map(|again| again.to_yaml());
    assert_eq!(again.as_ref(), Ok(&printed), "what was printed does not load as itself");
    let json = serde_json::to_string(&project).expect("a project is JSON");
    let back: Project = serde_json::from_str(&json).expect("a project's JSON is a project");
    assert_eq!(back.to_yaml(), printed, "JSON lost something");
}

fn load(text: &str) -> Result<Project, String> {
    let mut options = LoadOptions::new("/project");
    options.env.insert("SET".into(), "value".into());
    load_str(text, &options).map(|loaded| loaded.project).map_err(|error| error.to_string())
}

/// An image's name as a person types it. Its printed form names the same.
pub fn reference(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(reference) = Reference::parse(&text) else { return };
    for printed in [reference.to_string(), reference.familiar()] {
        let again = Reference::parse(&printed);
        assert_eq!(again.as_ref().map_err(ToString::to_string), Ok(&reference), "{printed:?} from {text:?}");
    }
}

/// A registry's manifest or index.
pub fn manifest(data: &[u8]) {
    hoist_image::fuzz::manifest(data);
}

/// What a registry or its token server answers beside that.
pub fn registry(data: &[u8]) {
    hoist_image::fuzz::answer(data);
}

/// An image's configuration.
pub fn image_config(data: &[u8]) {
    hoist_image::fuzz::config(data);
}

/// An OCI runtime configuration.
pub fn oci_config(data: &[u8]) {
    let _ = hoist_runtime::check_config(data);
}
