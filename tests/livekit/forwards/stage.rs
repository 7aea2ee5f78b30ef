//! A stream, its forward into a room, and pictures to be sent.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay::base::clock::{Clock, Wall};
use forebay::base::id::Uuid;
use forebay::base::secret::Secret;
use forebay::base::shutdown::Tasks;
use forebay::forward::livekit::Room;
use forebay::forward::status::About;
use forebay::forward::{self, State, Told};
use forebay::hub::boundary::{OnLoss, Settings};
use forebay::hub::gate::Pending;
use forebay::hub::tap::{Needs, Tapped as _};
use forebay::hub::{
    Admission, Config, Gate, Hub, NewRendition, PublishRequest, Publisher, Record, Refusal,
    SameRenditions, Sign, Stream,
};
use forebay::livekit::Server;
use forebay::media::codec::{avc, opus};
use forebay::media::timeline::{Description, Found, Progress, Resource, Snapshot, Timeline, Wait};
use forebay::media::{AccessUnit, CodecConfig, MediaKind, RenditionId, Ticks, Timescale, Track};
use tokio::task::JoinHandle;

use crate::common::livekit::{KEY, LivekitServer, PATIENCE, SECRET};

/// How much faster than it was filmed everything is sent.
const SPEED: u32 = 3;

/// Everybody may publish.
struct OpenGate;

fn admission(channel_id: &str) -> Admission {
    Admission {
        channel_id: channel_id.to_owned(),
        alias: channel_id.to_owned(),
        name: "Stage".to_owned(),
        capabilities: Vec::new(),
        tags: Vec::new(),
        screen_name: None,
        lasting: None,
        placed: None,
    }
}

impl Gate for OpenGate {
    fn preview(&self, request: &PublishRequest) -> Result<String, Refusal> {
        Ok(request.key.expose().to_owned())
    }
    fn admit<'a>(&'a self, request: &'a PublishRequest) -> Pending<'a, Result<Admission, Refusal>> {
        Box::pin(async { Ok(admission(request.key.expose())) })
    }
    fn admit_pulled<'a>(&'a self, channel_id: &'a str) -> Pending<'a, Result<Admission, Refusal>> {
        Box::pin(async { Ok(admission(channel_id)) })
    }
    fn stream_opened<'a>(&'a self, _record: &'a Record) -> Pending<'a, ()> {
        Box::pin(async {})
    }
    fn streams_alive<'a>(&'a self, _signs: &'a [Sign]) -> Pending<'a, ()> {
        Box::pin(async {})
    }
    fn streams_ended<'a>(&'a self, _ids: &'a [Uuid]) -> Pending<'a, ()> {
        Box::pin(async {})
    }
    fn open_streams<'a>(&'a self, _region: &'a str) -> Pending<'a, Vec<Record>> {
        Box::pin(async { Vec::new() })
    }
}

/// Nobody plays it by HTTP.
struct Unplayed;

impl Timeline for Unplayed {
    fn description(&self) -> Option<Arc<Description>> {
        None
    }
    fn snapshot(&self, _rendition: &str) -> Option<Arc<Snapshot>> {
        None
    }
    fn progress(&self, _rendition: &str) -> Option<Progress> {
        None
    }
    fn find(&self, _rendition: &str, _resource: Resource<'_>) -> Found {
        Found::Missing
    }
    fn changed<'a>(&'a self, _rendition: &'a str, _seen: u64) -> Wait<'a> {
        Box::pin(std::future::pending())
    }
}

fn hub(clock: &Clock) -> Hub {
    let config = Config {
        reconnect: Duration::from_secs(120),
        silence: Duration::from_secs(60),
        retention: Duration::from_secs(120),
        kill_holdoff: Duration::ZERO,
        region: "local".to_owned(),
        same_renditions: SameRenditions::new(|_, _| true),
        window: Duration::from_secs(60),
        max_publishers: 10,
        max_media_bytes: 1 << 30,
    };
    let rules = |_: &Admission| Settings {
        segment_target: Ticks(180_000),
        longest_segment: Ticks(900_000),
        ladder: false,
        on_loss: OnLoss::Gap,
    };
    let opener = |_: &Arc<Stream>, _: Wall| Arc::new(Unplayed) as Arc<dyn Timeline>;
    Hub::new(
        config,
        clock.clone(),
        Arc::new(OpenGate),
        Box::new(rules),
        Box::new(opener),
        Box::new(|| 0),
        Tasks::new(),
    )
}

