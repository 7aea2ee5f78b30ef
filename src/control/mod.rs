//! TODO-DOC control.

pub mod pages;
