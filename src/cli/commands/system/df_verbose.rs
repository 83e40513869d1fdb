//! `hoist system df -v`: each image, container and volume.

use super::df::Usage;
use crate::cli::{
    commands::{container, image, volume},
    failure::Failure,
    format::List,
};

const IMAGES: List<'_> = List {
    headings: &[
        ("ID", "IMAGE ID"),
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("CreatedSince", "CREATED"),
        ("Size", "SIZE"),
        ("SharedSize", "SHARED SIZE"),
        ("UniqueSize", "UNIQUE SIZE"),
        ("Containers", "CONTAINERS"),
    ],
    columns: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
    quiet: "",
    may_cut: &[],
};

const CONTAINERS: List<'_> = List {
    headings: &[
        ("ID", "CONTAINER ID"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Size", "SIZE"),
        ("RunningFor", "CREATED"),
        ("Status", "STATUS"),
        ("Names", "NAMES"),
    ],
    columns: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
    quiet: "",
    may_cut: &[],
};

const VOLUMES: List<'_> = List {
    headings: &[("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")],
    columns: "{{.Name}}\t{{.Links}}\t{{.Size}}",
    quiet: "",
    may_cut: &[],
};

/// Three tables.
pub fn render(usage: &Usage) -> Result<String, Failure> {
    let images = usage.images.iter().flatten().flat_map(|image| image::ls::rows(image, false, false, true)).collect();
    let containers = usage.containers.iter().flatten().map(|one| container::ls::row(one, false)).collect();
    let volumes = usage.volumes.iter().flatten().map(volume::ls::row).collect();
    Ok(format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}",
        IMAGES.render(None, false, None, images)?,
        CONTAINERS.render(None, false, None, containers)?,
        VOLUMES.render(None, false, None, volumes)?
    ))
}
