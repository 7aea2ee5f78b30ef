//! Who publishes to which channel, as events. In: what is on air, looked at once a second. Out: what is new since
//! the look before. A session that comes and goes between two looks is not told of.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::base::id::Uuid;
use crate::control::Live;
use crate::hub::Attendee;
use crate::store::{Notice, Store};

/// What was there at the last look.
#[derive(Debug, Default)]
pub(super) struct Presence {
    has_looked: bool,
    streams: BTreeMap<Uuid, Stream>,
}

/// A stream.
#[derive(Debug)]
struct Stream {
    application_id: String,
    /// The ids that a tenant knows.
    ids: Map<String, Value>,
    /// Whether anybody was on air: the stream has been told of.
    started: bool,
    attendees: BTreeMap<Arc<str>, Attendee>,
    /// The round in which it was seen.
    seen: bool,
}

impl Presence {
    /// Looks, and tells what has changed.
    pub(super) fn look(&mut self, live: &dyn Live, store: &Store) -> Vec<Notice> {
        let mut events = Vec::new();
        self.streams
            .values_mut()
            .for_each(|stream| stream.seen = false);
        for listed in live.list() {
            // A fork shows another channel's publishers, who are told of there.
            if live.origin(listed.id) != listed.id {
                continue;
            }
            if !self.streams.contains_key(&listed.id) {
                let Some(channel) = store.known_id(&listed.channel_id) else {
                    continue;
                };
                let mut ids = Map::new();
                if channel.is_of_broadcast() {
                    ids.insert("broadcastId".to_owned(), json!(channel.alias));
                }
                ids.insert("streamId".to_owned(), json!(listed.id.to_string()));
                ids.insert("channelId".to_owned(), json!(channel.id));
                ids.insert("alias".to_owned(), json!(channel.alias));
                let stream = Stream {
                    application_id: channel.application_id.clone(),
                    ids,
                    // At the first look it is one of an earlier run, which goes on.
                    started: !self.has_looked && !listed.on_air,
                    attendees: BTreeMap::new(),
                    seen: true,
                };
                self.streams.insert(listed.id, stream);
            }
            let stream = self.streams.get_mut(&listed.id);
            let stream = stream.expect("it was just put there");
            stream.seen = true;
            stream.meet(live.attendance(listed.id), &mut events);
            if listed.on_air && !stream.started {
                stream.started = true;
                events.push(stream.event("stream.started", None));
            }
        }
        self.has_looked = true;
        self.streams.retain(|_, stream| {
            if !stream.seen {
                stream.meet(Vec::new(), &mut events);
                if stream.started {
                    events.push(stream.event("stream.ended", None));
                }
            }
            stream.seen
        });
        events
    }
}

impl Stream {
    /// Takes who is there now.
    fn meet(&mut self, attendees: Vec<Attendee>, events: &mut Vec<Notice>) {
        let mut before = std::mem::take(&mut self.attendees);
        for now in attendees {
            let was = before.remove(&now.session);
            let event = match (&was, now.lost) {
                (None, _) => Some("publisher.connected"),
                (Some(was), true) if !was.lost => Some("publisher.lost"),
                (Some(was), false) if was.lost => Some("publisher.connected"),
                _ => None,
            };
            events.extend(event.map(|event| self.event(event, Some(&now))));
            self.attendees.insert(now.session.clone(), now);
        }
        for gone in before.values() {
            events.push(self.event("publisher.disconnected", Some(gone)));
        }
    }

    fn event(&self, name: &'static str, publisher: Option<&Attendee>) -> Notice {
        let mut data = self.ids.clone();
        if let Some(publisher) = publisher {
            let publisher = json!({
                "sessionId": &*publisher.session,
                "screenName": &*publisher.screen_name,
                "protocol": publisher.proto,
            });
            data.insert("publisher".to_owned(), publisher);
        }
        Notice {
            application_id: self.application_id.clone(),
            name,
            data: Value::Object(data).to_string(),
        }
    }
}