/// A clip of H.264 without B-frames, by ffmpeg.
pub struct Picture {
    width: u32,
    fps: u32,
    track: Track,
    /// Whether it is a key unit, and its length-prefixed NAL units.
    units: Vec<(bool, Bytes)>,
    /// The same as Annex B, with parameter sets before key units.
    annex_b: Vec<Vec<u8>>,
}

impl Picture {
    /// A moving picture with one key unit, at its beginning.
    pub fn encode(width: u32, height: u32, fps: u32, frames: usize) -> Picture {
        let source = format!("testsrc2=size={width}x{height}:rate={fps}");
        let gop = frames.to_string();
        let arguments = [
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            &source,
            "-frames:v",
            &gop,
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-tune",
            "zerolatency",
            "-pix_fmt",
            "yuv420p",
            "-g",
            &gop,
            "-x264-params",
            "aud=1:sliced-threads=0",
            "-f",
            "h264",
            "-",
        ];
        let made = Command::new("ffmpeg")
            .args(arguments)
            .stderr(Stdio::inherit())
            .output();
        let stream = made.expect("ffmpeg runs").stdout;
        let (mut sps, mut pps) = (Vec::new(), Vec::new());
        let (mut units, mut annex_b) = (Vec::new(), Vec::new());
        for nals in access_units(&stream) {
            let mut key = false;
            let (mut unit, mut plain) = (Vec::new(), Vec::new());
            for nal in nals {
                match nal[0] & 0x1f {
                    7 => sps = nal.to_vec(),
                    8 => pps = nal.to_vec(),
                    // Delimiters and messages.
                    6 | 9 => {}
                    kind => {
                        if kind == 5 && !key {
                            key = true;
                            for set in [&sps, &pps] {
                                put_start(&mut plain, set);
                            }
                        }
                        unit.extend(u32::try_from(nal.len()).unwrap().to_be_bytes());
                        unit.extend(nal);
                        put_start(&mut plain, nal);
                    }
                }
            }
            units.push((key, Bytes::from(unit)));
            annex_b.push(plain);
        }
        assert_eq!(units.len(), frames);
        let config = avc::Config::from_parameter_sets(&[&sps[..]], &[&pps[..]]).unwrap();
        Picture {
            width,
            fps,
            track: Track {
                config: CodecConfig::Avc(config),
                timescale: Timescale::CHANNEL,
            },
            units,
            annex_b,
        }
    }

    pub fn name(&self) -> String {
        format!("w{}", self.width)
    }

    pub fn annex_b(&self) -> Vec<Vec<u8>> {
        self.annex_b.clone()
    }
}

fn put_start(into: &mut Vec<u8>, nal: &[u8]) {
    into.extend([0, 0, 0, 1]);
    into.extend(nal);
}

/// NAL units of each access unit of an Annex B stream with delimiters.
fn access_units(stream: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut starts = Vec::new();
    for at in 0..stream.len().saturating_sub(3) {
        if stream[at..at + 3] == [0, 0, 1] {
            starts.push(at + 3);
        }
    }
    let mut units: Vec<Vec<&[u8]>> = Vec::new();
    for (index, start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).map_or(stream.len(), |next| next - 3);
        let mut nal = &stream[*start..end];
        while nal.last() == Some(&0) {
            nal = &nal[..nal.len() - 1];
        }
        if nal[0] & 0x1f == 9 {
            units.push(Vec::new());
        }
        units
            .last_mut()
            .expect("it begins with a delimiter")
            .push(nal);
    }
    units
}

/// A stream and its forward.
pub struct Stage {
    pub stream: Arc<Stream>,
    pub told: Told,
    hub: Hub,
    publisher: Publisher,
    running: JoinHandle<()>,
    has_source: bool,
    b_frames: bool,
    /// Channel time of what is sent next, and of the next sound.
    now_90k: i64,
    sound_48k: i64,
}

