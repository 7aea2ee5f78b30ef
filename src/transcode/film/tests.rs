use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use super::*;
use crate::format::fmp4::{self, Fragment};
use crate::media::{MediaKind, Rendition};

mod kinds;
mod loops;
mod refused;

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("forebay-film-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Has ffmpeg make a file; the arguments are split at blanks.
    fn ffmpeg(&self, name: &str, arguments: &str) -> PathBuf {
        let path = self.file(name);
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-y"])
            .args(arguments.split_whitespace())
            .arg(&path)
            .status()
            .unwrap();
        assert!(status.success(), "{arguments}");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A segment of a rendition.
#[derive(Clone, Debug, PartialEq)]
struct Laid {
    start: Ticks,
    samples: Vec<Sample>,
}

/// A reel in memory.
#[derive(Clone, Debug, Default)]
struct Roll {
    slots: Vec<(Rendition, Vec<Laid>)>,
    finished: Option<(u64, u32)>,
    /// Segments after which it takes nothing more.
    breaks_after: Option<u64>,
}

impl Roll {
    fn slot(&self, name: &str) -> &(Rendition, Vec<Laid>) {
        let mut slots = self.slots.iter();
        slots.find(|(slot, _)| &*slot.name == name).unwrap()
    }

    fn names(&self) -> Vec<&str> {
        self.slots.iter().map(|(slot, _)| &*slot.name).collect()
    }

    fn size(&self, name: &str) -> (u32, u32) {
        self.slot(name).0.track.resolution().unwrap()
    }

    /// Times and durations of all samples, and whether they are key units.
    fn times(&self, name: &str) -> Vec<(i64, u32, bool)> {
        let mut times = Vec::new();
        for laid in &self.slot(name).1 {
            let mut at = laid.start.0;
            for sample in &laid.samples {
                times.push((at, sample.duration, sample.key));
                at += i64::from(sample.duration);
            }
        }
        times
    }

    /// A playable file of a rendition, so many times.
    fn write(&self, name: &str, path: &Path, turns: i64, period: i64) {
        let (slot, laid) = self.slot(name);
        let mut bytes = fmp4::init(&slot.track).unwrap().to_vec();
        for turn in 0..turns {
            for laid in laid {
                bytes.extend(fmp4::write(&Fragment {
                    sequence: 1,
                    base_decode_time: (laid.start.0 + turn * period).try_into().unwrap(),
                    samples: &laid.samples,
                    captured: None,
                }));
            }
        }
        std::fs::write(path, bytes).unwrap();
    }
}

struct OneReel(Arc<Mutex<Roll>>);

impl Reel for OneReel {
    fn is_complete(&self) -> bool {
        self.0.lock().unwrap().finished.is_some()
    }

    fn whole(&self) -> u64 {
        let roll = self.0.lock().unwrap();
        let counts = roll.slots.iter().map(|(_, laid)| laid.len() as u64);
        counts.min().unwrap_or(0)
    }

    fn declare(&mut self, rendition: &Rendition) -> Result<usize, String> {
        let mut roll = self.0.lock().unwrap();
        let known = roll
            .slots
            .iter()
            .position(|(slot, _)| slot.name == rendition.name);
        if let Some(slot) = known {
            assert_eq!(roll.slots[slot].0.track, rendition.track);
            return Ok(slot);
        }
        roll.slots.push((rendition.clone(), Vec::new()));
        Ok(roll.slots.len() - 1)
    }

    fn append(
        &mut self,
        slot: usize,
        number: u64,
        start: Ticks,
        samples: &[Sample],
    ) -> Result<(), String> {
        let mut roll = self.0.lock().unwrap();
        if roll.breaks_after == Some(number) {
            return Err("the disk is full".to_owned());
        }
        let laid = &mut roll.slots[slot].1;
        let known = laid.len() as u64;
        assert!(number <= known);
        if number == known {
            let samples = samples.to_vec();
            laid.push(Laid { start, samples });
        }
        Ok(())
    }

    fn finish(&mut self, frames: u64, unrolled: u32) -> Result<(), String> {
        self.0.lock().unwrap().finished = Some((frames, unrolled));
        Ok(())
    }
}

#[derive(Default)]
struct Rolls {
    film: Arc<Mutex<Roll>>,
    slate: Arc<Mutex<Roll>>,
    fps: u32,
}

impl Shelf for Rolls {
    fn reel(&mut self, which: Which, fps: u32, _: u32) -> Result<Box<dyn Reel>, String> {
        self.fps = fps;
        let roll = match which {
            Which::Film => &self.film,
            Which::Slate => &self.slate,
        };
        Ok(Box::new(OneReel(roll.clone())))
    }
}

/// What came of a preparation.
struct Made {
    film: Roll,
    slate: Roll,
    fps: u32,
    progress: Vec<Progress>,
}

impl Made {
    fn frames(&self) -> u64 {
        self.film.finished.unwrap().0
    }
}

fn order(folder: &Folder, original: &Path) -> Order {
    Order {
        original: original.to_owned(),
        scratch: folder.0.clone(),
        title: "Premiere & more".to_owned(),
        segment_seconds: 2,
        // The same on every machine.
        ladder: Choice::Named("three".to_owned()),
    }
}

fn prepare_on(shelf: &mut Rolls, folder: &Folder, original: &Path) -> Result<Vec<Progress>, Error> {
    let mut progress = Vec::new();
    let order = order(folder, original);
    prepare(
        &order,
        shelf,
        &mut |at| progress.push(at),
        &Pulse::default(),
    )?;
    Ok(progress)
}

fn prepared(folder: &Folder, original: &Path) -> Made {
    let mut shelf = Rolls::default();
    let progress = prepare_on(&mut shelf, folder, original).unwrap();
    let made = Made {
        film: shelf.film.lock().unwrap().clone(),
        slate: shelf.slate.lock().unwrap().clone(),
        fps: shelf.fps,
        progress,
    };
    holds(&made.film, made.fps);
    holds(&made.slate, made.fps);
    made
}

/// What is true of every reel.
fn holds(roll: &Roll, fps: u32) {
    let (frames, unrolled) = roll.finished.expect("the reel was finished");
    let mut boundaries: BTreeMap<usize, f64> = BTreeMap::new();
    for (slot, laid) in &roll.slots {
        let rate = slot.track.timescale.get();
        let mut end = 0;
        for (number, laid) in laid.iter().enumerate() {
            assert_eq!(laid.start.0, end, "{} segment {number}", slot.name);
            assert!(laid.samples[0].key, "{} segment {number}", slot.name);
            assert!(
                laid.samples
                    .iter()
                    .all(|sample| sample.composition_offset == 0)
            );
            end += laid
                .samples
                .iter()
                .map(|sample| i64::from(sample.duration))
                .sum::<i64>();
            if slot.kind() == MediaKind::Video {
                let inner = laid.samples.iter().skip(1);
                assert!(
                    inner.clone().all(|sample| !sample.key),
                    "one key unit in each segment"
                );
                let edge = end as f64 / f64::from(rate);
                let known = *boundaries.entry(number).or_insert(edge);
                assert_eq!(known, edge, "{} segment {number}", slot.name);
            }
        }
        let loops = if slot.kind() == MediaKind::Video {
            1
        } else {
            unrolled
        };
        let length = frames * u64::from(loops) * u64::from(rate) / u64::from(fps);
        assert_eq!(end, i64::try_from(length).unwrap(), "{}", slot.name);
    }
}

/// Has ffmpeg decode a file to 16-bit samples of its first channel.
fn heard(path: &Path) -> Vec<i16> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-map", "0:a:0", "-ac", "1", "-f", "s16le", "-"])
        .output()
        .unwrap();
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let pairs = output.stdout.chunks_exact(2);
    pairs
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

/// Has ffmpeg decode a file to grey pictures of this size.
fn seen(path: &Path, width: usize, height: usize) -> Vec<Vec<u8>> {
    pictures(path, "gray", width, height, width * height)
}

/// Has ffmpeg decode a file to small pictures of red, green and blue.
fn colours(path: &Path) -> Vec<Vec<u8>> {
    pictures(path, "rgb24", 80, 45, 3 * 80 * 45)
}

fn pictures(path: &Path, form: &str, width: usize, height: usize, bytes: usize) -> Vec<Vec<u8>> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-map", "0:v:0", "-vsync", "passthrough", "-pix_fmt", form])
        .args(["-s", &format!("{width}x{height}"), "-f", "rawvideo", "-"])
        .output()
        .unwrap();
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
        .stdout
        .chunks_exact(bytes)
        .map(<[u8]>::to_vec)
        .collect()
}
