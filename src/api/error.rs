//! Every failure as Docker words it: a status code and `{"message": …}`.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use hoist_engine::{EngineError, ErrorKind};

use crate::member::MemberError;

/// What a handler fails with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub status: StatusCode,
    pub message: String,
}

impl ApiError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// 400: the request cannot be understood or asks for what is not supported.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 409: the object is in a state that forbids it.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// 500
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// 500: work of the daemon's own that did not come to an end.
    pub fn lost(error: tokio::task::JoinError) -> Self {
        Self::internal(format!("the work was cut off: {error}"))
    }

    /// 501: known, and not supported.
    pub fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    /// 503: the node is not part of a cluster that can do this.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// With a status chosen by the caller and the whole chain of causes as the message.
    pub fn from_error(status: StatusCode, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(status, chain(error))
    }
}

/// An error and its causes in one line, no cause said twice.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let status = match error.kind() {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::InvalidParameter => StatusCode::BAD_REQUEST,
            ErrorKind::NotModified => StatusCode::NOT_MODIFIED,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::Unauthorized => StatusCode::UNAUTHORIZED,
            ErrorKind::System => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut message = error.message();
        // Docker's clients find the exit code in these words.
        let words: Option<(&[&str], &str)> = match error.exit_code() {
            127 => Some((
                &["executable file not found", "no such file or directory"],
                "executable file not found in $PATH",
            )),
            126 => Some((&["permission denied", "not a directory"], "permission denied")),
            _ => None,
        };
        if let Some((known, added)) = words
            && !known.iter().any(|words| message.contains(words))
        {
            message = format!("{message}: {added}");
        }
        // Scripts look for Docker's own words, which begin with a capital.
        if ["no such container", "no such image", "no such exec instance"]
            .iter()
            .any(|words| message.starts_with(words))
        {
            message.replace_range(..1, "N");
        }
        Self::new(status, message)
    }
}

impl From<MemberError> for ApiError {
    fn from(error: MemberError) -> Self {
        let status = match error {
            MemberError::Already
            | MemberError::NotPart
            | MemberError::NeedsForce(_)
            | MemberError::Locked
            | MemberError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            MemberError::Invalid(_) | MemberError::Refused(_) | MemberError::WrongKey => StatusCode::BAD_REQUEST,
            MemberError::NotLocked => StatusCode::CONFLICT,
            MemberError::Control(error) => return error.into(),
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::from_error(status, &error)
    }
}

impl From<hoist_device::DeviceError> for ApiError {
    fn from(error: hoist_device::DeviceError) -> Self {
        match error {
            hoist_device::DeviceError::NoSuchDevice { .. } => Self::not_found(error.to_string()),
            other => EngineError::from(other).into(),
        }
    }
}

impl From<hoist_image::Error> for ApiError {
    fn from(error: hoist_image::Error) -> Self {
        EngineError::from(error).into()
    }
}

impl From<hoist_network::Error> for ApiError {
    fn from(error: hoist_network::Error) -> Self {
        EngineError::from(error).into()
    }
}

impl From<hoist_volume::Error> for ApiError {
    fn from(error: hoist_volume::Error) -> Self {
        EngineError::from(error).into()
    }
}

impl From<hoist_image::ReferenceError> for ApiError {
    fn from(error: hoist_image::ReferenceError) -> Self {
        Self::bad_request(format!("invalid reference format: {error}"))
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::warn!(status = self.status.as_u16(), "{}", self.message);
        }
        if self.status == StatusCode::NOT_MODIFIED {
            // 304 has no body (RFC 9110, 15.4.5).
            return self.status.into_response();
        }
        (self.status, Json(serde_json::json!({ "message": self.message }))).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("opening /x")]
        struct Outer(#[source] std::io::Error);
        let err = Outer(std::io::Error::other("no such file"));
        assert_eq!(chain(&err), "opening /x: no such file");
        #[derive(Debug, thiserror::Error)]
        #[error("reading: {0}")]
        struct Doubled(#[source] std::io::Error);
        assert_eq!(chain(&Doubled(std::io::Error::other("gone"))), "reading: gone");
    }
}
