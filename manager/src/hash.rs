//! Digests that decide whether a task is made anew.

use hoist_proto::spec::ServiceSpec;
use sha2::{Digest, Sha256};

/// The digest of what in a service's definition makes its tasks new when it changes.
///
/// For a service of a compose file that is the file's own word ([`config_hash`]), so that a newer
/// program, which may translate it differently, leaves containers alone.
///
/// [`config_hash`]: hoist_proto::spec::ComposeOrigin::config_hash
pub(crate) fn spec_hash(spec: &ServiceSpec) -> String {
    let task = &spec.task;
    match &spec.compose {
        Some(origin) => digest(&(
            &origin.config_hash,
            &origin.container_name,
            task.force_update,
            &task.networks,
            &task.volumes,
            &task.bound_to,
        )),
        None => digest(&(
            &task.container,
            &task.placement,
            task.force_update,
            &task.networks,
            &task.volumes,
            &task.bound_to,
        )),
    }
}

/// SHA-256 of a value's JSON, in hexadecimal.
pub(crate) fn digest(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_vec(value).expect("records have string keys and memory takes the bytes");
    Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect()
}
