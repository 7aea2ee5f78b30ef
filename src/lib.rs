//! Forebay: a live media gateway. The channel owns the timeline; publishers only feed it.

pub mod base;
pub mod cli;
pub mod config;
pub mod control;
pub mod credentials;
pub mod format;
pub mod hub;
pub mod ingest;
pub mod manifest;
pub mod media;
pub mod origin;
pub mod package;
pub mod store;
pub mod transcode;
