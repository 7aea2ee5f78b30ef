//! Egress: what leaves a room by RTMP.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use super::{ROOM, publisher};
use crate::common::livekit::clients::Client;
use crate::common::livekit::{KEY, LivekitServer, PATIENCE, SECRET};

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_is_pushed_to_rtmp_with_its_picture_as_it_is() {
    let server = LivekitServer::start();
    let ann = publisher(&server, "").await;
    let url = server.url().replace("ws:", "http:");
    let mut api = Client::api("api", &url, KEY, SECRET).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = port.local_addr().expect("an address");
    drop(port);
    let name = format!("egress-{}.flv", std::process::id());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let target = format!("rtmp://{address}/live/key");
    let mut receiver = Command::new("ffmpeg")
        .args([
            "-v", "error", "-nostdin", "-y", "-listen", "1", "-f", "flv", "-i", &target,
        ])
        .args(["-c", "copy", "-t", "5"])
        .arg(&file)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("ffmpeg is there");
    let request = json!({"roomName": ROOM, "identity": "ann",
        "streamOutputs": [{"protocol": "RTMP", "urls": [target]}]});
    server
        .until("receiver", |_| is_open(address).then_some(()))
        .await;
    let started = api.call("egress.start_participant_egress", request).await;
    assert!(started["egressId"].is_string(), "{started}");
    let done = tokio::time::timeout(PATIENCE, receiver.wait()).await;
    done.expect("five seconds come").expect("it ends");
    api.call(
        "egress.stop_egress",
        json!({"egressId": started["egressId"]}),
    )
    .await;
    let probe = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_packets",
            "-of",
            "json",
            "-show_entries",
        ])
        .arg("stream=codec_name,nb_read_packets,start_time")
        .arg(&file)
        .output()
        .await
        .expect("ffprobe is there");
    let streams: serde_json::Value = serde_json::from_slice(&probe.stdout).expect("JSON");
    let _ = std::fs::remove_file(&file);
    let of = |codec: &str| {
        let mut all = streams["streams"].as_array().into_iter().flatten();
        let found = all.find(|stream| stream["codec_name"] == codec);
        let found = found.unwrap_or_else(|| panic!("no {codec}: {streams}"));
        found["nb_read_packets"]
            .as_str()
            .and_then(|text| text.parse::<u32>().ok())
    };
    assert!(of("h264") > Some(50) && of("aac") > Some(100), "{streams}");
    let events = server.events();
    assert!(
        events.iter().any(|event| event == "egress_ended"),
        "{events:?}"
    );
    ann.leave().await;
}

/// Whether somebody listens there, by the kernel's table: a connection would be taken for the publisher.
fn is_open(address: std::net::SocketAddr) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let wanted = format!("0100007F:{:04X} 00000000:0000 0A", address.port());
    table.contains(&wanted)
}
