//! CMAF writing.
