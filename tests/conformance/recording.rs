//! A channel published in real time, and all that players of it were given.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};

use forebay::config::Config;
use forebay::manifest::parse::Media;

use crate::common::http::{self, Answer};
use crate::common::media::Clip;
use crate::common::server::Server;

/// One answer to a reload of a media playlist.
#[derive(Clone, Debug)]
pub struct Reload {
    /// `_HLS_msn` of the request; 0 for the first, which does not block.
    pub sequence: u64,
    /// `_HLS_part`
    pub part: usize,
    pub text: String,
}

/// A segment that was asked for while it grew.
#[derive(Clone, Debug, Default)]
pub struct Growing {
    pub path: String,
    /// Bytes, and whether the segment was complete when they came.
    pub chunks: Vec<(Vec<u8>, bool)>,
}

/// What the players of one channel got. Paths are those below the stream's folder.
#[derive(Debug, Default)]
pub struct Recording {
    /// The first multivariant playlist and the last one.
    pub multivariant: Vec<String>,
    /// Per rendition, in order.
    pub reloads: BTreeMap<String, Vec<Reload>>,
    /// Parts that were asked for when they were hinted.
    pub hinted: Vec<(String, Answer)>,
    pub manifests: Vec<String>,
    pub low_latency: Vec<String>,
    /// The newest segment of each manifest, asked for at once.
    pub newest_of_mpd: Vec<(String, u16)>,
    pub growing: Growing,
    /// Wrong delivery directives and what was answered.
    pub refusals: Vec<(String, u16)>,
    /// Status of a part far beyond the hinted one.
    pub unhinted: u16,
    /// One answer of each kind, asked for with gzip.
    pub answers: Vec<(String, Answer)>,
    /// Every init, segment and part in the last playlists, fetched below `/hls`.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The same paths, fetched below `/dash`.
    pub dash_files: BTreeMap<String, Vec<u8>>,
}

impl Recording {
    pub fn last_playlists(&self) -> impl Iterator<Item = (&str, &str)> {
        self.reloads
            .iter()
            .filter_map(|(name, reloads)| Some((&**name, &*reloads.last()?.text)))
    }

    pub fn last_playlist(&self, name: &str) -> &str {
        &self.reloads[name].last().expect("a reload").text
    }

    pub fn file(&self, path: &str) -> &[u8] {
        let file = self.files.get(path);
        file.unwrap_or_else(|| panic!("{path} is not in the last playlist"))
    }
}

/// Ten seconds of 640x360 with a key frame every 2 s, ladder off.
pub fn passthrough() -> &'static Recording {
    static RECORDING: OnceLock<Option<Recording>> = OnceLock::new();
    let recording = RECORDING.get_or_init(|| {
        let off = |config: &mut Config| config.media.ladder = "off".to_owned();
        made(&Clip::h264(300, 60), off)
    });
    recording.as_ref().expect("a recording is made")
}

/// Twelve seconds with the ladder on, audio-only renditions included: without these nothing is thin
/// enough for rule M5.
pub fn ladder() -> &'static Recording {
    static RECORDING: OnceLock<Option<Recording>> = OnceLock::new();
    let recording = RECORDING.get_or_init(|| {
        let audio_only = |config: &mut Config| {
            let capabilities = &mut config.media.default_capabilities;
            capabilities.push("audio-only".to_owned());
        };
        made(&Clip::h264(360, 60), audio_only)
    });
    recording.as_ref().expect("a recording is made")
}

/// Tests share a recording but not a runtime. `None` when it failed, which is not tried again.
fn made(clip: &Clip, change: fn(&mut Config)) -> Option<Recording> {
    let clip = clip.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        runtime.block_on(record(&clip, change))
    });
    thread.join().ok()
}

struct Viewer {
    http: SocketAddr,
    base: String,
    recording: Arc<Mutex<Recording>>,
}

