//! Which rungs a stream gets: a pure function of its capabilities, its source and the machine.

mod book;

use serde::{Deserialize, Serialize};

pub use self::book::{AudioEntry, Auto, Book, Cost, Entry, ROOM_PICTURE, ROOM_SOUND, Room};

/// Longest side of a rung, in pixels: the limit of H.264 level 5.x and of most hardware.
const MAX_SIDE: u32 = 4096;
/// Shortest side of a rung, in pixels: below it encoders refuse the picture.
const MIN_SIDE: u32 = 32;
/// Aspect ratios closer than this (per mille) count as equal: sizes are rounded to even numbers.
const SAME_ASPECT_PERMILLE: u64 = 20;
/// Shortest segment, in milliseconds, for which a peak rate is promised.
const SHORTEST_SEGMENT_MS: u32 = 1500;

/// The setting `FOREBAY_LADDER`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// What the machine can pay for.
    #[default]
    Auto,
    /// Source only.
    Off,
    /// A ladder of the book.
    Named(String),
}

impl Choice {
    /// Reads the setting's text.
    pub fn from_setting(text: &str) -> Choice {
        match text {
            "auto" => Choice::Auto,
            "off" => Choice::Off,
            name => Choice::Named(name.to_owned()),
        }
    }
}

/// What is known of the source's video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoFacts {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second x 1000.
    pub frame_rate_millis: u32,
}

/// What is known of the source's audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioFacts {
    /// Whether it is AAC.
    pub aac: bool,
    /// Samples per second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u8,
}

impl AudioFacts {
    /// Whether every player takes it as it is: AAC at 44.1 or 48 kHz.
    pub fn passes_through(self) -> bool {
        self.aac && matches!(self.sample_rate, 44_100 | 48_000)
    }
}

/// The question.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The setting.
    pub choice: &'a Choice,
    /// Capability words of the stream.
    pub capabilities: &'a [String],
    /// Source video, if there is any.
    pub video: Option<VideoFacts>,
    /// Source audio, if there is any.
    pub audio: Option<AudioFacts>,
    /// Whether the source's video is H.264.
    pub avc: bool,
    /// Whether the source's video is listed as it is.
    pub passthrough: bool,
    /// Processor cores.
    pub cores: usize,
}

/// A video encoding to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// Folder name.
    pub name: String,
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    /// Mean bit rate, kbit/s.
    pub kbps: u32,
    /// Promised peak of any segment, bit/s.
    pub peak_bps: u32,
    /// H.264 profile.
    pub profile: String,
    /// Frames per second x 1000, of the rung.
    pub frame_rate_millis: u32,
    /// Whether every second frame is left out.
    pub half_rate: bool,
}

/// An audio encoding to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioRung {
    /// Folder name.
    pub name: String,
    /// Bit rate, kbit/s.
    pub kbps: u32,
    /// Samples per second of the output.
    pub sample_rate: u32,
    /// Channels of the output.
    pub channels: u8,
    /// How it is coded. Encodings of one worker have one codec, rate and number of channels.
    pub codec: AudioCodec,
}

/// How sound is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AudioCodec {
    /// AAC-LC, for players.
    Aac,
    /// Opus in packets of 20 ms, for rooms.
    Opus,
}

/// Width to height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aspect {
    /// Horizontal.
    pub width: u32,
    /// Vertical.
    pub height: u32,
}

impl Aspect {
    /// The `aspect-ratio=WxH` of a capability list, if there is a sane one.
    pub fn wanted(capabilities: &[String]) -> Option<Aspect> {
        let text = capabilities
            .iter()
            .find_map(|word| word.strip_prefix("aspect-ratio="))?;
        let (width, height) = text.split_once('x')?;
        let (width, height) = (width.parse().ok()?, height.parse().ok()?);
        // Anything beyond 8:1 leaves no picture.
        let sane = (1..=4096).contains(&width)
            && (1..=4096).contains(&height)
            && width <= 8 * height
            && height <= 8 * width;
        sane.then_some(Aspect { width, height })
    }

