//! Attached streams: a terminal or pipes here, a container's process there.
//!
//! [`session`] moves bytes, signals and window sizes both ways until one side ends; [`terminal`] is
//! raw mode, given back however that ends; [`keys`] recognises the keys that detach; [`signals`] and
//! [`input`] are where signals and keystrokes come from; [`wire`] is how all that is framed.

mod input;
mod keys;
mod session;
mod signals;
pub mod terminal;
mod wire;

pub use keys::DetachKeys;
pub use session::{End, Events, Session};
pub use wire::{Arrival, Wire};
