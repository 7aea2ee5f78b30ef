//! What a gateway leaves behind in its process: no thread that may be at work in libsrt, which takes itself
//! apart at the end of a process, and then crashes whoever is.

use std::process::Command;

use forebay::base::secret::Secret;
use forebay::base::source::Source;
use forebay::config::Channel;
use tokio::runtime::Runtime;

use super::*;
use crate::common::server::Server;

const TEST: &str = "lifecycle::exit::no_thread_that_may_use_libsrt_outlives_its_gateway";
/// Says that the test has the process to itself.
const ALONE: &str = "FOREBAY_TEST_ALONE";
/// Processes that end; each does it in its own moment of libsrt's housekeeping, which takes a second.
const ENDS: usize = 3;

/// Threads of this process that may be at work in libsrt: its own, and those of SRT and of publishers.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("it runs");
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let names = names.map(|name| name.trim_end().to_owned());
    let of_srt = |name: &String| name.to_lowercase().starts_with("srt");
    names
        .filter(|name| of_srt(name) || name.starts_with("lane-"))
        .collect()
}

/// A gateway that calls another one's SRT port, as a publisher would.
async fn calling(other: &Server) -> Server {
    let source = format!("srt://{}?streamid={}", other.srt(), KEY);
    Server::start(|config| {
        config.media.ladder = "off".to_owned();
        config.publish.pull_private = vec!["127.0.0.0/8".parse().expect("a network")];
        config.channels = vec![Channel {
            alias: "remote".to_owned(),
            name: "remote".to_owned(),
            key: None,
            capabilities: None,
            slate: None,
            srt_passphrase: None,
            source: Some(Source::parse(&source).expect("a source")),
            pushes: Vec::new(),
        }];
    })
    .await
}

/// Two gateways in the middle of a connection: one is stopped, the other is dropped, as by a second signal.
async fn begin_and_end() {
    let called = Server::start(|config| {
        config.media.ladder = "off".to_owned();
        config.identity.stream_key = Some(Secret::new(KEY));
    })
    .await;
    let caller = calling(&called).await;
    let mut again = tokio::time::interval(Duration::from_millis(10));
    let connected = async {
        loop {
            again.tick().await;
            let metrics = called.get("/metrics").await;
            let count = figure(metrics.text(), "forebay_listener_connections_total");
            if count.is_some_and(|count| count > 0.0) {
                return;
            }
        }
    };
    let connected = tokio::time::timeout(PATIENCE, connected).await;
    connected.expect("a caller comes");
    let all = threads();
    for name in ["SRT:GC", "srt", "lane-0"] {
        assert!(all.iter().any(|thread| thread == name), "{all:?}");
    }
    let data = caller.data().to_owned();
    drop(caller);
    let _ = std::fs::remove_dir_all(data);
    called.stop().await;
}

#[test]
fn no_thread_that_may_use_libsrt_outlives_its_gateway() {
    if std::env::var_os(ALONE).is_none() {
        for _ in 0..ENDS {
            let mut alone = Command::new(std::env::current_exe().unwrap());
            let alone = alone.args([TEST, "--exact", "--nocapture"]).env(ALONE, "1");
            let output = alone.output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains("1 passed"), "{output:?}");
            assert!(output.status.success(), "{}", output.status);
        }
        return;
    }
    Runtime::new().unwrap().block_on(begin_and_end());
    // A thread that was joined is listed for a moment more.
    let gone = async {
        let mut again = tokio::time::interval(Duration::from_millis(10));
        while !threads().is_empty() {
            again.tick().await;
        }
    };
    let gone = async { tokio::time::timeout(STOP, gone).await };
    let gone = Runtime::new().unwrap().block_on(gone);
    assert!(gone.is_ok(), "left: {:?}", threads());
}
