//! From flags to a job.

use std::{collections::BTreeMap, env::VarError};

use base64::Engine as _;
use hoist_build::{Attestations, CacheLocation, Provenance, dockerfile::describe::Question};
use hoist_proto::{
    spec::{Resources, Ulimit},
    unit,
};

use super::{
    Job, Source,
    destination::{Wanted, destinations},
};
use crate::{
    api::dto::build::BuildOrder,
    cli::{args::build::BuildArgs, failure::Failure},
};

/// Reads all flags.
///
/// # Errors
/// The first that cannot be carried out, by its name.
pub fn job(args: BuildArgs) -> Result<Job, Failure> {
    if !args.rm {
        return Err(Failure::usage("--rm=false is not supported: containers of steps are never kept"));
    }
    args.builder.check()?;
    if let Some(other) = args.isolation.as_deref().filter(|kind| !["", "default"].contains(kind)) {
        return Err(Failure::usage(format!("--isolation {other} is not supported: Linux has one way, default")));
    }
    if args.squash {
        return Err(Failure::usage("--squash is not supported: a last stage with COPY --from makes one layer"));
    }
    if !args.security_opts.is_empty() {
        return Err(Failure::usage("--security-opt is not supported for builds")
            .hint("a command that needs more is written as RUN --security=insecure, and allowed with --allow security.insecure"));
    }
    let attestations = attestations(args.provenance.as_deref(), args.sbom.as_deref(), &args.attests)?;
    let resources = resources(&args)?;
    let tags = args.tags;
    let contexts =
        args.build_contexts.iter().map(|entry| pair("build-context", entry)).collect::<Result<Vec<_>, _>>()?;
    let mut build_args = BTreeMap::new();
    for entry in &args.build_args {
        match entry.split_once('=') {
            Some((name, value)) => drop(build_args.insert(name.to_owned(), value.to_owned())),
            None => drop(variable(entry)?.map(|value| build_args.insert(entry.clone(), value))),
        }
    }
    let epoch = build_args.get("SOURCE_DATE_EPOCH").cloned().or(variable("SOURCE_DATE_EPOCH")?);
    let source_date_epoch = epoch
        .map(|text| text.parse().map_err(|_| Failure::usage(format!("SOURCE_DATE_EPOCH={text}: expected seconds"))))
        .transpose()?;
    let wanted =
        Wanted { load: args.load, push: args.push, named: !tags.is_empty(), epoch: source_date_epoch.is_some() };
    let destinations = destinations(&args.outputs, wanted)?;
    let (annotations, index_annotations) = annotations(&args.annotations)?;
    let mut secrets = BTreeMap::new();
    for entry in &args.secrets {
        let (id, bytes) = secret(entry)?;
        secrets.insert(id, base64::prelude::BASE64_STANDARD.encode(bytes));
    }
    let shm_size = args.shm_size.as_deref().map(unit::parse_bytes).transpose()?;
    let order = BuildOrder {
        target: args.target,
        args: build_args,
        labels: pairs("label", &args.labels)?,
        annotations,
        index_annotations,
        platforms: args.platform,
        no_cache: args.no_cache,
        no_cache_filter: args.no_cache_filter,
        pull: args.pull,
        network: args.network,
        extra_hosts: args.add_hosts.iter().map(|entry| host(entry)).collect::<Result<_, _>>()?,
        shm_size,
        ulimits: args.ulimits.iter().map(|entry| ulimit(entry)).collect::<Result<_, _>>()?,
        cgroup_parent: args.cgroup_parent,
        secrets,
        ssh: args.ssh.iter().map(|entry| agent(entry)).collect::<Result<_, _>>()?,
        allow: args.allow,
        tags,
        source_date_epoch,
        cache_from: args.cache_from.iter().map(|entry| cache(entry)).collect::<Result<_, _>>()?,
        cache_to: args.cache_to.iter().map(|entry| cache(entry)).collect::<Result<_, _>>()?,
        attestations,
        resources,
        check: args.check,
        ..BuildOrder::default()
    };
    let source = Source::parse(&args.context);
    Ok(Job { source, file: args.file, inline: None, contexts, destinations, order })
}

