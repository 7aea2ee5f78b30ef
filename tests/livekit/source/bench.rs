//! A hub of one channel, whose room at a test server is listened to.

use std::sync::Arc;
use std::time::Duration;

use forebay::base::clock::{Clock, Wall};
use forebay::base::id::Uuid;
use forebay::base::lanes::Lanes;
use forebay::base::secret::Secret;
use forebay::base::shutdown::Tasks;
use forebay::hub::boundary::{OnLoss, Settings};
use forebay::hub::gate::{Gate, Pending, Record, Sign};
use forebay::hub::{
    self, Admission, Event, Hub, PublishRequest, Refusal, SameRenditions, Stream, Subscriber,
};
use forebay::ingest::livekit::{Config, Listeners, State};
use forebay::livekit::Server;
use forebay::livekit::token::Grant;
use forebay::media::timeline::{Rules, Timeline};
use forebay::media::{AccessUnit, MediaKind, Ticks, Track};
use forebay::package::Live;

use crate::common::livekit::clients::Client;
use crate::common::livekit::{KEY, LivekitServer, PATIENCE, SECRET};

pub const ROOM: &str = "2f5d4b86-6f0e-4f8e-9a55-0d2b1f6b7c21";
pub const CHANNEL: &str = "local#app#broadcast";
/// Units of a stream that wait for the test.
const QUEUE_UNITS: usize = 8192;

/// Everybody may publish, and the channel has one stream however long nobody does, as broadcasts have.
struct Open;

impl Open {
    fn admission(channel_id: &str) -> Admission {
        Admission {
            channel_id: channel_id.to_owned(),
            alias: "broadcast".to_owned(),
            name: "broadcast".to_owned(),
            capabilities: vec!["streaming".to_owned()],
            tags: Vec::new(),
            screen_name: None,
            lasting: Uuid::parse_str(ROOM).ok(),
            placed: None,
        }
    }
}

impl Gate for Open {
    fn preview(&self, _: &PublishRequest) -> Result<String, Refusal> {
        Ok(CHANNEL.to_owned())
    }

    fn admit<'a>(&'a self, _: &'a PublishRequest) -> Pending<'a, Result<Admission, Refusal>> {
        Box::pin(async { Ok(Open::admission(CHANNEL)) })
    }

    fn admit_pulled<'a>(&'a self, channel_id: &'a str) -> Pending<'a, Result<Admission, Refusal>> {
        Box::pin(async { Ok(Open::admission(channel_id)) })
    }

    fn stream_opened<'a>(&'a self, _: &'a Record) -> Pending<'a, ()> {
        Box::pin(async {})
    }

    fn streams_alive<'a>(&'a self, _: &'a [Sign]) -> Pending<'a, ()> {
        Box::pin(async {})
    }

    fn streams_ended<'a>(&'a self, _: &'a [Uuid]) -> Pending<'a, ()> {
        Box::pin(async {})
    }

    fn open_streams<'a>(&'a self, _: &'a str) -> Pending<'a, Vec<Record>> {
        Box::pin(async { Vec::new() })
    }
}

/// A hub, and those who listen for it.
pub struct Bench {
    pub livekit: LivekitServer,
    pub hub: Hub,
    pub listeners: Listeners,
    tasks: Tasks,
}

impl Bench {
    pub fn start() -> Bench {
        let livekit = LivekitServer::start();
        let (clock, tasks) = (Clock::system(), Tasks::new());
        let hub = hub(&clock, &tasks);
        let housekeeper = hub.clone();
        tasks.spawn(async move { housekeeper.run().await });
        let server = Server::new(&livekit.url(), KEY, &Secret::new(SECRET));
        let config = Config {
            server: server.expect("an address"),
            publish_timeout: Duration::from_secs(10),
            key_interval: Duration::from_secs(2),
            lanes: Lanes::none(),
            stats: Arc::default(),
            clock,
        };
        let listeners = Listeners::new(config, hub.clone(), tasks.clone());
        Bench {
            livekit,
            hub,
            listeners,
            tasks,
        }
    }

    /// Says that somebody publishes in the room.
    pub fn told(&self) {
        self.listeners.handle_room(CHANNEL, ROOM, true);
    }

