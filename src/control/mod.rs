//! TODO-DOC control.