impl Stage {
    pub async fn new(server: &LivekitServer, room: &str) -> Stage {
        Stage::with_secret(server, room, SECRET).await
    }

    pub async fn with_secret(server: &LivekitServer, room: &str, secret: &str) -> Stage {
        let clock = Clock::system();
        let hub = hub(&clock);
        let request = PublishRequest {
            proto: "rtmp",
            peer: ([127, 0, 0, 1], 1).into(),
            key: Secret::new("local#app#stage"),
            capabilities: None,
            tags: Vec::new(),
        };
        let publisher = hub.publish(request).await.unwrap();
        let stream = hub.stream(publisher.stream_id()).unwrap();
        let about = About {
            id: "stage/room".to_owned(),
            kind: "livekit",
            channel_id: "local#app#stage".to_owned(),
            stream_id: stream.id().to_string(),
            destination: server.url(),
        };
        let told = Told::new(about, &clock);
        let address = Server::new(&server.url(), KEY, &Secret::new(secret)).unwrap();
        let carrier = Room::new(&address, room, "Stage", Arc::new(forebay::rtc::open));
        let tasks = Tasks::new();
        let run = forward::run(
            stream.clone(),
            Box::new(carrier),
            told.clone(),
            7,
            tasks.clone(),
        );
        Stage {
            stream,
            told,
            hub,
            publisher,
            running: tasks.spawn(run),
            has_source: false,
            b_frames: false,
            now_90k: 0,
            sound_48k: 0,
        }
    }

    /// The encoder sends this.
    pub fn source(&mut self, clip: &Picture) {
        self.publisher.set_track(clip.track.clone());
        self.has_source = true;
        self.sources(clip, 0, 2);
        self.now_90k += 2 * 90_000 / i64::from(clip.fps);
    }

    /// The same with pictures that are shown later than they are decoded.
    pub fn source_with_b_frames(&mut self, clip: &Picture) {
        self.b_frames = true;
        let mut track = clip.track.clone();
        if let CodecConfig::Avc(config) = &mut track.config {
            config.max_reorder_frames = Some(2);
        }
        self.publisher.set_track(track);
        self.publisher.set_track(aac_track());
        self.has_source = true;
        self.sources(clip, 0, 2);
        for index in 0..4 {
            self.publisher.push(AccessUnit {
                kind: MediaKind::Audio,
                dts: Ticks(index * 1024),
                pts: Ticks(index * 1024),
                duration: None,
                key: true,
                data: Bytes::from_static(&[0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c]),
            });
        }
    }

    fn sources(&mut self, clip: &Picture, from: usize, to: usize) {
        let step = 90_000 / i64::from(clip.fps);
        for (index, (key, data)) in clip.units[from..to].iter().enumerate() {
            let dts = self.now_90k + i64::try_from(from + index).unwrap() * step;
            let shift = if self.b_frames { step } else { 0 };
            self.publisher.push(AccessUnit {
                kind: MediaKind::Video,
                dts: Ticks(dts),
                pts: Ticks(dts + shift * i64::try_from(1 + index % 2).unwrap()),
                duration: None,
                key: *key,
                data: data.clone(),
            });
        }
    }

    fn make(&self, name: &str, track: Track, fps: u32) -> RenditionId {
        let new = NewRendition {
            name: name.into(),
            track,
            peak_bps: 1_100_000,
            average_bps: 1_000_000,
            frame_rate_millis: fps * 1000,
        };
        self.stream.add_private(new).unwrap()
    }

    pub fn make_picture(&self, name: &str, clip: &Picture) -> RenditionId {
        self.make(name, clip.track.clone(), clip.fps)
    }

    pub fn make_opus(&self) -> RenditionId {
        self.make("opus", opus_track(), 0)
    }

    /// Sends a clip once: by the encoder, if there is one without B-frames, and as what is made for rooms.
    pub async fn play(&mut self, clip: &Picture, made: &[RenditionId]) {
        self.play_many(&[clip], made, None).await;
    }

