//! From what a client orders to what the builder is asked.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use base64::Engine as _;
use hoist_build::{
    BuildRequest, Context, Credentials, NamedContext, NetworkChoice, Output, Secret,
    dockerfile::{self, Dockerfile, GlobalScope, Plan, Platform},
};

use super::{Builds, ReadyContext};
use crate::api::{
    docker::auth,
    dto::build::{BuildOrder, ContextRef, OutputOrder},
    error::ApiError,
};

/// A request with what it rests on.
pub struct Ordered {
    pub request: BuildRequest,
    /// Contexts that must stay while the build runs.
    pub held: Vec<Arc<ReadyContext>>,
    /// Where each output's file is, `None` for those that have none; with the directory that they are in.
    pub results: Vec<Option<PathBuf>>,
    pub scratch: Arc<tempfile::TempDir>,
}

/// What an order's Dockerfile says, for the first of its platforms.
///
/// # Errors
/// The file's mistakes.
pub fn plan(order: &BuildOrder) -> Result<(Dockerfile, GlobalScope, Plan), dockerfile::Error> {
    let file = dockerfile::parse(&order.dockerfile_name, order.dockerfile.as_bytes())?;
    let (global, plan) = plan_for(order, &file, order.platforms.first())?;
    Ok((file, global, plan))
}

/// The file, and what is built of it for each platform.
///
/// # Errors
/// The file's mistakes.
pub fn plans(order: &BuildOrder) -> Result<(Dockerfile, Vec<Plan>), dockerfile::Error> {
    let file = dockerfile::parse(&order.dockerfile_name, order.dockerfile.as_bytes())?;
    let mut plans = vec![plan_for(order, &file, order.platforms.first())?.1];
    for platform in order.platforms.iter().skip(1) {
        plans.push(plan_for(order, &file, Some(platform))?.1);
    }
    Ok((file, plans))
}

fn plan_for(
    order: &BuildOrder,
    file: &Dockerfile,
    platform: Option<&String>,
) -> Result<(GlobalScope, Plan), dockerfile::Error> {
    let local = Platform::local();
    let target = platform.and_then(|platform| Platform::parse(platform, &local));
    let global = GlobalScope::new(file, &order.args, &target.unwrap_or_else(|| local.clone()), &local)?;
    let plan = Plan::new(file, &global, order.contexts.keys().cloned(), order.target.as_deref())?;
    Ok((global, plan))
}