/// Limits of `RUN` steps.
fn resources(args: &BuildArgs) -> Result<Resources, Failure> {
    let swap = match args.memory_swap.as_deref() {
        None => None,
        Some("-1") => Some(-1),
        Some(text) => {
            Some(i64::try_from(unit::parse_bytes(text)?).map_err(|_| Failure::usage("--memory-swap is too large"))?)
        }
    };
    Ok(Resources {
        memory: args.memory.as_deref().map(unit::parse_bytes).transpose()?.filter(|bytes| *bytes > 0),
        memory_swap: swap.filter(|bytes| *bytes != 0),
        cpu_shares: args.cpu_shares,
        cpu_period: args.cpu_period,
        cpu_quota: args.cpu_quota,
        cpuset_cpus: args.cpuset_cpus.clone(),
        cpuset_mems: args.cpuset_mems.clone(),
        ..Resources::default()
    })
}

/// What is to be done with the Dockerfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Build,
    /// The checks, shown as a build shows them.
    Check,
    Ask(Question),
}

/// `--call` and `--check`; whether the answer is to be JSON.
///
/// # Errors
/// What cannot be asked.
pub fn call(args: &BuildArgs) -> Result<(Call, bool), Failure> {
    let wrong = |why: String| Failure::usage(format!("invalid value '{}' for '--call': {why}", args.call));
    let (method, rest) = args.call.split_once(',').unwrap_or((&args.call, ""));
    let method = method.strip_prefix("method=").unwrap_or(method);
    let json = match rest {
        "" | "format=text" => false,
        "format=json" => true,
        other => return Err(wrong(format!("{other:?} is not supported: format=text and format=json are"))),
    };
    let call = match method {
        "build" | "" if json => return Err(wrong("a build has --progress=rawjson and --metadata-file".into())),
        "build" | "" if args.check => Call::Check,
        "build" | "" => Call::Build,
        "check" | "lint" if !json => Call::Check,
        other => Call::Ask(other.parse().map_err(wrong)?),
    };
    Ok((call, json))
}

/// `--provenance`, `--sbom` and `--attest`.
///
/// # Errors
/// What is not supported, by name.
pub fn attestations(provenance: Option<&str>, sbom: Option<&str>, attests: &[String]) -> Result<Attestations, Failure> {
    let mut found = Attestations::default();
    let named = provenance.map(|text| ("provenance", text)).into_iter().chain(sbom.map(|text| ("sbom", text)));
    let mut entries: Vec<(String, String)> = named.map(|(kind, text)| (kind.to_owned(), text.to_owned())).collect();
    for entry in attests {
        let mut kind = None;
        let rest: Vec<&str> = entry
            .split(',')
            .filter(|part| match part.strip_prefix("type=") {
                Some(value) => {
                    kind = Some(value.to_owned());
                    false
                }
                None => true,
            })
            .collect();
        let kind =
            kind.ok_or_else(|| Failure::usage(format!("invalid value '{entry}' for '--attest': it has no type=")))?;
        entries.push((kind, rest.join(",")));
    }
    for (kind, text) in entries {
        let wrong = |what: String| Failure::usage(format!("invalid value '{text}' for '--{kind}': {what}"));
        let mut on = true;
        let mut how = Provenance::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            match (kind.as_str(), part.split_once('=').unwrap_or((part, ""))) {
                (_, ("true" | "1", "")) => {}
                (_, ("false" | "0", "") | ("disabled", "true" | "1")) => on = false,
                (_, ("disabled", "false" | "0")) => {}
                ("provenance", ("mode", "min")) => how.max = false,
                ("provenance", ("mode", "max")) => how.max = true,
                ("provenance", ("version", "v1")) => how.v02 = false,
                ("provenance", ("version", "v0.2")) => how.v02 = true,
                ("provenance", ("builder-id", id)) => how.builder_id = id.to_owned(),
                ("sbom", ("generator", _)) => {
                    return Err(wrong(
                        "generators are images of others and not supported; packages are read here".into(),
                    ));
                }
                (_, (key, _)) => return Err(wrong(format!("'{key}' is not supported"))),
            }
        }
        match kind.as_str() {
            "provenance" => found.provenance = on.then_some(how),
            "sbom" => found.sbom = on,
            other => {
                return Err(Failure::usage(format!("--attest type={other} is not supported: provenance and sbom are")));
            }
        }
    }
    Ok(found)
}

fn variable(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Failure::usage(format!("the variable {name} is not UTF-8"))),
    }
}

fn pair(flag: &str, entry: &str) -> Result<(String, String), Failure> {
    let parts = entry.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) =
        parts.ok_or_else(|| Failure::usage(format!("invalid value '{entry}' for '--{flag}': expected NAME=VALUE")))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn pairs(flag: &str, entries: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    entries
        .iter()
        .map(|entry| if entry.contains('=') { pair(flag, entry) } else { Ok((entry.clone(), String::new())) })
        .collect()
}

