//! The seam, and what is made again after a break.

use super::*;

/// 7.3 s at 29.97 fps with 44.1 kHz: 219 pictures, which last 7.3073 s.
fn odd(folder: &Folder, hertz: &str) -> PathBuf {
    odd_with(folder, "odd.mp4", hertz, "aac -b:a 192k")
}

fn odd_with(folder: &Folder, name: &str, hertz: &str, sound: &str) -> PathBuf {
    folder.ffmpeg(
        name,
        &format!(
            "-f lavfi -i testsrc2=s=640x360:r=30000/1001:d=7.3 -f lavfi -i \
             sine=f={hertz}:r=44100:d=7.32 -c:v libx264 -preset ultrafast -pix_fmt yuv420p \
             -c:a {sound}"
        ),
    )
}

/// A whole number of periods in 219 frames of 30000/1001: 3200 of them.
const HERTZ: f64 = 3200.0 * 30_000.0 / (219.0 * 1001.0);

/// What a sample misses that follows from the two before it, as those of a sine do.
fn miss(heard: &[i16], at: usize, omega: f64) -> f64 {
    let [a, b, c] = [heard[at - 2], heard[at - 1], heard[at]].map(f64::from);
    (c - (2.0 * omega.cos() * b - a)).abs()
}

#[test]
fn a_loop_of_odd_length_comes_round_without_a_click() {
    for (name, sound) in [("odd.mov", "pcm_s16le"), ("odd.mp4", "aac -b:a 192k")] {
        let folder = Folder::new("seam");
        let original = odd_with(&folder, name, &HERTZ.to_string(), sound);
        // An encoder that began in silence leaves a trace in its first samples, which is the file's own.
        let (source, omega) = (heard(&original), std::f64::consts::TAU * HERTZ / 44_100.0);
        let own = (2..512).map(|at| miss(&source, at, omega));
        comes_round(&folder, &original, own.fold(0.0, f64::max));
    }
}

fn comes_round(folder: &Folder, original: &Path, own: f64) {
    let made = prepared(folder, original);
    assert_eq!((made.fps, made.film.finished), (30, Some((219, 16))));
    let samples = 219 * 1600;
    let path = folder.file("loop.mp4");
    // All sixteen loops, and round once more.
    made.film.write("ahi", &path, 2, 16 * samples);
    let heard = heard(&path);
    assert!(heard.len() as i64 >= 32 * samples - 1024);
    let omega = std::f64::consts::TAU * 3200.0 / samples as f64;
    let worst =
        |range: std::ops::Range<usize>| range.map(|at| miss(&heard, at, omega)).fold(0.0, f64::max);
    let usual = worst(96_000..192_000);
    for seam in 1..32 {
        let at = usize::try_from(seam * samples).unwrap();
        let there = worst(at - 4096..at + 4096);
        assert!(
            there <= 3.0 * usual + 20.0 + own,
            "seam {seam}: {there}, elsewhere {usual}, at the file's beginning {own}"
        );
    }
    // In phase with itself over all loops: sound does not drift.
    for turn in 1..16 {
        let at = usize::try_from(turn * samples).unwrap();
        let off = (0..4096).map(|n| (heard[n + 48_000] - heard[n + 48_000 + at]).abs());
        assert!(off.max().unwrap() < 400, "turn {turn}");
    }
}

#[test]
fn the_last_picture_is_followed_by_the_first() {
    let folder = Folder::new("pictures");
    let original = odd(&folder, "440");
    let made = prepared(&folder, &original);
    let path = folder.file("film.mp4");
    made.film.write("ld", &path, 1, 0);
    // Colours as they are shown: the source says nothing of its own, and has those of its size.
    let (shown, source) = (colours(&path), colours(&original));
    assert_eq!((shown.len(), source.len()), (219, 219));
    for (at, (shown, source)) in shown.iter().zip(&source).enumerate() {
        let off = shown
            .iter()
            .zip(source)
            .map(|(a, b)| u64::from(a.abs_diff(*b)));
        let off = off.sum::<u64>() / shown.len() as u64;
        assert!(off < 4, "picture {at} is off by {off}");
    }
}

#[test]
fn what_was_made_before_a_break_stays_and_the_rest_follows() {
    let folder = Folder::new("resume");
    let original = odd(&folder, "440");
    let whole = prepared(&folder, &original);
    for breaks_after in [1, 3, 5, 40] {
        let mut shelf = Rolls::default();
        shelf.film.lock().unwrap().breaks_after = Some(breaks_after);
        let broken = prepare_on(&mut shelf, &folder, &original);
        assert!(matches!(broken, Err(Error::Keep(_))), "{broken:?}");
        let before = shelf.film.lock().unwrap().clone();
        shelf.film.lock().unwrap().breaks_after = None;
        prepare_on(&mut shelf, &folder, &original).unwrap();
        let after = shelf.film.lock().unwrap().clone();
        holds(&after, 30);
        assert_eq!(after.finished, whole.film.finished);
        for (slot, laid) in &before.slots {
            let (_, now) = after.slot(&slot.name);
            assert_eq!(now[..laid.len()], laid[..], "{}", slot.name);
        }
        for name in whole.film.names() {
            assert_eq!(after.times(name), whole.film.times(name), "{name}");
        }
    }
}

#[test]
fn segments_of_all_renditions_appear_together_with_progress() {
    let folder = Folder::new("progress");
    let made = prepared(&folder, &odd(&folder, "440"));
    let percents: Vec<u32> = made.progress.iter().map(|at| at.percent).collect();
    assert!(percents.is_sorted(), "{percents:?}");
    assert_eq!((percents.first(), percents.last()), (Some(&0), Some(&100)));
    let seconds: Vec<f64> = made.progress.iter().map(|at| at.seconds).collect();
    assert!(
        seconds.contains(&2.0) && seconds.contains(&4.0),
        "{seconds:?}"
    );
    assert_eq!(seconds.last(), Some(&7.3));
}

#[test]
fn the_slate_has_the_renditions_of_its_film() {
    let folder = Folder::new("slate");
    let made = prepared(&folder, &odd(&folder, "440"));
    assert_eq!(made.slate.names(), made.film.names());
    for name in made.film.names() {
        let (slate, film) = (&made.slate.slot(name).0, &made.film.slot(name).0);
        assert_eq!(slate.track.resolution(), film.track.resolution());
        assert_eq!(slate.track.timescale, film.track.timescale);
        assert_eq!(slate.track.channels(), film.track.channels());
    }
    assert_eq!(made.slate.finished, Some((60, 4)));
    let path = folder.file("slate.mp4");
    made.slate.write("ld", &path, 1, 0);
    let shown = seen(&path, 160, 90);
    assert_eq!(shown.len(), 60);
    let letters = shown[59].iter().filter(|value| **value > 120).count();
    assert!(letters > 20, "{letters} bright pixels");
    made.slate.write("ahi", &path, 1, 0);
    assert!(heard(&path).iter().all(|sample| *sample == 0));
}