    /// Somebody who publishes in the room, as LiveKit's own library does.
    pub async fn publisher(&self, identity: &str, role: &str, options: &str) -> Client {
        let metadata = format!(r#"{{"role":"{role}"}}"#);
        let grant = Grant {
            room: ROOM,
            identity,
            name: None,
            metadata: Some(&metadata),
            can_publish: true,
            can_subscribe: true,
            can_publish_data: Some(true),
            max_participants: None,
            valid_for: Duration::from_secs(600),
        };
        let server = Server::new(&self.livekit.url(), KEY, &Secret::new(SECRET));
        let token = server
            .expect("an address")
            .token(&grant, Clock::system().wall());
        let token = token.expect("a token");
        let url = self.livekit.url();
        let mut client = Client::python("publish", &url, token.expose(), options).await;
        client.event("connected").await;
        client
    }

    /// Waits until the listener is so.
    pub async fn until_state(&self, what: &str, fits: impl Fn(Option<&State>) -> bool) {
        let state = || self.listeners.state(CHANNEL);
        let found = || fits(state().as_ref()).then_some(());
        self.until(what, found).await;
    }

    pub async fn until_live(&self, identity: &str) {
        let live = State::Live(identity.to_owned());
        self.until_state(identity, |state| state == Some(&live))
            .await;
    }

    /// Waits until `found` finds something; looks again whenever a little time has passed.
    pub async fn until<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let looking = async {
            let mut again = tokio::time::interval(Duration::from_millis(10));
            loop {
                again.tick().await;
                if let Some(found) = found() {
                    return found;
                }
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, looking).await;
        outcome.unwrap_or_else(|_| {
            let state = self.listeners.state(CHANNEL);
            panic!("no {what}: {state:?} {}", self.livekit.story())
        })
    }

    /// The channel's stream, once there is one.
    pub async fn stream(&self) -> Arc<Stream> {
        let found = || self.hub.stream(self.hub.newest(CHANNEL)?);
        self.until("a stream", found).await
    }

    /// Everything that comes of the stream.
    pub async fn watch(&self) -> Watched {
        Watched {
            units: self.stream().await.subscribe(QUEUE_UNITS),
            tracks: Vec::new(),
            video: Vec::new(),
            audio: Vec::new(),
        }
    }

    pub async fn end(self) {
        self.tasks.finish().await;
    }
}

fn hub(clock: &Clock, tasks: &Tasks) -> Hub {
    let second = Duration::from_secs(1);
    let config = hub::Config {
        reconnect: second * 30,
        silence: second,
        window: second * 60,
        retention: second * 60,
        kill_holdoff: Duration::ZERO,
        region: "local".to_owned(),
        same_renditions: SameRenditions::new(|_, _| false),
        max_publishers: 10,
        max_media_bytes: 1 << 30,
    };
    // As with a ladder: only with it are key units too far apart for the source to be listed.
    let rules = |_: &Admission| Settings {
        segment_target: Ticks(2 * 90_000),
        longest_segment: Ticks(3 * 90_000),
        ladder: true,
        on_loss: OnLoss::Gap,
    };
    let opener = move |stream: &Arc<Stream>, now: Wall| {
        let rules = Rules {
            epoch: stream.epoch(),
            target_duration_s: 3,
            part_target: second / 5,
            part_hold_back: second,
            hold_back: second * 9,
            can_skip_until: second * 18,
            segment_target: second * 2,
            window: second * 60,
            independent_segments: true,
        };
        let live = Live::new(rules, now);
        stream.attach(live.outlet());
        live as Arc<dyn Timeline>
    };
    Hub::new(
        config,
        clock.clone(),
        Arc::new(Open),
        Box::new(rules),
        Box::new(opener),
        Box::new(|| 0),
        tasks.clone(),
    )
}

/// What came of a stream.
pub struct Watched {
    units: Subscriber,
    pub tracks: Vec<Arc<Track>>,
    pub video: Vec<AccessUnit>,
    pub audio: Vec<AccessUnit>,
}

impl Watched {
    /// Takes what comes until there are so many pictures more.
    pub async fn pictures(&mut self, count: usize) {
        let enough = self.video.len() + count;
        while self.video.len() < enough {
            self.next().await;
        }
    }

    async fn next(&mut self) {
        let event = tokio::time::timeout(PATIENCE, self.units.recv()).await;
        match event.expect("media come").expect("the stream lives") {
            Event::Track(track) => self.tracks.push(track),
            Event::Unit { unit, .. } if unit.kind == MediaKind::Video => self.video.push(unit),
            Event::Unit { unit, .. } => self.audio.push(unit),
            _ => {}
        }
    }

    /// Milliseconds between the units for which this holds.
    pub fn gaps_ms(
        units: &[AccessUnit],
        per_ms: i64,
        of: impl Fn(&AccessUnit) -> bool,
    ) -> Vec<i64> {
        let times: Vec<i64> = units
            .iter()
            .filter(|unit| of(unit))
            .map(|unit| unit.pts.0)
            .collect();
        times
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) / per_ms)
            .collect()
    }
}
