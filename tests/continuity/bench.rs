//! A hub, its packagers and a transcoder on a simulated clock, and encoders that feed them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Runtime;

use forebay::base::clock::{Clock, Wall};
use forebay::base::id::Uuid;
use forebay::base::secret::Secret;
use forebay::base::shutdown::Tasks;
use forebay::hub::boundary::{OnLoss, Settings as Cutting};
use forebay::hub::gate::Pending;
use forebay::hub::{
    self, Admission, ChannelMember, ForkOptions, Forking, Gate, Hub, PublishRequest,
    Record as Kept, Refusal, Sign, Stream,
};
use forebay::media::Ticks;
use forebay::media::timeline::{Rules, Timeline};
use forebay::package::Live;

use super::encoder::{Encoder, Film, Settings};
use super::watch::{Opened, Record, Recorder, Watch};
use super::worker::Worker;

/// When every test begins: 2027-01-15T08:00:00Z.
pub const START: Wall = Wall(1_800_000_000_000_000);
/// How finely time passes.
const STEP_MS: i64 = 10;
/// How often players look.
const LOOK_MS: i64 = 200;

/// What differs from test to test.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub ladder: bool,
    pub on_loss: OnLoss,
    pub reconnect: Duration,
    pub window: Duration,
    /// Whether the channel is a broadcast's, whose one stream outlives any pause.
    pub lasting: bool,
}

/// The source alone.
pub const PLAIN: Terms = Terms {
    ladder: false,
    on_loss: OnLoss::Slate,
    reconnect: Duration::from_secs(120),
    window: Duration::from_secs(60),
    lasting: false,
};
/// The source and a rung.
pub const LADDER: Terms = Terms {
    ladder: true,
    ..PLAIN
};

impl Terms {
    pub fn target_duration_s(self) -> u32 {
        if self.ladder { 3 } else { 10 }
    }
}

/// The one stream of a broadcast.
pub const LASTING: Uuid = Uuid::from_u128(5);
/// The channel of all encoders.
const CHANNEL: &str = "local#forebay#live";
/// The capability that asks for renditions of its own.
pub const PORTRAIT: &str = "aspect-ratio=9x16";

type Shelf = Arc<Mutex<Vec<Opened>>>;

/// See the module.
pub struct Bench {
    pub clock: Clock,
    hub: Hub,
    runtime: Runtime,
    shelf: Shelf,
    watches: BTreeMap<Uuid, Watch>,
    /// Those that share their source's timeline.
    forks: Vec<Uuid>,
    pub encoders: Vec<Encoder>,
}

impl Bench {
    pub fn new(terms: Terms) -> Bench {
        Bench::with_clock(terms, Clock::simulated(START))
    }

    pub fn with_clock(terms: Terms, clock: Clock) -> Bench {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let tasks = runtime.block_on(async { Tasks::new() });
        let shelf = Shelf::default();
        let hub = Hub::new(
            hub::Config {
                reconnect: terms.reconnect,
                silence: Duration::from_secs(1),
                retention: Duration::from_secs(120),
                kill_holdoff: Duration::ZERO,
                region: "local".to_owned(),
                same_renditions: hub::SameRenditions::new(|one, other| {
                    one.contains(&PORTRAIT.to_owned()) == other.contains(&PORTRAIT.to_owned())
                }),
                window: terms.window,
                max_publishers: 100,
                max_media_bytes: u64::MAX,
            },
            clock.clone(),
            Arc::new(OpenGate {
                lasting: terms.lasting.then_some(LASTING),
            }),
            Box::new(move |_| cutting(terms)),
            opener(terms, shelf.clone()),
            Box::new(|| 0),
            tasks.clone(),
        );
        let running = hub.clone();
        tasks.spawn(async move { running.run().await });
        Bench {
            clock,
            hub,
            runtime,
            shelf,
            watches: BTreeMap::new(),
            forks: Vec::new(),
            encoders: Vec::new(),
        }
    }

    /// An encoder that begins to publish now.
    pub fn encoder(&self, settings: Settings) -> Encoder {
        let request = PublishRequest {
            proto: "rtmp",
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            key: Secret::new("key"),
            capabilities: None,
            tags: Vec::new(),
        };
        let publisher = self.runtime.block_on(self.hub.publish(request));
        let publisher = publisher.expect("a rightful encoder is not refused");
        Encoder::new(self.encoders.len(), publisher, settings, self.now())
    }

    /// Puts one to work. Returns its place among the encoders.
    pub fn publish(&mut self, settings: Settings) -> usize {
        let encoder = self.encoder(settings);
        self.employ(encoder)
    }

    /// The same with one that was prepared.
    pub fn employ(&mut self, encoder: Encoder) -> usize {
        self.encoders.push(encoder);
        self.encoders.len() - 1
    }

