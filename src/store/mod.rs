//! TODO-DOC store.
