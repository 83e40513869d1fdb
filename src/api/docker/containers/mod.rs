//! `/containers`.

pub mod attach;
pub mod changes;
pub mod checkpoints;
pub mod copy;
pub mod create;
pub mod inspect;
pub mod lifecycle;
pub mod list;
pub mod logs;
pub mod stats;
pub mod update;
pub mod wait;
pub mod websocket;
