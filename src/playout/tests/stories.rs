//! What happens to shows.

use std::time::Duration;

use bytes::Bytes;

use super::lists::Witness;
use super::sample::{
    ASSET, EPOCH, Film, Folder, SEGMENT, STREAM, Set, bytes, fragments, picture, read, show, stage,
};
use crate::format::fmp4::Sample;
use crate::media::Ticks;
use crate::media::timeline::{Found, Resource};
use crate::playout::{After, Kind, asset, part_number, schedule};

#[tokio::test]
async fn every_url_has_the_same_bytes_in_another_process() {
    let set = Set::new(Film::new(30, 219));
    let show = show(6, None, true, After::End);
    set.at(40_000);
    let one = set.put(show.clone()).await;
    let other = stage(set.folder.path(), &set.clock);
    other.put(show);
    let other = other
        .timeline(STREAM)
        .map(|timeline| (other, timeline))
        .unwrap();
    for name in ["hd", "sd", "audio"] {
        let snapshot = one.snapshot(name).unwrap();
        assert!(snapshot.segments.len() > 10);
        for segment in &snapshot.segments {
            let init = Resource::Init(&segment.init.name);
            assert_eq!(
                bytes(&*one, name, init).await,
                bytes(&*other.1, name, init).await
            );
            let mut joined = Vec::new();
            for part in &segment.parts {
                let part = Resource::Part(part.number);
                let found = bytes(&*one, name, part).await;
                assert_eq!(found, bytes(&*other.1, name, part).await);
                joined.extend_from_slice(&found);
            }
            let whole = bytes(&*one, name, Resource::Segment(segment.sequence)).await;
            assert_eq!(whole, joined, "a segment is its parts, one after another");
            let first = fragments(&whole).remove(0);
            assert_eq!(first.time, u64::try_from(segment.start.0).unwrap());
        }
    }
}

