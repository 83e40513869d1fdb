//! The parameters of `POST /build`.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use base64::Engine as _;
use hoist_build::CacheLocation;
use hoist_proto::spec::{Resources, Ulimit};
use serde::{Deserialize, de::DeserializeOwned};

use crate::api::{
    docker::auth,
    dto::{
        build::{BuildOrder, OutputOrder},
        image::AuthConfig,
    },
    error::ApiError,
    params::Params,
};

/// Switches of the classic builder that have no counterpart, with the values that ask for nothing, and why.
const UNSUPPORTED: [(&str, &[&str], &str); 4] = [
    ("squash", &["0", "false", "False"], "a last stage with COPY --from makes one layer"),
    ("isolation", &["default"], "it has a meaning on Windows only"),
    ("securityopt", &["null", "[]"], "RUN --security=insecure is for commands that need more"),
    ("outputs", &["null", "[]"], "it is BuildKit's; hoist build has --output"),
];

/// Reads them all.
///
/// # Errors
/// 400 for what is malformed, and by name for what is not supported.
pub fn order(query: &Params, headers: &HeaderMap) -> Result<BuildOrder, ApiError> {
    for (name, nothing, why) in UNSUPPORTED {
        if name == "outputs" && query.text("version") == Some("2") {
            continue;
        }
        if let Some(value) = query.text(name).filter(|value| !nothing.contains(value)) {
            return Err(ApiError::bad_request(format!("{name}={value} is not supported: {why}")));
        }
    }
    let args: BTreeMap<String, Option<String>> = json(query, "buildargs")?;
    let labels: BTreeMap<String, String> = json(query, "labels")?;
    let ulimits: Vec<Limit> = json(query, "ulimits")?;
    let cache_from: Vec<String> = json(query, "cachefrom")?;
    let mut hosts = Vec::new();
    for entry in query.all("extrahosts").flat_map(|hosts| hosts.split(',')).filter(|entry| !entry.is_empty()) {
        let parts = entry.split_once('=').or_else(|| entry.split_once(':'));
        let (name, address) = parts
            .ok_or_else(|| ApiError::bad_request(format!("invalid extra host {entry:?}: expected name:address")))?;
        hosts.push((name.to_owned(), address.trim_matches(['[', ']']).to_owned()));
    }
    let tags = query.all("t").filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    Ok(BuildOrder {
        target: query.text("target").map(str::to_owned),
        args: args.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        labels,
        platforms: query.text("platform").map(str::to_owned).into_iter().collect(),
        no_cache: query.flag("nocache"),
        pull: query.flag("pull"),
        network: query.text("networkmode").unwrap_or_default().to_owned(),
        extra_hosts: hosts,
        shm_size: query.number("shmsize")?.filter(|bytes| *bytes > 0),
        ulimits: ulimits.into_iter().map(|Limit { name, soft, hard }| Ulimit { name, soft, hard }).collect(),
        cgroup_parent: query.text("cgroupparent").map(str::to_owned),
        resources: resources(query)?,
        // The classic API lets a build use the host's network where its caller says so.
        allow: if query.text("networkmode") == Some("host") { vec!["network.host".to_owned()] } else { Vec::new() },
        outputs: vec![OutputOrder::an_image(false)],
        tags,
        auth: credentials(headers)?,
        cache_from: cache_from
            .into_iter()
            .map(|image| CacheLocation {
                kind: "registry".to_owned(),
                options: BTreeMap::from([("ref".to_owned(), image)]),
            })
            .collect(),
        ..BuildOrder::default()
    })
}

/// Limits of the containers that steps run in; 0 and nothing ask for none.
fn resources(query: &Params) -> Result<Resources, ApiError> {
    let text = |name: &str| query.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let memory = query.number::<u64>("memory")?.filter(|bytes| *bytes > 0);
    let swap = query.number::<i64>("memswap")?.filter(|bytes| *bytes != 0);
    Ok(Resources {
        memory,
        memory_swap: swap,
        cpu_shares: query.number("cpushares")?.filter(|shares: &u64| *shares > 0),
        cpu_period: query.number("cpuperiod")?.filter(|period: &u64| *period > 0),
        cpu_quota: query.number("cpuquota")?.filter(|quota: &i64| *quota != 0),
        cpuset_cpus: text("cpusetcpus"),
        cpuset_mems: text("cpusetmems"),
        ..Resources::default()
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Limit {
    name: String,
    soft: i64,
    hard: i64,
}

/// A parameter that holds JSON; absent, empty and `null` are its default.
fn json<T: DeserializeOwned + Default>(query: &Params, name: &str) -> Result<T, ApiError> {
    let Some(text) = query.text(name) else { return Ok(T::default()) };
    let value: Option<T> = serde_json::from_str(text)
        .map_err(|error| ApiError::bad_request(format!("invalid value of {name}: {error}")))?;
    Ok(value.unwrap_or_default())
}

/// `X-Registry-Config`: credentials by registry, each in the form in which the builder's orders have them.
fn credentials(headers: &HeaderMap) -> Result<BTreeMap<String, String>, ApiError> {
    let invalid = || ApiError::bad_request("invalid X-Registry-Config header: expected base64 of JSON");
    let Some(header) = headers.get("x-registry-config") else { return Ok(BTreeMap::new()) };
    let text = header.to_str().map_err(|_| invalid())?;
    let Some(bytes) = auth::bytes(text) else { return Err(invalid()) };
    let configs: Option<BTreeMap<String, serde_json::Value>> = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    let mut found = BTreeMap::new();
    for (registry, config) in configs.unwrap_or_default() {
        let _: AuthConfig = serde_json::from_value(config.clone()).map_err(|_| invalid())?;
        let host = registry.trim_start_matches("https://").trim_start_matches("http://");
        let host = host.split('/').next().unwrap_or_default();
        let host = if host == "index.docker.io" { "docker.io" } else { host };
        found.insert(host.to_owned(), base64::prelude::BASE64_URL_SAFE.encode(config.to_string()));
    }
    Ok(found)
}
