//! Who listens to which chat. In: frames. Out: the same frames, to each who is in the room. A room is there
//! while somebody is in it.
//!
//! A room has one ring of frames, and each socket its place in it: what is told is written once, however
//! many listen. The ring is each socket's bounded queue; one that falls behind by all of it is told so and
//! closed, and finds what it missed in the history when it comes again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use tokio::sync::broadcast::{Receiver, Sender};

use super::frame::Frame;
use crate::base::id::Uuid;
use crate::control::api::Error;
use crate::store::{Standing, Status};

/// Frames that a socket may be behind. More than a second of the fastest room; some 5 KB when it is empty.
const RING: usize = 64;
/// Frames of a room in a second: more nobody reads, and each costs one for every socket.
const ROOM: Pace = Pace::new(40.0, 40.0);

/// Something that all are told.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// The number of what is kept: who has read it in the history does not want it again.
    pub(super) sequence: Option<i64>,
    /// Whether the broadcast is over with it.
    pub(super) is_last: bool,
    pub(super) text: Utf8Bytes,
}

/// Rooms by broadcast. Their number is bounded by that of connections. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(in crate::control) struct Rooms(Arc<Mutex<HashMap<Uuid, Room>>>);

#[derive(Debug)]
struct Room {
    frames: Sender<Told>,
    sockets: usize,
    pace: Pace,
    /// What those in it know.
    status: Status,
    viewers: Option<u64>,
}

/// A place in a room; dropping it is leaving.
#[derive(Debug)]
pub(in crate::control::api) struct Seat {
    rooms: Rooms,
    broadcast: Uuid,
    pub(super) frames: Receiver<Told>,
}

#[cfg(test)]
impl Seat {
    /// What was told since it was asked last.
    pub(in crate::control::api) fn heard(&mut self) -> Vec<serde_json::Value> {
        let mut heard = Vec::new();
        while let Ok(told) = self.frames.try_recv() {
            heard.push(serde_json::from_str(&told.text).expect("frames are JSON"));
        }
        heard
    }
}

impl Rooms {
    fn all(&self) -> MutexGuard<'_, HashMap<Uuid, Room>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in the room of a broadcast, which has come so far.
    pub(in crate::control::api) fn enter(&self, broadcast: Uuid, status: Status) -> Seat {
        let mut rooms = self.all();
        let room = rooms.entry(broadcast).or_insert_with(|| Room {
            frames: Sender::new(RING),
            sockets: 0,
            pace: ROOM,
            status,
            viewers: None,
        });
        room.sockets += 1;
        Seat {
            rooms: self.clone(),
            broadcast,
            frames: room.frames.subscribe(),
        }
    }

    /// Whether a room can take another frame at a moment of the monotonic clock.
    pub(super) fn admit(&self, broadcast: Uuid, now: Duration) -> Result<(), Error> {
        match self.all().get_mut(&broadcast) {
            Some(room) => room.pace.take(now),
            None => Ok(()),
        }
    }

    /// Tells all who are in a room.
    pub(super) fn tell(&self, broadcast: Uuid, told: Told) {
        let room = self.all();
        let frames = room.get(&broadcast).map(|room| room.frames.clone());
        drop(room);
        if let Some(frames) = frames {
            // Nobody is left: nobody has to be told.
            let _ = frames.send(told);
        }
    }

    /// Rooms in which somebody is.
    pub(super) fn open(&self) -> Vec<Uuid> {
        self.all().keys().copied().collect()
    }

    /// Tells a room how far its broadcast has come, unless it knows.
    pub(super) fn tell_status(&self, standing: &Standing) {
        let status = standing.status;
        let is_new = match self.all().get_mut(&standing.broadcast) {
            Some(room) => std::mem::replace(&mut room.status, status) != status,
            None => false,
        };
        if is_new {
            let frame = Frame::Status {
                stream_id: standing.stream.to_string(),
                status: status.word(),
            };
            let told = Told {
                sequence: None,
                is_last: status.is_over(),
                text: frame.text(),
            };
            self.tell(standing.broadcast, told);
        }
    }

    /// Tells a room how many watch, unless it knows.
    pub(super) fn tell_viewers(&self, standing: &Standing, viewers: u64) {
        let is_new = match self.all().get_mut(&standing.broadcast) {
            Some(room) => room.viewers.replace(viewers) != Some(viewers),
            None => false,
        };
        if is_new {
            let frame = Frame::Viewers {
                stream_id: standing.stream.to_string(),
                viewers,
            };
            let told = Told {
                sequence: None,
                is_last: false,
                text: frame.text(),
            };
            self.tell(standing.broadcast, told);
        }
    }

    /// Who is in a room.
    #[cfg(test)]
    pub(super) fn sockets(&self, broadcast: Uuid) -> usize {
        self.all().get(&broadcast).map_or(0, |room| room.sockets)
    }

