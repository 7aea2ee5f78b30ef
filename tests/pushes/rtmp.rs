//! By RTMP: a listening ffmpeg that writes down what comes, and a second gateway.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::common::server::{KEY, PATIENCE, Server};

/// ffmpeg as a server that takes one publish and writes it down; ended with the test.
struct Listener(Option<Child>);

impl Listener {
    fn start(url: &str, file: &Path) -> Listener {
        let child = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y", "-listen", "1", "-i", url])
            .args(["-c", "copy"])
            .arg(file)
            .stdin(Stdio::null())
            .spawn();
        Listener(Some(child.expect("ffmpeg is installed")))
    }

    /// Waits until it has finished its file.
    async fn finish(mut self) {
        let mut child = self.0.take().expect("it runs");
        let ended = tokio::task::spawn_blocking(move || child.wait());
        let ended = tokio::time::timeout(PATIENCE, ended).await;
        let status = ended.expect("it ends with the publish");
        assert!(status.expect("no panic").expect("it is ours").success());
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listening_ffmpeg_writes_down_every_picture_with_its_sound_in_time() {
    let pushing = Pushing::start(&[]).await;
    let url = format!("rtmp://127.0.0.1:{}/app", free_port());
    let folder = Folder::new();
    let file = folder.file("far.mkv");
    let far = Listener::start(&format!("{url}/name"), &file);
    pushing.add_rtmp(&url, "name").await;
    let encoder = pushing.publish(&clip().file());
    let live = pushing.until_state("live").await;
    assert_eq!(live["url"], url);
    encoder.finish().await.expect("it is listened to");
    // What came is sent before the goodbye.
    pushing.end_stream().await;
    far.finish().await;
    let first = assert_every_picture(&file, 239);
    assert!(first <= 120, "the first one is {first}");
    assert_lips(&file, &file, 3);
    pushing.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_gateway_lists_what_the_first_one_pushes_and_nothing_is_missing() {
    let far = Server::passthrough().await;
    let pushing = Pushing::start(&[]).await;
    let url = format!("rtmp://{}/ingest", far.rtmp());
    let id = pushing.add_rtmp(&url, KEY).await;
    let encoder = pushing.publish(&clip().file());
    pushing.until_state("live").await;
    far.segments("source", 2).await;
    encoder.finish().await.expect("it is listened to");
    let told = pushing.told().await;
    assert_eq!(
        (&told["state"], &told["droppedUnits"], &told["connected"]),
        (&json!("live"), &json!(0), &json!(1))
    );
    // A destination that is removed hears a goodbye, as one does whose stream is over.
    pushing.remove(&id).await;
    far.published().await;
    let metrics = far.get("/metrics").await;
    let finished = "forebay_listener_publishes_total{proto=\"rtmp\",event=\"finished\"} 1";
    assert!(metrics.text().contains(finished), "{}", metrics.text());
    let (video, audio) = (far.download("source").await, far.download("audio").await);
    assert_every_picture(&video, 239);
    assert_lips(&video, &audio, 3);
    pushing.gateway.stop().await;
    far.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_far_side_that_is_killed_is_fed_again_from_a_key_unit_when_it_is_back() {
    let folder = Folder::new();
    let key = [("FOREBAY_STREAM_KEY", STREAM_KEY)];
    let far = folder.serve(&key).await;
    let address = far.rtmp().to_string();
    let pushing = Pushing::start(&[]).await;
    pushing
        .add_rtmp(&format!("rtmp://{address}/live"), STREAM_KEY)
        .await;
    let _encoder = pushing.publish(&Clip::long("flv").file());
    pushing.until_state("live").await;
    far.stream_id().await;
    far.kill().await;
    let told = pushing.until_state("retrying").await;
    let reason = told["reason"].as_str().expect("why");
    assert!(!reason.is_empty() && told["nextAttemptUnixMs"].is_i64());

    let far = folder
        .serve(&[key[0], ("FOREBAY_RTMP", address.as_str())])
        .await;
    let told = pushing
        .until("live again", |told| told["connected"] == 2)
        .await;
    assert!(told["reason"].is_null(), "{told}");
    // What it lists now can be decoded from its first picture on.
    let segment = far
        .until("a segment", async || {
            let id = far.stream_id().await;
            let list = far.get(&format!("/hls/{id}/source/index.m3u8")).await;
            let list = forebay::manifest::parse::Media::parse(list.text()).ok()?;
            let last = list
                .segments
                .iter()
                .rfind(|one| !one.gap && !one.uri.is_empty())?;
            let map = list.segments.iter().find_map(|one| one.map.clone())?;
            let mut bytes = Vec::new();
            for name in [&map, &last.uri] {
                let answer = far.get(&format!("/hls/{id}/source/{name}")).await;
                bytes.extend((answer.status == 200).then_some(answer.body)?);
            }
            Some(bytes)
        })
        .await;
    let file = folder.file("again.mp4");
    std::fs::write(&file, segment).expect("the folder can be written");
    assert!(pictures(&file).iter().all(|one| one.number.is_some()));
    // Our own viewers saw nothing of it.
    let ours = pushing.gateway.stream_id().await;
    let list = pushing
        .gateway
        .get(&format!("/hls/{ours}/source/index.m3u8"))
        .await;
    let text = list.text();
    assert!(
        !text.contains("#EXT-X-GAP") && !text.contains("#EXT-X-DISCONTINUITY\n"),
        "{text}"
    );
    pushing.gateway.stop().await;
    far.stop().await;
}

/// A gateway that takes RTMPS, and the file with its certificate.
pub(crate) async fn secured(folder: &Folder) -> (Gateway, String) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let certificate = folder.write("cert.pem", &made.cert.pem());
    folder.write("key.pem", &made.signing_key.serialize_pem());
    let settings = [
        ("FOREBAY_TLS_CERT", "cert.pem"),
        ("FOREBAY_TLS_KEY", "key.pem"),
        ("FOREBAY_RTMPS", "127.0.0.1:0"),
        ("FOREBAY_STREAM_KEY", STREAM_KEY),
    ];
    (folder.serve(&settings).await, certificate)
}

#[tokio::test(flavor = "multi_thread")]
async fn rtmps_goes_to_whom_the_machine_trusts_and_to_nobody_else() {
    let folder = Folder::new();
    let (far, certificate) = secured(&folder).await;
    let url = format!("rtmps://localhost:{}/live", far.rtmps().port());
    let clip = Clip::long("flv").file();

    let stranger = Pushing::start(&[]).await;
    stranger.add_rtmp(&url, STREAM_KEY).await;
    let _unheard = stranger.publish(&clip);
    let told = stranger.until_state("refused").await;
    let reason = told["reason"].as_str().expect("why");
    assert!(
        reason.starts_with("its certificate is not accepted: ") && reason.contains("UnknownIssuer"),
        "{reason}"
    );
    assert_eq!(told["bytes"], 0);

    let trusting = Pushing::start(&[("SSL_CERT_FILE", certificate.as_str())]).await;
    trusting.add_rtmp(&url, STREAM_KEY).await;
    let _heard = trusting.publish(&clip);
    trusting.until_state("live").await;
    let sent = |told: &Value| told["packets"].as_u64().is_some_and(|sent| sent > 60);
    trusting.until("media by TLS", sent).await;
    for gateway in [stranger.gateway, trusting.gateway, far] {
        gateway.stop().await;
    }
}
