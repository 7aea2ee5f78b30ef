//! TODO-DOC manifest.
