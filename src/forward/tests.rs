use std::sync::atomic::{AtomicUsize, Ordering};

use super::feed::{Feed, Place, Step};
use super::layers::tests::{picture, sound_aac, sound_opus};
use super::status::{About, Counted};
use super::*;
use crate::base::clock::{Clock, Wall};
use crate::media::{MediaKind, Ticks};
use support::Bench;

pub(crate) mod support;

const QUIET: Duration = Duration::from_millis(10);
const START: Wall = Wall(1_790_000_000_000_000);

fn told(clock: &Clock) -> Told {
    let about = About {
        id: "stream/room".to_owned(),
        kind: "livekit",
        channel_id: "local#app#live".to_owned(),
        stream_id: "stream".to_owned(),
        destination: "wss://livekit.example.org".to_owned(),
    };
    Told::new(about, clock)
}

/// Ends every attempt as it is told to, one after another; waits for ever when it is told nothing more.
struct Scripted {
    outcomes: Vec<(Again, Duration)>,
    clock: Clock,
    attempts: Arc<AtomicUsize>,
}

impl Carrier for Scripted {
    fn carry<'a>(
        &'a mut self,
        stream: &'a dyn Tapped,
        tap: &'a mut Tap,
        told: &'a Told,
    ) -> Carrying<'a> {
        let outcome = match self.outcomes.is_empty() {
            true => None,
            false => Some(self.outcomes.remove(0)),
        };
        self.attempts.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            told.connecting();
            let Some((again, live_for)) = outcome else {
                told.live();
                let mut feed = Feed::new(stream, tap, 3, &self.clock);
                while !matches!(feed.next().await, Step::Over) {}
                return Ended::over();
            };
            if !live_for.is_zero() {
                told.live();
                self.clock.advance(live_for);
            }
            Ended::new("it was so", again)
        })
    }
}

