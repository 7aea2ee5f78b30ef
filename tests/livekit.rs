//! LiveKit: channels into rooms, rooms into channels, and what the gateway does for the rooms of broadcasts.
//! The server is the one of `common/livekit`, which `test_server` holds against clients that others wrote.

mod broadcasts;
mod control;
mod forwards;
mod real;
mod shows;
mod soak;
mod source;
mod test_server;
mod world;
