//! All behaviour tests, linked once.
#![allow(unreachable_pub, missing_docs, reason = "nothing here is a library")]

mod architecture;
mod common;
mod passthrough;
mod players;
