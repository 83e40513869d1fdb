//! What an image holds, as far as its distribution's package database says: an SPDX document.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::packages::{Package, apk, distribution, dpkg};
use super::{Attestation, moment};
use crate::cache::now;
use crate::graph::hex;
use crate::solve::{Solve, Tree, blocking};
use crate::tree::{Root, names};
use crate::{BuildError, Worker};

/// The predicate's type.
const SPDX: &str = "https://spdx.dev/Document";
/// Databases of rpm, in all the forms that it has had.
const RPM: [&str; 6] = [
    "var/lib/rpm/rpmdb.sqlite",
    "var/lib/rpm/Packages",
    "var/lib/rpm/Packages.db",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/Packages",
    "usr/lib/sysimage/rpm/Packages.db",
];

pub(super) async fn make<W: Worker>(solve: &Arc<Solve<W>>, tree: &Tree) -> Result<Attestation, BuildError> {
    let dirs = solve.dirs(tree);
    let (packages, distribution) = if dirs.is_empty() {
        Default::default()
    } else {
        let root = Root::new(solve.shared.worker.mount(dirs, None).await?);
        blocking(move || scan(&root)).await?
    };
    let created = moment(solve.request.source_date_epoch.unwrap_or_else(now));
    let name = solve.request.first_name().cloned().unwrap_or_else(|| "image".into());
    Ok(Attestation { predicate_type: SPDX.into(), predicate: document(&name, &packages, &distribution, &created) })
}

/// Reads the databases that are there.
fn scan(root: &Root) -> Result<(Vec<Package>, (String, String)), BuildError> {
    if let Some(rpm) = RPM.iter().find(|path| root.lstat(Path::new(path)).is_ok()) {
        return Err(BuildError::Request(format!(
            "a bill of materials (--sbom) of an image with rpm packages is not supported: /{rpm} is a database that is \
             not read here"
        )));
    }
    let read = |path: &str| -> Result<Option<String>, BuildError> {
        let bytes = root.read(Path::new(path)).map_err(|error| BuildError::io("read", path, error))?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    let mut packages = Vec::new();
    if let Some(text) = read("var/lib/dpkg/status")? {
        packages.extend(dpkg(&text));
    }
    // Images without dpkg itself have a file for each package.
    let parts = Path::new("var/lib/dpkg/status.d");
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
    if let Ok(dir) = root.open(parts, flags) {
        let listed = names(std::os::fd::AsFd::as_fd(&dir)).map_err(|error| BuildError::io("list", parts, error))?;
        for name in listed.iter().filter(|name| !name.to_string_lossy().ends_with(".md5sums")) {
            let text = read(&parts.join(name).to_string_lossy())?;
            packages.extend(dpkg(&text.unwrap_or_default()));
        }
    }
    for path in ["lib/apk/db/installed", "usr/lib/apk/db/installed"] {
        if let Some(text) = read(path)? {
            packages.extend(apk(&text));
        }
    }
    packages.sort();
    packages.dedup();
    let release = match read("etc/os-release")? {
        Some(text) => Some(text),
        None => read("usr/lib/os-release")?,
    };
    Ok((packages, distribution(&release.unwrap_or_default())))
}

fn document(name: &str, packages: &[Package], (id, version): &(String, String), created: &str) -> Value {
    let listed: Vec<Value> = packages.iter().enumerate().map(|(at, package)| entry(at, package, id, version)).collect();
    let relations: Vec<Value> = (0..packages.len())
        .map(|at| {
            json!({
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": format!("SPDXRef-Package-{at}"),
            })
        })
        .collect();
    let identity = hex(&Sha256::digest(format!("{name} {created} {}", json!(listed))));
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": format!("urn:hoist:sbom:{identity}"),
        "creationInfo": { "created": created, "creators": [concat!("Tool: hoist-", env!("CARGO_PKG_VERSION"))] },
        "packages": listed,
        "relationships": relations,
    })
}

fn entry(at: usize, package: &Package, id: &str, version: &str) -> Value {
    let Package { name, version: own, architecture, kind, license, maintainer } = package;
    let or_none = |text: &str| if text.is_empty() { "NOASSERTION".to_owned() } else { text.to_owned() };
    let distro = if id.is_empty() { String::new() } else { format!("&distro={id}-{version}") };
    let owner = if id.is_empty() { String::new() } else { format!("{id}/") };
    let code = |text: &str| text.replace('%', "%25").replace('+', "%2B").replace(':', "%3A").replace('~', "%7E");
    let place = format!("pkg:{kind}/{owner}{}@{}?arch={architecture}{distro}", code(name), code(own));
    json!({
        "SPDXID": format!("SPDXRef-Package-{at}"),
        "name": name,
        "versionInfo": own,
        "supplier": if maintainer.is_empty() { "NOASSERTION".to_owned() } else { format!("Person: {maintainer}") },
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": or_none(license),
        "copyrightText": "NOASSERTION",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": place,
        }],
    })
}
