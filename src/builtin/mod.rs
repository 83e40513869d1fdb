//! The image that is compiled into Hoist, so that a machine with no registry can try everything.
//!
//! `hoist/hello` holds one static executable, the web service of `web/`, made by `build.rs`.

use std::io;

use hoist_image::{BuiltinImage, ContainerConfig, Images, Reference};

/// The reference by which the built-in image is known.
pub const REFERENCE: &str = "hoist/hello:latest";

const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hello"));

// So that the checks and tests of this program also cover the source of the one inside the image.
#[cfg(test)]
#[allow(dead_code, clippy::print_stdout, clippy::print_stderr)]
#[path = "web/main.rs"]
mod web;

/// Puts the image among the others, or finds it there.
///
/// # Errors
/// Those of the images: a disk that is full, a record that cannot be written.
pub async fn install(images: &Images) -> Result<(), hoist_image::Error> {
    let reference = Reference::parse(REFERENCE)?;
    let layer = layer().map_err(|source| hoist_image::Error::Archive { what: REFERENCE.to_owned(), source })?;
    let config = ContainerConfig {
        entrypoint: Some(vec!["/hello".to_owned()]),
        cmd: Some(vec!["serve".to_owned()]),
        exposed_ports: vec!["80/tcp".to_owned()],
        working_dir: "/".to_owned(),
        ..ContainerConfig::default()
    };
    images.ensure_builtin(&BuiltinImage { reference, layer, config }).await.map(drop)
}

/// The image's only layer: the program as `/hello`. The same bytes every time, so the image's id depends
/// on the program alone.
///
/// # Errors
/// Those of writing an archive into memory, which do not happen.
pub fn layer() -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(PROGRAM.len() as u64);
    let mut archive = tar::Builder::new(Vec::with_capacity(PROGRAM.len() + 2048));
    archive.append_data(&mut header, "hello", PROGRAM)?;
    archive.into_inner()
}
