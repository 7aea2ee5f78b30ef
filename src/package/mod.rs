//! TODO-DOC package.