    /// Whether a picture of this size has this aspect ratio, up to rounding.
    pub fn fits(self, width: u32, height: u32) -> bool {
        let a = u64::from(self.width) * u64::from(height);
        let b = u64::from(self.height) * u64::from(width);
        a.abs_diff(b) * 1000 <= a.max(b) * SAME_ASPECT_PERMILLE
    }

    /// The largest part of a picture that has this aspect ratio, sides even.
    pub fn crop(self, width: u32, height: u32) -> (u32, u32) {
        if self.fits(width, height) {
            return (even(width), even(height));
        }
        let wanted_width = scaled(height, self.width, self.height);
        if wanted_width <= width {
            (even(wanted_width), even(height))
        } else {
            (even(width), even(scaled(width, self.height, self.width)))
        }
    }
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Video encodings, best first.
    pub video: Vec<Rung>,
    /// Audio encodings, default first.
    pub audio: Vec<AudioRung>,
    /// The aspect ratio to cut to, when it is not the source's.
    pub crop: Option<Aspect>,
    /// Whether the encodings stand in for the source's video, which is not listed beside them: it has another
    /// shape, or a codec that is not wanted.
    pub replaces_source: bool,
    /// What takes the place of a source that is listed, once it can be listed no longer.
    pub stand_in: Option<Rung>,
}

impl Plan {
    /// Whether no worker is needed.
    pub fn is_empty(&self) -> bool {
        self.video.is_empty() && self.audio.is_empty()
    }
}

impl Book {
    /// Decides the rungs of a stream.
    pub fn decide(&self, request: &Request<'_>) -> Plan {
        if *request.choice == Choice::Off {
            return Plan::default();
        }
        let audio = self.decide_audio(request);
        let has = |word: &str| request.capabilities.iter().any(|have| have == word);
        let Some(video) = request.video.filter(|_| has("multi-bitrate")) else {
            return Plan {
                audio,
                ..Plan::default()
            };
        };
        let crop = Aspect::wanted(request.capabilities)
            .filter(|aspect| !aspect.fits(video.width, video.height));
        let (width, height) = match crop {
            Some(aspect) => aspect.crop(video.width, video.height),
            None => (even(video.width), even(video.height)),
        };
        let picture = VideoFacts {
            width,
            height,
            ..video
        };
        let unwanted = has("prefer-h264") && !request.avc;
        let passthrough = request.passthrough && crop.is_none() && !unwanted;
        let fixed =
            self.cost.audio * audio.len() as f64 + self.cost.decode_per_mpx * megapixels(&video);
        let rungs = self.decide_video(request, &picture, passthrough, fixed);
        Plan {
            replaces_source: crop.is_some() || (unwanted && !rungs.is_empty()),
            video: rungs,
            audio,
            crop,
            stand_in: (passthrough && width.min(height) >= MIN_SIDE)
                .then(|| self.stand_in(&picture)),
        }
    }

    /// Whether two lists of capabilities ask for the same encodings of any source.
    pub fn asks_for_the_same(&self, choice: &Choice, one: &[String], other: &[String]) -> bool {
        let asked = |words: &[String]| {
            let has = |wanted: &str| words.iter().any(|word| word == wanted);
            let ladder = *choice != Choice::Off && has("multi-bitrate");
            ladder.then(|| {
                let quality = self.quality(words).name.clone();
                let more = ["audio-only", "high-fidelity", "prefer-h264"].map(has);
                (Aspect::wanted(words), quality, more)
            })
        };
        asked(one) == asked(other)
    }

