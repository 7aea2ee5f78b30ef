//! What is made for rooms: by real workers, of a real stream, as a tap sees it.

use std::collections::BTreeMap;

use super::replaced::signal;
use super::*;
use crate::hub::tap::tests::{end, publisher, stream};
use crate::hub::tap::{self, Needs, Tap, Tapped};
use crate::hub::{Announcement, Publisher};
use crate::media::{Rendition, Timescale, rescale};

const OPUS: Needs = Needs {
    opus: true,
    picture: false,
};
const BOTH: Needs = Needs {
    opus: true,
    picture: true,
};

/// A stream with its rooms and one tap.
struct Room {
    clock: Clock,
    stream: Arc<Stream>,
    encoder: Publisher,
    tap: Tap,
    status: Arc<Status>,
    tasks: Tasks,
    renditions: BTreeMap<String, Arc<Rendition>>,
    units: BTreeMap<u8, Vec<AccessUnit>>,
    removed: Vec<u8>,
    source: Subscriber,
    /// Channel time of the first picture, 90 kHz.
    began: Option<i64>,
    /// Time of what was published last, 90 kHz.
    at: Option<Ticks>,
}

impl Room {
    async fn open(needs: Needs, tracks: &[&Track]) -> Room {
        Room::with(config("off"), needs, tracks).await
    }

    async fn with(config: Config, needs: Needs, tracks: &[&Track]) -> Room {
        let clock = Clock::simulated(Wall(1_790_000_000_000_000));
        let stream = stream(false, &clock);
        let tasks = Tasks::new();
        let status = attach_rooms(stream.clone(), Arc::new(config), &tasks);
        let mut tap = stream.tap(2000);
        // Whatever comes, from its first unit on.
        let ids: Vec<RenditionId> = (0..=255).map(RenditionId).collect();
        tap.choose(&ids);
        tap.need(needs);
        let mut encoder = publisher(&stream);
        let has = |kind| tracks.iter().any(|track| track.kind() == kind);
        encoder.announce(Announcement {
            video: Some(has(MediaKind::Video)),
            audio: Some(has(MediaKind::Audio)),
            ..Announcement::default()
        });
        for track in tracks {
            encoder.set_track((*track).clone());
        }
        let mut room = Room {
            clock,
            source: stream.subscribe(1000),
            began: None,
            stream,
            encoder,
            tap,
            status,
            tasks,
            renditions: BTreeMap::new(),
            units: BTreeMap::new(),
            removed: Vec::new(),
            at: None,
        };
        // Until the task has subscribed.
        room.settle().await;
        room
    }

    async fn settle(&mut self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
            while let Some(event) = waiting(self.tap.recv()) {
                self.take(event);
            }
            while let Some(event) = waiting(self.source.recv()) {
                if let Event::Unit { unit, .. } = event
                    && unit.kind == MediaKind::Video
                {
                    self.began.get_or_insert(unit.pts.0);
                }
            }
        }
    }

    fn take(&mut self, event: tap::Event) {
        match event {
            tap::Event::Rendition(new) => {
                self.renditions.insert((*new.name).to_owned(), new);
            }
            tap::Event::Unit(id, unit) => self.units.entry(id.0).or_default().push(unit),
            tap::Event::Removed(id) => self.removed.push(id.0),
            tap::Event::End => panic!("the stream is over"),
            tap::Event::Track(..) | tap::Event::Break => {}
        }
    }

    /// Publishes units in the order of their decode times, as the clock goes by.
    async fn publish(&mut self, units: impl IntoIterator<Item = Unit>, audio: Timescale) {
        let mut units: Vec<(Ticks, Unit)> = units
            .into_iter()
            .map(|unit| {
                let scale = match unit.kind {
                    MediaKind::Video => Timescale::CHANNEL,
                    MediaKind::Audio => audio,
                };
                (rescale(unit.dts, scale, Timescale::CHANNEL), unit)
            })
            .collect();
        units.sort_by_key(|(time, _)| *time);
        for (time, unit) in units {
            let passed = time - self.at.replace(time).unwrap_or(time);
            let passed = u64::try_from(passed.0).unwrap();
            self.clock
                .advance(Duration::from_nanos(passed * 100_000 / 9));
            let Event::Unit { unit, .. } = event(unit) else {
                unreachable!("it is a unit");
            };
            self.encoder.push(unit);
            self.settle().await;
        }
    }

    /// Follows the tap until `done`.
    async fn until(&mut self, done: impl Fn(&Room) -> bool) {
        while !done(self) {
            let wait = tokio::time::timeout(Duration::from_secs(20), self.tap.recv());
            let event = wait
                .await
                .unwrap_or_else(|_| panic!("nothing comes: {:?}", self.counts()));
            self.take(event.expect("the stream goes on"));
        }
    }

    fn counts(&self) -> Vec<(&str, usize)> {
        let names = self.renditions.keys();
        names
            .map(|name| (name.as_str(), self.units(name).len()))
            .collect()
    }

    fn units(&self, name: &str) -> &[AccessUnit] {
        let id = self.renditions.get(name).map(|rendition| rendition.id.0);
        let units = id.and_then(|id| self.units.get(&id));
        units.map_or(&[], Vec::as_slice)
    }

    /// Channel time, 90 kHz, at which a rendition's newest unit begins.
    fn reached(&self, name: &str) -> i64 {
        let scale = self.renditions.get(name).map(|it| it.track.timescale);
        let last = self.units(name).last().zip(scale);
        last.map_or(i64::MIN, |(unit, scale)| {
            rescale(unit.pts, scale, Timescale::CHANNEL).0
        })
    }

    /// From the source's own times to channel time, 90 kHz.
    fn offset(&self) -> i64 {
        self.began.expect("the first picture was seen") - time_of(0)
    }
}

