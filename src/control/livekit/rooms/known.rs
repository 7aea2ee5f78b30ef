//! What is known of one room. In: facts in any order. Out: who publishes. Pure.
//!
//! Ids of participants and tracks are never used again, so what has ended is remembered by its id: a fact about it
//! that comes late is no news, and one that comes twice changes nothing.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use livekit_protocol::ParticipantInfo;
use livekit_protocol::participant_info::State as Presence;
use serde::Deserialize;

use super::Place;
use crate::base::id::Uuid;
use crate::control::livekit::OWN_IDENTITY;
use crate::control::{Room, RoomPublisher};

/// People of a room who may publish. Others are counted only.
pub(super) const MAX_PEOPLE: usize = 500;
/// Tracks of one of them: LiveKit's own clients have four.
const MAX_TRACKS: usize = 32;
/// Participants and tracks of a room that ended last.
const MAX_GONE: usize = 256;

/// One fact about a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control::livekit) struct Fact {
    /// Id of the room: a new one each time it is opened.
    pub(in crate::control::livekit) room: String,
    /// Seconds since the Unix epoch.
    pub(in crate::control::livekit) at: i64,
    pub(in crate::control::livekit) what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control::livekit) enum What {
    Started,
    Finished,
    Joined(Person),
    /// Id of the participant and its identity.
    Left(String, String),
    /// Id of the participant, its identity, and the track's id.
    Published(String, String, String),
    Unpublished(String, String, String),
}

/// Somebody in a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::control::livekit) struct Person {
    pub(in crate::control::livekit) sid: String,
    pub(in crate::control::livekit) identity: String,
    pub(in crate::control::livekit) role: Option<String>,
    pub(in crate::control::livekit) may_publish: bool,
    pub(in crate::control::livekit) tracks: BTreeSet<String>,
    /// When it joined, in seconds since the Unix epoch.
    pub(in crate::control::livekit) joined: i64,
}

/// What participants say of themselves in their metadata (decision B-49).
#[derive(Deserialize)]
struct Metadata {
    role: String,
}

/// The role that metadata name.
pub(in crate::control::livekit) fn role(metadata: &str) -> Option<String> {
    let metadata: Metadata = serde_json::from_str(metadata).ok()?;
    Some(metadata.role)
}

/// Whether it is a participant of the gateway's own.
pub(in crate::control) fn is_own(identity: &str) -> bool {
    identity.starts_with(OWN_IDENTITY)
}

impl From<ParticipantInfo> for Person {
    fn from(info: ParticipantInfo) -> Person {
        let may_publish = info.permission.is_none_or(|may| may.can_publish);
        let tracks = info.tracks.into_iter().map(|track| track.sid);
        Person {
            role: role(&info.metadata),
            sid: info.sid,
            identity: info.identity,
            may_publish,
            tracks: tracks.take(MAX_TRACKS).collect(),
            joined: info.joined_at,
        }
    }
}

/// Whether somebody in a list is one of the people of the room.
pub(in crate::control::livekit) fn is_present(info: &ParticipantInfo) -> bool {
    let is_hidden = info.permission.as_ref().is_some_and(|may| may.hidden);
    !is_own(&info.identity) && !is_hidden && info.state != Presence::Disconnected as i32
}

/// What is known of one room.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) place: Place,
    /// Id of the room while it is open.
    pub(super) sid: String,
    /// Those who may publish, by identity.
    pub(super) people: HashMap<String, Person>,
    /// How many others there are.
    pub(super) watching: u64,
    pub(super) gone: VecDeque<String>,
    /// Counts facts: a list that was asked for before the last one is older.
    pub(super) facts: u64,
    /// Whether the server was asked to make it.
    pub(super) is_made: bool,
    /// When it may be tried again to close it, monotonic.
    pub(super) close_at: Duration,
}

impl Known {
    pub(super) fn new(place: Place) -> Known {
        Known {
            place,
            sid: String::new(),
            people: HashMap::new(),
            watching: 0,
            gone: VecDeque::new(),
            facts: 0,
            is_made: false,
            close_at: Duration::ZERO,
        }
    }

    pub(super) fn publishers(&self) -> Vec<RoomPublisher> {
        let mut found: Vec<&Person> = self
            .people
            .values()
            .filter(|person| !person.tracks.is_empty())
            .collect();
        found.sort_by(|one, other| (one.joined, &one.sid).cmp(&(other.joined, &other.sid)));
        let publisher = |person: &Person| RoomPublisher {
            identity: person.identity.clone(),
            role: person.role.clone(),
        };
        found.into_iter().map(publisher).collect()
    }

