//! Recordings of servers that are killed and start again.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_before_a_kill_plays_after_the_next_start() {
    let folder = Folder::new();
    let settings = [
        ("FOREBAY_STREAM_KEY", KEY),
        ("FOREBAY_ADMIN_KEY", ADMIN),
        ("FOREBAY_DEFAULT_CAPABILITIES", "streaming,on-demand"),
        ("FOREBAY_RECONNECT_SECONDS", "1"),
        ("FOREBAY_RECORD_MIN_FREE_MB", "0"),
    ];
    let gateway = folder.serve(&settings).await;
    let url = format!("rtmp://{}/ingest/{KEY}", gateway.rtmp());
    let clip = Clip::h264(300, 60).file();
    let publishing = Publishing::start("ffmpeg", &clip, "-re", &url);
    let id = gateway.stream_id().await;
    let recording = |address| {
        let path = format!("/api/admin/recordings/{id}");
        async move {
            let answer = http::request(address, "GET", &path, &[("X-Admin-Key", ADMIN)]).await;
            let text = (answer.status == 200).then(|| answer.text().to_owned())?;
            serde_json::from_str::<Value>(&text).ok()
        }
    };
    let address = gateway.http();
    let enough = async || {
        let found = recording(address).await?;
        (found["durationMs"].as_u64()? >= 4_000).then_some(found)
    };
    let before = gateway.until("four seconds of recording", enough).await;
    assert_eq!(before["state"], "recording");
    let busy = http::request(
        address,
        "DELETE",
        &format!("/api/admin/recordings/{id}"),
        &[("X-Admin-Key", ADMIN)],
    )
    .await;
    assert_eq!(busy.status, 409, "what is made is not deleted");
    gateway.kill().await;
    publishing.kill();

    let gateway = folder.serve(&settings).await;
    let address = gateway.http();
    let closed = async || {
        let found = recording(address).await?;
        found["endedUnixMs"].is_number().then_some(found)
    };
    let after = gateway.until("end of the recording", closed).await;
    assert!(
        after["durationMs"].as_u64() >= before["durationMs"].as_u64(),
        "{before} {after}"
    );
    let path = format!("/api/admin/recordings/{id}.mp4");
    let movie = http::request(address, "GET", &path, &[("X-Admin-Key", ADMIN)]).await;
    assert_eq!(movie.status, 200, "{}", gateway.log());
    let file = save(&format!("{id}.mp4"), &movie.body);
    let seen = tokio::task::spawn_blocking(move || numbers(&file))
        .await
        .unwrap();
    assert!(seen.len() >= 120, "{} frames", seen.len());
    assert!(seen.iter().zip(0..).all(|(seen, number)| *seen == number));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_that_returns_after_a_restart_goes_on_in_the_same_recording() {
    let folder = Folder::new();
    let settings = [
        ("FOREBAY_STREAM_KEY", KEY),
        ("FOREBAY_ADMIN_KEY", ADMIN),
        ("FOREBAY_DEFAULT_CAPABILITIES", "streaming,on-demand"),
        ("FOREBAY_RECONNECT_SECONDS", "4"),
        ("FOREBAY_RECORD_MIN_FREE_MB", "0"),
    ];
    let mut ids = Vec::new();
    for _ in 0..2 {
        let gateway = folder.serve(&settings).await;
        let url = format!("rtmp://{}/ingest/{KEY}", gateway.rtmp());
        let clip = Clip::small("30", 150).file();
        let publishing = Publishing::start("ffmpeg", &clip, "-re", &url);
        ids.push(gateway.stream_id().await);
        publishing.finish().await.unwrap();
        gateway.stop().await;
    }
    assert_eq!(ids[0], ids[1], "the stream goes on");
    let gateway = folder.serve(&settings).await;
    let address = gateway.http();
    let path = format!("/api/admin/recordings/{}", ids[0]);
    let complete = async || {
        let answer = http::request(address, "GET", &path, &[("X-Admin-Key", ADMIN)]).await;
        let found: Value = serde_json::from_str(answer.text()).ok()?;
        found["endedUnixMs"].is_number().then_some(found)
    };
    let recording = gateway.until("end of the recording", complete).await;
    assert_eq!(recording["state"], "complete", "{recording}");
    let list = folder.data().join("recordings");
    assert_eq!(std::fs::read_dir(&list).unwrap().count(), 1);
    let path = format!("{path}.mp4");
    let movie = http::request(address, "GET", &path, &[("X-Admin-Key", ADMIN)]).await;
    assert_eq!(movie.status, 200);
    let file = save(&format!("{}.mp4", ids[0]), &movie.body);
    let seen = tokio::task::spawn_blocking(move || numbers(&file))
        .await
        .unwrap();
    let twice: Vec<u32> = (0..150).chain(0..150).collect();
    assert_eq!(seen, twice, "every picture of both runs");
    gateway.stop().await;
}
