//! Commands beside a running gateway, and their help.

use crate::common::encoder::Encoder;
use crate::common::gateway::Folder;
use crate::common::rtmp::RtmpPublisher;

#[tokio::test(flavor = "multi_thread")]
async fn help_lists_every_setting_of_the_example_file() {
    let folder = Folder::new();
    let help = folder.print(&["--help"]).await;
    let root = env!("CARGO_MANIFEST_DIR");
    let example = std::fs::read_to_string(format!("{root}/assets/config.example.toml")).unwrap();
    // The example names each setting's environment variable.
    let names =
        example.split(|c: char| !(c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit()));
    let is_setting = |word: &&str| {
        let prefixes = ["FOREBAY_", "LIVEKIT_", "PLAYBACK_", "INGEST_", "RUST_"];
        let rest = |prefix: &&str| {
            word.strip_prefix(*prefix)
                .is_some_and(|rest| !rest.is_empty())
        };
        prefixes.iter().any(rest)
    };
    let names: Vec<&str> = names.filter(is_setting).collect();
    assert!(names.len() > 25, "{names:?}");
    for name in names {
        assert!(help.contains(name), "{name} is not in the help");
    }
    for command in ["serve", "demo", "check", "token", "application", "key"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}");
    }
    let version = folder.print(&["--version"]).await;
    assert_eq!(version, format!("forebay {}\n", env!("CARGO_PKG_VERSION")));
    let output = folder.run(&["serve", "--port", "80"], &[]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--port"));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_is_well_and_leaves_no_trace() {
    let folder = Folder::new();
    let said = folder.print(&["check"]).await;
    for part in [
        "configuration: ",
        "FOREBAY_HTTP: ",
        "FOREBAY_RTMP: ",
        "FOREBAY_SRT: ",
        "libsrt 1.",
        "FOREBAY_DATA: ",
    ] {
        assert!(said.contains(&format!("ok       {part}")), "{part}: {said}");
    }
    assert!(!folder.data().exists());
    let missing = folder.file("no.pem").display().to_string();
    let tls = [
        ("FOREBAY_TLS_CERT", &*missing),
        ("FOREBAY_TLS_KEY", &missing),
    ];
    let output = folder.run(&["check"], &tls).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("failed   FOREBAY_TLS_CERT: "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playback_token_opens_a_protected_stream_and_nothing_else_does() {
    let folder = Folder::new();
    let gateway = folder.serve(&[]).await;
    let key = folder.credential("stream_key");
    let publish = format!("{key};capabilities=streaming,token-auth");
    let mut encoder = Encoder::start(gateway.rtmp(), &publish).await.unwrap();
    for _ in 0..4 {
        encoder.lap().await.unwrap();
    }
    let id = gateway.stream_id().await;
    let playback = ["token", "playback", "--channel", "live"];
    let token = folder.print(&playback).await.trim().to_owned();
    let publishing = ["token", "publish", "--channel", "live"];
    let publishing = folder.print(&publishing).await.trim().to_owned();

    for tree in ["hls", "dash"] {
        let file = if tree == "hls" {
            "index.m3u8"
        } else {
            "manifest.mpd"
        };
        let open = format!("/{tree}/{id}/~{token}/{file}");
        let opened = async || {
            let answer = gateway.get(&open).await;
            (answer.status == 200).then_some(())
        };
        gateway.until("manifest", opened).await;
        let changed = token.replace(&token[20..24], "AAAA");
        for closed in [
            format!("/{tree}/{id}/{file}"),
            format!("/{tree}/{id}/~/{file}"),
            format!("/{tree}/{id}/~{changed}/{file}"),
            format!("/{tree}/{id}/~{publishing}/{file}"),
            format!("/{tree}/{id}/{file}?token={token}x"),
        ] {
            let answer = gateway.get(&closed).await;
            assert!(
                [401, 403, 404].contains(&answer.status),
                "{closed}: {}",
                answer.status
            );
            assert!(!answer.text().contains("#EXTM3U"), "{closed}");
        }
    }
    let below = format!("/hls/{id}/~{token}/source");
    let playlist = gateway.get(&format!("{below}/index.m3u8")).await;
    let newest = super::segments(playlist.text()).into_iter().max();
    let newest = newest.expect("segments");
    let segment = gateway.get(&format!("{below}/{newest}.m4s")).await;
    assert_eq!(segment.status, 200);
    for name in [format!("{newest}.m4s"), "index.m3u8".to_owned()] {
        let closed = gateway.get(&format!("/hls/{id}/source/{name}")).await;
        assert!(
            [401, 403, 404].contains(&closed.status),
            "{name}: {}",
            closed.status
        );
    }
    encoder.finish().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_token_is_a_key_and_a_rotated_key_is_none() {
    let folder = Folder::new();
    let gateway = folder.serve(&[]).await;
    let token = folder
        .print(&["token", "publish", "--channel", "live"])
        .await;
    let encoder = Encoder::start(gateway.rtmp(), token.trim()).await;
    encoder
        .expect("a token is taken in place of a key")
        .finish()
        .await;
    let playback = folder
        .print(&["token", "playback", "--channel", "live"])
        .await;
    let mut publisher = RtmpPublisher::connect(gateway.rtmp()).await.unwrap();
    publisher
        .publish("ingest", playback.trim())
        .await
        .unwrap_err();

    let old = folder.credential("stream_key");
    let new = folder.print(&["key", "rotate", "live"]).await;
    let new = new.trim();
    assert_ne!(new, old);
    let mut publisher = RtmpPublisher::connect(gateway.rtmp()).await.unwrap();
    let status = publisher.publish("ingest", &old).await.unwrap_err();
    assert_eq!(status.code, "NetStream.Publish.BadName");
    Encoder::start(gateway.rtmp(), new)
        .await
        .unwrap()
        .finish()
        .await;
    gateway.stop().await;
    let gateway = folder.serve(&[]).await;
    Encoder::start(gateway.rtmp(), new)
        .await
        .unwrap()
        .finish()
        .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_come_and_go() {
    let folder = Folder::new();
    let said = folder.print(&["application", "add", "studio"]).await;
    assert!(
        said.contains("studio") && said.contains("shown this once"),
        "{said}"
    );
    assert_eq!(
        folder.print(&["application", "list"]).await,
        "forebay\nstudio\n"
    );
    let again = folder.run(&["application", "add", "studio"], &[]).await;
    assert_eq!(again.status.code(), Some(1));
    folder.print(&["application", "remove", "studio"]).await;
    assert_eq!(folder.print(&["application", "list"]).await, "forebay\n");
    let first = folder.run(&["application", "remove", "forebay"], &[]).await;
    assert_eq!(first.status.code(), Some(1));
    let nowhere = ["token", "playback", "--channel", "nowhere"];
    let output = folder.run(&nowhere, &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no channel nowhere"));
}