    /// Monotonic time, microseconds.
    pub fn now(&self) -> i64 {
        i64::try_from(self.clock.monotonic().as_micros()).unwrap()
    }

    /// Lets time pass for everybody.
    pub fn run(&mut self, ms: i64) {
        for _ in 0..ms / STEP_MS {
            self.step(STEP_MS);
            if self.now() / 1000 % LOOK_MS == 0 {
                self.look();
            }
        }
    }

    /// Lets hours pass: encoders send twice a second, and players look once a minute.
    pub fn run_coarsely(&mut self, seconds: i64) {
        for half in 1..=seconds * 2 {
            self.step(500);
            if half % 100 == 0 {
                self.look();
            }
        }
    }

    fn step(&mut self, ms: i64) {
        let step = Duration::from_millis(ms.unsigned_abs());
        self.clock.advance(step);
        let now = self.now();
        for encoder in self.encoders.iter_mut().filter(|e| e.is_publishing()) {
            encoder.poll(now);
        }
        self.runtime.block_on(tokio::time::advance(step));
        for opened in self.shelf.lock().unwrap().iter_mut() {
            if let Some(worker) = &mut opened.worker {
                worker.poll();
            }
        }
    }

    /// Runs until `done`, at most so long; how long it took, in milliseconds.
    pub fn run_until(&mut self, at_most_ms: i64, done: impl Fn(&Bench) -> bool) -> i64 {
        let begin = self.now();
        while !done(self) {
            self.run(STEP_MS);
            let taken = (self.now() - begin) / 1000;
            assert!(taken < at_most_ms, "nothing happened in {taken} ms");
        }
        (self.now() - begin) / 1000
    }

    fn look(&mut self) {
        for opened in self.shelf.lock().unwrap().iter() {
            let broken = opened.record.lock().unwrap().take_broken();
            assert!(broken.is_empty(), "{broken:#?}");
            let watch = self.watches.entry(opened.stream.id()).or_default();
            watch.look(&*opened.live, self.clock.wall());
        }
        for fork in &self.forks {
            if let Some(timeline) = self.hub.timeline(*fork) {
                let watch = self.watches.entry(*fork).or_default();
                watch.look(&*timeline, self.clock.wall());
            }
        }
    }

    /// Has a channel show what is on air, and players watch it. Gives the id under which they do.
    pub fn fork(&mut self, alias: &str, capabilities: &[&str], options: ForkOptions) -> Uuid {
        let forking = Forking {
            channel_id: format!("local#forebay#{alias}"),
            alias: alias.to_owned(),
            name: alias.to_owned(),
            tags: Vec::new(),
            capabilities: capabilities.iter().map(|word| (*word).to_owned()).collect(),
            options,
        };
        let forked = self.runtime.block_on(self.hub.fork(CHANNEL, &forking));
        let forked = forked.expect("there is room for a fork");
        let member = forked.members.first().expect("somebody publishes");
        if !self.streams().contains(&member.stream) {
            self.forks.push(member.stream);
        }
        member.stream
    }

    /// Ends what a channel has on air.
    pub fn kill(&self, alias: &str) -> Vec<ChannelMember> {
        let channel = format!("local#forebay#{alias}");
        let killed = self.hub.kill(&channel, "a test", false);
        self.runtime.block_on(killed)
    }

    /// Ends the broadcast whose channel it is.
    pub fn finish(&self) {
        let _members = self
            .runtime
            .block_on(async { self.hub.finish(CHANNEL, "the broadcast is over") });
    }

    /// Whether players find a stream of this id.
    pub fn is_played(&self, id: Uuid) -> bool {
        self.hub.timeline(id).is_some()
    }

    /// What players of a stream id read.
    pub fn timeline(&self, id: Uuid) -> Arc<dyn Timeline> {
        self.hub.timeline(id).expect("it is played")
    }

    /// Who publishes to a channel.
    pub fn members(&self, alias: &str) -> Vec<ChannelMember> {
        self.hub.members(&format!("local#forebay#{alias}"))
    }

    /// Ids of the streams so far, oldest first.
    pub fn streams(&self) -> Vec<Uuid> {
        let shelf = self.shelf.lock().unwrap();
        shelf.iter().map(|opened| opened.stream.id()).collect()
    }

    /// The newest stream.
    pub fn stream(&self) -> Arc<Stream> {
        let shelf = self.shelf.lock().unwrap();
        shelf.last().expect("a stream was opened").stream.clone()
    }

    /// What players saw of the newest stream.
    pub fn watch(&mut self) -> &mut Watch {
        let id = self.stream().id();
        self.watches.entry(id).or_default()
    }