#[tokio::test]
async fn what_is_announced_comes_when_its_time_has_come() {
    let set = Set::new(Film::new(25, 250));
    set.at(10_050);
    let timeline = set.put(show(4, None, true, After::End)).await;
    let progress = timeline.progress("hd").unwrap();
    assert!(!progress.last_complete || progress.next_part % 64 == 0);
    let hinted = Resource::Part(progress.next_part);
    assert!(matches!(timeline.find("hd", hinted), Found::Announced));
    let unknown = Resource::Part(progress.next_part + 1);
    assert!(matches!(timeline.find("hd", unknown), Found::Missing));
    set.at(10_250);
    assert!(matches!(timeline.find("hd", hinted), Found::Stored(_)));
    let growing = timeline.progress("hd").unwrap();
    let segment = Resource::Segment(growing.last_sequence);
    let Found::GrowingStored(so_far) = timeline.find("hd", segment) else {
        panic!("it grows")
    };
    let so_far = read(&*so_far.open().await.unwrap().unwrap()).await;
    set.at(12_050);
    let whole = bytes(&*timeline, "hd", segment).await;
    assert!(whole.starts_with(&so_far) && whole.len() > so_far.len());
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_woken_at_the_next_release() {
    let set = Set::new(Film::new(25, 250));
    set.at(10_050);
    let timeline = set.put(show(4, None, true, After::End)).await;
    let seen = timeline.progress("hd").unwrap();
    let clock = set.clock.clone();
    let begun = tokio::time::Instant::now();
    let ticking = async {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            clock.advance(Duration::from_millis(1));
        }
    };
    tokio::select! {
        () = timeline.changed("hd", seen.version) => {}
        () = ticking => {}
    }
    let waited = begun.elapsed();
    assert!((148..170).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(
        timeline.progress("hd").unwrap().next_part,
        seen.next_part + 1
    );
}

#[tokio::test]
async fn a_viewer_in_the_middle_finds_a_whole_window() {
    let set = Set::new(Film::new(30, 219));
    set.at(3_600_000);
    let timeline = set.put(show(6, None, true, After::End)).await;
    let snapshot = timeline.snapshot("hd").unwrap();
    let length: i64 = snapshot
        .segments
        .iter()
        .map(|segment| segment.duration.0)
        .sum();
    assert!(length >= 30 * 90_000);
    assert!(
        snapshot
            .segments
            .iter()
            .all(|segment| !segment.discontinuity && !segment.gap)
    );
}

#[tokio::test]
async fn a_clock_set_back_takes_nothing_back_and_one_set_ahead_jumps() {
    let set = Set::new(Film::new(30, 219));
    set.at(7_200_000);
    let timeline = set.put(show(6, None, true, After::End)).await;
    let mut witness = Witness::new(timeline.clone());
    witness.look();
    let before = timeline.progress("hd").unwrap();
    set.at(3_600_000);
    witness.look();
    assert_eq!(timeline.progress("hd").unwrap(), before);
    set.at(10_800_000);
    witness.look();
    let after = timeline.progress("hd").unwrap();
    assert!(after.last_sequence > before.last_sequence + 1700);
}

#[tokio::test]
async fn a_film_that_is_not_prepared_so_far_goes_on_when_it_is() {
    let film = Film::new(25, 500);
    let set = Set::new(Film { stops: 4, ..film });
    set.at(13_000);
    let show = show(4, None, false, After::End);
    let timeline = set.put(show).await;
    let mut witness = Witness::new(timeline.clone());
    witness.look();
    let stuck = timeline.progress("hd").unwrap();
    let first = set.stage.show(STREAM).unwrap().cuts[1].sequence;
    // The newest segment waits, since it may be a loop's last.
    assert_eq!(
        (stuck.last_sequence, stuck.last_complete),
        (first + 2, true)
    );
    film.write(&set.asset());
    set.clock.advance(Duration::from_secs(2));
    timeline.changed("hd", stuck.version).await;
    witness.look();
    assert_eq!(timeline.progress("hd").unwrap().last_sequence, first + 5);
    set.at(30_000);
    witness.look();
    assert!(timeline.progress("hd").unwrap().ended);
}

#[tokio::test]
async fn a_takeover_without_media_is_a_gap_and_the_film_returns_in_its_place() {
    let set = Set::new(Film::new(30, 219));
    set.at(14_000);
    let mut show = show(6, None, true, After::End);
    let timeline = set.put(show.clone()).await;
    let facts = set.stage.facts(ASSET).await.unwrap().unwrap();
    let mut witness = Witness::new(timeline.clone());
    witness.look();
    let live = schedule::take_over(&show, &facts, SEGMENT, set.clock.wall()).unwrap();
    assert_eq!(live.kind, Kind::Live);
    let mut cuts = show.cuts.to_vec();
    cuts.push(live);
    show.cuts = cuts.into();
    set.stage.put(show.clone());
    for at in 0..60 {
        set.at(14_000 + at * 170);
        witness.look();
    }
    let back = schedule::give_back(&show, &facts, SEGMENT, set.clock.wall()).unwrap();
    assert_eq!((back.kind, back.anchor), (Kind::Film, show.cuts[1].anchor));
    let mut cuts = show.cuts.to_vec();
    cuts.push(back);
    show.cuts = cuts.into();
    set.stage.put(show.clone());
    for at in 60..180 {
        set.at(14_000 + at * 170);
        witness.look();
    }
    let snapshot = timeline.snapshot("hd").unwrap();
    let again = snapshot
        .segments
        .iter()
        .find(|segment| segment.sequence == back.sequence)
        .unwrap();
    assert!(again.discontinuity && !again.gap);
    assert_eq!(again.start, back.at);
    // Numbers are those that the film would have had without it.
    let grid = facts.grid().unwrap();
    let number = grid.number_at(back.at - back.anchor);
    assert_eq!(back.sequence, show.cuts[1].sequence + number);
    // What the encoder would have had is a gap, and nothing else is.
    let lost = live.sequence..back.sequence;
    for segment in &snapshot.segments {
        let is_lost = lost.contains(&segment.sequence);
        let has = (segment.gap, segment.parts.is_empty());
        let wanted = (is_lost, is_lost);
        assert_eq!(has, wanted, "{}: {lost:?}", segment.sequence);
        assert_eq!(
            segment.discontinuity,
            [live.sequence, back.sequence].contains(&segment.sequence)
        );
    }
    let listed = snapshot.segments.iter().filter(|segment| segment.gap);
    assert_eq!(listed.count() as u64, back.sequence - live.sequence);
    assert_eq!(again.parts[0].number, part_number(back.sequence, 0));
}

#[test]
fn a_crash_leaves_whole_segments_and_a_preparation_goes_on_there() {
    let folder = Folder::new();
    let film = Film::new(25, 500);
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    film.write(&one);
    Film { stops: 6, ..film }.write(&other);
    // A torn record, and media that nobody speaks of.
    let index = std::fs::read(other.join("index")).unwrap();
    std::fs::write(other.join("index"), &index[..index.len() - 3]).unwrap();
    let layout = asset::Layout::of(25, 2).unwrap();
    let writer = asset::Writer::open(&other, layout).unwrap();
    assert_eq!((writer.whole(), writer.is_complete()), (5, false));
    drop(writer);
    film.write(&other);
    for name in ["index", "hd.mp4", "sd.mp4", "audio.mp4"] {
        let same = std::fs::read(one.join(name)).unwrap().len()
            == std::fs::read(other.join(name)).unwrap().len();
        assert!(same, "{name}");
    }
    assert!(asset::Writer::open(&other, asset::Layout::of(30, 2).unwrap()).is_err());
}

#[test]
fn parts_of_a_picture_at_half_the_rate_are_no_longer_than_others() {
    for (fps, part_frames) in [(24, 2), (25, 2), (30, 3), (50, 5), (60, 6)] {
        let folder = Folder::new();
        let layout = asset::Layout::of(fps, 2).unwrap();
        let mut writer = asset::Writer::open(folder.path(), layout).unwrap();
        let record = include_bytes!("../../../tests/data/codec/avc_crop.avcc");
        let slot = writer.declare(&picture("ld", fps / 2, record)).unwrap();
        let duration = 2 * 90_000 / fps;
        let frame = |number: u32| Sample {
            duration,
            composition_offset: 0,
            key: number == 0,
            data: Bytes::from_static(b"picture"),
        };
        let samples: Vec<Sample> = (0..fps).map(frame).collect();
        writer.append(slot, 0, Ticks::ZERO, &samples).unwrap();
        writer.finish(u64::from(fps) * 2, 1).unwrap();
        let reader = asset::Reader::open(folder.path()).unwrap().unwrap();
        let cell = reader.facts().grid().unwrap().cell(0);
        let parts = reader.find(0, &cell).unwrap().placed.parts.clone();
        let lengths: Vec<u32> = parts.iter().map(|part| part.duration).collect();
        let (last, others) = lengths.split_last().unwrap();
        assert!(
            others
                .iter()
                .all(|length| *length == duration * part_frames)
        );
        assert!(*last <= duration * part_frames);
        assert_eq!(lengths.iter().sum::<u32>(), 180_000, "{fps}");
    }
}

#[test]
fn a_film_is_there_from_its_beginning_to_its_end_as_it_lies() {
    let folder = Folder::new();
    // 10.4 s: the sound is laid down several times, the film is shown once.
    let film = Film::new(25, 260);
    film.write(folder.path());
    let reader = asset::Reader::open(folder.path()).unwrap().unwrap();
    assert!(reader.plain("other").is_none());
    for name in ["hd", "sd", "audio"] {
        let plain = reader.plain(name).unwrap();
        let bytes = std::fs::read(&plain.file).unwrap();
        assert_eq!(plain.segments.len(), 5, "{name}");
        let total: i64 = plain.segments.iter().map(|lying| lying.duration.0).sum();
        // A frame of sound is 21 ms.
        assert!((total - 936_000).abs() <= 1920, "{name}: {total}");
        let mut end = plain.init;
        for lying in &plain.segments {
            assert_eq!(lying.offset, end, "{name}");
            let at = usize::try_from(lying.offset).unwrap();
            assert_eq!(&bytes[at + 4..at + 8], b"moof", "{name}");
            end += lying.size;
        }
    }
    let other = folder.path().join("other");
    Film { stops: 3, ..film }.write(&other);
    let reader = asset::Reader::open(&other).unwrap().unwrap();
    assert_eq!(reader.plain("audio").unwrap().segments.len(), 3);
}

#[test]
fn positions_follow_the_clock() {
    let set = show(6, Some(60), true, After::End);
    let facts = asset::Facts {
        fps: 30,
        segment_frames: 60,
        part_frames: 6,
        frames: Some(219),
        unrolled: 1,
        segments: 4,
        renditions: Vec::new(),
    };
    let at = |millis: i64| schedule::position(&set, Some(&facts), EPOCH.plus_micros(millis * 1000));
    assert_eq!((at(5000).seconds, at(5000).playing), (0.0, false));
    assert_eq!((at(7000).seconds, at(7000).playing), (1.0, true));
    assert_eq!(
        (
            at(6000 + 7300 * 2 + 500).seconds,
            at(6000 + 7300 * 2 + 500).loop_index
        ),
        (0.5, 2)
    );
    assert!(at(60_000).ended && !at(60_000).playing);
    let once = show(6, Some(60), false, After::Slate);
    let over = schedule::position(&once, Some(&facts), EPOCH.plus_micros(20_000_000));
    assert_eq!(
        (over.seconds, over.playing, over.ended),
        (7.3, false, false)
    );
}
