//! The pictures of a file, one for each frame of a grid: repeated or left out where their own times are
//! others, upright, with eight or more bits of luma and chroma.

use std::path::Path;

use gstreamer as gst;

use super::Error;
use super::guard::Pulse;
use super::read::{Came, Chains, Reading};

/// From coded units to pictures that the encoders take. Turned as the file says; RGB becomes YUV. Sides
/// are bounded before anything is converted: 8K.
const CHAIN: &str = "decodebin name=in ! video/x-raw,width=[1,8192],height=[1,8192] ! \
    videoflip video-direction=auto ! videoconvert dither=none ! \
    video/x-raw,format=(string){I420,YV12,NV12,NV21,Y42B,Y444,UYVY,YUY2,I420_10LE,I422_10LE,Y444_10LE,\
    P010_10LE,I420_12LE,I422_12LE,Y444_12LE} ! \
    appsink name=out sync=false async=false max-buffers=2";
/// What may be missing at the end, nanoseconds: broken last pictures are common.
const SLACK: u64 = 1_000_000_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Frames {
    reading: Reading,
    pulse: Pulse,
    shown: Option<gst::Sample>,
    /// The one behind it, with its time in nanoseconds.
    next: Option<(u64, gst::Sample)>,
    /// Time of the newest that came.
    newest: Option<u64>,
    ended: bool,
    /// Time of the last that there should be.
    last: u64,
}

impl Frames {
    /// Begins at the file's beginning. Its last picture has the time `last`, nanoseconds.
    pub(super) fn open(file: &Path, last: u64, pulse: &Pulse) -> Result<Frames, Error> {
        let chains = Chains {
            video: Some(CHAIN),
            audio: None,
        };
        Ok(Frames {
            reading: Reading::open(file, chains)?,
            pulse: pulse.clone(),
            shown: None,
            next: None,
            newest: None,
            ended: false,
            last,
        })
    }

    /// What is shown for a frame: the last picture that begins before `until`, nanoseconds, or the very
    /// first one. Asked for rising times.
    pub(super) fn before(&mut self, until: u64) -> Result<gst::Sample, Error> {
        loop {
            if self.next.is_none() && !self.ended {
                self.next = self.pull()?;
            }
            match self.next.take() {
                Some((time, sample)) if time < until => self.shown = Some(sample),
                next => {
                    let first = next.as_ref().map(|(_, sample)| sample);
                    let shown = self.shown.as_ref().or(first).cloned();
                    self.next = next;
                    return shown.ok_or(Error::Decode("not one picture came out of it".to_owned()));
                }
            }
        }
    }

    fn pull(&mut self) -> Result<Option<(u64, gst::Sample)>, Error> {
        loop {
            match self.reading.next() {
                Came::Video(sample) => {
                    self.pulse.beat();
                    let Some(time) = time_of(&sample) else {
                        continue;
                    };
                    self.newest = self.newest.max(Some(time));
                    return Ok(Some((time, sample)));
                }
                Came::Audio(_) => {}
                Came::Failed(text) => return Err(Error::Decode(text)),
                Came::End => {
                    self.ended = true;
                    let newest = self.newest.unwrap_or(0);
                    if newest + SLACK < self.last {
                        return Err(Error::BrokenOff {
                            found_s: newest as f64 / 1e9,
                            stated_s: self.last as f64 / 1e9,
                        });
                    }
                    return Ok(None);
                }
            }
        }
    }
}

/// When a sample is shown or heard, nanoseconds since the file's beginning; none for what an edit list
/// leaves out.
pub(super) fn time_of(sample: &gst::Sample) -> Option<u64> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?.clone();
    let time = segment.to_running_time(sample.buffer()?.pts()?)?;
    Some(time.nseconds())
}
