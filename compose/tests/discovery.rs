//! Which files are found and which variables hold: default names, override
//! files, `COMPOSE_*`, `.env`, `--env-file`, and the flags of `config`.

#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

use std::path::Path;

use hoist_compose::{ConfigFile, LoadOptions, Loaded, find_files, load, load_model};
use tempfile::TempDir;

/// A directory with these files.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::Builder::new().prefix("My.Project").tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

fn options(directory: &Path, env: &[(&str, &str)]) -> LoadOptions {
    let mut options = LoadOptions::new(directory);
    options.env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    options
}

fn image(loaded: &Loaded) -> &str {
    loaded.project.services["web"].image.as_deref().unwrap()
}

const WEB: &str = "services: {web: {image: \"${IMAGE:-none}\"}}\n";

#[test]
fn the_nearest_file_and_its_override() {
    let dir = directory(&[
        ("docker-compose.yml", WEB),
        ("compose.yaml", WEB),
        ("compose.override.yml", "services: {web: {labels: {over: ridden}}}\n"),
        ("a/b/other.txt", ""),
    ]);
    let found = find_files(&dir.path().join("a/b"));
    assert_eq!(found, [dir.path().join("compose.yaml"), dir.path().join("compose.override.yml")]);
    let loaded = load(&options(&dir.path().join("a/b"), &[])).unwrap();
    assert_eq!(loaded.project.services["web"].labels["over"], "ridden");
    assert_eq!(loaded.project.working_dir, dir.path());
    assert!(loaded.project.name.starts_with("myproject"), "{}", loaded.project.name);
}

#[test]
fn named_files_take_no_override() {
    let dir = directory(&[("sub/a.yaml", WEB), ("sub/compose.override.yaml", "services: {web: {image: other}}\n")]);
    let mut options = options(dir.path(), &[]);
    options.files = vec![ConfigFile::Path("sub/a.yaml".into())];
    let loaded = load(&options).unwrap();
    assert_eq!(image(&loaded), "none");
    assert_eq!(loaded.project.working_dir, dir.path().join("sub"));
    assert_eq!(loaded.project.name, "sub");
    options.project_directory = Some(".".into());
    assert_eq!(load(&options).unwrap().project.working_dir, dir.path());
}

#[test]
fn variables_name_files_project_and_profiles() {
    let dir = directory(&[
        ("one.yaml", "services: {web: {image: one}, extra: {image: x, profiles: [p]}}\n"),
        ("two.yaml", "services: {web: {image: two}}\n"),
        (
            ".env",
            "COMPOSE_FILE=one.yaml;two.yaml\nCOMPOSE_PATH_SEPARATOR=;\nCOMPOSE_PROFILES=q,p\nCOMPOSE_PROJECT_NAME=fromenv\n",
        ),
    ]);
    let loaded = load(&options(dir.path(), &[])).unwrap();
    assert_eq!(image(&loaded), "two");
    assert_eq!(loaded.project.name, "fromenv");
    assert!(loaded.project.services.contains_key("extra"));
    let mut by_flag = options(dir.path(), &[("COMPOSE_FILE", "one.yaml")]);
    by_flag.project_name = Some("flag".into());
    by_flag.env.insert("COMPOSE_PATH_SEPARATOR".into(), ":".into());
    let loaded = load(&by_flag).unwrap();
    assert_eq!((image(&loaded), loaded.project.name.as_str()), ("one", "flag"));
    by_flag.project_name = Some("Not Valid".into());
    assert!(load(&by_flag).unwrap_err().to_string().contains("such as \"notvalid\""));
}

#[test]
fn environment_files_in_their_order() {
    let dir = directory(&[
        ("compose.yaml", WEB),
        (".env", "IMAGE=dotenv\n"),
        ("a.env", "IMAGE=a\n"),
        ("b.env", "IMAGE=${IMAGE}-b\n"),
    ]);
    assert_eq!(image(&load(&options(dir.path(), &[])).unwrap()), "dotenv");
    assert_eq!(image(&load(&options(dir.path(), &[("IMAGE", "shell")])).unwrap()), "shell");
    assert_eq!(image(&load(&options(dir.path(), &[("COMPOSE_DISABLE_ENV_FILE", "1")])).unwrap()), "none");
    assert_eq!(image(&load(&options(dir.path(), &[("COMPOSE_ENV_FILES", "a.env,b.env")])).unwrap()), "a-b");
    let mut flagged = options(dir.path(), &[]);
    flagged.env_files = vec!["a.env".into()];
    assert_eq!(image(&load(&flagged).unwrap()), "a");
    flagged.env_files = vec!["none.env".into()];
    assert!(load(&flagged).unwrap_err().to_string().contains("none.env"));
}

