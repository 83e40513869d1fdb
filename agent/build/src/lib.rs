//! Building images: from a Dockerfile and what it copies to an image.
//!
//! What it holds: [`dockerfile`], the language, which is pure: text in, instructions, stages and warnings out, every
//! word with its place in the file; and [`Builder`], which lowers the stages that a target needs to a graph of steps,
//! finds the results that are known already, runs the others, and makes an image. What it is not: it knows no container
//! and no registry; what runs a step, mounts layers and fetches a base image is a [`Worker`], which the engine supplies.
//!
//! The door is [`Builder::build`]: a [`BuildRequest`] goes in, [`BuildEvent`]s come out while it works, a
//! [`BuildResult`] at its end. A context arrives as a directory on this machine.
//!
//! Start reading at [`dockerfile`] for the language, at `solve/` for the work.
#![forbid(unsafe_code)]

mod attest;
mod bases;
mod builder;
mod cache;
mod config;
pub mod context;
pub mod dockerfile;
mod error;
mod event;
mod export;
mod git;
mod graph;
mod portable;
mod request;
mod result;
mod solve;
mod tree;
mod worker;

pub use attest::{Attestation, Attestations, Provenance};
pub use builder::{Builder, BuilderOptions};
pub use error::BuildError;
pub use event::{BuildEvent, Events, StepId, StepInfo, Stream};
pub use git::{Checkout, GitAccess, GitSource};
pub use request::{
    BuildRequest, CacheLocation, Context, Credentials, Entitlement, ImageOutput, LayerForm, NamedContext,
    NetworkChoice, Output, Push, Secret,
};
pub use result::{BuildResult, CacheEntry, PruneOptions, PruneReport};
pub use worker::{
    BaseImage, CacheDocument, CachePlace, Compression, Draft, ImageRequest, IndexedImage, LayerBlob, LayerDigest,
    MountSource, NamedDevices, NewImage, NewIndex, Report, RunMount, RunRequest, Sink, Worker,
};
