//! `/containers/{id}/archive`: files in and out.

use axum::{
    body::Body,
    extract::{Path, State as With},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoist_engine::{CopyOptions, PathStat};
use tokio_util::io::ReaderStream;

use crate::api::{
    State, docker::images::reader, dto::container as dto, error::ApiError, params::Params, translate::time,
};

const STAT: &str = "x-docker-container-path-stat";

fn path(params: &Params) -> Result<&str, ApiError> {
    params.text("path").ok_or_else(|| ApiError::bad_request("path must be given"))
}

/// `HEAD`: what is there.
pub async fn stat(With(state): With<State>, Path(id): Path<String>, params: Params) -> Result<Response, ApiError> {
    let stat = state.engine.stat_path(&id, path(&params)?).await?;
    Ok(([(STAT, header_of(&stat))], ()).into_response())
}

/// `GET`: a tar archive of it.
pub async fn get(With(state): With<State>, Path(id): Path<String>, params: Params) -> Result<Response, ApiError> {
    let (stat, archive) = state.engine.copy_from(&id, path(&params)?).await?;
    let kind = HeaderValue::from_static("application/x-tar");
    let headers = [(header::CONTENT_TYPE.as_str(), kind), (STAT, header_of(&stat))];
    Ok((headers, Body::from_stream(ReaderStream::with_capacity(archive, 64 << 10))).into_response())
}

/// How much of an archive that nobody wants is read, in bytes.
const UNWANTED: usize = 256 << 10;

/// `PUT`: a tar archive unpacked into a directory.
pub async fn put(
    With(state): With<State>,
    Path(id): Path<String>,
    params: Params,
    body: Body,
) -> Result<StatusCode, ApiError> {
    if let Err(err) = state.engine.resolve(&id) {
        // A client that is still sending reads no answer before it has sent what it has; much more it is spared.
        let _ = axum::body::to_bytes(body, UNWANTED).await;
        return Err(err.into());
    }
    let options = CopyOptions {
        no_overwrite_dir_non_dir: params.flag("noOverwriteDirNonDir"),
        copy_uid_gid: params.flag("copyUIDGID"),
    };
    state.engine.copy_to(&id, path(&params)?, Box::new(reader(body)), options).await?;
    Ok(StatusCode::OK)
}

fn header_of(stat: &PathStat) -> HeaderValue {
    let shown = dto::PathStat {
        name: stat.name.clone(),
        size: i64::try_from(stat.size).unwrap_or(i64::MAX),
        mode: go_mode(stat.mode),
        mtime: time::moment(Some(stat.modified)),
        link_target: stat.link_target.clone(),
    };
    let json = serde_json::to_vec(&shown).expect("numbers and texts can be written");
    HeaderValue::from_str(&STANDARD.encode(json)).expect("base64 is made of letters that a header can have")
}

/// Go's `fs.FileMode` of a mode of stat(2): its own bits for the kinds of files.
fn go_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => 1 << 31,
        0o120_000 => 1 << 27,
        0o010_000 => 1 << 25,
        0o140_000 => 1 << 24,
        0o060_000 => 1 << 26,
        0o020_000 => (1 << 26) | (1 << 21),
        _ => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special: u32 = special.iter().filter(|(bit, _)| mode & bit != 0).map(|(_, go)| go).sum();
    kind | special | (mode & 0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_as_go_has_them() {
        assert_eq!(go_mode(0o100_644), 0o644);
        assert_eq!(go_mode(0o041_777), (1 << 31) | (1 << 20) | 0o777);
        assert_eq!(go_mode(0o104_755), (1 << 23) | 0o755);
        assert_eq!(go_mode(0o020_666), (1 << 26) | (1 << 21) | 0o666);
    }
}