    /// Sends clips of one length side by side.
    pub async fn play_all(&mut self, clips: &[Picture], rungs: &[RenditionId], sound: RenditionId) {
        let clips: Vec<&Picture> = clips.iter().collect();
        self.play_many(&clips, rungs, Some(sound)).await;
    }

    async fn play_many(
        &mut self,
        clips: &[&Picture],
        made: &[RenditionId],
        sound: Option<RenditionId>,
    ) {
        let fps = clips[0].fps;
        // What an encoder sends is timed by its arrival.
        let speed = if self.has_source { 1 } else { SPEED };
        let mut pace = tokio::time::interval(Duration::from_secs(1) / (fps * speed));
        let step = 90_000 / i64::from(fps);
        let frames = clips[0].units.len();
        // With one clip the last of those that are made may be the sound.
        let sound = sound.or_else(|| made.get(1).copied().filter(|_| clips.len() == 1));
        let sound = match (clips.len(), made.len(), self.has_source && !self.b_frames) {
            (1, 1, true) => Some(made[0]),
            _ => sound,
        };
        for index in 0..frames {
            pace.tick().await;
            if self.has_source && !self.b_frames {
                self.sources(clips[0], index, index + 1);
            } else {
                for (clip, id) in clips.iter().zip(made) {
                    let (key, data) = &clip.units[index];
                    let time = Ticks(self.now_90k + i64::try_from(index).unwrap() * step);
                    self.stream.push_private(
                        *id,
                        AccessUnit {
                            kind: MediaKind::Video,
                            dts: time,
                            pts: time,
                            duration: None,
                            key: *key,
                            data: data.clone(),
                        },
                    );
                }
            }
            let until = (self.now_90k + i64::try_from(index + 1).unwrap() * step) * 48 / 90;
            while let Some(sound) = sound.filter(|_| self.sound_48k < until) {
                let time = Ticks(self.sound_48k);
                self.stream.push_private(
                    sound,
                    AccessUnit {
                        kind: MediaKind::Audio,
                        dts: time,
                        pts: time,
                        duration: Some(Ticks(960)),
                        key: true,
                        data: Bytes::from_static(&[0xfc, 0xff, 0xfe]),
                    },
                );
                self.sound_48k += 960;
            }
        }
        self.now_90k += i64::try_from(frames).unwrap() * step;
    }

    /// Nothing comes for a while of media time.
    pub fn skip(&mut self, time: Duration) {
        let seconds = i64::try_from(time.as_secs()).unwrap();
        self.now_90k += seconds * 90_000;
        self.sound_48k += seconds * 48_000;
    }

    /// Waits until the forward is so.
    pub async fn until(&self, state: State) {
        let looking = async {
            let mut again = tokio::time::interval(Duration::from_millis(5));
            while self.told.status().state != state {
                again.tick().await;
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, looking).await;
        outcome.unwrap_or_else(|_| panic!("never {state:?}: {:?}", self.told.status()));
    }

    /// Waits until taps need this.
    pub async fn needed(&self, is_so: impl Fn(&Needs) -> bool) {
        let mut needs = self.stream.needs();
        let needed = tokio::time::timeout(PATIENCE, needs.wait_for(|needs| is_so(needs))).await;
        needed.expect("it is needed").unwrap();
    }

    /// The stream is over, and so is its forward.
    pub async fn end(self) {
        self.hub.kill("local#app#stage", "over", false).await;
        let ended = tokio::time::timeout(PATIENCE, self.running).await;
        ended.expect("it ends with its stream").unwrap();
        assert_eq!(self.told.status().state, State::Over);
    }
}

fn opus_track() -> Track {
    Track {
        config: CodecConfig::Opus(opus::Config::new(2).unwrap()),
        timescale: Timescale::of(48_000),
    }
}

fn aac_track() -> Track {
    let record = Bytes::from_static(&[0x11, 0x90]);
    Track {
        config: CodecConfig::Aac(forebay::media::codec::aac::Config::parse(record).unwrap()),
        timescale: Timescale::of(48_000),
    }
}
