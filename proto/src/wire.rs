//! The gRPC messages between agents and managers, generated from `proto/hoist.proto`.
//!
//! Records travel as the JSON of their [`crate::spec`] types inside `bytes` fields: new fields
//! reach an older node as unknown keys, which it ignores.

#![allow(missing_docs, clippy::all)]
tonic::include_proto!("hoist.v1");
