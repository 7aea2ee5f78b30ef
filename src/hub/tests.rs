use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::boundary::OnLoss;
use super::gate::{Pending, Told};
use super::*;
use crate::base::secret::Secret;
use crate::media::codec::aac;
use crate::media::timeline::{Description, Found, Progress, Resource, Rules, Snapshot, Wait};
use crate::media::{
    AccessUnit, Boundary, CodecConfig, MediaKind, Rendition, RenditionId, Ticks, Timescale,
};

mod channels;
mod forks;
mod lasting;
mod restarts;
mod stories;

/// How long keys are refused after a kill.
const HOLD_OFF: Duration = Duration::from_secs(3);
const START: Wall = Wall(1_790_000_000_000_000);

/// What outlives the hub of one run.
#[derive(Default)]
struct Memory {
    records: Mutex<Vec<Record>>,
    /// Whether it never answers that a stream is over.
    is_stuck: AtomicBool,
}

impl Memory {
    fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap()
    }

    /// Until nothing is left to take up: ends are written down while others go on.
    async fn emptied(&self) {
        let emptied = async {
            while !self.records().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        let emptied = tokio::time::timeout(Duration::from_secs(60), emptied).await;
        assert!(emptied.is_ok(), "{:?}", self.records());
    }
}

/// The channel is the key.
/// The one stream of the channel `lasting`.
const LASTING: Uuid = Uuid::from_u128(5);

struct Door {
    memory: Arc<Memory>,
    /// What an admission waits for, once.
    admits: Admits,
}

impl Gate for Door {
    fn preview(&self, request: &PublishRequest) -> Result<String, Refusal> {
        Ok(format!("local#app#{}", request.key.expose()))
    }

    fn admit<'a>(&'a self, request: &'a PublishRequest) -> Pending<'a, Result<Admission, Refusal>> {
        let alias = request.key.expose().to_owned();
        let capabilities = request.capabilities.clone().unwrap_or_default();
        let screen_name = alias.strip_prefix("named-").map(str::to_owned);
        let lasting = (alias == "lasting").then_some(LASTING);
        let waits = self.admits.lock().unwrap().take();
        Box::pin(async move {
            if let Some(waits) = waits {
                let _ = waits.await;
            }
            Ok(Admission {
                channel_id: format!("local#app#{alias}"),
                name: alias.clone(),
                alias,
                capabilities,
                tags: Vec::new(),
                screen_name,
                lasting,
                placed: None,
            })
        })
    }

    fn admit_pulled<'a>(&'a self, channel_id: &'a str) -> Pending<'a, Result<Admission, Refusal>> {
        let alias = channel_id.rsplit('#').next().unwrap_or_default().to_owned();
        Box::pin(async move {
            Ok(Admission {
                channel_id: channel_id.to_owned(),
                name: alias.clone(),
                alias,
                capabilities: Vec::new(),
                tags: Vec::new(),
                screen_name: None,
                lasting: None,
                placed: None,
            })
        })
    }

    fn stream_opened<'a>(&'a self, record: &'a Record) -> Pending<'a, ()> {
        self.memory.records().push(record.clone());
        Box::pin(async {})
    }

    fn streams_alive<'a>(&'a self, signs: &'a [Sign]) -> Pending<'a, ()> {
        for record in self.memory.records().iter_mut() {
            if let Some(sign) = signs.iter().find(|sign| sign.id == record.id) {
                record.sign = *sign;
            }
        }
        Box::pin(async {})
    }

    fn streams_ended<'a>(&'a self, ids: &'a [Uuid]) -> Pending<'a, ()> {
        self.memory
            .records()
            .retain(|record| !ids.contains(&record.id));
        let is_stuck = self.memory.is_stuck.load(Ordering::Relaxed);
        Box::pin(async move {
            if is_stuck {
                std::future::pending::<()>().await;
            }
        })
    }

    fn open_streams<'a>(&'a self, _region: &'a str) -> Pending<'a, Vec<Record>> {
        let records = self.memory.records().clone();
        Box::pin(async { records })
    }
}

/// What a stream's players were told.
#[derive(Default)]
struct Seen {
    opened: Mutex<Vec<Boundary>>,
    missing: Mutex<Vec<Boundary>>,
    listed: AtomicBool,
}

struct Packager(Arc<Seen>);

impl Outlet for Packager {
    fn handle_rendition(&mut self, _rendition: &Arc<Rendition>) {}
    fn handle_track(&mut self, _id: RenditionId, _track: &Arc<Track>) {}
    fn handle_unit(&mut self, _id: RenditionId, _unit: AccessUnit, boundaries: &[Boundary]) {
        if let Some((last, missing)) = boundaries.split_last() {
            self.0.missing.lock().unwrap().extend(missing);
            self.0.opened.lock().unwrap().push(*last);
        }
    }
    fn handle_gap(&mut self, _id: RenditionId, boundary: &Boundary) {
        self.0.missing.lock().unwrap().push(*boundary);
    }
    fn handle_removed(&mut self, _id: RenditionId) {}
    fn handle_listed(&mut self, _ids: &[RenditionId]) {
        self.0.listed.store(true, Ordering::Relaxed);
    }
    fn handle_break(&mut self) {}
    fn handle_end(&mut self) {}
}

