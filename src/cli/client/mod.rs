//! The client of the daemon: HTTP/1.1 over its socket.
//!
//! [`host`] says which daemon; [`connect`] reaches it, and [`autostart`] starts it when none runs;
//! [`request`] builds requests and reads answers; [`lines`] reads streams of JSON values.

mod autostart;
mod connect;
mod encode;
mod error;
mod host;
mod lines;
mod request;
mod tls;

pub use autostart::Autostart;
pub use connect::Client;
pub use encode::{filters, path_segment};
pub use error::ClientError;
pub use host::Host;
pub use lines::JsonLines;
pub use request::{Request, Upgraded, file_body, reader_body};
pub use tls::TlsFiles;