#[test]
fn standard_input_is_a_file_of_the_current_directory() {
    let dir = directory(&[(".env", "IMAGE=dotenv\n")]);
    let mut options = options(dir.path(), &[]);
    options.files = vec![ConfigFile::Text { name: "-".into(), text: format!("{WEB}bad: 1\n") }];
    assert_eq!(load(&options).unwrap_err().to_string(), "-:2:1: unknown key \"bad\"");
    options.files = vec![ConfigFile::Text { name: "-".into(), text: WEB.into() }];
    let loaded = load(&options).unwrap();
    assert_eq!(image(&loaded), "dotenv");
    assert!(loaded.project.compose_files.is_empty());
}

#[test]
fn the_flags_of_config() {
    let dir = directory(&[(
        "sub/compose.yaml",
        "name: n\nservices:\n  web:\n    build: ./web\n    command: \"run ${CMD:?say}\"\n    env_file: [a.env]\n    environment: [FROM_SHELL]\n    ports: [\"${PORT:-80}:80\", \"81:81\"]\n    networks: [missing]\n    volumes: [\"${DATA}:/data\", \"./src:/src\"]\n",
    )]);
    let base = options(&dir.path().join("sub"), &[("CMD", "it"), ("FROM_SHELL", "yes"), ("DATA", "./d")]);
    let loaded = LoadOptions { interpolate: false, ..base.clone() };
    let model = load_model(&loaded).unwrap();
    let web = &model.model["services"]["web"];
    assert_eq!(web["command"], "run ${CMD:?say}");
    assert_eq!(web["ports"][0], "${PORT:-80}:80");
    assert_eq!(web["ports"][1]["published"], "81");
    assert_eq!(web["volumes"][0], "${DATA}:/data");
    assert_eq!(web["volumes"][1]["source"], dir.path().join("sub/src").to_str().unwrap());
    let names: Vec<(&str, bool, Option<&str>)> =
        model.variables.iter().map(|v| (v.name.as_str(), v.required, v.default.as_deref())).collect();
    assert_eq!(names, [("CMD", true, None), ("DATA", false, None), ("PORT", false, Some("80"))]);

    let errors = load(&base).unwrap_err().to_string();
    assert!(errors.contains("a.env") && errors.contains("undefined network \"missing\""), "{errors}");
    let lenient = LoadOptions {
        check_consistency: false,
        resolve_environment: false,
        resolve_paths: false,
        normalize: false,
        ..base
    };
    let project = load(&lenient).unwrap().project;
    let web = &project.services["web"];
    assert_eq!(web.environment["FROM_SHELL"], None);
    assert_eq!(web.env_file[0].path, "a.env");
    assert_eq!(web.build.as_ref().unwrap().context.as_deref(), Some("./web"));
    assert_eq!(web.volumes[1].source.as_deref(), Some("./src"));
    assert!(project.networks.is_empty());
}

#[test]
fn relative_paths_stay_relative_to_the_project() {
    let dir = directory(&[
        (
            "compose.yaml",
            "include: [inc/compose.yaml]\nservices:\n  web: {extends: {file: ext/base.yaml, service: b}}\n",
        ),
        ("ext/base.yaml", "services: {b: {image: x, volumes: [\"./data:/data\", \"../up:/up\"]}}\n"),
        ("inc/compose.yaml", "services: {i: {image: i, build: ., volumes: [\"./here:/here\"]}}\n"),
    ]);
    let project = load(&LoadOptions { resolve_paths: false, ..options(dir.path(), &[]) }).unwrap().project;
    let sources = |name: &str| -> Vec<&str> {
        project.services[name].volumes.iter().filter_map(|mount| mount.source.as_deref()).collect()
    };
    assert_eq!(sources("web"), ["ext/data", "up"]);
    assert_eq!(sources("i"), ["inc/here"]);
    assert_eq!(project.services["i"].build.as_ref().unwrap().context.as_deref(), Some("inc"));
}

#[test]
fn what_waits_for_variables_is_not_judged() {
    let text = "name: n\nservices:\n  web:\n    image: x\n    scale: ${N}\n    init: ${B}\n    restart: $R\n    mem_limit: ${M:-1g}\n    build: $DIR\n    depends_on: {db: {condition: \"${C}\", required: \"${Q}\"}}\n    wrong: 1\n";
    let dir = directory(&[("compose.yaml", text)]);
    let unfinished = LoadOptions { interpolate: false, ..options(dir.path(), &[]) };
    let error = load_model(&unfinished).unwrap_err().to_string();
    assert_eq!(error, "compose.yaml:11:5: service \"web\": unknown key \"wrong\"");
    std::fs::write(dir.path().join("compose.yaml"), text.replace("    wrong: 1\n", "")).unwrap();
    let model = load_model(&unfinished).unwrap().model;
    let web = &model["services"]["web"];
    assert_eq!((&web["scale"], &web["build"]["context"]), (&"${N}".into(), &"$DIR".into()));
    assert_eq!(web["depends_on"]["db"]["required"], "${Q}");
}
