//! Forwards in the running gateway: which streams go where. In: what the hub has, shows that are on, settings,
//! and what else is wanted of a channel. Out: a running forward for each stream and destination, for as long as
//! both are there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tracing::Instrument;

use super::screens::Screens;
use crate::base::clock::Clock;
use crate::base::id::Uuid;
use crate::base::lanes::{self, Lanes};
use crate::base::shutdown::Tasks;
use crate::config::Config;
use crate::forward::livekit::{KIND, Open, Room};
use crate::forward::status::About;
use crate::forward::{Board, Carrier, Told};
use crate::hub::Hub;
use crate::hub::tap::Tapped;
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

/// Says what is wanted of a channel's stream besides its room, by the channel's id. Asked several times a
/// second: nothing is waited for.
pub(super) type Others = dyn Fn(&str) -> Vec<Wanted> + Send + Sync;

/// A stream that could be sent on.
struct Candidate<'a> {
    stream: Uuid,
    channel_id: &'a str,
    /// For people.
    name: &'a str,
    is_broadcast: bool,
}

/// Streams that go into rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Broadcasts,
    All,
    None,
}

/// A forward that runs.
struct Running {
    source: Arc<dyn Tapped>,
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
    screens: Screens,
    board: Board,
    lanes: Lanes,
    clock: Clock,
    running: HashMap<(Uuid, String), Running>,
    /// Whether a room feeds a stream that could go into it.
    from_room: HashMap<Uuid, bool>,
}

impl Forwards {
    /// Nothing yet. `server`: the LiveKit server, if there is one. What runs stands on `board`, and runs on
    /// `lanes`.
    pub(super) fn new(
        config: &Config,
        server: Option<Server>,
        open: Open,
        others: Box<Others>,
        (hub, screens): (&Hub, Screens),
        (board, lanes): (&Board, &Lanes),
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
            screens,
            board: board.clone(),
            lanes: lanes.clone(),
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
        tasks.spawn(self.screens.clone().keep(tasks.clone()));
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
        let mut wanted = self.wanted_of_streams();
        wanted.extend(self.wanted_of_shows(tasks));
        self.running.retain(|key, running| {
            // One that has ended is begun again if its stream goes on: it was carried to an end by mistake.
            if running.done.is_finished() {
                return false;
            }
            // One whose stream is over says goodbye by itself.
            if !wanted.contains_key(key) && !running.source.is_ended() {
                running.tasks.stop();
            }
            true
        });
        for (key, (source, one)) in wanted {
            if !self.running.contains_key(&key) {
                let running = self.start(source, one, tasks);
                self.running.insert(key, running);
            }
        }
    }

    fn wanted_of_streams(&mut self) -> HashMap<(Uuid, String), (Arc<dyn Tapped>, Wanted)> {
        let mut wanted = HashMap::new();
        for stream in self.hub.all() {
            let admission = stream.admission();
            // What is in a film's place is sent on with the film.
            if stream.is_ended() || admission.placed.is_some() {
                continue;
            }
            let candidate = Candidate {
                stream: stream.id(),
                channel_id: &admission.channel_id,
                name: &admission.name,
                is_broadcast: admission.lasting.is_some(),
            };
            for one in self.wanted(&candidate) {
                let source: Arc<dyn Tapped> = stream.clone();
                wanted.insert((stream.id(), one.id.clone()), (source, one));
            }
        }
        wanted
    }

    /// Shows are read for those that are wanted only, and by one gateway.
    fn wanted_of_shows(
        &mut self,
        tasks: &Tasks,
    ) -> HashMap<(Uuid, String), (Arc<dyn Tapped>, Wanted)> {
        let mut wanted = HashMap::new();
        let mut open = Vec::new();
        for showing in self.screens.showing() {
            let all = self.wanted(&Candidate {
                stream: showing.stream,
                channel_id: &showing.channel_id,
                name: &showing.title,
                is_broadcast: true,
            });
            if all.is_empty() {
                continue;
            }
            open.push(showing.stream);
            let Some(screen) = self.screens.open(&showing, tasks) else {
                continue;
            };
            for one in all {
                let source: Arc<dyn Tapped> = screen.clone();
                wanted.insert((showing.stream, one.id.clone()), (source, one));
            }
        }
        self.screens.close_others(&open);
        wanted
    }

    fn wanted(&mut self, candidate: &Candidate<'_>) -> Vec<Wanted> {
        let mut wanted = (self.others)(candidate.channel_id);
        let goes = match self.which {
            Which::Broadcasts => candidate.is_broadcast,
            Which::All => true,
            Which::None => false,
        };
        if let Some(server) = self.server.clone().filter(|_| goes)
            && !self.is_from_room(candidate.stream)
        {
            let (room, name) = (candidate.stream.to_string(), candidate.name.to_owned());
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
    fn is_from_room(&mut self, stream: Uuid) -> bool {
        let hub = &self.hub;
        let ask = || {
            let members = hub.health(stream).map(|health| health.members);
            let mut members = members.into_iter().flatten();
            members.any(|member| member.on_air && member.proto == FROM_ROOM)
        };
        *self.from_room.entry(stream).or_insert_with(ask)
    }

    fn start(&self, source: Arc<dyn Tapped>, wanted: Wanted, tasks: &Tasks) -> Running {
        let mut seed = [0; 8];
        // Without random numbers all forwards try again at once: a pity, not an error.
        let _ = getrandom::fill(&mut seed);
        let about = About {
            id: format!("{}/{}", source.id(), wanted.id),
            kind: wanted.kind,
            channel_id: source.channel_id().to_owned(),
            stream_id: source.id().to_string(),
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
        // RTMP goes out as it came; of an ingress the gateway sends a sentence now and then.
        let places = match wanted.kind {
            "rtmp" | "ingress" => lanes::COPIER,
            _ => lanes::PEER,
        };
        let (board, child) = (self.board.clone(), tasks.child());
        let carrier = (wanted.make)();
        let run = crate::forward::run(
            source.clone(),
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
            source,
            tasks: child,
            done: self.lanes.spawn(tasks, places, run.instrument(span)),
        }
    }
}
