//! What a transport knows of the line that an encoder sends over.

use std::time::Duration;

/// The line of one publisher session, as its transport measures it. Counts since the session began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Round trip.
    pub rtt: Duration,
    /// Time that the receiver has to get a lost packet again, as both sides agreed on it.
    pub latency: Duration,
    /// Media that wait in the receiver.
    pub buffer: Duration,
    /// Packets that arrived, those that were sent again included.
    pub packets: u64,
    /// Packets that were found missing.
    pub lost_packets: u64,
    /// Packets that arrived because they were asked for again.
    pub retransmitted_packets: u64,
    /// Packets given up, because they did not arrive within the latency.
    pub dropped_packets: u64,
    /// Packets that could not be decrypted.
    pub undecrypted_packets: u64,
    /// Whether the media were encrypted.
    pub encrypted: bool,
}

/// The line of one of a stream's publishers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which of the stream's places the publisher has, from zero; the next one that comes takes the
    /// place of one that left.
    pub place: usize,
    /// Its protocol.
    pub proto: &'static str,
    /// What is measured.
    pub link: Link,
}
