//! `hoist manifest annotate`

use hoist_image::Platform;

use super::{Store, name};
use crate::cli::{Context, Exit, Outcome, args::manifest::AnnotateArgs, failure::Failure};

/// What Go's toolchain, and so the field, has names for.
const KNOWN: &[(&str, &[&str])] = &[
    ("aix", &["ppc64"]),
    ("android", &["386", "amd64", "arm", "arm64"]),
    ("darwin", &["386", "amd64", "arm", "arm64"]),
    ("dragonfly", &["amd64"]),
    ("freebsd", &["386", "amd64", "arm", "arm64"]),
    ("js", &["wasm"]),
    (
        "linux",
        &[
            "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le",
            "riscv64", "s390x",
        ],
    ),
    ("netbsd", &["386", "amd64", "arm"]),
    ("openbsd", &["386", "amd64", "arm"]),
    ("plan9", &["386", "amd64"]),
    ("solaris", &["amd64"]),
    ("wasip1", &["wasm"]),
    ("windows", &["386", "amd64", "arm", "arm64"]),
];

/// Says what an image of a list is for.
pub fn run(cx: &Context, args: AnnotateArgs) -> Outcome {
    let (list, image) = (name(&args.list)?, name(&args.manifest)?);
    let store = Store::of(&cx.config_dir);
    let mut kept = store
        .get(&list, &image)?
        .ok_or_else(|| Failure::new(format!("manifest for image {image} does not exist in {list}")))?;
    let mut platform = kept.descriptor.platform.take().unwrap_or(Platform {
        os: String::new(),
        architecture: String::new(),
        variant: None,
        os_version: None,
        os_features: None,
    });
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    if let Some(os) = given(args.os) {
        platform.os = os;
    }
    if let Some(arch) = given(args.arch) {
        platform.architecture = arch;
    }
    if let Some(variant) = given(args.variant) {
        platform.variant = Some(variant);
    }
    if let Some(version) = given(args.os_version) {
        platform.os_version = Some(version);
    }
    for feature in args.os_features {
        let features = platform.os_features.get_or_insert_default();
        if !features.contains(&feature) {
            features.push(feature);
        }
    }
    let (os, arch) = (platform.os.as_str(), platform.architecture.as_str());
    if !KNOWN.iter().any(|(known, all)| *known == os && all.contains(&arch)) {
        let failure =
            Failure::new(format!("manifest entry for image has unsupported os/arch combination: {os}/{arch}"));
        return Err(match KNOWN.iter().find(|(known, _)| *known == os) {
            Some((_, all)) => failure.hint(format!("for {os} there are {}", all.join(", "))),
            None => failure.hint(format!(
                "operating systems are {}",
                KNOWN.iter().map(|(os, _)| *os).collect::<Vec<_>>().join(", ")
            )),
        });
    }
    kept.descriptor.platform = Some(platform);
    store.save(&list, &image, &kept)?;
    Ok(Exit::OK)
}
