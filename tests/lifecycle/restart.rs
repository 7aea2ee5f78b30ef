//! The server goes and comes back, on the same folder and ports; the encoder comes back by itself, and
//! players go on with the addresses that they have.

use std::path::PathBuf;

use super::KEY;
use crate::common::gateway::{Folder, Gateway};
use crate::common::media::Clip;
use crate::common::server::Publishing;

/// Ports that the system chose for the first run, for the next one.
fn addresses(gateway: &Gateway) -> (String, String) {
    (gateway.http().to_string(), gateway.rtmp().to_string())
}

async fn serve(folder: &Folder, (http, rtmp): &(String, String), reconnect: &str) -> Gateway {
    folder
        .serve(&[
            ("FOREBAY_HTTP", http),
            ("FOREBAY_RTMP", rtmp),
            ("FOREBAY_STREAM_KEY", KEY),
            ("FOREBAY_SEGMENT_SECONDS", "1"),
            ("FOREBAY_RECONNECT_SECONDS", reconnect),
        ])
        .await
}

fn any_ports() -> (String, String) {
    ("127.0.0.1:0".to_owned(), "127.0.0.1:0".to_owned())
}

fn clip() -> PathBuf {
    let clip = Clip {
        width: 320,
        height: 180,
        ..Clip::h264(1800, 30)
    };
    clip.file()
}

/// As OBS does it: at the pace of its clock.
fn publish(gateway: &Gateway) -> Publishing {
    let url = format!("rtmp://{}/ingest/{KEY}", gateway.rtmp());
    Publishing::start("ffmpeg", &clip(), "-re", &url)
}

fn value<'a>(text: &'a str, before: &str) -> &'a str {
    let rest = text.split(before).nth(1);
    let rest = rest.unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split(['\n', '"']).next().expect("split has a first")
}

fn number(text: &str, tag: &str) -> u64 {
    value(text, tag).parse().expect("a number")
}

/// What a player of the stream knows.
struct Known {
    playlist: String,
    epoch: String,
}

impl Known {
    fn first_sequence(&self) -> u64 {
        number(&self.playlist, "#EXT-X-MEDIA-SEQUENCE:")
    }

    fn discontinuity_sequence(&self) -> u64 {
        number(&self.playlist, "#EXT-X-DISCONTINUITY-SEQUENCE:")
    }

    /// Complete segments, with the tags of each.
    fn segments(&self) -> Vec<&str> {
        let mut segments: Vec<&str> = self.playlist.split_inclusive(".m4s\n").collect();
        segments.pop();
        segments
    }

    fn last_sequence(&self) -> u64 {
        self.first_sequence() + self.segments().len() as u64 - 1
    }

    /// Numbers of its parts and of the hinted one.
    fn parts(&self) -> Vec<u64> {
        let parts = self.playlist.split("URI=\"p").skip(1);
        let number = |rest: &str| rest.split(".m4s").next()?.parse().ok();
        parts.filter_map(number).collect()
    }
}

async fn known(gateway: &Gateway, id: &str, segments: usize) -> Known {
    let playlist = gateway
        .until("segments", async || {
            let answer = gateway.get(&format!("/hls/{id}/source/index.m3u8")).await;
            let text = answer.text();
            let media = text.matches("\n#EXTINF").count() - text.matches("\n#EXT-X-GAP").count();
            (answer.status == 200 && media >= segments).then(|| text.to_owned())
        })
        .await;
    let mpd = gateway.get(&format!("/dash/{id}/manifest.mpd")).await;
    let epoch = value(mpd.text(), "availabilityStartTime=\"").to_owned();
    Known { playlist, epoch }
}

/// What players of `before` find under the same addresses is the same timeline, further on.
fn assert_goes_on(before: &Known, after: &Known) {
    let (old, new) = (&before.playlist, &after.playlist);
    assert!(
        after.first_sequence() > before.last_sequence(),
        "{old}{new}"
    );
    assert!(after.parts().first() > before.parts().last(), "{old}{new}");
    assert!(
        after.discontinuity_sequence() >= before.discontinuity_sequence(),
        "{old}{new}"
    );
    assert_eq!(after.epoch, before.epoch);
    let segments = after.segments();
    let gaps = segments.iter().filter(|text| text.contains("#EXT-X-GAP"));
    let gaps = gaps.count();
    assert!(gaps > 0, "the time between is stated: {new}");
    let first = segments[gaps];
    assert!(first.contains("#EXT-X-DISCONTINUITY\n"), "{first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_takes_its_streams_up_again() {
    let folder = Folder::new();
    let gateway = serve(&folder, &any_ports(), "30").await;
    let ports = addresses(&gateway);
    let _encoder = publish(&gateway);
    let id = gateway.stream_id().await;
    let before = known(&gateway, &id, 2).await;
    gateway.kill().await;

    let gateway = serve(&folder, &ports, "30").await;
    // Nobody publishes yet: whoever asks for the channel is led to the stream, and is not told that it
    // is on air.
    let by_alias = gateway.get("/hls/live/index.m3u8").await;
    assert_eq!(by_alias.status, 302);
    assert!(by_alias.header("location").unwrap().contains(&id));
    let by_channel = gateway.get("/pcast/channel/live/live.m3u8").await;
    assert_eq!(by_channel.status, 302);
    assert!(by_channel.header("location").unwrap().contains(&id));
    let list = gateway.get("/streams.json").await;
    assert!(list.text().contains("\"onAir\":false"), "{}", list.text());
    let old = before.last_sequence();
    let media = gateway.get(&format!("/hls/{id}/source/{old}.m4s")).await;
    assert_eq!(media.status, 404);

    // A player that waits for its playlist gets it when the encoder is back.
    let path = format!("/hls/{id}/source/index.m3u8?_HLS_msn={}", old + 1);
    let waiting = gateway.get(&path);
    let publishing = async { publish(&gateway) };
    let (answer, _encoder) = tokio::join!(waiting, publishing);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let after = known(&gateway, &id, 1).await;
    assert_goes_on(&before, &after);
    assert_eq!(gateway.stream_id().await, id);
    gateway.stop().await;

    // And once more, after a goodbye.
    let gateway = serve(&folder, &ports, "30").await;
    let _encoder = publish(&gateway);
    let last = known(&gateway, &id, 1).await;
    assert_goes_on(&after, &last);
    gateway.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_encoder_stays_away_is_over() {
    let folder = Folder::new();
    let gateway = serve(&folder, &any_ports(), "1").await;
    let ports = addresses(&gateway);
    let encoder = publish(&gateway);
    let id = gateway.stream_id().await;
    known(&gateway, &id, 1).await;
    gateway.kill().await;
    encoder.kill();

    let gateway = serve(&folder, &ports, "1").await;
    let over = async || {
        let answer = gateway.get(&format!("/hls/{id}/source/0.m4s")).await;
        (answer.text().contains("no stream")).then_some(())
    };
    gateway.until("end of the stream", over).await;
    for path in ["hls/{}/index.m3u8", "dash/{}/manifest.mpd"] {
        let answer = gateway.get(&format!("/{}", path.replace("{}", &id))).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    let _encoder = publish(&gateway);
    assert_ne!(gateway.stream_id().await, id);
    gateway.kill().await;
}
