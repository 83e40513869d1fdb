//! Flags of `service create` and `service update` become a `ServiceSpec` of the API.

mod create;
mod files;
mod parse;
mod shared;
mod update;
mod words;

pub use create::create;
pub use files::Files;
pub use update::update;

#[cfg(test)]
mod tests;
