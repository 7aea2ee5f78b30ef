//! What is left of a stream that asked for `on-demand`: all of it, wherever a viewer finds it.

mod restarts;
mod tokens;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use forebay::base::clock::Clock;
use forebay::base::id::Uuid;
use forebay::base::secret::Secret;
use forebay::config::Config;
use forebay::control::token::{Claims, create, jwt, path_form};
use forebay::hub::Forking;
use forebay::manifest::check::{check_hls_against_mpd, check_media_playlist, check_mpd};
use forebay::manifest::check::{check_multivariant, check_renditions};
use forebay::manifest::parse::Media;
use serde_json::Value;

use crate::common::gateway::Folder;
use crate::common::http::{self, Answer};
use crate::common::media::{Clip, beeps, pictures, sound_seconds};
use crate::common::server::{KEY, Publishing, Server};

const ADMIN: &str = "AdminKey0123456789";
const APPLICATION: &str = "forebay";
const SECRET: &str = "RecordingSecret-0123456789";

/// Streams are kept, end soon after their publisher and are soon forgotten.
fn kept(config: &mut Config) {
    config.media.ladder = "off".to_owned();
    config.media.window = Duration::from_secs(1);
    config.media.default_capabilities = vec!["streaming".to_owned(), "on-demand".to_owned()];
    config.publish.reconnect = Duration::from_secs(1);
    config.identity.admin_key = Some(Secret::new(ADMIN));
    config.identity.application_secret = Some(Secret::new(SECRET));
    config.record.min_free = Some(0);
}

async fn admin(server: &Server, method: &str, path: &str) -> Answer {
    http::request(server.http(), method, path, &[("X-Admin-Key", ADMIN)]).await
}

/// Waits until the live stream is forgotten and its recording is all that is left.
async fn forgotten(server: &Server, id: Uuid) -> Value {
    server
        .until("end of the stream", || {
            server.app.hub.stream(id).is_none().then_some(())
        })
        .await;
    let path = format!("/api/admin/recordings/{id}");
    let mut again = tokio::time::interval(Duration::from_millis(50));
    loop {
        let answer = admin(server, "GET", &path).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let recording: Value = serde_json::from_str(answer.text()).expect("JSON");
        if recording["endedUnixMs"].is_number() {
            return recording;
        }
        again.tick().await;
    }
}

async fn text(server: &Server, path: &str) -> String {
    let answer = server.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.text().to_owned()
}

fn save(name: &str, bytes: &[u8]) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, bytes).expect("the build folder can be written");
    file
}

/// All that ffmpeg gets from a playlist or manifest, as it is.
fn fetched(url: &str, name: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let ffmpeg = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-nostdin", "-i", url, "-map", "0:v:0"])
        .args(["-c", "copy"])
        .arg(&file)
        .output();
    let output = ffmpeg.expect("ffmpeg is there");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.is_empty(), "{url}: {told}");
    file
}

fn numbers(file: &Path) -> Vec<u32> {
    let seen = pictures(file);
    let numbers = seen.iter().map(|picture| picture.number);
    numbers.map(|number| number.expect("readable")).collect()
}