/// States and pauses of a forward whose attempts end so.
async fn story(outcomes: &[(Again, Duration)]) -> Vec<(State, Duration)> {
    let clock = Clock::simulated(START);
    let bench = Bench::new(&clock).await;
    let told = told(&clock);
    let attempts = Arc::new(AtomicUsize::new(0));
    let carrier = Scripted {
        outcomes: outcomes.to_vec(),
        clock: clock.clone(),
        attempts: attempts.clone(),
    };
    let tasks = Tasks::new();
    let begun = tokio::time::Instant::now();
    let run = run(
        bench.stream.clone(),
        Box::new(carrier),
        told.clone(),
        7,
        tasks.clone(),
    );
    let running = tasks.spawn(run);
    let mut seen = Vec::new();
    let mut last = begun;
    for count in 1..=outcomes.len() {
        while attempts.load(Ordering::Relaxed) <= count {
            let status = told.status();
            if status.attempts == count as u64 && status.next_attempt.is_some() {
                seen.resize(count, (status.state, Duration::ZERO));
            }
            tokio::time::advance(Duration::from_millis(5)).await;
            tokio::task::yield_now().await;
        }
        if let Some((_, pause)) = seen.get_mut(count - 1) {
            *pause = last.elapsed();
        }
        last = tokio::time::Instant::now();
    }
    assert_eq!(told.status().state, State::Live);
    assert_eq!(told.status().reason, None);
    bench.end().await;
    tokio::time::timeout(Duration::from_secs(5), running)
        .await
        .expect("a forward ends with its stream")
        .unwrap();
    assert_eq!(told.status().state, State::Over);
    seen
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_to_the_longest_one_and_begin_anew_after_a_steady_time() {
    let failed = (Again::Later, Duration::ZERO);
    let mut outcomes = vec![failed; 7];
    outcomes.push((Again::Later, STEADY));
    let seen = story(&outcomes).await;
    let longest = [1, 2, 4, 8, 16, 30, 30, 1].map(Duration::from_secs);
    for ((state, pause), longest) in seen.iter().zip(longest) {
        assert_eq!(*state, State::Retrying);
        let slack = Duration::from_millis(20);
        assert!(
            longest / 2 <= *pause && *pause <= longest + slack,
            "{pause:?} {longest:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_far_side_that_is_away_is_called_again_within_a_second() {
    let seen = story(&[(Again::Soon, Duration::ZERO); 20]).await;
    let within = FIRST_PAUSE + Duration::from_millis(20);
    assert!(
        seen.iter()
            .all(|(state, pause)| *state == State::Retrying && *pause <= within)
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_shown_and_tried_again_seldom() {
    let seen = story(&[(Again::Refused, Duration::ZERO); 2]).await;
    assert!(
        seen.iter()
            .all(|(state, pause)| *state == State::Refused && *pause >= LONGEST_PAUSE / 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_forward_whatever_it_does() {
    let clock = Clock::simulated(START);
    let bench = Bench::new(&clock).await;
    let carrier = Scripted {
        outcomes: vec![(Again::Refused, Duration::ZERO)],
        clock: clock.clone(),
        attempts: Arc::default(),
    };
    let tasks = Tasks::new();
    let told = told(&clock);
    let run = run(
        bench.stream.clone(),
        Box::new(carrier),
        told.clone(),
        7,
        tasks.clone(),
    );
    tasks.spawn(run);
    tokio::task::yield_now().await;
    tasks.finish().await;
    assert_eq!(told.status().state, State::Over);
}

#[test]
fn counts_go_on_over_attempts_and_a_board_lists_what_runs() {
    let clock = Clock::simulated(START);
    let told = told(&clock);
    let board = Board::default();
    board.put(&told);
    for _ in 0..2 {
        told.attempt();
        told.live();
        told.counted(Counted {
            packets: 10,
            key_units_wanted: 1,
            ..Counted::default()
        });
    }
    let status = &board.of_stream("stream")[0];
    assert_eq!((status.packets, status.key_units_wanted), (20, 2));
    assert_eq!((status.attempts, status.connected), (2, 2));
    assert_eq!(status.since, START.unix_millis());
    let json = serde_json::to_value(status).unwrap();
    assert_eq!(
        (&json["state"], &json["keyUnitsWanted"]),
        (&"live".into(), &2.into())
    );
    assert!(json.get("reason").is_none());
    // Another one in its place stays when this one goes.
    let other = super::tests::told(&clock);
    board.put(&other);
    board.remove(&told);
    assert_eq!(board.of_channel("local#app#live").len(), 1);
    board.remove(&other);
    assert!(board.list().is_empty());
}

#[test]
fn a_tally_counts_by_kind_and_never_goes_back() {
    let clock = Clock::simulated(START);
    let board = Board::default();
    let (one, two) = (told(&clock), told(&clock));
    let about = About {
        id: "stream/two".to_owned(),
        kind: "rtmp",
        channel_id: "local#app#live".to_owned(),
        stream_id: "stream".to_owned(),
        destination: "rtmp://h/app".to_owned(),
    };
    let other = Told::new(about, &clock);
    for told in [&one, &other] {
        board.put(told);
        told.attempt();
        told.live();
        told.counted(Counted {
            packets: 10,
            dropped_units: 2,
            ..Counted::default()
        });
    }
    one.failed(&Ended::new("it was so", Again::Refused), LONGEST_PAUSE);
    let tally = board.tally();
    let (room, rtmp) = (&tally["livekit"], &tally["rtmp"]);
    assert_eq!(
        (room.states, rtmp.states),
        ([0, 0, 0, 0, 1], [0, 0, 1, 0, 0])
    );
    assert_eq!((room.attempts, room.failures), (1, 1));
    assert_eq!((rtmp.attempts, rtmp.failures), (1, 0));
    // Another one in its place; what the first one counted stays.
    board.put(&two);
    board.remove(&one);
    board.remove(&two);
    let room = &board.tally()["livekit"];
    assert_eq!((room.states, room.failures), ([0; 5], 1));
    assert_eq!((room.counted.packets, room.counted.dropped_units), (10, 2));
}

/// Says goodbye when its stream is over, as long as it takes.
struct Polite {
    goodbye: Duration,
    said: Arc<AtomicUsize>,
}

impl Carrier for Polite {
    fn carry<'a>(
        &'a mut self,
        _stream: &'a dyn Tapped,
        tap: &'a mut Tap,
        told: &'a Told,
    ) -> Carrying<'a> {
        Box::pin(async move {
            told.live();
            while !matches!(tap.recv().await, Some(crate::hub::tap::Event::End)) {}
            sleep(self.goodbye).await;
            self.said.fetch_add(1, Ordering::Relaxed);
            Ended::over()
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_a_forward_say_goodbye_and_waits_for_it_no_longer_than_a_while() {
    for (goodbye, said) in [(GOODBYE_WITHIN / 2, 1), (GOODBYE_WITHIN * 2, 0)] {
        let clock = Clock::simulated(START);
        let bench = Bench::new(&clock).await;
        let counted = Arc::new(AtomicUsize::new(0));
        let carrier = Polite {
            goodbye,
            said: counted.clone(),
        };
        let (tasks, told) = (Tasks::new(), told(&clock));
        let stream = bench.stream.clone();
        tasks.spawn(run(
            stream,
            Box::new(carrier),
            told.clone(),
            7,
            tasks.clone(),
        ));
        while told.status().state != State::Live {
            tokio::task::yield_now().await;
        }
        let begun = tokio::time::Instant::now();
        tasks.finish().await;
        assert!(begun.elapsed() <= GOODBYE_WITHIN + Duration::from_millis(5));
        assert_eq!(counted.load(Ordering::Relaxed), said);
        assert_eq!(told.status().state, State::Over);
    }
}

/// Units that a feed gives until it has nothing more.
async fn units(feed: &mut Feed<'_>) -> Vec<(Place, i64)> {
    let mut seen = Vec::new();
    let none = Duration::from_millis(50);
    while let Ok(step) = tokio::time::timeout(none, feed.next()).await {
        match step {
            Step::Unit(place, _, unit) => seen.push((place, unit.dts.0)),
            other => panic!("{other:?}"),
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn a_feed_keeps_its_places_while_renditions_come_and_go() {
    let clock = Clock::simulated(START);
    let bench = Bench::new(&clock).await;
    let stream = bench.stream.clone();
    let low = bench.make("low", picture(640, 360, 100, Some(0)));
    let high = bench.make("high", picture(1280, 720, 100, Some(0)));
    let sound = bench.make("opus", sound_opus());
    let mut tap = stream.tap(100);
    let mut feed = Feed::new(&*stream, &mut tap, 3, &clock);
    feed.ready(QUIET).await.unwrap();
    let offered = feed.open();
    assert_eq!(offered.pictures.len(), 2);
    assert_eq!(offered.pictures[1].size, (1280, 720));
    assert_eq!(offered.sound, Some(2));
    let push = |time: i64, key| {
        bench.push(low, MediaKind::Video, Ticks(time), key);
        bench.push(high, MediaKind::Video, Ticks(time + 1), key);
        bench.push(sound, MediaKind::Audio, Ticks(time + 2), true);
    };
    // Before it starts nothing is given, and afterwards a picture begins with a key unit.
    push(0, true);
    assert_eq!(units(&mut feed).await, []);
    feed.start();
    push(10, false);
    push(20, true);
    let (lowest, highest) = (Place::Picture(0), Place::Picture(1));
    assert_eq!(
        units(&mut feed).await,
        [
            (Place::Sound, 12),
            (lowest, 20),
            (highest, 21),
            (Place::Sound, 22)
        ]
    );
    // One that is shed leaves its place empty, and gets it back.
    stream.drop_private(high);
    push(30, false);
    assert_eq!(units(&mut feed).await, [(lowest, 30), (Place::Sound, 32)]);
    assert_eq!(feed.layers().len(), 2);
    bench.make("high", picture(1280, 720, 100, Some(0)));
    assert_eq!(units(&mut feed).await, []);
    push(40, true);
    let again = units(&mut feed).await;
    assert!(
        again.contains(&(highest, 41)) && again.contains(&(lowest, 40)),
        "{again:?}"
    );
    bench.end().await;
    assert!(matches!(feed.next().await, Step::Over));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_outgrows_its_places_has_them_made_anew_after_a_while() {
    let clock = Clock::simulated(START);
    let bench = Bench::new(&clock).await;
    let stream = bench.stream.clone();
    bench.make("opus", sound_opus());
    let mut tap = stream.tap(100);
    let mut feed = Feed::new(&*stream, &mut tap, 3, &clock);
    feed.ready(QUIET).await.unwrap();
    assert!(feed.open().pictures.is_empty());
    feed.start();
    bench.make("low", picture(640, 360, 100, Some(0)));
    assert_eq!(units(&mut feed).await, []);
    let next = feed.next();
    tokio::pin!(next);
    assert!(
        tokio::time::timeout(Duration::from_secs(1), &mut next)
            .await
            .is_err()
    );
    clock.advance(Duration::from_secs(4));
    assert!(matches!(next.await, Step::Grown));
}

#[tokio::test(start_paused = true)]
async fn a_feed_says_what_it_needs_and_waits_for_it_a_moment_only() {
    let clock = Clock::simulated(START);
    let bench = Bench::new(&clock).await;
    let stream = bench.stream.clone();
    let needs = stream.needs();
    bench.make("aac", sound_aac());
    bench.make("low", picture(640, 360, 100, Some(0)));
    let mut tap = stream.tap(100);
    let mut feed = Feed::new(&*stream, &mut tap, 3, &clock);
    feed.ready(QUIET).await.unwrap();
    assert!(needs.borrow().opus);
    let offered = feed.open();
    assert_eq!((offered.pictures.len(), offered.sound), (1, None));
}
