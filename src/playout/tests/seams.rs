//! The seam of a loop: decode times run on, and sound keeps to the picture.

use std::collections::BTreeMap;

use super::sample::{Film, Set, bytes, fragments, show};
use crate::media::timeline::Resource;
use crate::playout::After;

/// Plays so many loops, and holds every fragment to the one before.
async fn plays_through(film: Film, loops: u64) {
    let set = Set::new(film);
    let timeline = set.put(show(4, None, true, After::End)).await;
    let first = set.stage.show(super::sample::STREAM).unwrap().cuts[1];
    let grid = crate::playout::Grid::new(film.fps, film.fps * 2, Some(film.frames)).unwrap();
    let count = grid.segments().unwrap() * loops;
    let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
    let mut payloads: BTreeMap<&str, Vec<bytes::Bytes>> = BTreeMap::new();
    for number in 0..count {
        let cell = grid.cell(number);
        set.at(4000 + cell.end.0 / 90 + 50);
        for name in ["hd", "audio"] {
            let sequence = first.sequence + number;
            let found = bytes(&*timeline, name, Resource::Segment(sequence)).await;
            let found = fragments(&found);
            for (index, fragment) in found.iter().enumerate() {
                let expected = (sequence * 64 + index as u64) & u64::from(u32::MAX);
                assert_eq!(u64::from(fragment.number), expected);
                let end = ends.entry(name).or_insert(fragment.time);
                assert_eq!(
                    fragment.time, *end,
                    "{film:?} {name} {number} is continuous"
                );
                *end += fragment.duration;
            }
            let begins = i64::try_from(found[0].time).unwrap();
            match name {
                "hd" => assert_eq!(begins, first.at.0 + cell.start.0),
                _ => {
                    // At 48 kHz, behind the picture by less than a frame.
                    let behind = begins * 15 - (first.at.0 + cell.start.0) * 8;
                    assert!(
                        (0..1024 * 15).contains(&behind),
                        "{film:?} {number}: {behind}"
                    );
                }
            }
            if name == "hd" {
                let payload = found.iter().map(|fragment| fragment.payload.clone());
                payloads.entry(name).or_default().extend(payload);
            }
        }
    }
    // The same pictures in every loop.
    let pictures = &payloads["hd"];
    let period = pictures.len() / usize::try_from(loops).unwrap();
    for (number, picture) in pictures.iter().enumerate() {
        assert_eq!(*picture, pictures[number % period]);
    }
    // Nothing adds up: after all loops sound ends with the picture, within a frame.
    let apart = i64::try_from(ends["audio"] * 15).unwrap() - i64::try_from(ends["hd"] * 8).unwrap();
    assert!((0..1024 * 15).contains(&apart), "{film:?}: {apart}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_loops_of_an_odd_clip_run_on() {
    // 7.3 s at 29.97 frames a second, retimed.
    plays_through(Film::new(30, 219), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_loops_run_on() {
    plays_through(Film::new(25, 101), 1000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_of_every_frame_rate_and_odd_lengths_run_on() {
    for (fps, frames) in [
        (24, 173),
        (24, 5),
        (25, 183),
        (30, 60),
        (30, 74),
        (50, 311),
        (60, 437),
        (60, 7),
    ] {
        plays_through(Film::new(fps, frames), 70).await;
    }
}
