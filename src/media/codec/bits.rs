//! Bit reader over RBSP bytes.
