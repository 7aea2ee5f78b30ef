//! What a connection has to tell, in order, for whoever asks: bounded, and nobody who tells waits.

use std::collections::{HashSet, VecDeque};

use crate::rtc::{Event, IncomingId};

/// Units that wait to be taken at most: a few seconds of a room's picture and sound. Beyond it units are
/// dropped until a key unit finds room.
const UNITS: usize = 1024;
/// Their bytes at most. Bounds memory: 16 MiB a connection.
const UNIT_BYTES: usize = 16 * 1024 * 1024;
/// Events of all kinds at most. Whoever lets so many pile up has gone: the connection is closed.
const EVENTS: usize = 4096;
/// Candidates of ours that are told at most.
const CANDIDATES: usize = 64;

/// Events in order.
#[derive(Debug, Default)]
pub(super) struct Events {
    queue: VecDeque<Event>,
    units: usize,
    unit_bytes: usize,
    candidates: usize,
    /// Tracks of which units were dropped, until a key unit finds room.
    starved: HashSet<IncomingId>,
    /// Nothing may follow.
    closed: bool,
    ended: bool,
}

impl Events {
    /// Tells an event. Nothing follows [`Event::Closed`].
    pub(super) fn push(&mut self, event: Event) {
        if self.closed {
            return;
        }
        match &event {
            Event::Closed(_) => self.closed = true,
            Event::Candidate(_) if self.candidates == CANDIDATES => return,
            Event::Candidate(_) => self.candidates += 1,
            Event::KeyUnitWanted { outgoing, layer } if self.asks(*outgoing, *layer) => return,
            Event::Unit(id, unit) => {
                let full = self.units == UNITS || self.unit_bytes + unit.data.len() > UNIT_BYTES;
                let id = *id;
                if full || (self.starved.contains(&id) && !unit.key) {
                    self.starved.insert(id);
                    return;
                }
                self.units += 1;
                self.unit_bytes += unit.data.len();
                if self.starved.remove(&id) {
                    self.queue.push_back(Event::Lost(id));
                }
            }
            _ => {}
        }
        if self.queue.len() >= EVENTS && !self.closed {
            self.push(Event::Closed("events are not taken".to_owned()));
            return;
        }
        self.queue.push_back(event);
    }

    /// The next event.
    pub(super) fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        match &event {
            Event::Unit(_, unit) => {
                self.units -= 1;
                self.unit_bytes -= unit.data.len();
            }
            Event::Closed(_) => self.ended = true,
            _ => {}
        }
        Some(event)
    }

    /// Whether there is something to take.
    pub(super) fn is_ready(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether the connection is over.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the last event was taken.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether the same request waits to be taken.
    fn asks(&self, outgoing: usize, layer: usize) -> bool {
        self.queue.iter().any(|event| {
            matches!(event, Event::KeyUnitWanted { outgoing: o, layer: l } if (*o, *l) == (outgoing, layer))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{AccessUnit, MediaKind, Ticks};
    use bytes::Bytes;

    fn unit(time: i64, key: bool) -> Event {
        let unit = AccessUnit {
            kind: MediaKind::Video,
            dts: Ticks(time),
            pts: Ticks(time),
            duration: None,
            key,
            data: Bytes::from_static(b"xx"),
        };
        Event::Unit(IncomingId(0), unit)
    }

    #[test]
    fn units_that_find_no_room_are_dropped_until_a_key_unit_does() {
        let mut events = Events::default();
        let count = i64::try_from(UNITS).unwrap();
        (0..count + 3).for_each(|time| events.push(unit(time, time == 0)));
        assert!(matches!(events.pop(), Some(Event::Unit(_, unit)) if unit.dts == Ticks(0)));
        assert!(events.pop().is_some());
        events.push(unit(count + 3, false));
        events.push(unit(count + 4, true));
        let rest: Vec<_> = std::iter::from_fn(|| events.pop()).collect();
        assert_eq!(rest.len(), UNITS - 2 + 2);
        assert!(matches!(rest[UNITS - 2], Event::Lost(IncomingId(0))));
        assert!(matches!(&rest[UNITS - 1], Event::Unit(_, unit) if unit.key));
    }

    #[test]
    fn nothing_follows_the_end_and_requests_do_not_pile_up() {
        let mut events = Events::default();
        for layer in [0, 1, 1, 0] {
            events.push(Event::KeyUnitWanted { outgoing: 0, layer });
        }
        events.push(Event::Closed("over".to_owned()));
        events.push(Event::Connected);
        assert!(events.is_closed() && !events.is_ended());
        assert_eq!(std::iter::from_fn(|| events.pop()).count(), 3);
        assert!(events.is_ended() && !events.is_ready());
    }

    #[test]
    fn a_connection_whose_events_nobody_takes_is_closed() {
        let mut events = Events::default();
        for _ in 0..EVENTS + 10 {
            events.push(Event::Connected);
        }
        assert!(events.is_closed());
        assert_eq!(events.queue.len(), EVENTS + 1);
    }
}
