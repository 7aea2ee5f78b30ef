//! The program from start to end: settings, credentials, signals, certificates, operator routes,
//! commands. Everything here runs the real binary.

mod commands;
mod exit;
mod libraries;
mod operators;
mod restart;
mod tls;

use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use crate::common::encoder::Encoder;
use crate::common::gateway::{Folder, Gateway};
use crate::common::http;
use crate::common::rtmp::RtmpPublisher;
use crate::common::server::PATIENCE;

/// What `INTERFACE` promises of a stop.
const STOP: Duration = Duration::from_secs(10);
const KEY: &str = "LifeKey0123456789abcdef";

/// An encoder that has sent enough for some segments, and the number of the newest one: the
/// segment after it stays open, since all that was sent is published.
async fn on_air(gateway: &Gateway, key: &str) -> (Encoder, String, u64) {
    const LAPS: usize = 4;
    let encoder = Encoder::start(gateway.rtmp(), key).await;
    let mut encoder = encoder.expect("the key is good");
    for _ in 0..LAPS {
        encoder.lap().await.expect("it listens");
    }
    let id = gateway.stream_id().await;
    let newest = gateway
        .until("segments", async || {
            let playlist = gateway.get(&format!("/hls/{id}/source/index.m3u8")).await;
            // A lap is one segment, and the next one's begin closes it.
            let segments = segments(playlist.text());
            let all = playlist.status == 200 && segments.len() == LAPS - 1;
            segments.into_iter().max().filter(|_| all)
        })
        .await;
    (encoder, id, newest)
}

/// The numbers of the segments that a playlist lists.
fn segments(playlist: &str) -> Vec<u64> {
    let names = playlist.lines().filter(|line| !line.starts_with('#'));
    names
        .filter_map(|line| line.strip_suffix(".m4s")?.parse().ok())
        .collect()
}

