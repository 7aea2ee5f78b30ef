//! A push of one participant's media by ffmpeg. In: access units with the publisher's clock. Out: RTMP with the
//! picture as it is and the sound as AAC.

use std::collections::HashMap;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::mkv;
use super::participant::Participant;
use super::record::{Layer, Unit};

/// Units that ffmpeg has not taken yet; more are dropped.
const MAX_QUEUED: usize = 2048;
/// What is older than the first key frame by that much is sent too, so that sound does not begin late.
const LEAD: f64 = 0.5;

/// How often, and how far apart, it is looked whether ffmpeg has said goodbye: three seconds.
const GOODBYE_LOOKS: u32 = 60;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// What came of one layer since the last look, with the time of each unit by the publisher's clock.
pub struct Source {
    pub sid: String,
    pub layer: usize,
    pub is_video: bool,
    size: (u32, u32),
    units: Vec<(f64, Unit)>,
}

impl Source {
    /// The best layer of each track of a participant. Units are taken once, and shared through `fresh`.
    pub fn of(
        participant: &mut Participant,
        fresh: &mut HashMap<(String, usize), Vec<Unit>>,
    ) -> Vec<Source> {
        let mut sources = Vec::new();
        for track in participant.tracks.iter_mut().filter(|track| !track.is_gone) {
            let offered = track.offered();
            let best = (0..offered.len())
                .max_by_key(|index| (offered[*index].quality, offered[*index].last_arrival));
            let Some(best) = best else { continue };
            let recorder = &mut track.layers[best];
            recorder.is_followed = true;
            let key = (track.info.sid.clone(), best);
            let units = fresh
                .entry(key)
                .or_insert_with(|| recorder.take_fresh().into());
            let layer: &Layer = &recorder.layer;
            let clock = |unit: &Unit| Some((layer.clock_at(unit.rtp_time)?, unit.clone()));
            sources.push(Source {
                sid: track.info.sid.clone(),
                layer: best,
                is_video: track.info.r#type == livekit_protocol::TrackType::Video as i32,
                size: (track.info.width, track.info.height),
                units: units.iter().filter_map(clock).collect(),
            });
        }
        sources
    }
}

/// One push.
pub struct Pusher {
    url: String,
    since: Instant,
    running: Option<Running>,
    /// Sound that came before the first key frame.
    early: Vec<(f64, Unit)>,
}

struct Running {
    child: Option<Child>,
    queue: Option<SyncSender<Vec<u8>>>,
    begin: f64,
    has_sound: bool,
}

impl Pusher {
    pub fn new(url: &str, now: Instant) -> Pusher {
        Pusher {
            url: url.to_owned(),
            since: now,
            running: None,
            early: Vec::new(),
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it has nothing to begin with yet.
    pub fn is_waiting(&self) -> bool {
        self.running.is_none()
    }

    /// Whether ffmpeg has given up.
    pub fn has_ended(&mut self) -> bool {
        let ended = |running: &mut Running| {
            let child = running.child.as_mut();
            child.is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
        };
        self.running.as_mut().is_some_and(ended)
    }

    /// Takes what came.
    pub fn take(&mut self, sources: &[Source], now: Instant, sound_patience: Duration) {
        let sound = sources.iter().find(|source| !source.is_video);
        let picture = sources.iter().find(|source| source.is_video);
        if self.running.is_none() {
            self.early
                .extend(sound.iter().flat_map(|source| source.units.iter().cloned()));
            let keep = self.early.len().saturating_sub(100);
            self.early.drain(..keep);
            if sound.is_none() && now - self.since < sound_patience {
                return;
            }
            let Some(picture) = picture else { return };
            let Some(first) = picture.units.iter().position(|(_, unit)| unit.key) else {
                return;
            };
            let (at, unit) = &picture.units[first];
            let Some(configuration) = mkv::avc_configuration(&unit.bytes) else {
                return;
            };
            let header = mkv::header(&configuration, picture.size, sound.is_some());
            self.running = Running::start(&self.url, &header, at - LEAD, sound.is_some());
            let early = std::mem::take(&mut self.early);
            self.send(false, &early);
            return self.send(true, &picture.units[first..]);
        }
        for source in [picture, sound].into_iter().flatten() {
            self.send(source.is_video, &source.units);
        }
    }

    fn send(&self, is_video: bool, units: &[(f64, Unit)]) {
        let Some(running) = &self.running else { return };
        for (at, unit) in units {
            let at = at - running.begin;
            if at < 0.0 || !is_video && !running.has_sound {
                continue;
            }
            let at_ms = (at * 1000.0).round() as u64;
            let bytes = match is_video {
                true => mkv::picture(at_ms, unit.key, &unit.bytes),
                false => mkv::sound(at_ms, &unit.bytes),
            };
            if let Some(queue) = &running.queue {
                let _ = queue.try_send(bytes);
            }
        }
    }
}

impl Running {
    fn start(url: &str, header: &[u8], begin: f64, has_sound: bool) -> Option<Running> {
        let mut child = Command::new("ffmpeg")
            .args([
                "-v", "error", "-f", "matroska", "-i", "pipe:0", "-c:v", "copy",
            ])
            .args(["-c:a", "aac", "-b:a", "128k", "-f", "flv", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut stdin = child.stdin.take()?;
        let (queue, units) = sync_channel::<Vec<u8>>(MAX_QUEUED);
        let _ = queue.try_send(header.to_vec());
        // Ends with the queue, or with ffmpeg, which closes the pipe.
        std::thread::spawn(move || {
            while let Ok(bytes) = units.recv() {
                if stdin.write_all(&bytes).is_err() {
                    return;
                }
            }
        });
        Some(Running {
            child: Some(child),
            queue: Some(queue),
            begin,
            has_sound,
        })
    }
}

impl Drop for Running {
    /// ffmpeg ends its publish by itself once nothing comes any more; one that does not is killed.
    fn drop(&mut self) {
        self.queue = None;
        let Some(mut child) = self.child.take() else {
            return;
        };
        std::thread::spawn(move || {
            for _ in 0..GOODBYE_LOOKS {
                if !matches!(child.try_wait(), Ok(None)) {
                    return;
                }
                std::thread::sleep(BETWEEN_LOOKS);
            }
            let _ = child.kill();
            let _ = child.wait();
        });
    }
}
