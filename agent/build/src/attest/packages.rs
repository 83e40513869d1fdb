//! The package databases of distributions, read as text: dpkg's and apk's.

use std::collections::BTreeMap;

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    pub name: String,
    pub version: String,
    pub architecture: String,
    /// `deb` or `apk`, as package URLs have it.
    pub kind: &'static str,
    /// As the distribution has it; may be empty.
    pub license: String,
    pub maintainer: String,
}

/// Blocks of `key: value` lines with an empty line between them.
fn blocks<'t>(text: &'t str, separator: &'t str) -> impl Iterator<Item = BTreeMap<&'t str, &'t str>> {
    let fields = move |block: &'t str| {
        let lines = block.lines().filter(|line| !line.starts_with([' ', '\t']));
        lines.filter_map(|line| line.split_once(separator)).collect::<BTreeMap<_, _>>()
    };
    text.split("\n\n").map(fields).filter(|fields| !fields.is_empty())
}

/// dpkg's `status`, or a file of `status.d`.
pub(super) fn dpkg(text: &str) -> Vec<Package> {
    let package = |fields: BTreeMap<&str, &str>| {
        let field = |name: &str| fields.get(name).map(|value| value.trim().to_owned()).unwrap_or_default();
        // What was removed may still be listed.
        let installed = fields.get("Status").is_none_or(|status| status.trim().ends_with(" installed"));
        let (name, version) = (field("Package"), field("Version"));
        (installed && !name.is_empty() && !version.is_empty()).then(|| Package {
            name,
            version,
            architecture: field("Architecture"),
            kind: "deb",
            license: String::new(),
            maintainer: field("Maintainer"),
        })
    };
    blocks(text, ":").filter_map(package).collect()
}

/// apk's `installed`.
pub(super) fn apk(text: &str) -> Vec<Package> {
    let package = |fields: BTreeMap<&str, &str>| {
        let field = |name: &str| fields.get(name).map(|value| (*value).to_owned()).unwrap_or_default();
        let (name, version) = (field("P"), field("V"));
        (!name.is_empty() && !version.is_empty()).then(|| Package {
            name,
            version,
            architecture: field("A"),
            kind: "apk",
            license: field("L"),
            maintainer: field("m"),
        })
    };
    blocks(text, ":").filter_map(package).collect()
}

/// `ID` and `VERSION_ID` of an `os-release` file.
pub(super) fn distribution(text: &str) -> (String, String) {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(|value| value.trim().trim_matches(['"', '\'']).to_owned()).unwrap_or_default()
    };
    (field("ID"), field("VERSION_ID"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_read() {
        let status = "Package: bash\nStatus: install ok installed\nMaintainer: M <m@x>\nArchitecture: amd64\n\
            Version: 5.2-1\nDescription: shell\n Version: 9\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n";
        let found = dpkg(status);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].version.as_str(), found[0].kind), ("bash", "5.2-1", "deb"));
        let found = apk("C:Q1x\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\nF:lib\n\nP:zlib\nV:1.3-r0\nA:x86_64\nL:Zlib\n");
        let names: Vec<_> = found.iter().map(|p| format!("{} {} {}", p.name, p.version, p.license)).collect();
        assert_eq!(names, ["musl 1.2.4-r2 MIT", "zlib 1.3-r0 Zlib"]);
        assert_eq!(distribution("NAME=\"X\"\nID=debian\nVERSION_ID=\"12\"\n"), ("debian".into(), "12".into()));
    }
}
