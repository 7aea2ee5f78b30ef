//! What the running program has loaded.

use std::collections::BTreeSet;

use super::*;

/// Files of libsrt, in any variant, that a process has mapped.
fn libsrt(process: &str) -> BTreeSet<String> {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap_or_default();
    let files = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5));
    let files = files.filter(|file| file.contains("/libsrt") && !file.contains("/libsrtp"));
    files.map(str::to_owned).collect()
}

/// Whether FFmpeg's decoders are there, which bring a libsrt of their own choice.
fn decodes(process: &str) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap_or_default();
    maps.contains("/libavformat.so")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_process_holds_one_libsrt() {
    let settings = [("FOREBAY_STREAM_KEY", KEY), ("FOREBAY_LADDER", "auto")];
    let folder = Folder::new();
    let gateway = folder.serve(&settings).await;
    let mut encoder = Encoder::start(gateway.rtmp(), KEY).await.unwrap();
    encoder.lap().await.unwrap();
    let working = async || gateway.children().into_iter().find(|id| decodes(id));
    let worker = gateway.until("worker that decodes", working).await;
    for process in [gateway.id(), worker] {
        let files = libsrt(&process);
        assert_eq!(files.len(), 1, "{files:?}");
        let file = files.first().unwrap();
        assert!(file.contains("/libsrt-gnutls.so.1.5"), "{file}");
    }
    drop(encoder);
    gateway.stop().await;
}
