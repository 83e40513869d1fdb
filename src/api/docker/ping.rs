//! `/_ping` and `/version`.

use std::collections::BTreeMap;

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::IntoResponse,
};

use crate::api::{
    dto::system::{Component, PlatformName, Version},
    version::ApiVersion,
};

/// `GET` and `HEAD /_ping`.
pub async fn ping() -> impl IntoResponse {
    let headers = HeaderMap::from_iter([
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate")),
        (header::PRAGMA, HeaderValue::from_static("no-cache")),
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        // BuildKit's protocol is preferred; the classic builder is there as well.
        (HeaderName::from_static("builder-version"), HeaderValue::from_static("2")),
        (HeaderName::from_static("swarm"), HeaderValue::from_static("inactive")),
    ]);
    (headers, "OK")
}

/// `GET /version`.
pub async fn version() -> Json<Version> {
    let kernel = kernel();
    let details = BTreeMap::from([
        ("ApiVersion".to_owned(), ApiVersion::NEWEST.to_string()),
        ("MinAPIVersion".to_owned(), ApiVersion::OLDEST.to_string()),
        ("Os".to_owned(), "linux".to_owned()),
        ("Arch".to_owned(), architecture().to_owned()),
        ("KernelVersion".to_owned(), kernel.clone()),
        ("Experimental".to_owned(), "false".to_owned()),
    ]);
    let number = env!("CARGO_PKG_VERSION").to_owned();
    Json(Version {
        platform: PlatformName { name: "Hoist".to_owned() },
        components: vec![Component { name: "Engine".to_owned(), version: number.clone(), details }],
        version: number,
        api_version: ApiVersion::NEWEST.to_string(),
        min_api_version: ApiVersion::OLDEST.to_string(),
        git_commit: String::new(),
        go_version: String::new(),
        os: "linux".to_owned(),
        arch: architecture().to_owned(),
        kernel_version: kernel,
        build_time: String::new(),
    })
}

/// The kernel's release, as `uname -r` has it.
pub fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Go's name for this processor.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}
