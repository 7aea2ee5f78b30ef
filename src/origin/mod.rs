//! TODO-DOC origin.
