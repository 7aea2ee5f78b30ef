//! Sources of the kind `srt://`: we are the caller, and the far side sends a transport stream.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Fetch, Visit};
use crate::base::source;
use crate::ingest::srt::{Call, Dialer};

/// One channel's far side.
pub(super) struct Srt {
    dialer: Dialer,
    call: Call,
    channel_id: String,
}

impl Srt {
    /// `latency` is that of a source that names none.
    pub(super) fn new(
        dialer: Dialer,
        options: &source::Srt,
        latency: Duration,
        channel_id: String,
    ) -> Srt {
        Srt {
            dialer,
            call: Call {
                stream_id: options.stream_id.clone(),
                passphrase: options.passphrase.clone(),
                latency: options.latency.unwrap_or(latency),
                key_bytes: options.key_bytes,
            },
            channel_id,
        }
    }
}

impl Fetch for Srt {
    async fn visit(&mut self, address: SocketAddr) -> Visit {
        let outcome = self.dialer.call(address, &self.call, &self.channel_id);
        match outcome.await {
            Ok(ended) => Visit {
                delivered: ended.delivered,
                reason: ended.reason,
            },
            Err(error) => Visit {
                delivered: false,
                reason: error.to_string(),
            },
        }
    }
}