    /// Rooms in which somebody is.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.all().len()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Entry::Occupied(mut room) = self.rooms.all().entry(self.broadcast) {
            room.get_mut().sockets -= 1;
            if room.get().sockets == 0 {
                room.remove();
            }
        }
    }
}

/// How often something may be done: a bucket of tokens that fills with time.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    per_second: f64,
    most: f64,
    tokens: f64,
    /// Monotonic time.
    at: Duration,
}

impl Pace {
    /// A full bucket.
    pub(super) const fn new(per_second: f64, most: f64) -> Pace {
        Pace {
            per_second,
            most,
            tokens: most,
            at: Duration::ZERO,
        }
    }

    /// Takes a token at a moment of the monotonic clock.
    pub(super) fn take(&mut self, now: Duration) -> Result<(), Error> {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.most);
        self.at = now;
        if self.tokens < 1.0 {
            let wait = (1.0 - self.tokens) / self.per_second;
            return Err(Error::TooMany(Duration::from_secs_f64(wait)));
        }
        self.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast::error::TryRecvError;

    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    fn told(text: &str) -> Told {
        Told {
            sequence: None,
            is_last: false,
            text: text.into(),
        }
    }

    #[test]
    fn a_frame_reaches_all_of_its_room_and_nobody_else() {
        let rooms = Rooms::default();
        let mut seats = [
            rooms.enter(A, Status::Active),
            rooms.enter(A, Status::Active),
            rooms.enter(B, Status::Active),
        ];
        rooms.tell(A, told("hi"));
        rooms.tell(Uuid::from_u128(3), told("nobody is there"));
        for seat in &mut seats[..2] {
            assert_eq!(seat.frames.try_recv().unwrap().text.as_str(), "hi");
        }
        assert_eq!(seats[2].frames.try_recv().unwrap_err(), TryRecvError::Empty);
    }

    #[test]
    fn a_room_is_there_while_somebody_is_in_it() {
        let rooms = Rooms::default();
        let (first, second) = (
            rooms.enter(A, Status::Active),
            rooms.enter(A, Status::Active),
        );
        drop(first);
        assert_eq!(rooms.count(), 1);
        drop(second);
        assert_eq!(rooms.count(), 0);
    }

    #[test]
    fn one_who_falls_behind_is_found_out_and_holds_nobody_up() {
        let rooms = Rooms::default();
        let (mut slow, mut quick) = (
            rooms.enter(A, Status::Active),
            rooms.enter(A, Status::Active),
        );
        for number in 0..=RING {
            rooms.tell(A, told(&number.to_string()));
            assert!(quick.frames.try_recv().is_ok());
        }
        let behind = slow.frames.try_recv().unwrap_err();
        assert_eq!(behind, TryRecvError::Lagged(1));
    }

    #[test]
    fn a_room_takes_no_more_than_can_be_read() {
        let rooms = Rooms::default();
        let _seat = rooms.enter(A, Status::Active);
        let at = Duration::from_secs(9);
        for _ in 0..40 {
            rooms.admit(A, at).unwrap();
        }
        let wait = Duration::from_millis(25);
        assert_eq!(rooms.admit(A, at), Err(Error::TooMany(wait)));
        rooms.admit(A, at + wait).unwrap();
        rooms.admit(B, at).unwrap();
    }

    #[test]
    fn a_room_is_told_what_is_new_and_only_that() {
        let rooms = Rooms::default();
        let mut seat = rooms.enter(A, Status::Created);
        let standing = |status| Standing {
            broadcast: A,
            stream: B,
            status,
            reported_viewers: 0,
        };
        let stream = B.to_string();
        let rounds: [(Status, u64, &[&str]); 5] = [
            (Status::Created, 0, &[r#""viewers":0"#]),
            (Status::Created, 0, &[]),
            (
                Status::Active,
                2,
                &[r#""status":"active""#, r#""viewers":2"#],
            ),
            (Status::Completed, 2, &[r#""status":"completed""#]),
            (Status::Completed, 2, &[]),
        ];
        for (status, viewers, wanted) in rounds {
            rooms.tell_status(&standing(status));
            rooms.tell_viewers(&standing(status), viewers);
            for part in wanted {
                let told = seat.frames.try_recv().unwrap();
                assert!(told.text.contains(part), "{told:?} is not {part}");
                assert!(told.text.contains(&stream), "{told:?}");
                assert_eq!(told.is_last, told.text.contains("completed"));
            }
            assert_eq!(seat.frames.try_recv().unwrap_err(), TryRecvError::Empty);
        }
        // Nobody is in there: nobody is told, and no room is made.
        rooms.tell_status(&Standing {
            broadcast: B,
            ..standing(Status::Active)
        });
        assert_eq!(rooms.open(), [A]);
    }
}