type Annotations = BTreeMap<String, String>;

/// `NAME=VALUE`, in front of which may stand what is annotated: `manifest:`, `index:`, or both. Those of manifests, and
/// those of the index.
fn annotations(entries: &[String]) -> Result<(Annotations, Annotations), Failure> {
    const KINDS: [&str; 4] = ["manifest", "index", "manifest-descriptor", "index-descriptor"];
    let (mut manifests, mut index) = (Annotations::new(), Annotations::new());
    for entry in entries {
        let (name, value) = pair("annotation", entry)?;
        // Names may have colons, too.
        let levels = name.split_once(':').filter(|(what, _)| {
            what.split(',').all(|kind| KINDS.contains(&kind.split('[').next().unwrap_or_default()))
        });
        let Some((levels, rest)) = levels else {
            manifests.insert(name, value);
            continue;
        };
        for level in levels.split(',') {
            let to = match level {
                "manifest" => &mut manifests,
                "index" => &mut index,
                _ => {
                    return Err(Failure::usage(format!(
                        "--annotation {level}:… is not supported: the manifests of all images are annotated alike, and their \
                         index"
                    )));
                }
            };
            to.insert(rest.to_owned(), value.clone());
        }
    }
    Ok((manifests, index))
}

/// `name:address` or `name=address`; an IPv6 address may stand in brackets.
pub fn host(entry: &str) -> Result<(String, String), Failure> {
    let parts = entry.split_once('=').or_else(|| entry.split_once(':'));
    let (name, address) = parts
        .filter(|(name, address)| !name.is_empty() && !address.is_empty())
        .ok_or_else(|| Failure::usage(format!("invalid value '{entry}' for '--add-host': expected NAME:ADDRESS")))?;
    Ok((name.to_owned(), address.trim_matches(['[', ']']).to_owned()))
}

fn ulimit(entry: &str) -> Result<Ulimit, Failure> {
    entry.parse().map_err(|error| Failure::usage(format!("invalid value {entry:?} for --ulimit: {error}")))
}

/// `id=…,src=FILE`, `id=…,env=NAME`; an id alone is a variable, or a file of that name.
pub fn secret(entry: &str) -> Result<(String, Vec<u8>), Failure> {
    let mut fields = BTreeMap::new();
    for part in entry.split(',') {
        let (key, value) = part.split_once('=').unwrap_or(("id", part));
        let key = match key {
            "source" | "src" => "src",
            "id" | "env" | "type" => key,
            other => {
                return Err(Failure::usage(format!(
                    "invalid value '{entry}' for '--secret': unknown key '{other}', expected id, src, env or type"
                )));
            }
        };
        fields.insert(key.to_owned(), value.to_owned());
    }
    let id = fields.get("id").or(fields.get("env")).or(fields.get("src")).cloned().unwrap_or_default();
    if id.is_empty() {
        return Err(Failure::usage(format!("invalid value '{entry}' for '--secret': it has no id")));
    }
    let kind = fields.get("type").map(String::as_str);
    if let Some(other) = kind.filter(|kind| !["file", "env"].contains(kind)) {
        return Err(Failure::usage(format!("invalid value '{entry}' for '--secret': type {other} is not file or env")));
    }
    // `type=env,src=NAME` is an older spelling.
    let by_name = |name: &str| variable(name).map(|value| value.map(String::into_bytes));
    let unset =
        |name: &str| Failure::new(format!("the secret {id} is to come from the variable {name}, which is not set"));
    let bytes = match (kind, fields.get("env"), fields.get("src")) {
        (_, Some(name), None) | (Some("env"), None, Some(name)) => by_name(name)?.ok_or_else(|| unset(name))?,
        (Some("env"), None, None) => by_name(&id)?.ok_or_else(|| unset(&id))?,
        (_, _, Some(path)) => fs_err::read(path)?,
        (_, None, None) => match by_name(&id)?.filter(|_| kind.is_none()) {
            Some(bytes) => bytes,
            None => fs_err::read(&id)?,
        },
    };
    Ok((id, bytes))
}

