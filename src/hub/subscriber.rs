//! Those who take a stream's source units off the frame path: the worker bridge, forwards, records.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::media::{AccessUnit, Boundary, MediaKind, Ticks, Track};

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
    /// rate. `boundary` is set on the unit that opens a segment (an audio unit when there is no
    /// video). Its time may lie between two pictures: the first picture not more than half a frame
    /// before it opens the segment.
    Unit {
        /// The unit.
        unit: AccessUnit,
        /// Set when the unit opens a segment.
        boundary: Option<Boundary>,
    },
    /// Nothing came in time: pictures repeat, or the slate is shown, up to `until` on the frame grid.
    /// Units of before `until` may still come; they are decoded and not shown. Silent sound comes as
    /// units of its own.
    Hold {
        /// Channel time, 90 kHz, exclusive. Rises from one hold to the next.
        until: Ticks,
        /// The boundary that the first picture at or after its time opens. It lies at or after every
        /// time that was held until before.
        boundary: Option<Boundary>,
        /// What is shown.
        filler: Filler,
    },
    /// The publisher went away or jumped in time: what follows does not connect.
    Break,
    /// The stream is over.
    End,
}

/// What rungs show while nothing comes (`FOREBAY_ON_LOSS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filler {
    /// The last picture.
    Picture,
    /// The channel's slate.
    Slate,
}

/// The writing end, held by the stream.
#[derive(Debug)]
pub(super) struct Feed {
    queue: mpsc::Sender<Event>,
    dropped: Arc<AtomicU64>,
    /// Units are left out until the next key unit, because the reader was too slow.
    skipping: bool,
    /// A message that must not be lost, held back while the queue is full.
    owed: VecDeque<Event>,
}

/// Events that are no units, owed to a reader that reads nothing: past it, it is not a reader any more.
/// A hole takes one of them a segment.
const OWED_EVENTS: usize = 64;

impl Feed {
    pub(super) fn new(queue_units: usize) -> (Feed, Subscriber) {
        let (sender, receiver) = mpsc::channel(queue_units.max(8));
        let dropped = Arc::new(AtomicU64::new(0));
        let feed = Feed {
            queue: sender,
            dropped: dropped.clone(),
            skipping: false,
            owed: VecDeque::new(),
        };
        (
            feed,
            Subscriber {
                queue: receiver,
                dropped,
            },
        )
    }

    /// Passes an event on without waiting. False when the reader is gone.
    pub(super) fn send(&mut self, event: Event, lead: MediaKind) -> bool {
        if let Event::Unit { unit, .. } = &event {
            let starts = unit.key && unit.kind == lead;
            if self.skipping && starts && self.pay() {
                self.skipping = false;
            }
            if self.skipping || !self.pay() || self.queue.try_send(event).is_err() {
                self.skipping = true;
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        } else {
            self.owe(event);
            self.pay();
        }
        !self.queue.is_closed() && self.owed.len() <= OWED_EVENTS
    }

    /// A hold that only reaches further takes the place of the one before.
    fn owe(&mut self, event: Event) {
        let reaches_further = match (&event, self.owed.back()) {
            (
                Event::Hold {
                    boundary: None,
                    filler,
                    ..
                },
                Some(Event::Hold {
                    boundary: None,
                    filler: before,
                    ..
                }),
            ) => filler == before,
            _ => false,
        };
        if reaches_further {
            self.owed.pop_back();
        }
        self.owed.push_back(event);
    }

    fn pay(&mut self) -> bool {
        while !self.owed.is_empty() {
            match self.queue.try_reserve() {
                Ok(permit) => permit.send(self.owed.pop_front().expect("something is owed")),
                Err(_) => return false,
            }
        }
        true
    }
}

/// The reading end of a bounded queue. When the reader is too slow, units are dropped up to the next
/// key unit and counted.
#[derive(Debug)]
pub struct Subscriber {
    queue: mpsc::Receiver<Event>,
    dropped: Arc<AtomicU64>,
}

impl Subscriber {
    /// The next event; `None` when the stream is gone. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Event> {
        self.queue.recv().await
    }

    /// Units dropped so far because this subscriber was too slow.
    pub fn dropped_units(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
