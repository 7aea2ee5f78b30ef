//! Those who take a stream's source units off the frame path: the worker bridge, forwards, records.

use std::sync::Arc;

use crate::media::{AccessUnit, Boundary, Track};

/// What a subscriber sees, in order.
#[derive(Clone, Debug)]
pub enum Event {
    /// A (new) codec configuration of one kind. Sent to a new subscriber first, if already known.
    Track(Arc<Track>),
    /// Whether the source is offered as it is (true), or its key interval does not fit the segment
    /// grid and a transcoded top rung must take its place (false). Decided once, at most 3 s after
    /// the first unit.
    Settled {
        /// Whether the source rendition is listed.
        passthrough: bool,
    },
    /// One unit in channel time: video in 90 kHz ticks since the stream's epoch, audio in its sample
    /// rate. `boundary` is set on video units that open a segment (audio units when there is no
    /// video).
    Unit {
        /// The unit.
        unit: AccessUnit,
        /// Set when the unit opens a segment.
        boundary: Option<Boundary>,
    },
    /// The publisher went away or jumped in time: what follows does not connect.
    Break,
    /// The stream is over.
    End,
}

/// The reading end of a bounded queue. When the reader is too slow, units are dropped up to the next
/// key unit and counted.
#[derive(Debug)]
pub struct Subscriber {}

impl Subscriber {
    /// The next event; `None` when the stream is gone. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Event> {
        std::future::pending().await
    }

    /// Units dropped so far because this subscriber was too slow.
    pub fn dropped_units(&self) -> u64 {
        0
    }
}
