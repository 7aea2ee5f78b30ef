//! Hand-over between those who are followed.
