//! Playlists and manifests at many instants, held to the conformance list.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sample::{EPOCH, Film, Set, show, stage};
use crate::manifest::check;
use crate::manifest::dash::{Mode, Periods, mpd};
use crate::manifest::hls;
use crate::media::timeline::Timeline;
use crate::playout::{After, Show};

/// All texts of a timeline, each held to the one before.
pub(super) struct Witness {
    timeline: Arc<dyn Timeline>,
    texts: BTreeMap<String, String>,
    periods: [Periods; 2],
}

impl Witness {
    pub(super) fn new(timeline: Arc<dyn Timeline>) -> Witness {
        Witness {
            timeline,
            texts: BTreeMap::new(),
            periods: Default::default(),
        }
    }

    pub(super) fn text(&self, name: &str) -> &str {
        &self.texts[name]
    }

    /// Looks at everything now.
    pub(super) fn look(&mut self) {
        let description = self.timeline.description().unwrap();
        let names: Vec<String> = description
            .video
            .iter()
            .chain(&description.audio)
            .map(|rendition| rendition.name.to_string())
            .collect();
        let snapshots = names.iter().map(|name| self.timeline.snapshot(name));
        let Some(snapshots) = snapshots.collect::<Option<Vec<_>>>() else {
            return;
        };
        let begun = snapshots
            .iter()
            .all(|snapshot| snapshot.segments.iter().any(|segment| segment.complete));
        if !begun {
            return;
        }
        let multivariant = hls::multivariant(&description, "");
        let mut media = Vec::new();
        for (name, snapshot) in names.iter().zip(&snapshots) {
            let text = hls::media(snapshot, None);
            let before = self.texts.get(name).map(String::as_str);
            let broken = check::check_media_playlist(&text, before);
            assert_eq!(broken, [], "{name}\nbefore {before:?}\n{text}");
            let progress = self.timeline.progress(name).unwrap();
            assert_eq!(progress.version, snapshot.version);
            media.push((format!("{name}/index.m3u8"), text));
        }
        let named: Vec<(&str, &str)> = media
            .iter()
            .map(|(name, text)| (&**name, &**text))
            .collect();
        assert_eq!(
            check::check_multivariant(&multivariant, &named),
            [],
            "{multivariant}"
        );
        assert_eq!(check::check_renditions(&named), []);
        for (at, mode) in [Mode::Standard, Mode::LowLatency].into_iter().enumerate() {
            let text = mpd(
                &description,
                &snapshots,
                mode,
                &mut self.periods[at],
                "/time",
            );
            let Some(text) = text else { continue };
            let key = format!("{mode:?}");
            let before = self.texts.get(&key).map(String::as_str);
            let broken = check::check_mpd(&text, before);
            assert_eq!(broken, [], "{mode:?}\nbefore {before:?}\n{text}");
            for (name, (_, playlist)) in names.iter().zip(&media) {
                let broken = check::check_hls_against_mpd(&text, name, playlist);
                assert_eq!(broken, [], "{mode:?} {name}\n{text}\n{playlist}");
            }
            self.texts.insert(key, text);
        }
        for (name, (_, text)) in names.into_iter().zip(media) {
            self.texts.insert(name, text);
        }
    }
}

/// Looks every 170 ms of a span.
async fn holds(film: Film, show: Show, from_ms: i64, to_ms: i64) -> Witness {
    let set = Set::new(film);
    set.at(from_ms);
    let timeline = set.put(show).await;
    let mut witness = Witness::new(timeline);
    for at in 0..(to_ms - from_ms) / 170 {
        set.at(from_ms + at * 170);
        witness.look();
    }
    witness
}

#[tokio::test]
async fn slate_film_loops_and_end_keep_the_rules() {
    // Three loops of 7.3 s behind six seconds of slate, and an end in the midst of a segment.
    let witness = holds(
        Film::new(30, 219),
        show(6, Some(31), true, After::End),
        2200,
        33_000,
    )
    .await;
    let text = witness.text("hd");
    assert!(text.contains("#EXT-X-ENDLIST"), "{text}");
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
}

#[tokio::test]
async fn a_film_that_is_over_gives_way_to_the_slate_up_to_the_end() {
    let witness = holds(
        Film::new(25, 183),
        show(4, Some(21), false, After::Slate),
        2200,
        23_000,
    )
    .await;
    let text = witness.text("audio");
    assert!(text.contains("#EXT-X-ENDLIST"), "{text}");
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 2, "{text}");
}

#[tokio::test]
async fn a_film_that_is_over_may_be_the_end() {
    let witness = holds(
        Film::new(24, 173),
        show(4, None, false, After::End),
        2200,
        14_000,
    )
    .await;
    assert!(witness.text("hd").contains("#EXT-X-ENDLIST"));
}

#[tokio::test]
async fn loops_of_every_rate_keep_the_rules_for_minutes() {
    for (fps, frames) in [(24, 101), (25, 77), (30, 74), (50, 311), (60, 437)] {
        holds(
            Film::new(fps, frames),
            show(4, None, true, After::End),
            2200,
            60_000,
        )
        .await;
    }
}

#[tokio::test]
async fn sound_alone_keeps_the_rules() {
    let film = Film {
        video: false,
        ..Film::new(25, 183)
    };
    holds(film, show(4, Some(40), true, After::End), 2200, 45_000).await;
}

#[tokio::test]
async fn a_slate_is_cut_short_at_a_whole_second() {
    for fps in [24, 25, 30, 50, 60] {
        let film = Film::new(fps, u64::from(fps) * 4);
        holds(film, show(5, None, true, After::End), 2200, 20_000).await;
    }
}

/// Two processes, one of which comes later, tell the same of the same moment.
#[tokio::test]
async fn another_process_tells_the_same() {
    let set = Set::new(Film::new(30, 219));
    set.at(2500);
    let show = show(6, None, true, After::End);
    let mut early = Witness::new(set.put(show.clone()).await);
    for at in 0..400 {
        set.at(2500 + at * 170);
        early.look();
    }
    let other = stage(set.folder.path(), &set.clock);
    other.put(show);
    let timeline = other.timeline(super::sample::STREAM).unwrap();
    timeline.changed("", 0).await;
    let mut late = Witness::new(timeline);
    late.look();
    for name in ["hd", "sd", "audio"] {
        assert_eq!(early.text(name), late.text(name));
    }
    for name in ["Standard", "LowLatency"] {
        // Links to Periods that have left are kept by those who have told them.
        let part = |text: &str| {
            let lines = text[text.find("<Period").unwrap()..].lines();
            let lines = lines.filter(|line| !line.contains("period-con"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(part(early.text(name)), part(late.text(name)));
    }
    assert!(EPOCH < set.clock.wall());
}
