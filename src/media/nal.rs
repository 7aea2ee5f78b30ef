//! NAL unit framing.
