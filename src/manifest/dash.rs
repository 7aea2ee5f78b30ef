//! dash.