/// A figure of `/metrics`, summed over its labels.
fn figure(metrics: &str, name: &str) -> Option<f64> {
    let of_name = |line: &&str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
    };
    let values = metrics.lines().filter(of_name);
    values
        .map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_makes_credentials_and_the_second_keeps_them() {
    let folder = Folder::new();
    let gateway = folder.serve(&[]).await;
    let made = std::fs::read_to_string(folder.data().join("credentials.toml")).unwrap();
    let key = folder.credential("stream_key");
    gateway.stop().await;

    let gateway = folder.serve(&[]).await;
    let kept = std::fs::read_to_string(folder.data().join("credentials.toml")).unwrap();
    assert_eq!(kept, made);
    let (encoder, _, _) = on_air(&gateway, &key).await;
    encoder.finish().await;
    let admin_key = folder.credential("admin_key");
    let headers = [
        ("X-Admin-Key", &*admin_key),
        ("X-Forwarded-For", "192.0.2.1"),
    ];
    let answer = http::request(gateway.http(), "GET", "/metrics", &headers).await;
    assert_eq!(answer.status, 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_publishes_the_open_segment_and_answers_who_waits() {
    let folder = Folder::new();
    let mut gateway = folder.serve(&[("FOREBAY_STREAM_KEY", KEY)]).await;
    let (mut encoder, id, newest) = on_air(&gateway, KEY).await;
    let requests = async || {
        let metrics = gateway.get("/metrics").await;
        figure(metrics.text(), "forebay_requests_total")
    };
    let before = requests().await.expect("requests are counted");
    let open = newest + 1;
    let path = format!("/hls/{id}/source/index.m3u8?_HLS_msn={open}");
    let waiting = async {
        let answer = http::get(gateway.http(), &path).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(
            answer.text().contains(&format!("\n{open}.m4s")),
            "{}",
            answer.text()
        );
        assert!(
            !answer.text().contains("ENDLIST"),
            "the stream may go on after a restart"
        );
        assert!(
            !answer.text().contains("PRELOAD-HINT"),
            "the next run numbers its parts anew: {}",
            answer.text()
        );
    };
    // What lies beyond it comes from the next run.
    let path_beyond = format!("/hls/{id}/source/index.m3u8?_HLS_msn={}", open + 1);
    let waiting_beyond = async {
        let answer = http::get(gateway.http(), &path_beyond).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.header("retry-after"), Some("1"));
    };
    let stopping = async {
        let asked = async || requests().await.filter(|now| *now >= before + 2.0);
        gateway.until("waiting requests", asked).await;
        gateway.signal("TERM").await;
    };
    tokio::join!(waiting, waiting_beyond, stopping);
    let status = tokio::time::timeout(PATIENCE, encoder.publisher.status()).await;
    let status = status.expect("in time").expect("the encoder is told");
    assert_eq!(
        (&*status.level, &*status.code),
        ("error", "NetStream.Publish.Denied")
    );
    drop(encoder);
    assert_eq!(gateway.ended(STOP).await, Some(0), "{}", gateway.log());
    assert!(!gateway.log().contains(" ERROR "), "{}", gateway.log());
}

/// Whether a process is there and is more than an exit code that nobody has asked for.
fn runs(id: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_worker_outlives_the_gateway() {
    let settings = [("FOREBAY_STREAM_KEY", KEY), ("FOREBAY_LADDER", "auto")];
    for politely in [true, false] {
        let folder = Folder::new();
        let gateway = folder.serve(&settings).await;
        let mut encoder = Encoder::start(gateway.rtmp(), KEY).await.unwrap();
        encoder.lap().await.unwrap();
        let working = async || Some(gateway.children()).filter(|workers| !workers.is_empty());
        let workers = gateway.until("worker", working).await;
        drop(encoder);
        if politely {
            gateway.stop().await;
        } else {
            gateway.kill().await;
        }
        let gone = async {
            let mut again = tokio::time::interval(Duration::from_millis(20));
            while workers.iter().any(|id| runs(id)) {
                again.tick().await;
            }
        };
        tokio::time::timeout(STOP, gone).await.expect("workers end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    let (folder_one, folder_two) = (Folder::new(), Folder::new());
    let settings = [("FOREBAY_STREAM_KEY", KEY)];
    let mut patient = folder_one.serve(&settings).await;
    let mut hasty = folder_two.serve(&settings).await;
    // An encoder that does not close its end keeps a stop waiting for a while.
    let one = on_air(&patient, KEY).await;
    let two = on_air(&hasty, KEY).await;
    hasty.signal("INT").await;
    let stopping = async || hasty.log().contains("stopping").then_some(());
    hasty.until("begin of the stop", stopping).await;
    patient.signal("TERM").await;
    hasty.signal("TERM").await;
    assert_eq!(hasty.ended(STOP).await, Some(0), "{}", hasty.log());
    assert!(patient.runs(), "one signal waits for the encoder");
    assert_eq!(patient.ended(STOP).await, Some(0), "{}", patient.log());
    drop((one, two));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_setting_exits_2_and_names_setting_value_and_range() {
    let folder = Folder::new();
    for (setting, value, parts) in [
        ("FOREBAY_PART_MS", "5", &["100", "1"][..]),
        ("FOREBAY_PART_MS", "fast", &["100"]),
        ("FOREBAY_SEGMENT_SECONDS", "11", &["1", "10"]),
        ("FOREBAY_HTTP", "localhost:http", &["address"]),
        ("FOREBAY_LOG_FORMAT", "xml", &["text or json"]),
        ("RUST_LOG", "forebay=loud", &["info"]),
        ("FOREBAY_MAX_PUBLISHERS", "0", &["100000"]),
        ("FOREBAY_TRUSTED_PROXIES", "10.0.0.0/33", &[]),
        ("FOREBAY_REGION", "a#b", &["64"]),
    ] {
        let output = folder.run(&["serve"], &[(setting, value)]).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{setting}={value}: {text}");
        for part in [setting, value].iter().chain(parts) {
            assert!(
                text.contains(part),
                "{setting}={value} without {part}: {text}"
            );
        }
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    let secret = "not a key / at all";
    let output = folder
        .run(&["serve"], &[("FOREBAY_ADMIN_KEY", secret)])
        .await;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("FOREBAY_ADMIN_KEY") && text.contains("8 to 512"),
        "{text}"
    );
    assert!(!text.contains(secret), "{text}");
    assert!(
        !folder.data().exists(),
        "nothing is made before the settings are good"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_exits_2_and_names_key_and_line() {
    let folder = Folder::new();
    for (text, parts) in [
        (
            "[media]\npart = \"200ms\"\nprat = 1\n",
            &["prat", "line 3", "part"][..],
        ),
        ("[media]\npart = \"2s\"\n", &["part", "2s", "line 2"]),
        ("[medai]\n", &["medai", "line 1"]),
        ("[identity]\nadmin_key = \"never-shown-9f2\n", &["line 2"]),
        (
            "[[channel]]\nalias = \"a\"\nkey = \"never-shown-9f2 x\"\n",
            &["key"],
        ),
    ] {
        let path = folder.write("wrong.toml", text);
        for arguments in [
            &["serve", "--config", &path][..],
            &["check", "--config", &path],
        ] {
            let output = folder.run(arguments, &[]).await;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{text}: {said}");
            assert!(!said.contains("never-shown"), "{said}");
            for part in parts.iter().chain(&["wrong.toml"]) {
                assert!(said.contains(part), "{text}: no {part} in {said}");
            }
        }
    }
    let output = folder
        .run(&["serve", "--config", "nowhere.toml"], &[])
        .await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("nowhere.toml"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_said_by_setting_and_address() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let _taken_udp = UdpSocket::bind(address).unwrap();
    let address = address.to_string();
    for setting in [
        "FOREBAY_HTTP",
        "FOREBAY_RTMP",
        "FOREBAY_CONTROL",
        "FOREBAY_SRT",
    ] {
        let output = folder.run(&["serve"], &[(setting, &address)]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(setting) && said.contains(&address), "{said}");
        assert!(said.contains("in use"), "{said}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("is up"));

        let output = folder.run(&["check"], &[(setting, &address)]).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let wanted = format!("failed   {setting}: {address}");
        assert!(said.contains(&wanted) && said.contains("mend: "), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_do_not_share_a_port_and_one_publisher_s_end_is_not_the_other_s() {
    let folder = Folder::new();
    let gateway = folder.serve(&[("FOREBAY_STREAM_KEY", KEY)]).await;
    let address = gateway.rtmp().to_string();
    let other = Folder::new();
    let output = other.run(&["serve"], &[("FOREBAY_RTMP", &address)]).await;
    assert_eq!(output.status.code(), Some(1));
    let publisher = RtmpPublisher::connect(gateway.rtmp()).await;
    publisher.unwrap().publish("ingest", KEY).await.unwrap();
    gateway.stop().await;
}