    /// A rung in the form in which the source was declared.
    fn stand_in(&self, picture: &VideoFacts) -> Rung {
        let lines = picture.width.min(picture.height);
        let plain = self.rungs.iter().filter(|entry| !entry.variant);
        let nearest = plain.min_by_key(|entry| (entry.lines.abs_diff(lines), entry.value));
        let nearest = nearest.unwrap_or_else(|| self.quality(&[]));
        let share = (f64::from(lines) / f64::from(nearest.lines)).powf(1.5);
        let kbps = (f64::from(nearest.kbps) * share).round() as u32;
        Rung {
            name: "source".to_owned(),
            width: picture.width,
            height: picture.height,
            kbps,
            peak_bps: peak_bps(kbps, self.vbv_ms),
            profile: nearest.profile.clone(),
            frame_rate_millis: picture.frame_rate_millis,
            half_rate: false,
        }
    }

    /// Of these rungs the one to do without first; none when it is the only one.
    pub fn least_valuable(&self, rungs: &[String]) -> Option<String> {
        // A rung that is not in the book stands for the source.
        let rank = |name: &&String| self.entry(name).map_or(0, |entry| entry.value);
        let last = rungs.iter().max_by_key(rank)?;
        (rungs.len() > 1).then(|| last.clone())
    }

    fn decide_audio(&self, request: &Request<'_>) -> Vec<AudioRung> {
        let Some(audio) = request.audio else {
            return Vec::new();
        };
        let has = |wanted: &str| request.capabilities.iter().any(|word| word == wanted);
        let passes = audio.passes_through();
        // The source's own is the best there is.
        let best = self.audio.iter().filter(|entry| {
            let word = entry.word.as_deref();
            !passes && word.is_some_and(has)
        });
        let mut entries: Vec<&AudioEntry> = best.collect();
        let count = match (has("audio-only"), passes || !entries.is_empty()) {
            (true, _) => usize::MAX,
            (false, true) => 0,
            (false, false) => 1,
        };
        let plain = self.audio.iter().filter(|entry| entry.word.is_none());
        entries.extend(plain.take(count));
        // A rate that passes through is kept, so that the renditions can be switched seamlessly.
        let sample_rate = match audio.sample_rate {
            44_100 if audio.passes_through() => 44_100,
            _ => 48_000,
        };
        entries
            .into_iter()
            .map(|entry| AudioRung {
                name: entry.name.clone(),
                kbps: entry.kbps,
                sample_rate,
                channels: 2,
                codec: AudioCodec::Aac,
            })
            .collect()
    }

    fn decide_video(
        &self,
        request: &Request<'_>,
        picture: &VideoFacts,
        passthrough: bool,
        fixed_cost: f64,
    ) -> Vec<Rung> {
        let lines = picture.width.min(picture.height);
        if lines < MIN_SIDE {
            return Vec::new();
        }
        let word = self.quality(request.capabilities);
        // Of several rungs of one size at most one: the quality word's own where it is one of them.
        let mut allowed: Vec<&Entry> = match request.choice {
            Choice::Named(name) => {
                let Some(names) = self.ladders.get(name) else {
                    return Vec::new();
                };
                let listed = names.iter().filter_map(|name| self.entry(name));
                listed
                    .filter(|rung| (rung.lines, rung.kbps) <= (word.lines, word.kbps))
                    .collect()
            }
            Choice::Auto | Choice::Off => {
                let plain = |rung: &&Entry| {
                    rung.lines < word.lines && !rung.variant || rung.name == word.name
                };
                self.rungs.iter().filter(plain).collect()
            }
        };
        allowed.sort_by_key(|rung| (rung.lines, rung.kbps));
        let mut chosen: Vec<Rung> = Vec::new();
        let mut cost = fixed_cost;
        if !passthrough {
            // The source's place: its own size, in the smallest rung that can hold it.
            let top = allowed.iter().position(|rung| rung.lines >= lines);
            // A named ladder may have nothing as small as the quality word: then it is that rung.
            if allowed.is_empty() {
                allowed.push(word);
            }
            let mut top = top.unwrap_or(allowed.len() - 1);
            let bounded = matches!(request.choice, Choice::Auto | Choice::Off);
            let most = self.auto.top_share * request.cores as f64;
            let cost_of = |entry| cost + self.encode_cost(&self.rung(entry, picture));
            while bounded && top > 0 && cost_of(allowed[top]) > most {
                top -= 1;
            }
            let rung = self.rung(allowed[top], picture);
            cost += self.encode_cost(&rung);
            chosen.push(rung);
            allowed.truncate(top);
        }
        allowed.retain(|rung| rung.lines < lines);
        let (limit, budget) = match request.choice {
            Choice::Named(_) => (usize::MAX, f64::INFINITY),
            Choice::Auto | Choice::Off => {
                allowed.sort_by_key(|rung| rung.value);
                let small = request.cores < self.auto.small_machine_cores;
                let limit = if small {
                    self.auto.small_machine_rungs
                } else {
                    usize::MAX
                };
                (limit, self.auto.budget_share * request.cores as f64)
            }
        };
        for entry in allowed {
            let rung = self.rung(entry, picture);
            let next = cost + self.encode_cost(&rung);
            if chosen.len() < limit && next < budget {
                cost = next;
                chosen.push(rung);
            }
        }
        chosen.sort_by_key(|rung| std::cmp::Reverse((rung.width * rung.height, rung.kbps)));
        chosen
    }