impl Timeline for Seen {
    fn description(&self) -> Option<Arc<Description>> {
        let listed = self.listed.load(Ordering::Relaxed);
        listed.then(|| {
            Arc::new(Description {
                version: 1,
                rules: Rules {
                    epoch: START,
                    target_duration_s: 10,
                    part_target: Duration::ZERO,
                    part_hold_back: Duration::ZERO,
                    hold_back: Duration::ZERO,
                    can_skip_until: Duration::ZERO,
                    segment_target: Duration::ZERO,
                    window: Duration::ZERO,
                    independent_segments: false,
                },
                video: Vec::new(),
                audio: Vec::new(),
                leaving: Vec::new(),
                ended: false,
            })
        })
    }
    fn snapshot(&self, _rendition: &str) -> Option<Arc<Snapshot>> {
        None
    }
    fn progress(&self, _rendition: &str) -> Option<Progress> {
        None
    }
    fn find(&self, _rendition: &str, _resource: Resource<'_>) -> Found {
        Found::Missing
    }
    fn changed<'a>(&'a self, _rendition: &'a str, _seen: u64) -> Wait<'a> {
        Box::pin(std::future::pending())
    }
}

/// Runs what is to happen at the same time in earnest.
fn on_four_threads(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(story);
}

/// A frame of sound.
pub(super) fn sound(time: Ticks) -> AccessUnit {
    AccessUnit {
        kind: MediaKind::Audio,
        dts: time,
        pts: time,
        duration: None,
        key: true,
        data: Bytes::from_static(b"sound"),
    }
}

/// One run of the server after another, on one memory.
struct Bench {
    clock: Clock,
    memory: Arc<Memory>,
    hub: Hub,
    seen: Arc<Seen>,
    admits: Admits,
}

type Admits = Arc<Mutex<Option<oneshot::Receiver<()>>>>;

fn run(clock: &Clock, memory: &Arc<Memory>, admits: &Admits) -> (Hub, Arc<Seen>) {
    run_with(clock, memory, admits, None)
}

fn run_with(
    clock: &Clock,
    memory: &Arc<Memory>,
    admits: &Admits,
    opener: Option<Box<Opener>>,
) -> (Hub, Arc<Seen>) {
    let config = Config {
        reconnect: Duration::from_secs(30),
        silence: Duration::from_secs(1),
        retention: Duration::from_secs(120),
        kill_holdoff: HOLD_OFF,
        region: "local".to_owned(),
        same_renditions: SameRenditions::new(|one, other| {
            one.contains(&"fhd".to_owned()) == other.contains(&"fhd".to_owned())
        }),
        window: Duration::from_secs(60),
        max_publishers: 10,
        max_media_bytes: 1,
    };
    let seen = Arc::new(Seen::default());
    let packaged = seen.clone();
    let rules = |_: &Admission| Settings {
        segment_target: Ticks(180_000),
        longest_segment: Ticks(900_000),
        ladder: false,
        on_loss: OnLoss::Slate,
    };
    let usual = move |stream: &Arc<Stream>, _: Wall| {
        stream.attach(Box::new(Packager(packaged.clone())));
        packaged.clone() as Arc<dyn Timeline>
    };
    let hub = Hub::new(
        config,
        clock.clone(),
        Arc::new(Door {
            memory: memory.clone(),
            admits: admits.clone(),
        }),
        Box::new(rules),
        opener.unwrap_or(Box::new(usual)),
        Box::new(|| 0),
        Tasks::new(),
    );
    (hub, seen)
}

fn request(alias: &str, capabilities: Option<Vec<String>>) -> PublishRequest {
    PublishRequest {
        proto: "rtmp",
        peer: ([127, 0, 0, 1], 1).into(),
        key: Secret::new(alias),
        capabilities,
        tags: Vec::new(),
    }
}

impl Bench {
    fn new() -> Bench {
        let clock = Clock::simulated(START);
        let memory = Arc::new(Memory::default());
        let admits = Admits::default();
        let (hub, seen) = run(&clock, &memory, &admits);
        Bench {
            admits,
            clock,
            memory,
            hub,
            seen,
        }
    }

    /// The newest stream of the channel of an alias.
    fn newest(&self, alias: &str) -> Option<Uuid> {
        self.hub.newest(&format!("local#app#{alias}"))
    }

    /// The process is gone, without a goodbye, and another one starts.
    async fn start_anew(&mut self, after: Duration) {
        self.clock.advance(after);
        (self.hub, self.seen) = run(&self.clock, &self.memory, &self.admits);
        self.hub.resume().await;
    }

    /// The same with a goodbye.
    async fn stop(&self) {
        self.hub.inner.tasks.stop();
        self.hub.run().await;
    }

    async fn publish(&self, capabilities: Option<Vec<String>>) -> Publisher {
        self.publish_on("live", capabilities).await
    }