/// Every rule of playlists and manifests holds for a recording.
async fn check_lists(server: &Server, id: Uuid, renditions: &[&str]) {
    let multivariant = text(server, &format!("/hls/{id}/index.m3u8")).await;
    let mpd = text(server, &format!("/dash/{id}/manifest.mpd")).await;
    assert_eq!(check_mpd(&mpd, None), []);
    assert!(mpd.contains("type=\"static\""), "{mpd}");
    let mut playlists = Vec::new();
    for rendition in renditions {
        let playlist = text(server, &format!("/hls/{id}/{rendition}/index.m3u8")).await;
        assert_eq!(check_media_playlist(&playlist, None), [], "{playlist}");
        assert!(playlist.contains("#EXT-X-PLAYLIST-TYPE:VOD"), "{playlist}");
        assert!(playlist.ends_with("#EXT-X-ENDLIST\n"), "{playlist}");
        assert!(!playlist.contains("PART"), "{playlist}");
        playlists.push((*rendition, playlist));
    }
    for (name, playlist) in &playlists {
        let found = check_hls_against_mpd(&mpd, name, playlist);
        // A static manifest has no clock to compare dates with.
        assert!(found.iter().all(|found| found.rule == "X1"), "{found:?}");
    }
    let playlists: Vec<(&str, &str)> = playlists
        .iter()
        .map(|(name, playlist)| (*name, playlist.as_str()))
        .collect();
    assert_eq!(check_renditions(&playlists), []);
    assert_eq!(check_multivariant(&multivariant, &playlists), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ended_plays_from_its_recording_to_the_last_frame() {
    let server = Server::start(kept).await;
    let publishing = server.publish(&Clip::h264(300, 60).file(), "");
    let id = server.stream_id().await;
    publishing.finish().await.unwrap();
    let recording = forgotten(&server, id).await;
    assert_eq!(recording["state"], "complete", "{recording}");
    assert_eq!(recording["alias"], "live");
    assert_eq!(recording["missedSegments"], 0);
    let length = recording["durationMs"].as_u64().unwrap();
    assert!((9_900..10_200).contains(&length), "{length} ms");
    check_lists(&server, id, &["source", "audio"]).await;
    let all: Vec<u32> = (0..300).collect();
    let base = format!("http://{}", server.http());

    // Somebody else's HLS and DASH clients.
    let hls = format!("{base}/hls/{id}/index.m3u8");
    let dash = format!("{base}/dash/{id}/manifest.mpd");
    // The file for editors and archives.
    let path = format!("/api/admin/recordings/{id}.mp4");
    let movie = admin(&server, "GET", &path).await;
    assert_eq!(movie.status, 200);
    let length = movie.header("content-length").unwrap().parse();
    assert_eq!(length, Ok(movie.body.len()));
    let file = save(&format!("{id}.mp4"), &movie.body);
    let (seen, heard) = tokio::task::spawn_blocking(move || {
        let seen = [
            numbers(&fetched(&hls, &format!("{id}-hls.mkv"))),
            numbers(&fetched(&dash, &format!("{id}-dash.mkv"))),
            numbers(&file),
        ];
        let pictures = pictures(&file);
        let flashes = pictures
            .windows(2)
            .filter(|pair| !pair[0].lit && pair[1].lit)
            .map(|pair| pair[1].time);
        let beeps = beeps(&file);
        for flash in flashes {
            let off = beeps.iter().map(|beep| (beep - flash).abs());
            assert!(off.fold(f64::MAX, f64::min) < 0.045, "{flash}: {beeps:?}");
        }
        assert!(pictures[0].time < 0.1, "begins at {}", pictures[0].time);
        (seen, sound_seconds(&file))
    })
    .await
    .unwrap();
    for seen in seen {
        assert_eq!(seen, all);
    }
    assert!((9.9..10.2).contains(&heard), "{heard} s of sound");

    // Any range of the file is the same bytes.
    let size = movie.body.len();
    for (from, to) in [(0, 99), (size / 2, size / 2 + 5000), (size - 10, size - 1)] {
        let range = format!("bytes={from}-{to}");
        let headers = [("X-Admin-Key", ADMIN), ("Range", &range)];
        let part = http::request(server.http(), "GET", &path, &headers).await;
        assert_eq!(part.status, 206);
        assert_eq!(part.body, movie.body[from..=to]);
    }
    server.stop().await;
}

/// First picture and first sound of a file, as ffmpeg presents them.
fn beginnings(file: &Path) -> [f64; 2] {
    ["v:0", "a:0"].map(|track| {
        let probe = Command::new("ffprobe")
            .args(["-v", "error", "-select_streams", track, "-show_entries"])
            .args([
                "packet=pts_time",
                "-read_intervals",
                "%+#1",
                "-of",
                "csv=p=0",
            ])
            .arg(file)
            .output();
        let text = String::from_utf8(probe.expect("ffprobe is there").stdout).unwrap();
        text.trim().trim_end_matches(',').parse().expect("a time")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_downloaded_recording_lists_its_samples_up_front_and_keeps_sound_at_reordered_pictures() {
    let server = Server::start(kept).await;
    let clip = Clip::h264(150, 60).video(
        "-c:v libx264 -preset ultrafast -bf 2 -pix_fmt yuv420p -g 60 -keyint_min 60 -sc_threshold 0",
    );
    let publishing = server.publish(&clip.file(), "");
    let id = server.stream_id().await;
    publishing.finish().await.unwrap();
    forgotten(&server, id).await;
    let path = format!("/api/admin/recordings/{id}.mp4");
    let movie = admin(&server, "GET", &path).await;
    let heads: Vec<[u8; 4]> = {
        let (mut at, mut heads) = (0, Vec::new());
        while let Some(head) = movie.body.get(at..at + 16) {
            let size = u32::from_be_bytes(head[..4].try_into().unwrap());
            heads.push(head[4..8].try_into().unwrap());
            at += match size {
                1 => usize::try_from(u64::from_be_bytes(head[8..].try_into().unwrap())).unwrap(),
                size => usize::try_from(size).unwrap(),
            };
        }
        assert_eq!(at, movie.body.len());
        heads
    };
    assert_eq!(heads, [*b"ftyp", *b"moov", *b"mdat"]);
    let file = save(&format!("{id}-listed.mp4"), &movie.body);
    let (seen, [picture, sound]) =
        tokio::task::spawn_blocking(move || (numbers(&file), beginnings(&file)))
            .await
            .unwrap();
    assert_eq!(seen, (0..150).collect::<Vec<u32>>());
    assert!((picture - sound).abs() < 0.025, "{picture} s, {sound} s");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_of_a_recording_is_answered_in_ranges_and_under_conditions() {
    let server = Server::start(kept).await;
    let publishing = server.publish(&Clip::small("30", 150).file(), "");
    let id = server.stream_id().await;
    publishing.finish().await.unwrap();
    forgotten(&server, id).await;
    let playlist = text(&server, &format!("/hls/{id}/source/index.m3u8")).await;
    let playlist = Media::parse(&playlist).unwrap();
    let path = format!("/hls/{id}/source/{}", playlist.segments[0].uri);
    let whole = server.get(&path).await;
    assert_eq!(whole.status, 200);
    assert_eq!(
        whole.header("content-length").unwrap(),
        whole.body.len().to_string()
    );
    let part = http::request(server.http(), "GET", &path, &[("Range", "bytes=8-19")]).await;
    assert_eq!((part.status, &part.body[..]), (206, &whole.body[8..=19]));
    let etag = whole.header("etag").unwrap();
    let again = http::request(server.http(), "GET", &path, &[("If-None-Match", etag)]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let head = http::request(server.http(), "HEAD", &path, &[]).await;
    assert_eq!(
        head.header("content-length"),
        whole.header("content-length")
    );
    for wrong in ["99999999.m4s", "p1.m4s", "init-00000000.mp4"] {
        let answer = server.get(&format!("/hls/{id}/source/{wrong}")).await;
        assert_eq!(answer.status, 404, "{wrong}");
    }
    assert_eq!(
        server.get(&format!("/hls/{id}/none/0.m4s")).await.status,
        404
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_are_listed_and_deleted_by_operators_only() {
    let server = Server::start(kept).await;
    let publishing = server.publish(&Clip::small("30", 150).file(), "");
    let id = server.stream_id().await;
    publishing.finish().await.unwrap();
    let path = format!("/api/admin/recordings/{id}");
    forgotten(&server, id).await;
    for (method, path) in [
        ("GET", "/api/admin/recordings"),
        ("GET", &*path),
        ("DELETE", &*path),
        ("GET", &*format!("{path}.mp4")),
    ] {
        let answer = http::request(server.http(), method, path, &[]).await;
        assert_eq!(answer.status, 401, "{method} {path}");
    }
    let list = async |query: &str| -> Value {
        let path = format!("/api/admin/recordings{query}");
        let answer = admin(&server, "GET", &path).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_str(answer.text()).unwrap()
    };
    let all = list("").await;
    assert_eq!(all["recordings"][0]["recordingId"], id.to_string());
    assert_eq!(all["next"], Value::Null);
    let own = list("?channel=local%23forebay%23live").await;
    assert_eq!(own["recordings"].as_array().unwrap().len(), 1);
    let other = list("?channel=local%23forebay%23other").await;
    assert_eq!(other["recordings"].as_array().unwrap().len(), 0);
    let bad = admin(&server, "GET", "/api/admin/recordings?limit=0").await;
    assert_eq!(bad.status, 400);

    let deleted = admin(&server, "DELETE", &path).await;
    assert_eq!(
        (deleted.status, deleted.text()),
        (200, "{\"status\":\"ok\"}")
    );
    let manifest = server.get(&format!("/hls/{id}/index.m3u8")).await;
    assert_eq!(manifest.status, 404);
    assert_eq!(admin(&server, "DELETE", &path).await.status, 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channels_owner_lists_downloads_and_deletes_its_recordings() {
    let server = Server::start(kept).await;
    let publishing = server.publish(&Clip::small("30", 150).file(), "-re");
    let id = server.stream_id().await;
    let credentials = STANDARD.encode(format!("{APPLICATION}:{SECRET}"));
    let credentials = format!("Basic {credentials}");
    let own = async |method: &str, path: &str, more: &[(&str, &str)]| {
        let path = format!("/pcast/channel/live/recordings{path}");
        let mut headers = vec![("Authorization", &*credentials)];
        headers.extend(more);
        http::request(server.http(), method, &path, &headers).await
    };
    let (one, movie) = (format!("/{id}"), format!("/{id}.mp4"));
    server.segments("source", 2).await;
    let listed = async || {
        let list: Value = serde_json::from_str(own("GET", "", &[]).await.text()).unwrap();
        list["recordings"][0]["recordingId"].as_str() == Some(&*id.to_string())
    };
    let mut again = tokio::time::interval(Duration::from_millis(50));
    while !listed().await {
        again.tick().await;
    }
    for (method, path) in [("GET", &movie), ("DELETE", &one)] {
        let busy = own(method, path, &[]).await;
        assert_eq!(busy.status, 409, "{method}: {}", busy.text());
    }
    publishing.finish().await.unwrap();
    forgotten(&server, id).await;
    let answer: Value = serde_json::from_str(own("GET", &one, &[]).await.text()).unwrap();
    assert_eq!(answer["recording"]["state"], "complete", "{answer}");
    assert_eq!(answer["recording"]["parts"], 1, "{answer}");
    let download = answer["recording"]["download"].as_str().unwrap();
    let headers = [("Authorization", &*credentials)];
    let file = http::request(server.http(), "GET", download, &headers).await;
    assert_eq!(file.status, 200);
    assert_eq!(file.header("content-type"), Some("video/mp4"));
    let operators = admin(&server, "GET", &format!("/api/admin/recordings/{id}.mp4")).await;
    assert_eq!(file.body, operators.body);
    let part = own("GET", &movie, &[("Range", "bytes=4-7")]).await;
    assert_eq!((part.status, &part.body[..]), (206, &b"ftyp"[..]));
    let behind = own("GET", &movie, &[("Range", "bytes=999999999-")]).await;
    assert_eq!(behind.status, 416);
    for query in ["?rendition=none", "?part=2"] {
        let answer = own("GET", &format!("{movie}{query}"), &[]).await;
        assert_eq!(answer.status, 404, "{query}");
    }
    let open = http::request(server.http(), "GET", download, &[]).await;
    assert_eq!(open.status, 401);
    assert_eq!(own("DELETE", &one, &[]).await.status, 200);
    assert_eq!(own("GET", &movie, &[]).await.status, 404);
    let manifest = server.get(&format!("/hls/{id}/index.m3u8")).await;
    assert_eq!(manifest.status, 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rung_of_a_ladder_is_kept() {
    let server = Server::start(|config| {
        kept(config);
        config.media.ladder = "auto".to_owned();
        let words = &mut config.media.default_capabilities;
        words.extend(["multi-bitrate".to_owned(), "hd".to_owned()]);
    })
    .await;
    let publishing = server.publish(&Clip::h264(300, 60).file(), "-re");
    let id = server.stream_id().await;
    publishing.finish().await.unwrap();
    let recording = forgotten(&server, id).await;
    assert_eq!(recording["state"], "complete", "{recording}");
    let multivariant = text(&server, &format!("/hls/{id}/index.m3u8")).await;
    let mut renditions: Vec<&str> = multivariant
        .split(['\n', '"'])
        .filter_map(|line| line.strip_suffix("/index.m3u8"))
        .collect();
    renditions.sort_unstable();
    renditions.dedup();
    assert!(renditions.len() >= 3, "{multivariant}");
    check_lists(&server, id, &renditions).await;
    for rendition in renditions {
        let path = format!("/api/admin/recordings/{id}.mp4?rendition={rendition}");
        let movie = admin(&server, "GET", &path).await;
        assert_eq!(movie.status, 200, "{rendition}");
        let file = save(&format!("{id}-{rendition}.mp4"), &movie.body);
        let heard = tokio::task::spawn_blocking(move || sound_seconds(&file));
        let heard = heard.await.unwrap();
        assert!((9.0..12.0).contains(&heard), "{rendition}: {heard} s");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_is_kept_from_its_beginning_to_its_end_though_nothing_is_made_for_it() {
    let server = Server::start(|config| {
        kept(config);
        config.media.window = Duration::from_secs(20);
        config.media.default_capabilities = vec!["streaming".to_owned()];
    })
    .await;
    let publishing = server.publish(&Clip::h264(300, 60).file(), "-re");
    let source = server.stream_id().await;
    server.segments("source", 2).await;
    let forking = Forking {
        channel_id: "local#forebay#other".to_owned(),
        alias: "other".to_owned(),
        name: "Other".to_owned(),
        capabilities: vec!["on-demand".to_owned()],
        ..Forking::default()
    };
    let hub = &server.app.hub;
    let forked = hub.fork("local#forebay#live", &forking).await.unwrap();
    let fork = forked.members[0].stream;
    assert_eq!(hub.stream(fork).unwrap().id(), source, "one timeline");
    publishing.finish().await.unwrap();
    // As long as it is in memory it plays from there.
    let path = format!("/api/admin/recordings/{fork}");
    let mut again = tokio::time::interval(Duration::from_millis(50));
    let recording = loop {
        let answer = admin(&server, "GET", &path).await;
        let found: Value = serde_json::from_str(answer.text()).unwrap_or_default();
        if found["endedUnixMs"].is_number() {
            break found;
        }
        again.tick().await;
    };
    assert_eq!(recording["state"], "complete", "{recording}");
    assert_eq!(recording["channelId"], "local#forebay#other");
    assert_eq!(recording["missedSegments"], 0);
    let length = recording["durationMs"].as_u64().unwrap();
    assert!((1_000..8_000).contains(&length), "{length} ms of ten");
    let gone = admin(&server, "GET", &format!("/api/admin/recordings/{source}")).await;
    assert_eq!(gone.status, 404, "the source did not ask for it");
    let movie = admin(&server, "GET", &format!("{path}.mp4")).await;
    let file = save(&format!("{fork}.mp4"), &movie.body);
    let seen = tokio::task::spawn_blocking(move || numbers(&file));
    let seen = seen.await.unwrap();
    let last: Vec<u32> = (seen[0]..300).collect();
    assert_eq!(seen, last, "to the last picture");
    assert!(seen[0] >= 60, "it began at {}", seen[0]);
    server.stop().await;
}
