//! TODO-DOC transcode.
