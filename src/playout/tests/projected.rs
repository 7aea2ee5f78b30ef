//! Shows on a screen, unit by unit, on the clock that their playlists follow.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::sample::{EPOCH, Film, STREAM, Set, show};
use super::takeovers::Stand;
use crate::base::shutdown::Tasks;
use crate::hub::Screen;
use crate::hub::tap::{Event, Tap, Tapped};
use crate::media::{AccessUnit, RenditionId};
use crate::playout::{After, Kind, project};

/// A projected show, and what a tap has seen of it.
struct House {
    tasks: Tasks,
    screen: Arc<Screen>,
    tap: Tap,
    names: Vec<String>,
    /// Units with the time at which they came, milliseconds after the epoch.
    units: Vec<(RenditionId, i64, AccessUnit)>,
    tracks: Vec<RenditionId>,
    is_over: bool,
}

impl House {
    fn open(set: &Set) -> House {
        let screen = Arc::new(Screen::new(STREAM, "channel", EPOCH, &set.clock));
        let timeline = set.stage.timeline(STREAM).unwrap();
        let tasks = Tasks::new();
        let projecting = project(timeline, screen.clone(), set.clock.clone(), tasks.clone());
        tasks.spawn(projecting);
        let mut tap = screen.tap(1000);
        let all: Vec<RenditionId> = (0..8).map(RenditionId).collect();
        tap.choose(&all);
        House {
            tasks,
            screen,
            tap,
            names: Vec::new(),
            units: Vec::new(),
            tracks: Vec::new(),
            is_over: false,
        }
    }

    /// Lets a moment pass, and sees what comes.
    async fn look(&mut self, now_ms: i64) {
        // Files are read by other threads, for which the paused clock waits.
        sleep(Duration::from_millis(10)).await;
        while let Ok(event) = tokio::time::timeout(Duration::ZERO, self.tap.recv()).await {
            match event {
                Some(Event::Rendition(rendition)) => self.names.push(rendition.name.to_string()),
                Some(Event::Unit(id, unit)) => self.units.push((id, now_ms, unit)),
                Some(Event::Track(id, _)) => self.tracks.push(id),
                Some(Event::End) => self.is_over = true,
                Some(_) => {}
                None => break,
            }
        }
    }

    /// Times of a rendition's units, milliseconds after the epoch, and how much later than that they came.
    fn times(&self, id: u8, ticks_per_second: i64) -> Vec<(i64, i64)> {
        let units = self.units.iter().filter(|(of, ..)| of.0 == id);
        let times = units.map(|(_, came, unit)| (unit.dts.0 * 1000 / ticks_per_second, *came));
        times.map(|(time, came)| (time, came - time)).collect()
    }
}

/// A unit that did not come as late as a part is long, and a little for what timers are late.
fn untimely(times: &[(i64, i64)]) -> Option<&(i64, i64)> {
    times.iter().find(|(_, late)| !(180..=250).contains(late))
}

#[tokio::test(start_paused = true)]
async fn a_tap_gets_slate_and_film_evenly_and_without_a_hole() {
    let set = Set::new(Film::new(25, 300));
    set.at(1000);
    set.put(show(4, None, false, After::Slate)).await;
    let mut house = House::open(&set);
    for now_ms in (1000..9000).step_by(10) {
        set.at(now_ms);
        house.look(now_ms).await;
    }
    assert_eq!(house.names, ["hd", "sd", "audio"]);
    for id in [0, 1] {
        let times = house.times(id, 90_000);
        assert_eq!(times[0].0, 2000, "from the first key unit on");
        let even = times.windows(2).all(|pair| pair[1].0 - pair[0].0 == 40);
        assert!(even, "{times:?}");
        assert!(times.last().unwrap().0 >= 8700, "{times:?}");
        assert_eq!(untimely(&times), None);
    }
    let sound = house.times(2, 48_000);
    let gaps = sound.windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert!(
        gaps.max().unwrap() <= 43,
        "a frame more at the film's begin"
    );
    assert_eq!(untimely(&sound), None);
    let pictures = house.units.iter().filter(|(id, ..)| id.0 == 0);
    let of_film = pictures.filter(|(.., unit)| unit.dts.0 >= 4 * 90_000);
    let (.., first) = of_film.min_by_key(|(.., unit)| unit.dts).unwrap();
    assert!(
        first.key && first.data.starts_with(b"picture 0"),
        "{first:?}"
    );
    house.tasks.stop();
}

#[tokio::test(start_paused = true)]
async fn a_screen_is_over_with_its_show() {
    let set = Set::new(Film::new(25, 100));
    set.at(4000);
    set.put(show(4, None, false, After::End)).await;
    let mut house = House::open(&set);
    for now_ms in (4000..12_000).step_by(20) {
        set.at(now_ms);
        house.look(now_ms).await;
    }
    assert!(house.is_over && house.screen.is_ended());
    let last = house.times(0, 90_000).last().unwrap().0;
    assert_eq!(last, 4000 + 3960, "the film's last frame");
}

#[tokio::test(start_paused = true)]
async fn one_who_is_stopped_ends_the_screen() {
    let set = Set::new(Film::new(25, 100));
    set.at(4000);
    set.put(show(4, None, true, After::End)).await;
    let mut house = House::open(&set);
    house.look(4000).await;
    assert!(!house.screen.is_ended());
    house.tasks.stop();
    house.look(4010).await;
    assert!(house.is_over && house.screen.is_ended());
}

#[tokio::test(start_paused = true)]
async fn an_encoder_in_the_films_place_comes_by_the_same_renditions() {
    let mut stand = Stand::new(show(4, None, true, After::Slate)).await;
    let mut house = House::open(&stand.set);
    for now_ms in (9_000..24_000).step_by(50) {
        if now_ms == 11_000 {
            stand.connect(now_ms);
        }
        stand.run(now_ms, now_ms + 50, true);
        house.look(now_ms).await;
    }
    let live = stand.cuts[0];
    assert_eq!(live.kind, Kind::Live);
    assert_eq!(house.names, ["hd", "sd", "audio"]);
    assert!(house.tracks.contains(&RenditionId(0)), "{:?}", house.tracks);
    let at = live.at.0 / 90;
    let times = house.times(0, 90_000);
    let before = times.iter().filter(|(time, _)| *time < at).count();
    let after = times.iter().filter(|(time, _)| *time >= at).count();
    assert!(before > 50 && after > 50, "{before} and {after}");
    let pictures = house.units.iter().filter(|(id, ..)| id.0 == 0);
    let (.., first) = pictures
        .filter(|(.., unit)| unit.dts >= live.at)
        .min_by_key(|(.., unit)| unit.dts)
        .unwrap();
    assert!(first.key && first.dts == live.at, "{first:?} {live:?}");
    house.tasks.stop();
}