    /// What players saw of a stream.
    pub fn watch_of(&self, id: Uuid) -> &Watch {
        &self.watches[&id]
    }

    /// The ends of the newest stream's renditions, milliseconds behind the clock now.
    pub fn ages(&mut self) -> BTreeMap<String, i64> {
        let now = self.clock.wall();
        let watch = self.watch();
        let age = |name: &str| (name.to_owned(), watch.age_ms(name, now));
        watch.names().map(age).collect()
    }

    /// The newest media sequence number.
    pub fn sequence(&mut self) -> u64 {
        let segments = &self.watch().segments["source"];
        *segments.last_key_value().expect("it is listed").0
    }

    /// The largest difference of sound and picture so far, milliseconds.
    pub fn lip_sync_ms(&self) -> i64 {
        let shelf = self.shelf.lock().unwrap();
        let record = shelf.last().unwrap().record.lock().unwrap();
        record.worst_lip_sync_micros / 1000
    }

    /// Whose media were delivered last.
    pub fn filmed_by(&self) -> Option<usize> {
        Some(self.newest_film()?.by)
    }

    /// How long ago the newest media of the newest stream were filmed.
    pub fn age_of_film_ms(&self) -> i64 {
        let film = self.newest_film();
        film.map_or(i64::MAX, |film| (self.now() - film.at) / 1000)
    }

    fn newest_film(&self) -> Option<Film> {
        let shelf = self.shelf.lock().unwrap();
        let record = shelf.last()?.record.lock().unwrap();
        record.newest_film
    }

    /// Bytes of media that the newest stream holds in memory.
    pub fn held_bytes(&self) -> usize {
        let shelf = self.shelf.lock().unwrap();
        let held = shelf.last().unwrap().live.held();
        held.iter().map(|held| held.bytes).sum()
    }
}

fn cutting(terms: Terms) -> Cutting {
    Cutting {
        segment_target: Ticks(2 * 90_000),
        longest_segment: Ticks(i64::from(terms.target_duration_s()) * 90_000),
        ladder: terms.ladder,
        on_loss: terms.on_loss,
    }
}

fn opener(terms: Terms, shelf: Shelf) -> Box<hub::Opener> {
    Box::new(move |stream: &Arc<Stream>, now: Wall| {
        let target = Duration::from_secs(u64::from(terms.target_duration_s()));
        let part_target = Duration::from_micros(213_400);
        let rules = Rules {
            epoch: stream.epoch(),
            target_duration_s: terms.target_duration_s(),
            part_target,
            part_hold_back: part_target * 3,
            hold_back: target * 3,
            can_skip_until: target * 6,
            segment_target: Duration::from_secs(2),
            window: terms.window,
            independent_segments: terms.ladder,
        };
        let live = Live::new(rules, now);
        let record = Arc::new(Mutex::new(Record::default()));
        stream.attach(Box::new(Recorder(record.clone())));
        stream.attach(live.outlet());
        shelf.lock().unwrap().push(Opened {
            stream: stream.clone(),
            live: live.clone(),
            record,
            worker: stream.has_ladder().then(|| Worker::new(stream)),
        });
        live as Arc<dyn Timeline>
    })
}

/// Admits everybody to one channel.
struct OpenGate {
    lasting: Option<Uuid>,
}

impl Gate for OpenGate {
    fn preview(&self, _request: &PublishRequest) -> Result<String, Refusal> {
        Ok(CHANNEL.to_owned())
    }

    fn admit<'a>(
        &'a self,
        _request: &'a PublishRequest,
    ) -> Pending<'a, Result<Admission, Refusal>> {
        Box::pin(async move {
            Ok(Admission {
                channel_id: CHANNEL.to_owned(),
                alias: "live".to_owned(),
                name: "live".to_owned(),
                capabilities: vec!["streaming".to_owned()],
                tags: Vec::new(),
                screen_name: None,
                lasting: self.lasting,
                placed: None,
            })
        })
    }

    fn admit_pulled<'a>(&'a self, channel_id: &'a str) -> Pending<'a, Result<Admission, Refusal>> {
        unreachable!("nothing is pulled into {channel_id}")
    }

    fn stream_opened<'a>(&'a self, _record: &'a Kept) -> Pending<'a, ()> {
        Box::pin(async {})
    }

    fn streams_alive<'a>(&'a self, _signs: &'a [Sign]) -> Pending<'a, ()> {
        Box::pin(async {})
    }

    fn streams_ended<'a>(&'a self, _ids: &'a [Uuid]) -> Pending<'a, ()> {
        Box::pin(async {})
    }

    fn open_streams<'a>(&'a self, _region: &'a str) -> Pending<'a, Vec<Kept>> {
        Box::pin(async { Vec::new() })
    }
}