/// `default`, `ID`, `ID=SOCKET`: the socket of an agent on this machine.
pub fn agent(entry: &str) -> Result<(String, String), Failure> {
    let (id, path) = entry.split_once('=').unwrap_or((entry, ""));
    let path = match path {
        "" => variable("SSH_AUTH_SOCK")?.filter(|path| !path.is_empty()).ok_or_else(|| {
            Failure::new("--ssh needs an agent, and SSH_AUTH_SOCK names none")
                .hint("start one: eval $(ssh-agent); ssh-add")
        })?,
        path => path.to_owned(),
    };
    use std::os::unix::fs::FileTypeExt;
    if !fs_err::metadata(&path)?.file_type().is_socket() {
        return Err(Failure::new(format!("--ssh {entry}: {path} is not the socket of an agent"))
            .hint("keys in files are not read: add them to an agent with ssh-add"));
    }
    let whole = fs_err::canonicalize(&path)?;
    Ok((id.to_owned(), whole.to_string_lossy().into_owned()))
}

/// An image's name, or `type=…,key=value,…`.
pub fn cache(entry: &str) -> Result<CacheLocation, Failure> {
    let mut options = BTreeMap::new();
    if !entry.contains('=') {
        options.insert("ref".to_owned(), entry.to_owned());
        return Ok(CacheLocation { kind: "registry".to_owned(), options });
    }
    for part in entry.split(',') {
        let (key, value) = pair("cache-from", part)?;
        options.insert(key, value);
    }
    let kind = options.remove("type").unwrap_or_else(|| "registry".to_owned());
    for key in ["src", "dest"] {
        if let Some(path) = options.get_mut(key) {
            *path = std::path::absolute(path.as_str())?.to_string_lossy().into_owned();
        }
    }
    Ok(CacheLocation { kind, options })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_from_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs_err::write(&path, "s3cret").unwrap();
        let entry = format!("id=t,src={}", path.display());
        assert_eq!(secret(&entry).unwrap(), ("t".to_owned(), b"s3cret".to_vec()));
        assert!(secret("id=t,source=/nowhere/x").is_err());
        assert!(secret("id=t,env=HOIST_NO_SUCH_VARIABLE").unwrap_err().message.contains("which is not set"));
        assert!(secret("idd=t").unwrap_err().message.contains("unknown key 'idd'"));
    }

    #[test]
    fn attestations_are_asked_for_in_several_ways() {
        let read = |provenance, sbom, attests: &[&str]| {
            let attests: Vec<String> = attests.iter().map(|entry| (*entry).to_owned()).collect();
            attestations(provenance, sbom, &attests).map_err(|failure| failure.message)
        };
        assert_eq!(read(None, None, &[]).unwrap(), Attestations::default());
        let all = read(Some("mode=max,version=v0.2"), Some("true"), &[]).unwrap();
        assert!(all.sbom && all.provenance.is_some_and(|how| how.max && how.v02));
        assert!(read(None, None, &["type=sbom"]).unwrap().sbom);
        assert!(read(Some("true"), None, &["type=provenance,disabled=true"]).unwrap().provenance.is_none());
        assert!(read(Some("mode=mox"), None, &[]).unwrap_err().contains("'mode' is not supported"));
        assert!(read(None, Some("generator=x/y"), &[]).unwrap_err().contains("generators are images of others"));
        assert!(read(None, None, &["type=vex"]).unwrap_err().contains("type=vex is not supported"));
    }

    #[test]
    fn manifests_are_annotated_and_the_index() {
        let read = |entry: &str| annotations(&[entry.to_owned()]).map_err(|failure| failure.message);
        let one = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        for entry in ["a.b=c", "manifest:a.b=c"] {
            assert_eq!(read(entry).unwrap(), (one("a.b", "c"), BTreeMap::new()));
        }
        assert_eq!(read("index:a=b").unwrap(), (BTreeMap::new(), one("a", "b")));
        assert_eq!(read("manifest,index:a=b").unwrap(), (one("a", "b"), one("a", "b")));
        assert_eq!(read("x:y=z:w").unwrap().0, one("x:y", "z:w"));
        for entry in ["manifest[linux/amd64]:a=b", "manifest-descriptor:a=b", "index,index-descriptor:a=b"] {
            assert!(read(entry).unwrap_err().contains("is not supported"), "{entry}");
        }
        assert!(read("a").is_err());
    }

    #[test]
    fn small_values() {
        assert_eq!(host("a:::1").unwrap(), ("a".into(), "::1".into()));
        assert_eq!(host("a=[::1]").unwrap(), ("a".into(), "::1".into()));
        assert!(host("a").is_err());
        assert_eq!(ulimit("nofile=1:2").unwrap(), Ulimit { name: "nofile".into(), soft: 1, hard: 2 });
        assert!(ulimit("nofile").is_err());
        assert_eq!(cache("x/y:1").unwrap().options["ref"], "x/y:1");
        assert_eq!(cache("type=local,src=/c").unwrap().kind, "local");
    }
}
