//! Forwards in the running gateway: which streams go where. In: what the hub has, settings, and what else is
//! wanted of a channel. Out: a running forward for each stream and destination, for as long as both are there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tracing::Instrument;

use crate::base::clock::Clock;
use crate::base::id::Uuid;
use crate::base::shutdown::Tasks;
use crate::config::Config;
use crate::forward::livekit::{KIND, Open, Room};
use crate::forward::status::About;
use crate::forward::{Board, Carrier, Told};
use crate::hub::{Hub, Stream};
use crate::livekit::Server;

/// How often it is looked for streams that came or went.
const LOOK: Duration = Duration::from_millis(250);
/// Of how many looks one asks who is on air.
const LOOKS_FAR: u32 = 4;
/// Protocol of members that come from rooms.
const FROM_ROOM: &str = "livekit";
/// Name of the forward into a stream's room among the stream's forwards.
const ROOM: &str = "room";

/// A forward that is to be.
pub(super) struct Wanted {
    /// Its name among those of its stream. One that is defined otherwise has another one.
    pub(super) id: String,
    /// Kind of destination.
    pub(super) kind: &'static str,
    /// Where it goes, without a secret in it.
    pub(super) destination: String,
    /// Gives what carries it.
    pub(super) make: Arc<dyn Fn() -> Box<dyn Carrier> + Send + Sync>,
}

/// Says what is wanted of a stream besides its room. Asked several times a second: nothing is waited for.
pub(super) type Others = dyn Fn(&Stream) -> Vec<Wanted> + Send + Sync;

/// Streams that go into rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Broadcasts,
    All,
    None,
}

/// A forward that runs.
struct Running {
    tasks: Tasks,
    done: JoinHandle<()>,
}

/// See the module.
pub(super) struct Forwards {
    which: Which,
    server: Option<Server>,
    open: Open,
    others: Box<Others>,
    hub: Hub,
    board: Board,
    clock: Clock,
    running: HashMap<(Uuid, String), Running>,
    /// Whether a room feeds a stream that could go into it.
    from_room: HashMap<Uuid, bool>,
}

impl Forwards {
    /// Nothing yet. `server`: the LiveKit server, if there is one. What runs stands on `board`.
    pub(super) fn new(
        config: &Config,
        server: Option<Server>,
        open: Open,
        others: Box<Others>,
        hub: &Hub,
        board: &Board,
        clock: &Clock,
    ) -> Forwards {
        Forwards {
            which: match config.livekit.forward.as_str() {
                "all" => Which::All,
                "off" => Which::None,
                _ => Which::Broadcasts,
            },
            server,
            open,
            others,
            hub: hub.clone(),
            board: board.clone(),
            clock: clock.clone(),
            running: HashMap::new(),
            from_room: HashMap::new(),
        }
    }

    /// Looks until the tasks are stopped.
    pub(super) async fn run(mut self, tasks: Tasks) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0_u32;
        loop {
            tokio::select! {
                () = tasks.stopped() => return,
                _ = look.tick() => {}
            }
            if looks.is_multiple_of(LOOKS_FAR) {
                self.from_room.clear();
            }
            looks = looks.wrapping_add(1);
            self.look(&tasks);
        }
    }

    fn look(&mut self, tasks: &Tasks) {
        let streams = self.hub.all();
        let mut wanted = HashMap::new();
        for stream in streams.iter().filter(|stream| !stream.is_ended()) {
            for one in self.wanted(stream) {
                wanted.insert((stream.id(), one.id.clone()), (stream.clone(), one));
            }
        }
        self.running.retain(|key, running| {
            // One that has ended is begun again if its stream goes on: it was carried to an end by mistake.
            if running.done.is_finished() {
                return false;
            }
            let is_over = || {
                let stream = streams.iter().find(|stream| stream.id() == key.0);
                stream.is_some_and(|stream| stream.is_ended())
            };
            // One whose stream is over says goodbye by itself.
            if !wanted.contains_key(key) && !is_over() {
                running.tasks.stop();
            }
            true
        });
        for (key, (stream, one)) in wanted {
            if !self.running.contains_key(&key) {
                let running = self.start(stream, one, tasks);
                self.running.insert(key, running);
            }
        }
    }

    fn wanted(&mut self, stream: &Stream) -> Vec<Wanted> {
        let mut wanted = (self.others)(stream);
        let goes = match self.which {
            Which::Broadcasts => stream.admission().lasting.is_some(),
            Which::All => true,
            Which::None => false,
        };
        if let Some(server) = self.server.clone().filter(|_| goes)
            && !self.is_from_room(stream)
        {
            let room = stream.id().to_string();
            let name = stream.admission().name.clone();
            let (destination, open) = (server.url().to_owned(), self.open.clone());
            let make = move || -> Box<dyn Carrier> {
                Box::new(Room::new(&server, &room, &name, open.clone()))
            };
            wanted.push(Wanted {
                id: ROOM.to_owned(),
                kind: KIND,
                destination,
                make: Arc::new(make),
            });
        }
        wanted
    }

    /// Whether what is on air comes from a room: it would hear itself.
    fn is_from_room(&mut self, stream: &Stream) -> bool {
        let hub = &self.hub;
        let ask = || {
            let members = hub.health(stream.id()).map(|health| health.members);
            let mut members = members.into_iter().flatten();
            members.any(|member| member.on_air && member.proto == FROM_ROOM)
        };
        *self.from_room.entry(stream.id()).or_insert_with(ask)
    }

    fn start(&self, stream: Arc<Stream>, wanted: Wanted, tasks: &Tasks) -> Running {
        let mut seed = [0; 8];
        // Without random numbers all forwards try again at once: a pity, not an error.
        let _ = getrandom::fill(&mut seed);
        let about = About {
            id: format!("{}/{}", stream.id(), wanted.id),
            kind: wanted.kind,
            channel_id: stream.admission().channel_id.clone(),
            stream_id: stream.id().to_string(),
            destination: wanted.destination,
        };
        let span = tracing::info_span!(
            "forward",
            proto = about.kind,
            channel = about.channel_id,
            stream = about.stream_id,
            to = about.destination
        );
        let told = Told::new(about, &self.clock);
        self.board.put(&told);
        let (board, child) = (self.board.clone(), tasks.child());
        let carrier = (wanted.make)();
        let run = crate::forward::run(
            stream,
            carrier,
            told.clone(),
            u64::from_ne_bytes(seed),
            child.clone(),
        );
        let run = async move {
            run.await;
            board.remove(&told);
        };
        Running {
            tasks: child,
            done: tasks.spawn(run.instrument(span)),
        }
    }
}