/// What there is without waiting for it.
fn waiting<T>(future: impl Future<Output = Option<T>>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(event) => event,
        std::task::Poll::Pending => None,
    }
}

fn seconds(units: &[Unit], scale: Timescale, range: std::ops::Range<f64>) -> Vec<Unit> {
    let at = |unit: &Unit| {
        let scale = match unit.kind {
            MediaKind::Video => Timescale::CHANNEL,
            MediaKind::Audio => scale,
        };
        let time = rescale(unit.dts, scale, Timescale::CHANNEL);
        (time.0 - time_of(0)) as f64 / 90_000.0
    };
    let within = units.iter().filter(|unit| range.contains(&at(unit)));
    within.cloned().collect()
}

#[tokio::test]
async fn a_room_hears_what_it_sees() {
    for (codec, rate) in [("aac", 48_000), ("aac", 44_100)] {
        let source = video(0..60, 160, 90, 60);
        let (sound, sound_units) = encoded_tone(codec, rate, 1.0);
        let scale = sound.timescale;
        let mut room = Room::open(OPUS, &[&source.track, &sound]).await;
        room.publish(source.units.into_iter().chain(sound_units), scale)
            .await;
        let heard = |room: &Room| room.reached("opus") > time_of(39) + room.offset();
        room.until(heard).await;
        let opus = room.renditions["opus"].clone();
        assert_eq!(opus.track.codec_string(), "opus");
        assert!(!opus.source);
        let units: Vec<(Ticks, Bytes)> = room
            .units("opus")
            .iter()
            .map(|unit| (unit.pts, unit.data.clone()))
            .collect();
        assert!(
            units
                .windows(2)
                .all(|pair| (pair[1].0 - pair[0].0).0 == 960)
        );
        // The beep was with the picture of one second.
        let beep = onset_of(&opus.track, &units);
        let picture = (time_of(30) + room.offset()) as f64 / 90_000.0;
        let late_ms = (beep - picture) * 1000.0;
        assert!(late_ms.abs() < 5.0, "{late_ms} ms");
        assert!(room.units("room").is_empty(), "nobody needs a picture");
        room.tasks.finish().await;
    }
}

#[tokio::test]
async fn a_room_without_a_ladder_gets_a_picture_without_b_frames() {
    let source = video(0..150, 160, 90, 150);
    let (sound, sound_units) = encoded_tone("aac", 48_000, 1.0);
    let scale = sound.timescale;
    let is_out_of_order = |pair: &[Unit]| pair[1].pts < pair[0].pts;
    assert!(
        source.units.windows(2).any(is_out_of_order),
        "it has B-frames"
    );
    let mut room = Room::open(BOTH, &[&source.track, &sound]).await;
    let mut units = source.units;
    let rest = units.split_off(100);
    room.publish(units.into_iter().chain(sound_units), scale)
        .await;
    room.until(|room| room.units("room").len() > 80).await;
    let picture = room.renditions["room"].clone();
    room.tap.want_key_unit(picture.id);
    room.settle().await;
    room.publish(rest, scale).await;
    room.until(|room| room.units("room").len() >= 140).await;
    let made = room.units("room");
    assert!(made.iter().all(|unit| unit.pts == unit.dts));
    let times: Vec<i64> = made.iter().map(|unit| unit.pts.0 - room.offset()).collect();
    assert_eq!(times, (0..times.len()).map(time_of).collect::<Vec<_>>());
    let keys = made.iter().enumerate().filter(|(_, unit)| unit.key);
    let keys: Vec<usize> = keys.map(|(number, _)| number).collect();
    let wanted: Vec<usize> = keys.iter().copied().filter(|key| key % 60 != 0).collect();
    assert_eq!(
        keys.len() - wanted.len(),
        3,
        "a group every two seconds: {keys:?}"
    );
    assert!(
        matches!(wanted[..], [number] if (80..140).contains(&number)),
        "and one on demand: {keys:?}"
    );
    assert_eq!(picture.track.resolution(), Some((160, 90)));
    assert!(
        picture.track.codec_string().starts_with("avc1.42"),
        "baseline, for every decoder"
    );
    assert!(room.units("opus").len() > 80);
    room.tasks.finish().await;
}