async fn record(clip: &Clip, change: fn(&mut Config)) -> Recording {
    let server = Server::start(change).await;
    let file = clip.file();
    let publishing = server.publish(&file, "-re");
    let id = server.stream_id().await;
    let recording = Arc::new(Mutex::new(Recording::default()));
    let viewer = || Viewer {
        http: server.http(),
        base: format!("{id}"),
        recording: recording.clone(),
    };
    let first = server.playlist("index.m3u8").await;
    recording.lock().unwrap().multivariant.push(first.clone());
    let mut watching = tokio::task::JoinSet::new();
    for name in renditions(&first) {
        let viewer = viewer();
        watching.spawn(async move { viewer.play(&name).await });
    }
    let grower = viewer();
    let timeline = server.timeline().await;
    let begun = || timeline.progress("source");
    let begun = server.until("part", begun).await;
    watching.spawn(async move {
        let name = "source";
        let at = begun.last_sequence + 1;
        grower
            .grow(name, at, || {
                timeline.progress(name).is_some_and(|p| {
                    p.last_sequence > at || p.last_sequence == at && p.last_complete
                })
            })
            .await;
    });
    publishing.finish().await.expect("the clip is published");
    server.published().await;
    watching.abort_all();
    while let Some(ended) = watching.join_next().await {
        if let Err(err) = ended {
            assert!(err.is_cancelled(), "a player failed: {err}");
        }
    }
    viewer().collect().await;
    server.stop().await;
    std::mem::take(&mut recording.lock().unwrap())
}

