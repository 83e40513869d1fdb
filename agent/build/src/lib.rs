//! Building images: from a Dockerfile and what it copies to an image.
//!
//! What it holds: [`dockerfile`], the language, which is pure: text in, instructions, stages and warnings out, every
//! word with its place in the file. What it is not: it knows no container and no registry; what runs a step and what
//! fetches a base image are traits that the engine supplies.
//!
//! Start reading at [`dockerfile`].
#![forbid(unsafe_code)]

pub mod dockerfile;