#[tokio::test]
async fn the_sources_own_opus_is_passed_on_as_it_is() {
    let (sound, units) = encoded_tone("opus", 48_000, 1.0);
    let mut room = Room::open(OPUS, &[&sound]).await;
    let sent: Vec<Bytes> = units.iter().map(|unit| unit.data.clone()).collect();
    room.publish(units, sound.timescale).await;
    room.until(|room| room.units("opus").len() > 80).await;
    let got: Vec<Bytes> = room
        .units("opus")
        .iter()
        .map(|unit| unit.data.clone())
        .collect();
    assert!(sent.windows(got.len()).any(|part| part == got));
    assert_eq!(room.status.worker_pid(), None, "nothing has to be encoded");
    assert_eq!(room.renditions["opus"].track.config, sound.config);
    room.tasks.finish().await;
}

#[tokio::test]
async fn sound_goes_on_frame_by_frame_after_its_worker_was_killed() {
    let (sound, units) = encoded_tone("aac", 48_000, 1.5);
    let scale = sound.timescale;
    let mut room = Room::open(OPUS, &[&sound]).await;
    room.publish(seconds(&units, scale, -1.0..1.0), scale).await;
    room.until(|room| room.units("opus").len() > 20).await;
    signal(&room.status, "-9");
    room.publish(seconds(&units, scale, 1.0..2.0), scale).await;
    room.until(|room| room.units("opus").len() > 85).await;
    let times = room.units("opus").iter().map(|unit| unit.pts.0);
    let times: Vec<i64> = times.collect();
    assert!(
        times.windows(2).all(|pair| pair[1] - pair[0] == 960),
        "{times:?}"
    );
    assert_eq!(room.status.restarts(), 1);
    assert!(room.removed.is_empty());
    room.tasks.finish().await;
}

#[tokio::test]
async fn what_nobody_needs_any_more_ends_and_what_is_needed_again_begins() {
    let (sound, units) = encoded_tone("aac", 48_000, 1.5);
    let scale = sound.timescale;
    let mut room = Room::open(OPUS, &[&sound]).await;
    room.publish(seconds(&units, scale, -1.0..1.0), scale).await;
    room.until(|room| room.units("opus").len() > 20).await;
    let id = room.renditions["opus"].id;
    room.tap.need(Needs::default());
    room.until(|room| room.removed == [id.0]).await;
    room.units.clear();
    room.renditions.clear();
    room.tap.need(OPUS);
    room.settle().await;
    room.publish(seconds(&units, scale, 1.0..2.0), scale).await;
    room.until(|room| room.units("opus").len() > 20).await;
    assert_eq!(room.renditions["opus"].id, id);
    room.tasks.finish().await;
}

#[tokio::test]
async fn a_picture_that_is_needed_later_joins_the_sound() {
    let source = video(0..180, 160, 90, 60);
    let (sound, sound_units) = encoded_tone("aac", 48_000, 1.5);
    let scale = sound.timescale;
    let all: Vec<Unit> = source.units.into_iter().chain(sound_units).collect();
    let mut room = Room::open(OPUS, &[&source.track, &sound]).await;
    room.publish(seconds(&all, scale, -1.0..1.0), scale).await;
    room.until(|room| room.units("opus").len() > 20).await;
    room.tap.need(BOTH);
    room.settle().await;
    room.publish(seconds(&all, scale, 1.0..6.0), scale).await;
    room.until(|room| room.units("room").len() > 80 && room.units("opus").len() > 80)
        .await;
    let times = room.units("opus").iter().map(|unit| unit.pts.0);
    let times: Vec<i64> = times.collect();
    assert!(times.windows(2).all(|pair| pair[1] > pair[0]));
    // From the first key unit on, without waiting for more.
    let first = room.units("room")[0].clone();
    assert!(first.key);
    assert_eq!(first.pts.0 - room.offset(), time_of(60));
    room.tasks.finish().await;
}

