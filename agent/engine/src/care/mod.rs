//! What is done for a running container: health checks and hooks.

mod health;
mod hooks;