    async fn publish_on(&self, alias: &str, capabilities: Option<Vec<String>>) -> Publisher {
        let request = request(alias, capabilities);
        let mut publisher = self.hub.publish(request).await.unwrap();
        publisher.announce(Announcement {
            video: Some(false),
            audio: Some(true),
            ..Announcement::default()
        });
        publisher.set_track(Track {
            config: CodecConfig::Aac(aac::Config::new_lc(48_000, 2).unwrap()),
            timescale: Timescale::MILLIS,
        });
        publisher
    }

    /// Sound, at the pace of the clock; housekeeping as it goes.
    async fn play(&self, publisher: &mut Publisher, seconds: i64) {
        for frame in 0..seconds * 375 / 8 {
            let time = Ticks(frame * 64 / 3);
            publisher.push(sound(time));
            self.clock.advance(Duration::from_micros(21_333));
            if frame % 12 == 0 {
                self.hub.tidy().await;
            }
        }
    }

    fn opened(&self) -> Vec<Boundary> {
        self.seen.opened.lock().unwrap().clone()
    }

    /// What the stream states as missing, before its first media.
    fn missing(&self) -> Vec<Boundary> {
        self.seen.missing.lock().unwrap().clone()
    }

    fn on_air(&self) -> Vec<bool> {
        self.hub.list().iter().map(|listed| listed.on_air).collect()
    }
}

#[tokio::test]
async fn capabilities_of_later_publishers_are_ignored_and_shown_as_such() {
    let bench = Bench::new();
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
    let held = words(&["streaming", "unheard-of"]);
    let _first = bench.publish(held.clone()).await;
    let _same = bench.publish(words(&["unheard-of", "streaming"])).await;
    let _other = bench.publish(words(&["uhd"])).await;
    let id = bench.newest("live").unwrap();
    let health = bench.hub.stream(id).unwrap().health();
    assert_eq!(Some(health.capabilities), held);
    let ignored: Vec<_> = health
        .members
        .iter()
        .map(|it| it.ignored_capabilities.join(","))
        .collect();
    assert_eq!(ignored, ["", "", "uhd"]);
}

#[tokio::test]
async fn a_preview_refuses_a_channel_on_which_four_encoders_send_and_no_other() {
    let bench = Bench::new();
    let request = |alias: &str| PublishRequest {
        proto: "srt",
        peer: ([127, 0, 0, 1], 1).into(),
        key: Secret::new(alias),
        capabilities: None,
        tags: Vec::new(),
    };
    let live = Ok("local#app#live".to_owned());
    assert_eq!(bench.hub.preview(&request("live")), live);
    let mut publishers = Vec::new();
    for _ in 0..stream::MAX_MEMBERS {
        assert_eq!(bench.hub.preview(&request("live")), live);
        publishers.push(bench.publish(None).await);
    }
    let refused = bench.hub.preview(&request("live"));
    assert!(matches!(refused, Err(Refusal::Full(_))));
    let other = bench.hub.preview(&request("other"));
    assert_eq!(other.as_deref(), Ok("local#app#other"));

    // While the stream, or the opening of another one, is at work, nobody waits and nobody is refused.
    let working = bench.hub.channels();
    assert_eq!(bench.hub.preview(&request("live")), live);
    drop(working);

    // A silent one gives its place to another.
    bench.clock.advance(Duration::from_millis(1500));
    assert_eq!(bench.hub.preview(&request("live")), live);
    drop(publishers);
    assert_eq!(bench.hub.preview(&request("live")), live);
    bench.clock.advance(Duration::from_secs(30));
    bench.hub.tidy().await;
    assert_eq!(bench.hub.preview(&request("live")), live);
}

#[tokio::test]
async fn a_preview_knows_the_limits_of_the_process() {
    let bench = Bench::new();
    let mut publishers = Vec::new();
    for channel in 0..10 {
        let request = PublishRequest {
            proto: "srt",
            peer: ([127, 0, 0, 1], 1).into(),
            key: Secret::new(format!("channel-{channel}")),
            capabilities: None,
            tags: Vec::new(),
        };
        assert!(bench.hub.preview(&request).is_ok());
        publishers.push(bench.hub.publish(request.clone()).await.unwrap());
        let full = publishers.len() == 10;
        assert_eq!(bench.hub.preview(&request).is_err(), full);
    }
}

#[tokio::test(start_paused = true)]
async fn housekeeping_does_not_wait_for_the_ends_of_streams_to_be_recorded() {
    let bench = Bench::new();
    bench.memory.is_stuck.store(true, Ordering::Relaxed);
    for alias in ["a", "b", "c"] {
        drop(bench.publish_on(alias, None).await);
    }
    bench.clock.advance(Duration::from_secs(60));
    // Of a paused clock, which moves when nobody has anything to do.
    let tidied = tokio::time::timeout(Duration::from_secs(1), bench.hub.tidy()).await;
    assert!(tidied.is_ok());
    assert!(bench.hub.list().is_empty());
}
