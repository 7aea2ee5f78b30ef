use std::sync::mpsc;

use bytes::Bytes;

use super::*;
use crate::hub::boundary::OnLoss;
use crate::hub::{Link, Refusal};
use crate::media::Timescale;
use crate::media::codec::aac;
use crate::media::{Boundary, CodecConfig, Rendition};

mod taps;

/// What an outlet was told, in words.
type Log = mpsc::Receiver<String>;

struct Recorder(mpsc::SyncSender<String>);

impl Recorder {
    fn note(&self, text: String) {
        self.0.try_send(text).expect("the log has room");
    }
}

impl Outlet for Recorder {
    fn handle_rendition(&mut self, rendition: &Arc<Rendition>) {
        self.note(format!("rendition {}", rendition.name));
    }
    fn handle_track(&mut self, id: RenditionId, _track: &Arc<Track>) {
        self.note(format!("track {}", id.0));
    }
    fn handle_unit(&mut self, id: RenditionId, unit: AccessUnit, boundaries: &[Boundary]) {
        for boundary in boundaries {
            let mark = if boundary.discontinuity { "!" } else { "" };
            self.note(format!("{} opens {}{mark}", id.0, boundary.sequence % 1000));
        }
        assert!(unit.duration.is_some(), "audio durations are counted");
    }
    fn handle_gap(&mut self, id: RenditionId, boundary: &Boundary) {
        self.note(format!("{} gap {}", id.0, boundary.sequence % 1000));
    }
    fn handle_removed(&mut self, id: RenditionId) {
        self.note(format!("{} removed", id.0));
    }
    fn handle_listed(&mut self, ids: &[RenditionId]) {
        self.note(format!(
            "listed {:?}",
            ids.iter().map(|id| id.0).collect::<Vec<_>>()
        ));
    }
    fn handle_break(&mut self) {
        self.note("break".to_owned());
    }
    fn handle_end(&mut self) {
        self.note("end".to_owned());
    }
}

const EPOCH: Wall = Wall(1_700_000_000_000_000);
const PEER: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000);

fn joining() -> Joining {
    Joining {
        proto: "rtmp",
        peer: PEER,
        session: crate::hub::session::new_id("local"),
        screen_name: None,
    }
}

struct Bench {
    clock: Clock,
    stream: Arc<Stream>,
    log: Log,
}

impl Bench {
    fn new(ladder: bool) -> Bench {
        let clock = Clock::simulated_machine(EPOCH);
        let admission = Admission {
            channel_id: "local#forebay#live".to_owned(),
            alias: "live".to_owned(),
            name: "live".to_owned(),
            capabilities: vec!["streaming".to_owned()],
            tags: Vec::new(),
            screen_name: None,
            lasting: None,
            placed: None,
        };
        let settings = Settings {
            segment_target: Ticks(180_000),
            longest_segment: Ticks(900_000),
            ladder,
            on_loss: OnLoss::Slate,
        };
        let limits = Limits {
            silence: Duration::from_secs(1),
            window: Duration::from_secs(60),
        };
        let beginning = Beginning::now(Uuid::nil(), &clock);
        let stream = Stream::new(beginning, admission, settings, limits, clock.clone());
        let (sender, log) = mpsc::sync_channel(4096);
        stream.attach(Box::new(Recorder(sender)));
        Bench {
            clock,
            stream: Arc::new(stream),
            log,
        }
    }

    /// A publisher of sound only.
    fn publisher(&self) -> crate::hub::Publisher {
        let (member, eviction) = self.stream.join(joining()).unwrap();
        let mut publisher = crate::hub::Publisher::new(self.stream.clone(), member, eviction);
        publisher.announce(Announcement {
            video: Some(false),
            audio: Some(true),
            ..Announcement::default()
        });
        publisher.set_track(track());
        publisher
    }

