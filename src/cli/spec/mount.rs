//! `--mount`: fields separated by commas.

use std::path::Path;

use super::{SpecError, Surroundings};
use crate::api::dto::mount::{BindOptions, ImageOptions, Mount, TmpfsOptions, VolumeOptions};

/// Parses `type=bind,src=/a,dst=/b,readonly`.
pub fn parse(text: &str, around: &Surroundings) -> Result<Mount, SpecError> {
    let fail = |reason: String| SpecError::value("mount", text, reason);
    let mut mount = Mount { kind: "volume".to_owned(), ..Mount::default() };
    let fields = fields(text);
    for field in &fields {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field.as_str(), None),
        };
        let key = key.trim().to_ascii_lowercase();
        let flag = || switch(value).map_err(|reason| fail(format!("{key}: {reason}")));
        let need = || value.map(str::to_owned).ok_or_else(|| fail(format!("{key} needs a value")));
        match key.as_str() {
            "type" => mount.kind = need()?.to_ascii_lowercase(),
            "source" | "src" => mount.source = need()?,
            "target" | "dst" | "destination" => mount.target = need()?,
            "readonly" | "ro" => mount.read_only = flag()?,
            "consistency" => mount.consistency = need()?,
            "bind-propagation" => bind(&mut mount).propagation = need()?,
            "bind-nonrecursive" => bind(&mut mount).non_recursive = flag()?,
            "bind-create-src" | "create-host-path" => bind(&mut mount).create_mountpoint = flag()?,
            "bind-recursive" => match need()?.as_str() {
                "enabled" => {}
                "disabled" => bind(&mut mount).non_recursive = true,
                "writable" => bind(&mut mount).read_only_non_recursive = true,
                "readonly" => bind(&mut mount).read_only_force_recursive = true,
                other => {
                    return Err(fail(format!(
                        "bind-recursive: {other:?} is not enabled, disabled, writable or readonly"
                    )));
                }
            },
            "volume-subpath" => volume(&mut mount).subpath = need()?,
            "volume-nocopy" => volume(&mut mount).no_copy = flag()?,
            "volume-label" => {
                let text = need()?;
                let (key, value) = text.split_once('=').unwrap_or((&text, ""));
                volume(&mut mount).labels.insert(key.to_owned(), value.to_owned());
            }
            "volume-driver" => volume(&mut mount).driver_config.get_or_insert_default().name = need()?,
            "volume-opt" => {
                let text = need()?;
                let (key, value) = text.split_once('=').unwrap_or((&text, ""));
                let driver = volume(&mut mount).driver_config.get_or_insert_default();
                driver.options.insert(key.to_owned(), value.to_owned());
            }
            "image-subpath" => mount.image_options.get_or_insert_with(ImageOptions::default).subpath = need()?,
            "tmpfs-size" => tmpfs(&mut mount).size_bytes = super::resources::bytes("mount", &need()?)?,
            "tmpfs-mode" => {
                let mode = need()?;
                tmpfs(&mut mount).mode =
                    i64::from_str_radix(&mode, 8).map_err(|_| fail(format!("tmpfs-mode: {mode:?} is not octal")))?;
            }
            other => return Err(fail(format!("unknown field {other:?}"))),
        }
    }
    check(&mount).map_err(fail)?;
    if mount.kind == "bind" && !mount.source.starts_with('/') {
        mount.source = around.absolute(Path::new(&mount.source)).display().to_string();
    }
    Ok(mount)
}

fn check(mount: &Mount) -> Result<(), String> {
    if !matches!(mount.kind.as_str(), "bind" | "volume" | "tmpfs" | "image") {
        return Err(format!("type {:?} is not bind, volume, tmpfs or image", mount.kind));
    }
    if !mount.target.starts_with('/') {
        return Err("dst=PATH must be an absolute path".to_owned());
    }
    if matches!(mount.kind.as_str(), "bind" | "image") && mount.source.is_empty() {
        return Err(format!("a {} needs src=…", mount.kind));
    }
    if mount.kind == "tmpfs" && !mount.source.is_empty() {
        return Err("a tmpfs has no source".to_owned());
    }
    for (kind, given) in [
        ("bind", mount.bind_options.is_some()),
        ("volume", mount.volume_options.is_some()),
        ("tmpfs", mount.tmpfs_options.is_some()),
        ("image", mount.image_options.is_some()),
    ] {
        if given && mount.kind != kind {
            return Err(format!("fields of type {kind} with type {}", mount.kind));
        }
    }
    Ok(())
}

fn bind(mount: &mut Mount) -> &mut BindOptions {
    mount.bind_options.get_or_insert_default()
}

fn volume(mount: &mut Mount) -> &mut VolumeOptions {
    mount.volume_options.get_or_insert_default()
}

fn tmpfs(mount: &mut Mount) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

fn switch(value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => Err(format!("{other:?} is not true or false")),
    }
}

/// Splits at commas; a field in double quotes may have commas, and `""` in it is a quote.
fn fields(text: &str) -> Vec<String> {
    let (mut all, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => all.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    all.push(field);
    all
}
