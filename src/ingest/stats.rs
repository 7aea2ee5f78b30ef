//! Counters of a protocol's listeners, for `/metrics`.

use super::counter::Counter;

/// What happened since the start. Shared by all listeners that are given the same one.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections taken: with SRT, callers let in.
    pub connections_total: Counter,
    /// Bytes received, without TLS or SRT.
    pub received_bytes_total: Counter,
    /// Connections that ended before they asked for a publish: broken, too slow, or dismissed because
    /// newer ones needed the place.
    pub unpublished_total: Counter,
    /// Publishes refused by the hub.
    pub refused_total: Counter,
    /// Publishes accepted.
    pub accepted_total: Counter,
    /// Accepted publishes that ended with a goodbye.
    pub finished_total: Counter,
    /// Accepted publishes whose connection was lost.
    pub lost_total: Counter,
    /// Accepted publishes that sent no media for the publish timeout.
    pub silent_total: Counter,
    /// Accepted publishes that the hub or the shutdown ended.
    pub evicted_total: Counter,
    /// Accepted publishes that ended because of what they sent: a codec that is not taken, a broken
    /// chunk.
    pub rejected_total: Counter,
    /// Tags and units dropped as malformed or before their configuration.
    pub dropped_units_total: Counter,
}

impl Stats {
    /// Publishes that go on now.
    pub fn publishing(&self) -> u64 {
        let ended = [
            &self.finished_total,
            &self.lost_total,
            &self.silent_total,
            &self.evicted_total,
            &self.rejected_total,
        ];
        let ended: u64 = ended.iter().map(|counter| counter.get()).sum();
        self.accepted_total.get().saturating_sub(ended)
    }
}