    /// Ten frames, 213 ms.
    fn play(&self, publisher: &mut crate::hub::Publisher, from_frame: i64) {
        for frame in from_frame..from_frame + 10 {
            let time = Ticks(frame * 64 / 3);
            publisher.push(crate::hub::tests::sound(time));
            self.clock.advance(Duration::from_micros(21_333));
        }
    }

    fn log(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }
}

fn track() -> Track {
    let config = aac::Config::new_lc(48_000, 2).unwrap();
    Track {
        config: CodecConfig::Aac(config),
        timescale: Timescale::MILLIS,
    }
}

#[test]
fn a_stream_is_listed_with_its_first_segment() {
    let bench = Bench::new(false);
    let mut publisher = bench.publisher();
    bench.play(&mut publisher, 0);
    assert_eq!(bench.log(), ["rendition audio", "0 opens 0", "listed [0]"]);
}

#[test]
fn a_backup_stays_off_the_air_until_the_primary_leaves_and_then_takes_it_at_once() {
    let bench = Bench::new(false);
    let mut primary = bench.publisher();
    let mut backup = bench.publisher();
    bench.play(&mut primary, 0);
    bench.play(&mut backup, 5000);
    bench.log();
    primary.finish();
    bench.play(&mut backup, 5010);
    let log = bench.log();
    assert_eq!(log.last().unwrap(), "0 opens 1", "{log:?}");
    assert_eq!(bench.stream.stats().members, 1);
}

#[test]
fn a_silent_holder_loses_the_air_to_a_second_connection() {
    let bench = Bench::new(false);
    let mut frozen = bench.publisher();
    bench.play(&mut frozen, 0);
    let mut second = bench.publisher();
    bench.play(&mut second, 0);
    assert!(
        !bench.log().contains(&"0 opens 1".to_owned()),
        "the holder is not silent yet"
    );
    bench.clock.advance(Duration::from_millis(1500));
    bench.play(&mut second, 80);
    assert!(bench.log().iter().any(|line| line == "0 opens 2"));
    assert_eq!(bench.stream.member_count(), 2);
}

#[test]
fn a_returning_publisher_goes_on_with_the_next_number() {
    let bench = Bench::new(false);
    let mut first = bench.publisher();
    bench.play(&mut first, 0);
    drop(first);
    assert!(bench.stream.idle().is_some());
    bench.clock.advance(Duration::from_secs(5));
    let mut again = bench.publisher();
    assert!(bench.stream.idle().is_none());
    bench.play(&mut again, 0);
    let log = bench.log();
    assert!(
        log.contains(&"break".to_owned())
            && log.contains(&"0 gap 1".to_owned())
            && log.contains(&"0 opens 2".to_owned()),
        "{log:?}"
    );
    assert!(!log.contains(&"end".to_owned()));
}

#[test]
fn more_than_four_encoders_on_a_key_are_refused() {
    let bench = Bench::new(false);
    let members: Vec<_> = (0..MAX_MEMBERS).map(|_| bench.publisher()).collect();
    assert!(matches!(
        bench.stream.join(joining()),
        Err(Refusal::Full(_))
    ));
    assert!(bench.stream.check_room().is_err());
    {
        let _working = bench.stream.lock();
        assert!(bench.stream.check_room().is_ok(), "nobody waits to know");
        assert_eq!(bench.stream.try_member_count(), None);
    }
    drop(members);
    assert!(bench.stream.join(joining()).is_ok());
}

#[test]
fn a_place_is_taken_over_by_the_next_publisher_with_its_own_line() {
    let bench = Bench::new(false);
    let link = |packets| Link {
        packets,
        ..Link::default()
    };
    let lines = || -> Vec<(usize, u64)> {
        let lines = bench.stream.lines().into_iter();
        lines.map(|line| (line.place, line.link.packets)).collect()
    };
    let mut first = bench.publisher();
    let mut second = bench.publisher();
    assert_eq!(lines(), [], "nothing is measured yet");
    first.report_link(link(1));
    second.report_link(link(2));
    second.report_link(link(3));
    assert_eq!(lines(), [(0, 1), (1, 3)]);
    drop(first);
    let mut third = bench.publisher();
    assert_eq!(lines(), [(1, 3)]);
    third.report_link(link(4));
    assert_eq!(lines(), [(1, 3), (0, 4)]);
    let places: Vec<_> = (0..2).map(|_| bench.publisher()).collect();
    assert_eq!(bench.stream.lock().members[3].place, 3);
    drop(places);
}

