//! Entry for fuzzing: texts that anybody may send to `/api` and its sockets. Seeds: `tests/data/fuzz/chat`.

use super::{chat, event, phone, viewer};
use crate::control::livekit;

/// Frames and reactions of chats, names of guests, passes, phone numbers.
pub fn fuzz_api(bytes: &[u8]) {
    chat::fuzz(bytes);
    viewer::pass::fuzz(bytes);
    phone::e164(&String::from_utf8_lossy(bytes));
}

/// Requests of LiveKit's clients, and webhooks of its server once their signature is right. Seeds:
/// `tests/data/fuzz/livekit`.
pub fn fuzz_livekit(bytes: &[u8]) {
    livekit::fuzz_signals(bytes);
    livekit::fuzz_webhooks(bytes);
}

/// Header fields of uploads in pieces. Seeds: `tests/data/fuzz/tus`.
pub fn fuzz_uploads(bytes: &[u8]) {
    event::tus::fuzz(bytes);
}