    fn quality(&self, capabilities: &[String]) -> &Entry {
        let named = capabilities.iter().filter_map(|word| self.entry(word));
        named
            .max_by_key(|rung| (rung.lines, rung.kbps))
            .or_else(|| self.entry(&self.default_quality))
            .expect("the default quality is a rung, checked when the book was read")
    }

    fn rung(&self, entry: &Entry, picture: &VideoFacts) -> Rung {
        let (short, long) = (
            picture.width.min(picture.height),
            picture.width.max(picture.height),
        );
        let lines = even(entry.lines.min(short));
        let half = scaled(lines, long, short.saturating_mul(2));
        let length = half.saturating_mul(2).min(MAX_SIDE);
        let (width, height) = if picture.width >= picture.height {
            (length, lines)
        } else {
            (lines, length)
        };
        // A picture with fewer lines than the rung's needs fewer bits, but not in proportion.
        let kbps = if lines < entry.lines {
            let share = (f64::from(lines) / f64::from(entry.lines)).powf(1.5);
            (f64::from(entry.kbps) * share).round() as u32
        } else {
            entry.kbps
        };
        let half_rate = entry
            .half_rate_from_fps
            // 29.97 counts as 30.
            .is_some_and(|fps| picture.frame_rate_millis + 100 >= fps * 1000);
        let frame_rate_millis = picture.frame_rate_millis / if half_rate { 2 } else { 1 };
        Rung {
            name: entry.name.clone(),
            width,
            height,
            kbps,
            peak_bps: peak_bps(kbps, self.vbv_ms),
            profile: entry.profile.clone(),
            frame_rate_millis,
            half_rate,
        }
    }

    fn encode_cost(&self, rung: &Rung) -> f64 {
        self.cost.encode_per_mpx
            * megapixels(&VideoFacts {
                width: rung.width,
                height: rung.height,
                frame_rate_millis: rung.frame_rate_millis,
            })
    }
}

/// The highest rate of any segment: what the buffer rate allows plus the whole buffer, and 3 % for
/// the container and the rate control's slips.
fn peak_bps(kbps: u32, vbv_ms: u32) -> u32 {
    let burst = u64::from(kbps) * u64::from(vbv_ms) / u64::from(SHORTEST_SEGMENT_MS);
    u32::try_from((u64::from(kbps) + burst) * 1030).unwrap_or(u32::MAX)
}

fn megapixels(video: &VideoFacts) -> f64 {
    f64::from(video.width) * f64::from(video.height) * f64::from(video.frame_rate_millis) / 1e9
}

fn even(side: u32) -> u32 {
    side & !1
}

/// `value * numerator / denominator`, to the nearest whole number.
fn scaled(value: u32, numerator: u32, denominator: u32) -> u32 {
    let product = u64::from(value) * u64::from(numerator);
    let denominator = u64::from(denominator.max(1));
    u32::try_from((product + denominator / 2) / denominator).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