#[test]
fn the_first_list_waits_for_the_planned_rungs() {
    let bench = Bench::new(true);
    bench.stream.plan(vec!["alo".into()], true);
    let mut publisher = bench.publisher();
    bench.play(&mut publisher, 0);
    assert!(!bench.log().iter().any(|line| line.starts_with("listed")));
    let new = NewRendition {
        name: "alo".into(),
        track: Track {
            timescale: Timescale::of(48_000),
            ..track()
        },
        peak_bps: 64_000,
        average_bps: 64_000,
        frame_rate_millis: 0,
    };
    bench.stream.add_rendition(new).unwrap();
    assert!(bench.log().contains(&"listed [0, 1]".to_owned()));
}

#[test]
fn a_ladder_that_never_comes_does_not_hold_the_stream_back_for_ever() {
    let bench = Bench::new(true);
    bench.stream.plan(vec!["sd".into()], true);
    let mut publisher = bench.publisher();
    for turn in 0..30 {
        bench.play(&mut publisher, turn * 10);
    }
    assert!(bench.log().contains(&"listed [0]".to_owned()));
}

#[test]
fn a_rung_opens_the_same_segments_as_the_source() {
    let bench = Bench::new(true);
    bench.stream.plan(vec!["alo".into()], true);
    let mut publisher = bench.publisher();
    let track = Track {
        timescale: Timescale::of(48_000),
        ..track()
    };
    let new = NewRendition {
        name: "alo".into(),
        track,
        peak_bps: 64_000,
        average_bps: 64_000,
        frame_rate_millis: 0,
    };
    let rung = bench.stream.add_rendition(new).unwrap();
    for turn in 0..30 {
        bench.play(&mut publisher, turn * 10);
        for frame in turn * 10..turn * 10 + 10 {
            let time = Ticks(frame * 1024);
            bench.stream.push_rendition(
                rung,
                AccessUnit {
                    kind: MediaKind::Audio,
                    dts: time,
                    pts: time,
                    duration: Some(Ticks(1024)),
                    key: true,
                    data: Bytes::from_static(b"rung"),
                },
            );
        }
    }
    let log = bench.log();
    let opened = |id: &str| {
        let prefix = format!("{id} opens ");
        log.iter()
            .filter_map(|line| line.strip_prefix(&prefix))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(opened("0"), opened("1"));
    assert!(opened("0").len() >= 3);
}

#[tokio::test]
async fn eviction_reaches_the_session_with_its_reason() {
    let bench = Bench::new(false);
    let publisher = bench.publisher();
    bench.stream.evict("killed by its owner");
    assert_eq!(publisher.evicted().await, "killed by its owner");
}

#[tokio::test]
async fn a_slow_subscriber_skips_to_the_next_key_unit_and_holds_nobody_up() {
    let bench = Bench::new(false);
    let mut publisher = bench.publisher();
    let mut subscriber = bench.stream.subscribe(16);
    for turn in 0..10 {
        bench.play(&mut publisher, turn * 10);
    }
    assert!(subscriber.dropped_units() > 50);
    assert!(matches!(subscriber.recv().await, Some(Event::Track(_))));
    let mut units = 0;
    while let Ok(Some(Event::Unit { .. })) =
        tokio::time::timeout(Duration::from_millis(1), subscriber.recv()).await
    {
        units += 1;
    }
    assert!((10..=16).contains(&units), "{units} units queued");
}

#[test]
fn a_rung_that_goes_before_anything_is_listed_is_removed() {
    let bench = Bench::new(true);
    bench.stream.plan(vec!["sd".into(), "ld".into()], true);
    bench.stream.add_rendition(rung("sd"));
    bench.stream.drop_rendition("sd");
    assert_eq!(bench.log(), ["rendition sd", "0 removed"]);
}

#[test]
fn a_rung_that_leaves_after_the_clock_was_set_back_states_gaps_for_a_window() {
    let bench = Bench::new(true);
    bench.stream.plan(vec!["sd".into()], true);
    let mut publisher = bench.publisher();
    bench.play(&mut publisher, 0);
    let id = bench.stream.add_rendition(rung("sd")).unwrap();
    bench.clock.step_wall(EPOCH.plus_micros(-86_400_000_000));
    for turn in 1..20 {
        bench.play(&mut publisher, turn * 10);
    }
    bench.stream.drop_rendition("sd");
    bench.log();
    for turn in 20..60 {
        bench.play(&mut publisher, turn * 10);
    }
    let log = bench.log();
    let gap = format!("{} gap", id.0);
    assert!(log.iter().any(|line| line.starts_with(&gap)), "{log:?}");
    assert!(!log.contains(&format!("{} removed", id.0)), "{log:?}");
}

#[test]
fn a_backup_keeps_its_place_in_time_when_the_clock_is_set() {
    for step in [-86_400_000_000, 86_400_000_000] {
        let bench = Bench::new(false);
        let mut primary = bench.publisher();
        let mut backup = bench.publisher();
        bench.play(&mut primary, 0);
        bench.play(&mut backup, 0);
        let wall = bench.clock.wall();
        bench.clock.step_wall(wall.plus_micros(step));
        let noticed = || bench.stream.lock().stepped_micros != 0;
        for turn in 1.. {
            bench.play(&mut primary, turn * 10);
            if noticed() {
                break;
            }
            bench.play(&mut backup, turn * 10);
        }
        primary.finish();
        let state = bench.stream.lock();
        let end = state.program.end_wall();
        let lead = end.micros_since(bench.clock.wall());
        assert!(lead.abs() < 1_000_000, "the end is {lead} us from now");
    }
}

#[test]
fn what_a_backup_sent_lately_is_counted_until_it_takes_the_air() {
    let bench = Bench::new(false);
    let mut primary = bench.publisher();
    let mut backup = bench.publisher();
    bench.play(&mut primary, 0);
    assert_eq!(bench.stream.held_bytes(), 0);
    bench.play(&mut backup, 0);
    assert_eq!(bench.stream.held_bytes(), 10 * b"sound".len());
    primary.finish();
    assert_eq!(bench.stream.held_bytes(), 0);
}

#[test]
fn nothing_is_logged_while_the_stream_is_locked() {
    struct Listener(Arc<Stream>, mpsc::SyncSender<bool>);
    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Listener {
        fn on_event(
            &self,
            _event: &tracing::Event<'_>,
            _context: tracing_subscriber::layer::Context<'_, S>,
        ) {
            let free = self.0.state.try_lock().is_ok();
            self.1.try_send(free).expect("there is room");
        }
    }
    use tracing_subscriber::layer::SubscriberExt;
    let bench = Bench::new(false);
    let (sender, frees) = mpsc::sync_channel(100);
    let listener = Listener(bench.stream.clone(), sender);
    let subscriber = tracing_subscriber::registry().with(listener);
    tracing::subscriber::with_default(subscriber, || {
        let mut publisher = bench.publisher();
        bench.play(&mut publisher, 0);
        publisher.finish();
        bench.stream.end();
    });
    let frees: Vec<bool> = frees.try_iter().collect();
    assert!(frees.len() >= 3, "{frees:?}");
    assert!(frees.iter().all(|free| *free), "{frees:?}");
}

fn rung(name: &str) -> NewRendition {
    NewRendition {
        name: name.into(),
        track: track(),
        peak_bps: 2,
        average_bps: 1,
        frame_rate_millis: 0,
    }
}
