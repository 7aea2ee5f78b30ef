//! SRT and RTMP on one key: whoever goes, the other one has the air, and viewers never reload. Real
//! encoders at the pace of their clocks, the real binary.

use std::path::Path;
use std::time::Duration;

use forebay::manifest::check::check_media_playlist;
use forebay::manifest::parse::Media;
use serde_json::Value;

use crate::common::gateway::{Folder, Gateway};
use crate::common::http;
use crate::common::media::Clip;
use crate::common::server::Publishing;
use crate::common::srt::{Call, Sender};

const KEY: &str = "MembersKey0123456789";
const ADMIN: &str = "MembersAdmin0123456789";
/// Pictures come every 33 ms, and a busy machine may be late.
const SILENCE_MS: &str = "700";

/// A gateway, and what its viewers have read so far.
struct Watched {
    gateway: Gateway,
    _folder: Folder,
    id: Option<String>,
    playlist: Option<String>,
}

impl Watched {
    async fn start() -> Watched {
        let folder = Folder::new();
        let settings = [
            ("FOREBAY_STREAM_KEY", KEY),
            ("FOREBAY_ADMIN_KEY", ADMIN),
            ("FOREBAY_SILENCE_MS", SILENCE_MS),
        ];
        Watched {
            gateway: folder.serve(&settings).await,
            _folder: folder,
            id: None,
            playlist: None,
        }
    }

    fn rtmp(&self) -> Publishing {
        let url = format!("rtmp://{}/live/{KEY}", self.gateway.rtmp());
        Publishing::start("ffmpeg", &Clip::long("flv").file(), "-re", &url)
    }

    fn srt(&self) -> Sender {
        let file = Clip::long("ts").file();
        Call::new(self.gateway.srt(), KEY).ffmpeg_5(Path::new(&file))
    }

    /// Its publishers, as an operator sees them: protocol and state, in the order of their coming.
    async fn publishers(&self) -> Option<Vec<(String, String)>> {
        let key = [("X-Admin-Key", ADMIN)];
        let path = "/api/admin/streams";
        let answer = http::request(self.gateway.http(), "GET", path, &key).await;
        let streams: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let streams = streams.as_array().expect("a list");
        assert!(streams.len() <= 1, "one stream: {streams:?}");
        let stream = streams.first()?;
        if let Some(id) = &self.id {
            assert_eq!(stream["streamId"], **id, "the stream is the same");
        }
        let publishers = stream["publishers"].as_array().expect("a list").iter();
        // Those that have sent a picture.
        let ready = publishers.filter(|publisher| publisher["video"]["width"] == 320);
        let word = |value: &Value| value.as_str().expect("text").to_owned();
        Some(
            ready
                .map(|publisher| (word(&publisher["proto"]), word(&publisher["state"])))
                .collect(),
        )
    }

    /// Waits for publishers in these states; viewers go on reading.
    async fn until(&mut self, wanted: &[(&str, &str)]) {
        let mut playlist = self.playlist.take();
        self.gateway
            .until(&format!("{wanted:?}"), async || {
                self.read(&mut playlist).await;
                let now = self.publishers().await?;
                let now: Vec<_> = now.iter().map(|(p, s)| (&**p, &**s)).collect();
                (now == wanted).then_some(())
            })
            .await;
        self.playlist = playlist;
        if self.id.is_none() {
            self.id = Some(self.gateway.stream_id().await);
        }
    }

    /// What a player does: reads the playlist again, and finds nothing wrong with it.
    async fn read(&self, before: &mut Option<String>) {
        let Some(id) = &self.id else { return };
        let path = format!("/hls/{id}/source/index.m3u8");
        let answer = self.gateway.get(&path).await;
        if answer.status == 404 && before.is_none() {
            return;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text().to_owned();
        assert!(!text.contains("ENDLIST"), "it goes on: {text}");
        let broken = check_media_playlist(&text, before.as_deref());
        assert!(broken.is_empty(), "{broken:#?}\n{text}");
        *before = Some(text);
    }

    /// Waits until a segment is complete that is not yet in the playlist.
    async fn goes_on(&mut self) {
        let mut playlist = self.playlist.take();
        let newest = |text: &str| {
            let segments = Media::parse(text).expect("a playlist").segments;
            let with_media = segments.iter().filter(|segment| !segment.gap);
            with_media
                .map(|segment| segment.uri.clone())
                .rfind(|uri| !uri.is_empty())
        };
        let last = playlist.as_deref().and_then(newest);
        self.gateway
            .until("a new segment", async || {
                self.read(&mut playlist).await;
                let now = playlist.as_deref().and_then(newest);
                (now.is_some() && now != last).then_some(())
            })
            .await;
        self.playlist = playlist;
    }
}

/// M-5 and M-11 of the channel contract, across protocols.
#[tokio::test(flavor = "multi_thread")]
async fn rtmp_and_srt_on_one_key_fail_over_into_each_other() {
    let mut watched = Watched::start().await;
    let primary = watched.rtmp();
    watched.until(&[("rtmp", "on-air")]).await;
    let backup = watched.srt();
    watched
        .until(&[("rtmp", "on-air"), ("srt", "standby")])
        .await;
    primary.kill();
    watched.until(&[("srt", "on-air")]).await;
    watched.goes_on().await;
    let primary = watched.rtmp();
    watched
        .until(&[("srt", "on-air"), ("rtmp", "standby")])
        .await;

    // Silent: it loses the air and keeps its connection.
    backup.signal("STOP");
    watched
        .until(&[("srt", "silent"), ("rtmp", "on-air")])
        .await;
    backup.signal("CONT");
    watched
        .until(&[("srt", "standby"), ("rtmp", "on-air")])
        .await;
    primary.kill();
    watched.until(&[("srt", "on-air")]).await;
    watched.goes_on().await;
    backup.kill();

    // Nobody, and the caller comes back.
    watched.until(&[]).await;
    let again = watched.srt();
    watched.until(&[("srt", "on-air")]).await;
    watched.goes_on().await;
    again.kill();
    watched.gateway.stop().await;
}

/// As an operator stops it: callers are told, and whoever is in a hurry signals twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_callers_and_a_second_signal_waits_for_nothing() {
    let file = Clip::long("ts").file();
    for signals in 1..=2 {
        let folder = Folder::new();
        let settings = [("FOREBAY_STREAM_KEY", KEY)];
        let mut gateway = folder.serve(&settings).await;
        let sender = Call::new(gateway.srt(), KEY).ffmpeg_5(&file);
        gateway.stream_id().await;
        gateway.signal("TERM").await;
        if signals == 2 {
            let stopping = async || gateway.log().contains("stopping").then_some(());
            gateway.until("begin of the stop", stopping).await;
            gateway.signal("TERM").await;
        }
        let code = gateway.ended(Duration::from_secs(10)).await;
        assert_eq!(code, Some(0), "{signals} signals: {}", gateway.log());
        if signals == 1 {
            let (well, said) = sender.ended().await;
            assert!(!well, "its stream was cut: {said}");
            assert!(gateway.log().contains("publish ended"), "{}", gateway.log());
        }
    }
}
