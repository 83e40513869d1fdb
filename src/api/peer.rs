//! Who is at the other end of a connection.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{Extensions, HeaderMap, HeaderValue, request::Parts},
};
use hoist_proto::spec::Caller;
use nix::unistd::{Uid, User};

use super::stream::connection::Socket;

/// Names the caller's uid in a request that another manager has passed on. Nobody else is believed.
const CALLER: &str = "hoist-caller-uid";

/// The process at the other end, as the kernel tells.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peer {
    /// Of a client at the unix socket; root for whoever showed a certificate that the daemon's authority vouches for.
    uid: Option<u32>,
    /// It is another manager, which says for whom it asks.
    speaks_for_others: bool,
}

impl Peer {
    pub fn of(socket: &Socket) -> Self {
        match socket {
            Socket::Unix(stream) => {
                Self { uid: stream.peer_cred().ok().map(|credentials| credentials.uid()), speaks_for_others: false }
            }
            // Who may speak on TCP may do everything on the machine, as with Docker.
            Socket::Tls(_) => Self { uid: Some(0), speaks_for_others: false },
            Socket::Tunnel(_) => Self { uid: None, speaks_for_others: true },
        }
    }

    /// Whose request it is.
    pub fn of_request(extensions: &Extensions, headers: &HeaderMap) -> Self {
        let peer = extensions.get::<Self>().copied().unwrap_or_default();
        if !peer.speaks_for_others {
            return peer;
        }
        let uid = headers.get(CALLER).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
        Self { uid, ..peer }
    }

    /// Says in a request that is passed on whose it is.
    pub fn tell(&self, headers: &mut HeaderMap) {
        match self.uid {
            Some(uid) => headers.insert(CALLER, HeaderValue::from(uid)),
            None => headers.remove(CALLER),
        };
    }

    /// The name by which jobs know the caller; a number where the host has no name for it.
    pub fn caller(&self) -> Caller {
        let Some(uid) = self.uid else { return Caller { user: "nobody".into(), uid: None } };
        let name = User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
        Caller { user: name.unwrap_or_else(|| uid.to_string()), uid: Some(uid) }
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of_request(&parts.extensions, &parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_managers_say_for_whom_they_ask() {
        let mut headers = HeaderMap::new();
        Peer { uid: Some(0), speaks_for_others: false }.tell(&mut headers);
        let mut extensions = Extensions::new();
        extensions.insert(Peer { uid: Some(1000), speaks_for_others: false });
        assert_eq!(Peer::of_request(&extensions, &headers).uid, Some(1000), "a client's word is not taken");
        extensions.insert(Peer { uid: None, speaks_for_others: true });
        assert_eq!(Peer::of_request(&extensions, &headers).uid, Some(0));
        Peer::default().tell(&mut headers);
        assert_eq!(Peer::of_request(&extensions, &headers).uid, None);
    }
}
