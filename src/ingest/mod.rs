//! Ingest protocols.

pub mod rtmp;