#[tokio::test]
async fn rooms_end_with_their_stream() {
    let (sound, units) = encoded_tone("aac", 48_000, 1.5);
    let scale = sound.timescale;
    let mut room = Room::open(OPUS, &[&sound]).await;
    room.publish(seconds(&units, scale, -1.0..1.0), scale).await;
    room.until(|room| room.units("opus").len() > 10).await;
    end(&room.stream);
    let ended = async {
        while let Some(event) = room.tap.recv().await {
            if matches!(event, tap::Event::End) {
                return;
            }
        }
        panic!("no end");
    };
    ended.await;
    let worker = Arc::downgrade(&room.stream);
    drop((room.stream, room.encoder));
    room.tasks.finish().await;
    assert!(worker.upgrade().is_none(), "nobody holds what is over");
}

#[tokio::test]
async fn after_a_hole_a_room_hears_what_comes_then_and_no_silence_of_before() {
    let source = video(0..60, 160, 90, 30);
    let (sound, sound_units) = encoded_tone("aac", 48_000, 1.5);
    let scale = sound.timescale;
    let all: Vec<Unit> = source.units.into_iter().chain(sound_units).collect();
    let mut room = Room::open(OPUS, &[&source.track, &sound]).await;
    room.publish(seconds(&all, scale, -1.0..0.9), scale).await;
    room.until(|room| room.units("opus").len() > 20).await;
    let mut later = seconds(&all, scale, 0.9..2.0);
    for unit in &mut later {
        let by = match unit.kind {
            MediaKind::Video => 6 * 90_000,
            MediaKind::Audio => 6 * i64::from(scale.get()),
        };
        unit.dts += Ticks(by);
        unit.pts += Ticks(by);
    }
    let before = room.units("source").last().unwrap().pts;
    room.publish(later, scale).await;
    let resumed = |room: &Room| {
        let mut shown = room.units("source").iter();
        shown
            .find(|unit| unit.key && unit.pts.0 > before.0 + 90_000)
            .map(|unit| unit.pts.0)
    };
    let picture = resumed(&room).expect("the source came back");
    room.until(|room| room.reached("opus") > picture + 60_000)
        .await;
    let at = |unit: &AccessUnit| rescale(unit.pts, Timescale::of(48_000), Timescale::CHANNEL).0;
    let (early, late): (Vec<_>, Vec<_>) = room
        .units("opus")
        .iter()
        .partition(|unit| at(unit) < picture - 9_000);
    let silence = early
        .iter()
        .filter(|unit| at(unit) > before.0 + 27_000)
        .count();
    assert_eq!(silence, 0, "it would come all at once");
    let units: Vec<(Ticks, Bytes)> = late
        .iter()
        .map(|unit| (unit.pts, unit.data.clone()))
        .collect();
    let beep = onset_of(&room.renditions["opus"].track, &units);
    let late_ms = (beep - picture as f64 / 90_000.0 - 0.5) * 1000.0;
    assert!(late_ms.abs() < 5.0, "{late_ms} ms");
    room.tasks.finish().await;
}

#[tokio::test]
async fn a_room_has_a_picture_at_once_however_long_the_encoders_groups_are() {
    let source = video(0..120, 160, 90, 120);
    let (sound, sound_units) = encoded_tone("aac", 48_000, 1.5);
    let scale = sound.timescale;
    let all: Vec<Unit> = source.units.into_iter().chain(sound_units).collect();
    let config = Config {
        rooms_at_once: true,
        ..config("off")
    };
    let mut room = Room::with(config, Needs::default(), &[&source.track, &sound]).await;
    room.publish(seconds(&all, scale, -1.0..1.5), scale).await;
    assert_eq!(room.status.worker_pid(), None, "nobody needs anything");
    room.tap.need(BOTH);
    room.settle().await;
    room.publish(seconds(&all, scale, 1.5..4.0), scale).await;
    room.until(|room| room.units("room").len() > 50).await;
    let first = room.units("room")[0].clone();
    assert!(first.key);
    let number = (first.pts.0 - room.offset() - time_of(0)) / 3000;
    assert!(
        (45..52).contains(&number),
        "what comes now, not what was: {number}"
    );
    assert!(room.units("opus").len() > 5);
    room.tasks.finish().await;
}
