//! What outlives the daemon: one small process per container.
//!
//! The daemon starts one **zygote**, which is its own program run from a copy that nobody can write ([`Zygote`]). For
//! each container the zygote forks a **supervisor**, with no `execve`, so that its memory is shared and a start costs
//! a fork. The supervisor launches the container, owns its pipes or terminal, writes the log, serves those who attach
//! ([`frame`]) and starts execs, waits for the end and leaves [`EXIT_FILE`]. It is single-threaded and waits in `poll`.
//!
//! A daemon that comes later finds the supervisor at [`SOCKET`] in the container's run directory and asks it with
//! [`Request::Watch`]; if nobody answers, [`EXIT_FILE`] says how the container ended.
//!
//! - `protocol`: the messages, and descriptors that travel with them.
//! - `zygote`: both ends of the zygote.
//! - `run`: a supervisor's life. `output`: pipes and clients. `execs`: further processes. `logfile`: the log.
//! - `sender`: lines that go to the machine's log or to another machine.
//! - `other`: containers that another OCI runtime makes.

mod execs;
pub mod frame;
mod logfile;
mod other;
mod output;
mod pack;
mod protocol;
mod run;
mod sender;
mod zygote;

pub use other::remove_remains;
pub use protocol::{
    Exit, JournaldSettings, LogSettings, OtherRuntime, Received, Reply, Request, RestoreFrom, RootfsSpec, SendSettings,
    SendTarget, Size, StartRequest, Streams, SyslogAddress, SyslogFormat, SyslogSettings, SyslogTls, connect,
    read_exit, receive, send,
};
pub use zygote::Zygote;
pub(crate) use zygote::run_if_asked;

/// The supervisor's socket in the run directory.
pub const SOCKET: &str = "supervisor.sock";
/// How the container ended, in the run directory.
pub const EXIT_FILE: &str = "exit.json";
/// The OCI spec, in the run directory.
pub const SPEC_FILE: &str = "config.json";