/// Folder names in a multivariant playlist.
fn renditions(multivariant: &str) -> Vec<String> {
    let mut names: Vec<String> = multivariant
        .split(['"', '\n'])
        .filter_map(|text| text.strip_suffix("/index.m3u8"))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

impl Viewer {
    async fn get(&self, path: &str) -> Answer {
        http::get(self.http, &format!("/hls/{}/{path}", self.base)).await
    }

    async fn dash(&self, path: &str) -> Answer {
        http::get(self.http, &format!("/dash/{}/{path}", self.base)).await
    }

    /// Reloads a media playlist as a low-latency player does, and asks for each hinted part.
    async fn play(&self, name: &str) {
        let (mut sequence, mut part) = (0, 0);
        let mut query = String::new();
        loop {
            let answer = self.get(&format!("{name}/index.m3u8{query}")).await;
            assert_eq!(answer.status, 200, "{name}{query}: {}", answer.text());
            let text = answer.text().to_owned();
            let playlist = Media::parse(&text).expect("a playlist");
            {
                let mut recording = self.recording.lock().unwrap();
                let reloads = recording.reloads.entry(name.to_owned()).or_default();
                reloads.push(Reload {
                    sequence,
                    part,
                    text,
                });
            }
            let last = playlist.segments.last().expect("a segment");
            let newest = playlist.first_sequence() + playlist.segments.len() as u64 - 1;
            (sequence, part) = match last.uri.is_empty() {
                true => (newest, last.parts.len()),
                false => (newest + 1, 0),
            };
            query = format!("?_HLS_msn={sequence}&_HLS_part={part}");
            let hint = playlist.hints.first().and_then(|hint| hint.get("URI"));
            let path = format!("{name}/{}", hint.expect("a hint"));
            let answer = self.get(&path).await;
            self.recording.lock().unwrap().hinted.push((path, answer));
            if name == "source" {
                self.read_manifests().await;
            }
        }
    }

    async fn read_manifests(&self) {
        let manifest = self.dash("manifest.mpd").await;
        let low_latency = self.dash("ll.mpd").await;
        let mut newest = Vec::new();
        if manifest.status == 200 {
            let text = manifest.text();
            for path in newest_segments(text) {
                newest.push((path.clone(), self.dash(&path).await.status));
            }
        }
        let mut recording = self.recording.lock().unwrap();
        recording.newest_of_mpd.extend(newest);
        let recording = &mut *recording;
        for (answer, list) in [
            (manifest, &mut recording.manifests),
            (low_latency, &mut recording.low_latency),
        ] {
            // Before the first segment is complete there is nothing to list.
            if answer.status == 200 && list.last().is_none_or(|last| last != answer.text()) {
                list.push(answer.text().to_owned());
            }
        }
    }

    /// Asks for a segment that has not begun, under `/dash`.
    async fn grow(&self, name: &str, sequence: u64, complete: impl Fn() -> bool) {
        let path = format!("{name}/{sequence}.m4s");
        let url = format!("/dash/{}/{path}", self.base);
        let mut growing = Growing {
            path,
            chunks: Vec::new(),
        };
        http::get_in_chunks(self.http, &url, |chunk| {
            growing.chunks.push((chunk, complete()));
        })
        .await;
        self.recording.lock().unwrap().growing = growing;
    }

    /// What is there when the publisher has gone.
    async fn collect(&self) {
        let multivariant = self.get("index.m3u8").await.text().to_owned();
        let mut paths = Vec::new();
        let mut more: Vec<String> = vec!["index.m3u8".to_owned()];
        for name in renditions(&multivariant) {
            let text = self
                .get(&format!("{name}/index.m3u8"))
                .await
                .text()
                .to_owned();
            let playlist = Media::parse(&text).expect("a playlist");
            for segment in &playlist.segments {
                let uris = segment.map.iter().chain(std::iter::once(&segment.uri));
                let uris = uris.chain(segment.parts.iter().map(|part| &part.uri));
                let uris = uris.filter(|uri| !uri.is_empty());
                paths.extend(uris.map(|uri| format!("{name}/{uri}")));
            }
            let last = playlist.first_sequence() + playlist.segments.len() as u64;
            let playlist = format!("{name}/index.m3u8");
            let refused = [
                "_HLS_part=0".to_owned(),
                "_HLS_msn=x".to_owned(),
                format!("_HLS_msn={}", last + 3),
                format!("_HLS_msn={last}&_HLS_part=200"),
            ];
            for query in refused {
                let status = self.get(&format!("{playlist}?{query}")).await.status;
                let mut recording = self.recording.lock().unwrap();
                recording.refusals.push((query, status));
            }
            let mut recording = self.recording.lock().unwrap();
            let reloads = recording.reloads.entry(name).or_default();
            reloads.push(Reload {
                sequence: 0,
                part: 0,
                text,
            });
            more.push(playlist);
        }
        more.extend(paths.first().cloned());
        more.extend(paths.last().cloned());
        self.recording
            .lock()
            .unwrap()
            .multivariant
            .push(multivariant);
        for path in &paths {
            let hls = self.get(path).await;
            let dash = self.dash(path).await;
            assert_eq!((hls.status, dash.status), (200, 200), "{path}");
            let mut recording = self.recording.lock().unwrap();
            recording.files.insert(path.clone(), hls.body);
            recording.dash_files.insert(path.clone(), dash.body);
        }
        let more = more.iter().map(|path| format!("/hls/{}/{path}", self.base));
        let mpds = ["manifest.mpd", "ll.mpd"].map(|name| format!("/dash/{}/{name}", self.base));
        for path in more.chain(mpds) {
            let gzip = [("Accept-Encoding", "gzip")];
            let answer = http::request(self.http, "GET", &path, &gzip).await;
            self.recording.lock().unwrap().answers.push((path, answer));
        }
        let unhinted = self.get("source/p99999999999999.m4s").await.status;
        self.recording.lock().unwrap().unhinted = unhinted;
    }
}

/// The newest segment of each Representation of a manifest's last Period.
fn newest_segments(mpd: &str) -> Vec<String> {
    let period = mpd.rsplit("<Period ").next().expect("a Period");
    let mut paths = Vec::new();
    for representation in period.split("<Representation ").skip(1) {
        let value = |text: &str, name: &str| -> Option<String> {
            let from = text.split(&format!("{name}=\"")).nth(1)?;
            Some(from.split('"').next()?.to_owned())
        };
        let id = value(representation, "id").expect("an id");
        let first: u64 = value(representation, "startNumber")
            .and_then(|number| number.parse().ok())
            .expect("a number");
        let count: u64 = representation
            .split("<S ")
            .skip(1)
            .map(|s| {
                let s = s.split("/>").next().expect("an element");
                1 + value(s, " r").map_or(0, |r| r.parse().expect("a number"))
            })
            .sum();
        paths.push(format!("{id}/{}.m4s", first + count - 1));
    }
    paths
}
