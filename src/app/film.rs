//! The child process that makes a film: `transcode::film` writes into the folder that `playout::asset` reads.
//! It says how far it is in lines, of which each begins with a percentage, and in a sentence why it failed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::format::fmp4::Sample;
use crate::media::{Rendition, Ticks};
use crate::playout::asset::{self, Layout, Reader, SLATE, Writer};
use crate::transcode::film::{self, Order, Reel, Shelf, Which};
use crate::transcode::ladder::Choice;

/// Name of what was uploaded, in its folder.
const ORIGINAL: &str = "original";

/// Makes film and slate of what was uploaded into a folder, or what is missing of them. Gives the last line.
pub fn prepare(
    folder: &Path,
    title: &str,
    segment_seconds: u32,
    ladder: &str,
) -> Result<String, film::Error> {
    if is_complete(folder) && is_complete(&folder.join(SLATE)) {
        return Ok("100\n".to_owned());
    }
    let order = Order {
        original: folder.join(ORIGINAL),
        scratch: folder.to_owned(),
        title: title.to_owned(),
        segment_seconds,
        ladder: Choice::from_setting(ladder),
    };
    let percent = Arc::new(AtomicU32::new(0));
    let known = percent.clone();
    let mut progress = |at: film::Progress| {
        known.store(at.percent, Ordering::Relaxed);
        say(&format!("{} {:.1} s", at.percent, at.seconds));
    };
    let alive = move |signs| {
        let percent = percent.load(Ordering::Relaxed);
        say(&format!("{percent} at step {signs}"));
    };
    let stalled = |error: film::Error| {
        let _ = writeln!(std::io::stderr(), "{error}");
        std::process::exit(1);
    };
    let mut shelf = Folder(folder.to_owned());
    film::run(&order, &mut shelf, &mut progress, alive, stalled)?;
    Ok("100\n".to_owned())
}

/// A reader that went away is no reason to end: what is made is on the disk.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn is_complete(folder: &Path) -> bool {
    let film = Reader::open(folder).ok().flatten();
    film.is_some_and(|film| film.facts().frames.is_some())
}

/// The folder of an asset.
struct Folder(PathBuf);

impl Shelf for Folder {
    fn reel(
        &mut self,
        which: Which,
        fps: u32,
        segment_seconds: u32,
    ) -> Result<Box<dyn Reel>, String> {
        let folder = match which {
            Which::Film => self.0.clone(),
            Which::Slate => self.0.join(SLATE),
        };
        let layout = Layout::of(fps, segment_seconds);
        let layout = layout.ok_or_else(|| format!("no film has {fps} frames per second"))?;
        let opened = match Writer::open(&folder, layout) {
            // Made with other settings, which were changed before it was whole.
            Err(asset::Error::Other(_)) => {
                clear(&folder)?;
                Writer::open(&folder, layout)
            }
            opened => opened,
        };
        let writer = opened.map_err(|error| error.to_string())?;
        Ok(Box::new(Laying { folder, writer }))
    }
}

/// Film or slate, as it is laid down.
struct Laying {
    folder: PathBuf,
    writer: Writer,
}

impl Reel for Laying {
    fn is_complete(&self) -> bool {
        self.writer.is_complete()
    }

    fn whole(&self) -> u64 {
        self.writer.whole()
    }

    fn declare(&mut self, rendition: &Rendition) -> Result<usize, String> {
        let declared = self.writer.declare(rendition);
        if let Err(asset::Error::Other(_)) = &declared {
            // Of another encoder, since a newer program took over. The next attempt begins anew.
            clear(&self.folder)?;
        }
        declared.map_err(|error| error.to_string())
    }

    fn append(
        &mut self,
        slot: usize,
        number: u64,
        start: Ticks,
        samples: &[Sample],
    ) -> Result<(), String> {
        let appended = self.writer.append(slot, number, start, samples);
        appended.map_err(|error| error.to_string())
    }

    fn finish(&mut self, frames: u64, unrolled: u32) -> Result<(), String> {
        let finished = self.writer.finish(frames, unrolled);
        finished.map_err(|error| error.to_string())
    }
}

/// Removes what was made; the index first, without which the rest is nothing.
fn clear(folder: &Path) -> Result<(), String> {
    let clear = || {
        let files: Result<Vec<_>, _> = std::fs::read_dir(folder)?.collect();
        let mut files: Vec<PathBuf> = files?.into_iter().map(|entry| entry.path()).collect();
        files.retain(|file| {
            file.ends_with("index") || file.extension().is_some_and(|name| name == "mp4")
        });
        files.sort_by_key(|file| !file.ends_with("index"));
        files.iter().try_for_each(std::fs::remove_file)
    };
    clear().map_err(|error: std::io::Error| format!("cannot clear the folder: {error}"))
}