    pub(super) fn room(&self, stream: Uuid) -> Room {
        Room {
            stream,
            channel_id: self.place.channel_id.clone(),
            publishers: self.publishers(),
        }
    }

    fn is_gone(&self, id: &str) -> bool {
        self.gone.iter().any(|gone| gone == id)
    }

    fn remember_gone(&mut self, id: String) {
        if self.gone.len() == MAX_GONE {
            self.gone.pop_front();
        }
        self.gone.push_back(id);
    }

    pub(super) fn apply(&mut self, fact: Fact) {
        if self.is_gone(&fact.room) {
            return;
        }
        if self.sid != fact.room {
            // Another one under the same name: what was known is of the one before.
            self.people.clear();
            self.watching = 0;
            let before = std::mem::replace(&mut self.sid, fact.room.clone());
            if !before.is_empty() {
                self.remember_gone(before);
            }
        }
        self.facts += 1;
        match fact.what {
            What::Started => {}
            What::Finished => {
                self.people.clear();
                self.watching = 0;
                self.remember_gone(fact.room);
                self.sid.clear();
            }
            What::Joined(person) => self.join(person),
            What::Left(sid, identity) => {
                let is_it = |known: &Person| known.sid == sid;
                if self.people.get(&identity).is_some_and(is_it) {
                    self.people.remove(&identity);
                } else if !self.is_gone(&sid) && !self.people.contains_key(&identity) {
                    self.watching = self.watching.saturating_sub(1);
                }
                self.remember_gone(sid);
            }
            What::Published(sid, identity, track) => {
                if self.is_gone(&sid) || self.is_gone(&track) {
                    return;
                }
                let is_it = |known: &Person| known.sid == sid;
                if !self.people.get(&identity).is_some_and(is_it) {
                    // That it came was not heard of, or will be.
                    self.join(Person {
                        sid,
                        identity: identity.clone(),
                        may_publish: true,
                        joined: fact.at,
                        ..Person::default()
                    });
                }
                if let Some(person) = self.people.get_mut(&identity)
                    && person.tracks.len() < MAX_TRACKS
                {
                    person.tracks.insert(track);
                }
            }
            What::Unpublished(sid, identity, track) => {
                if let Some(person) = self.people.get_mut(&identity)
                    && person.sid == sid
                {
                    person.tracks.remove(&track);
                }
                self.remember_gone(track);
            }
        }
    }

    /// An identity is there once: who comes again under it takes the place of who was there.
    fn join(&mut self, mut person: Person) {
        if self.is_gone(&person.sid) {
            return;
        }
        if !person.may_publish {
            self.watching += 1;
            return;
        }
        match self.people.get(&person.identity) {
            Some(known) if known.sid == person.sid => {
                person.tracks.extend(known.tracks.iter().cloned());
            }
            Some(known) if known.joined > person.joined => return,
            None if self.people.len() >= MAX_PEOPLE => return,
            _ => {}
        }
        self.people.insert(person.identity.clone(), person);
    }
}

