//! What is said about an image: how it was made (provenance, SLSA) and what it holds (a bill of materials, SPDX). Each is
//! a predicate; whoever knows the image's digest puts in-toto's statement around it.

mod packages;
mod provenance;
mod sbom;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dockerfile::Platform;
use crate::solve::{Solve, Tree};
use crate::{BuildError, Worker};

/// A predicate of an attestation.
#[derive(Debug, Clone, PartialEq)]
pub struct Attestation {
    /// The predicate's type, a URI.
    pub predicate_type: String,
    pub predicate: Value,
}

/// Which attestations a build makes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attestations {
    pub provenance: Option<Provenance>,
    pub sbom: bool,
}

/// How much a provenance says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// Arguments, the Dockerfile and the steps as well.
    pub max: bool,
    /// SLSA 0.2 instead of 1.
    pub v02: bool,
    /// Who says that it built this, a URI.
    pub builder_id: String,
}

impl Attestations {
    pub fn any(&self) -> bool {
        self.provenance.is_some() || self.sbom
    }
}

/// Makes the attestations that a request asks for, of one platform's result.
pub(crate) async fn make<W: Worker>(
    solve: &Arc<Solve<W>>,
    tree: &Tree,
    platform: &Platform,
    begun: i64,
) -> Result<Vec<Attestation>, BuildError> {
    let wanted = &solve.request.attestations;
    let mut made = Vec::new();
    if wanted.sbom {
        made.push(sbom::make(solve, tree).await?);
    }
    if let Some(how) = &wanted.provenance {
        made.push(provenance::make(solve, how, platform, begun));
    }
    Ok(made)
}

/// RFC 3339, in seconds.
fn moment(seconds: i64) -> String {
    hoist_proto::clock::Timestamp::from_second(seconds).map_or_else(|_| String::new(), |moment| moment.to_string())
}
