//! BuildKit's protocol, as far as clients need it to build Dockerfiles.
//!
//! - [`session`]: the connection on which a client offers files, secrets and credentials, and the daemon asks for them.
//! - [`receive`] and [`send`]: directories and files over it. [`offers`]: credentials, secrets and agents.
//! - [`attributes`]: what a client wants, in the words of the Dockerfile frontend, as an order for the builder.
//! - [`status`]: what happens, in the words that clients draw. [`work`]: one build, from the session to the session.
//! - [`control`] and [`gateway`]: the services on `POST /grpc`. [`trace`]: `POST /build` of clients that keep to HTTP.
//!
//! Graphs that a client made itself and frontends other than Dockerfile's are refused by name.

mod attributes;
mod control;
mod gateway;
mod offers;
mod receive;
mod send;
mod session;
mod solves;
mod status;
mod trace;
mod work;

/// The messages.
mod words {
    #![allow(missing_docs, clippy::doc_markdown)]
    pub mod control {
        tonic::include_proto!("moby.buildkit.v1");
        // Where its messages look for the others.
        pub mod frontend {
            tonic::include_proto!("moby.buildkit.v1.frontend");
        }
    }
    pub use control::frontend as gateway;
    pub mod session {
        tonic::include_proto!("moby.buildkit.session");
    }
}

pub use control::grpc;
pub use session::{Sessions, session};
pub use solves::Solves;
pub use trace::build;