/// Translates an order.
///
/// # Errors
/// 400 for values that make no sense, 404 for contexts that are not here.
pub fn request(builds: &Builds, order: BuildOrder) -> Result<Ordered, ApiError> {
    for name in order.names() {
        hoist_image::Reference::parse(name)?;
    }
    let scratch = Arc::new(builds.scratch()?);
    let mut held = Vec::new();
    let mut hold = |id: &str| {
        let context = builds.context(id)?;
        let root = context.path().to_owned();
        held.push(context);
        Ok::<_, ApiError>(Context { root, ignore: Vec::new(), lasting: true })
    };
    let context = order.context.as_deref().map(&mut hold).transpose()?;
    let mut contexts = BTreeMap::new();
    for (name, context) in order.contexts {
        let context = match context {
            ContextRef::Sent(id) => NamedContext::Directory(hold(&id)?),
            ContextRef::Image(image) => NamedContext::Image(image),
        };
        contexts.insert(name, context);
    }
    let mut outputs = Vec::new();
    let mut results = Vec::new();
    for (index, output) in order.outputs.iter().enumerate() {
        let path = scratch.path().join(index.to_string());
        let (output, file) = match output {
            OutputOrder::Image(how) => (Output::Image(how.clone()), None),
            OutputOrder::Local => (Output::Local(path.clone()), Some(path)),
            OutputOrder::Tar => (Output::Tar(path.clone()), Some(path)),
            OutputOrder::Docker(how) => (Output::Docker(path.clone(), how.clone()), Some(path)),
            OutputOrder::Oci(how) => (Output::Oci(path.clone(), how.clone()), Some(path)),
            OutputOrder::Cacheonly => (Output::Cache, None),
        };
        outputs.push(output);
        results.push(file);
    }
    let mut cache_from = Vec::new();
    for mut location in order.cache_from {
        if location.kind == "local" {
            // A client's directory was sent as contexts are.
            let id = location.options.remove("context").ok_or_else(|| {
                ApiError::bad_request("a local cache is read from a context that was sent: its id must be given")
            })?;
            let sent = hold(&id)?.root.to_string_lossy().into_owned();
            let name = location.options.insert("src".to_owned(), sent);
            location.options.extend(name.map(|name| ("name".to_owned(), name)));
        }
        cache_from.push(location);
    }
    let mut cache_to = Vec::new();
    for (index, mut location) in order.cache_to.into_iter().enumerate() {
        if location.kind == "local" {
            // The client fetches it, after the outputs.
            let path = scratch.path().join(format!("cache-{index}"));
            let name = location.options.insert("dest".to_owned(), path.to_string_lossy().into_owned());
            let name = name.ok_or_else(|| ApiError::bad_request("--cache-to type=local: needs dest=…"))?;
            location.options.insert("name".to_owned(), name);
            results.push(Some(path));
        }
        cache_to.push(location);
    }
    let secrets = order.secrets.into_iter().map(|(id, text)| match base64::prelude::BASE64_STANDARD.decode(text) {
        Ok(bytes) => Ok((id, Secret(bytes))),
        Err(_) => Err(ApiError::bad_request(format!("the secret {id:?} is not base64"))),
    });
    let request = BuildRequest {
        dockerfile: order.dockerfile,
        dockerfile_name: order.dockerfile_name,
        context,
        contexts,
        target: order.target.filter(|target| !target.is_empty()),
        args: order.args,
        labels: order.labels,
        annotations: order.annotations,
        index_annotations: order.index_annotations,
        platforms: order.platforms,
        no_cache: order.no_cache,
        no_cache_filter: order.no_cache_filter.into_iter().collect(),
        pull: order.pull,
        network: network(&order.network),
        extra_hosts: order.extra_hosts,
        shm_size: order.shm_size,
        ulimits: order.ulimits,
        cgroup_parent: order.cgroup_parent.filter(|parent| !parent.is_empty()),
        secrets: secrets.collect::<Result<_, _>>()?,
        ssh: order.ssh.into_iter().map(|(id, path)| (id, PathBuf::from(path))).collect(),
        entitlements: order
            .allow
            .iter()
            .map(|name| name.parse())
            .collect::<Result<_, _>>()
            .map_err(|error: String| ApiError::bad_request(error))?,
        outputs,
        tags: order.tags,
        auth: credentials(&order.auth)?,
        source_date_epoch: order.source_date_epoch,
        attestations: order.attestations,
        resources: order.resources,
        cache_from,
        cache_to,
    };
    Ok(Ordered { request, held, results, scratch })
}

/// A network's name as `--network` has it.
fn network(name: &str) -> NetworkChoice {
    match name {
        "" | "default" | "bridge" => NetworkChoice::Default,
        "none" => NetworkChoice::None,
        "host" => NetworkChoice::Host,
        other => NetworkChoice::Named(other.to_owned()),
    }
}

fn credentials(headers: &BTreeMap<String, String>) -> Result<BTreeMap<String, Credentials>, ApiError> {
    let mut found = BTreeMap::new();
    for (registry, header) in headers {
        if let Some(auth) = auth::decode(header)? {
            found.insert(registry.clone(), from_auth(auth));
        }
    }
    Ok(found)
}

/// The same credentials in the builder's words.
fn from_auth(auth: hoist_image::Auth) -> Credentials {
    Credentials {
        username: auth.username,
        password: auth.password,
        identity_token: auth.identity_token,
        registry_token: auth.registry_token,
    }
}
