//! Rooms of LiveKit.

mod test_server;
