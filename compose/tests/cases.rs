//! Whole compose files, one case for every page of the specification and one
//! for every kind of mistake, against what they load as.

use std::path::PathBuf;

use hoist_compose::{ConfigFile, LoadError, LoadOptions, Loaded, load};

fn options(case: &str) -> LoadOptions {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(case);
    let mut options = LoadOptions::new(directory);
    for (name, value) in [
        ("HOME", "/home/user"),
        ("SET", "value"),
        ("EMPTY", ""),
        ("COUNT", "3"),
        ("BOOL", "true"),
        ("PORT", "8080"),
        ("WORD", "word"),
        ("SIZE", "5 bananas"),
        ("USER_INPUT", "typed"),
        ("SHELL_VAR", "shell"),
        ("GIT_COMMIT", "cdc3b19"),
        ("FROM_ENV", "from the environment"),
        ("OAUTH_TOKEN", "secret"),
    ] {
        options.env.insert(name.into(), value.into());
    }
    options
}

fn files(mut options: LoadOptions, names: &[&str]) -> LoadOptions {
    options.files = names.iter().map(|name| ConfigFile::Path(name.into())).collect();
    options
}

fn printed(options: &LoadOptions, result: Result<Loaded, LoadError>) -> String {
    let directory = options.current_directory.to_string_lossy().into_owned();
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
    let (text, warnings) = match result {
        Ok(loaded) => (loaded.project.to_yaml(), loaded.warnings),
        Err(error) => (format!("{error}\n"), error.warnings),
    };
    let warnings: String = warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    format!("{warnings}{text}").replace(&directory, "[dir]").replace(cases, "[cases]")
}

macro_rules! case {
    ($test:ident, $case:literal) => {
        case!($test, $case, |options| options);
    };
    ($test:ident, $case:literal, $with:expr) => {
        #[test]
        fn $test() {
            let with: fn(LoadOptions) -> LoadOptions = $with;
            let options = with(options($case));
            insta::assert_snapshot!(printed(&options, load(&options)));
        }
    };
}

case!(page_02_model, "model");
case!(page_04_version_and_name, "version-and-name");
case!(page_05_services, "services");
case!(page_05_ports_and_volumes, "ports-and-volumes");
case!(page_05_env_files, "env-files");
case!(page_06_networks, "networks");
case!(page_07_volumes, "volumes");
case!(page_08_and_09_configs_and_secrets, "configs-and-secrets");
case!(page_10_fragments, "fragments");
case!(page_11_extension, "extension");
case!(page_12_interpolation, "interpolation");
case!(page_13_merge, "merge", |o| files(o, &["compose.yaml", "over.yaml"]));
case!(page_14_include, "include");
case!(page_05_extends, "extends");
case!(page_build, "build");
case!(page_deploy, "deploy");
case!(page_develop, "develop");
case!(page_models, "models");

case!(page_15_no_profile, "profiles");
case!(page_15_profile_test, "profiles", |mut o| {
    o.profiles = vec!["test".into()];
    o
});
case!(page_15_profile_debug, "profiles", |mut o| {
    o.env.insert("COMPOSE_PROFILES".into(), "debug".into());
    o
});
case!(page_15_all_profiles, "profiles", |mut o| {
    o.profiles = vec!["*".into()];
    o
});
case!(page_15_target, "profiles", |mut o| {
    o.services = vec!["baz".into()];
    o
});

case!(odd_names, "odd-names", |o| files(o, &["compose.yaml", "over.yaml"]));
case!(bad_model, "bad-model");

case!(bad_keys, "bad-keys");
case!(bad_scalars, "bad-scalars");
case!(bad_references, "bad-references");
case!(bad_yaml, "bad-yaml");
case!(bad_cycles, "bad-cycles");
case!(bad_extends, "bad-extends");
case!(bad_include, "bad-include");
case!(bad_variables, "bad-variables");
case!(bad_merge, "bad-merge", |o| files(o, &["compose.yaml", "over.yaml", "third.yaml"]));
case!(bad_env_files, "bad-env");
case!(bad_name, "bad-name");
case!(no_file, "no-such-directory");