impl What {
    /// Whether it is about a participant of the gateway's own.
    pub(in crate::control::livekit) fn is_own(&self) -> bool {
        match self {
            What::Started | What::Finished => false,
            What::Joined(person) => is_own(&person.identity),
            What::Left(_, identity)
            | What::Published(_, identity, _)
            | What::Unpublished(_, identity, _) => is_own(identity),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        Known::new(Place {
            broadcast: Uuid::from_u128(1),
            channel_id: "local#app#x".to_owned(),
        })
    }

    fn person(sid: &str, identity: &str, joined: i64) -> Person {
        Person {
            sid: sid.to_owned(),
            identity: identity.to_owned(),
            role: Some("publisher".to_owned()),
            may_publish: true,
            joined,
            ..Person::default()
        }
    }

    fn ids(names: [&str; 3]) -> (String, String, String) {
        let [sid, identity, track] = names.map(str::to_owned);
        (sid, identity, track)
    }

    fn published(sid: &str, identity: &str, track: &str) -> What {
        let (sid, identity, track) = ids([sid, identity, track]);
        What::Published(sid, identity, track)
    }

    fn unpublished(sid: &str, identity: &str, track: &str) -> What {
        let (sid, identity, track) = ids([sid, identity, track]);
        What::Unpublished(sid, identity, track)
    }

    fn left(sid: &str, identity: &str) -> What {
        What::Left(sid.to_owned(), identity.to_owned())
    }

    fn apply(known: &mut Known, whats: &[What]) -> Vec<String> {
        for (at, what) in (100..).zip(whats) {
            known.apply(Fact {
                room: "RM_1".to_owned(),
                at,
                what: what.clone(),
            });
        }
        let publishers = known.publishers().into_iter();
        publishers.map(|publisher| publisher.identity).collect()
    }

    #[test]
    fn whatever_comes_in_any_order_and_twice_the_outcome_is_the_same() {
        let facts = [
            What::Joined(person("PA_1", "host", 10)),
            published("PA_1", "host", "TR_1"),
            published("PA_1", "host", "TR_2"),
            unpublished("PA_1", "host", "TR_1"),
            What::Joined(person("PA_2", "guest", 20)),
            published("PA_2", "guest", "TR_3"),
            left("PA_2", "guest"),
        ];
        // Every rotation, forwards and backwards, and each of them twice.
        for turn in 0..facts.len() {
            let mut order = facts.to_vec();
            order.rotate_left(turn);
            for _ in 0..2 {
                let twice = [order.clone(), order.clone()].concat();
                assert_eq!(apply(&mut known(), &order), ["host"], "{order:?}");
                assert_eq!(apply(&mut known(), &twice), ["host"], "{order:?}");
                order.reverse();
            }
        }
    }

    #[test]
    fn who_comes_again_takes_its_own_place() {
        let mut room = known();
        let facts = [
            What::Joined(person("PA_1", "host", 10)),
            published("PA_1", "host", "TR_1"),
            What::Joined(person("PA_2", "host", 20)),
            published("PA_2", "host", "TR_2"),
            left("PA_1", "host"),
            // Late, of the one before.
            What::Joined(person("PA_1", "host", 10)),
            published("PA_1", "host", "TR_9"),
        ];
        assert_eq!(apply(&mut room, &facts), ["host"]);
        assert_eq!(room.people["host"].sid, "PA_2");
        assert_eq!(
            apply(&mut room, &[left("PA_2", "host")]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn those_who_were_first_are_first_and_viewers_are_counted() {
        let mut room = known();
        let viewer = Person {
            may_publish: false,
            ..person("PA_3", "viewer", 5)
        };
        let facts = [
            What::Joined(person("PA_2", "second", 20)),
            published("PA_2", "second", "TR_2"),
            What::Joined(person("PA_1", "first", 10)),
            published("PA_1", "first", "TR_1"),
            What::Joined(viewer),
        ];
        assert_eq!(apply(&mut room, &facts), ["first", "second"]);
        assert_eq!((room.people.len(), room.watching), (2, 1));
        apply(&mut room, &[left("PA_3", "viewer")]);
        assert_eq!(room.watching, 0);
    }

    #[test]
    fn a_room_that_was_opened_again_is_another_one() {
        let mut room = known();
        let facts = [published("PA_1", "host", "TR_1"), What::Finished];
        assert_eq!(apply(&mut room, &facts), Vec::<String>::new());
        let fact = |room: &str, what| Fact {
            room: room.to_owned(),
            at: 1,
            what,
        };
        room.apply(fact("RM_2", published("PA_5", "host", "TR_5")));
        // Late, of the one before.
        room.apply(fact("RM_1", What::Finished));
        room.apply(fact("RM_1", published("PA_1", "host", "TR_7")));
        assert_eq!(room.publishers().len(), 1);
        assert_eq!(room.people["host"].sid, "PA_5");
    }

    #[test]
    fn nobody_makes_it_remember_more_than_it_may() {
        let mut room = known();
        for number in 0..2000 {
            let name = format!("{number}");
            apply(&mut room, &[What::Joined(person(&name, &name, 1))]);
            let track = published("0", "0", &format!("TR_{number}"));
            apply(
                &mut room,
                &[track, unpublished("0", "0", &format!("gone {number}"))],
            );
        }
        assert_eq!(room.people.len(), MAX_PEOPLE);
        assert_eq!(room.people["0"].tracks.len(), MAX_TRACKS);
        assert_eq!(room.gone.len(), MAX_GONE);
    }
}
