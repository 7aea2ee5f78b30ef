//! Rooms of a LiveKit server. In: a stream. Out: its picture and its sound, published in a room by a
//! participant of the gateway's own.
//!
//! It joins when there is something to send. A publisher that goes away changes nothing in the room: the
//! tracks stay, and go on with the next key unit. What is published is made anew only when the stream has more
//! than it was made for.

mod publish;

use std::sync::Arc;
use std::time::Duration;

use super::feed::Feed;
use super::layers::MOST_LAYERS;
use super::{Again, Carrier, Carrying, Ended, Told};
use crate::hub::tap::{Tap, Tapped};
use crate::livekit::{Entry, Error, OWN_IDENTITY, Reason, Server, Session};
use crate::rtc::{self, Peer};
use publish::Publisher;

/// Kind of destination, as it is told.
pub const KIND: &str = "livekit";
/// What others read of us: the role that co-hosts are told apart by (contract, broadcasts, B-49).
const METADATA: &str = r#"{"role":"publisher"}"#;
/// Rooms that close the door may be full, or their server stops and is there again in a moment: that many
/// times in a row it is the latter.
const SHUT_DOORS: u32 = 3;
/// Rungs of a ladder that begins come one after another, each within this.
const SETTLES_WITHIN: Duration = Duration::from_millis(500);
/// What exists is told within this.
const KNOWN_WITHIN: Duration = Duration::from_millis(50);
/// How long a goodbye to a connection may take.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// What gives a connection: [`rtc`]'s engine.
pub type Open = Arc<dyn Fn(rtc::Settings) -> rtc::Pending<'static, Box<dyn Peer>> + Send + Sync>;

/// A room that a stream is published in.
pub struct Room {
    server: Server,
    room: String,
    /// Name of our participant, for people.
    name: String,
    open: Open,
    shut_doors: u32,
    /// Whether there was an attempt.
    is_begun: bool,
}

impl Room {
    /// The room of this name. `name`: of whom is published there.
    pub fn new(server: &Server, room: &str, name: &str, open: Open) -> Room {
        Room {
            server: server.clone(),
            room: room.to_owned(),
            name: name.to_owned(),
            open,
            shut_doors: 0,
            is_begun: false,
        }
    }

    async fn attempt(&mut self, stream: &dyn Tapped, tap: &mut Tap, told: &Told) -> Ended {
        told.waiting();
        let clock = told.clock().clone();
        let mut feed = Feed::new(stream, tap, MOST_LAYERS, &clock);
        let quiet = match std::mem::replace(&mut self.is_begun, true) {
            false => SETTLES_WITHIN,
            true => KNOWN_WITHIN,
        };
        if feed.ready(quiet).await.is_none() {
            return Ended::unread(stream);
        }
        told.note(feed.note());
        told.connecting();
        let entry = Entry {
            room: &self.room,
            identity: OWN_IDENTITY,
            name: Some(&self.name),
            metadata: Some(METADATA),
            publishes: true,
            listens: false,
            hidden: false,
        };
        let session = match Session::connect(&self.server, &entry, clock.wall()).await {
            Ok(session) => session,
            Err(err) => return self.not_joined(&err),
        };
        self.shut_doors = 0;
        let settings = rtc::Settings {
            ice_servers: session.joined().ice_servers.clone(),
            loopback: self.server.is_local(),
            clock,
        };
        let peer = match (self.open)(settings).await {
            Ok(peer) => peer,
            Err(err) => return Ended::new(err, Again::Later),
        };
        let mut publisher = Publisher::new(session, peer, feed, told);
        let ended = publisher.run(stream).await;
        publisher.leave().await;
        ended
    }

    fn not_joined(&mut self, err: &Error) -> Ended {
        self.shut_doors = match err {
            Error::NotLetIn => self.shut_doors.saturating_add(1),
            _ => 0,
        };
        let again = match err {
            Error::Unreachable(_) | Error::Refused(502..=504) => Again::Soon,
            Error::NotLetIn if self.shut_doors < SHUT_DOORS => Again::Soon,
            other if other.may_return() => Again::Later,
            _ => Again::Refused,
        };
        Ended::new(err, again)
    }
}

impl Carrier for Room {
    fn carry<'a>(
        &'a mut self,
        stream: &'a dyn Tapped,
        tap: &'a mut Tap,
        told: &'a Told,
    ) -> Carrying<'a> {
        Box::pin(self.attempt(stream, tap, told))
    }
}

fn left(reason: &Reason) -> Ended {
    let again = match reason {
        Reason::Media => Again::Later,
        other if other.may_return() => Again::Soon,
        _ => Again::Refused,
    };
    Ended::new(reason, again)
}
