//! Keys, tokens and secrets stay where they belong: no log line, no error, no other user's eyes. The
//! real binary, logging all that it can.

mod terminal;

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::common::encoder::Encoder;
use crate::common::gateway::{Folder, Gateway, signal};
use crate::common::http;
use crate::common::media::Clip;
use crate::common::rtmp::{RtmpPublisher, amf};
use crate::common::server::PATIENCE;
use crate::common::srt::Call;
use crate::common::srt::raw::{Handshake, RawCaller};

const STREAM_KEY: &str = "StreamKeySecret-7f3a9c51";
const SECOND_KEY: &str = "SecondKeySecret-b1d2e3f4";
const WRONG_KEY: &str = "WrongKeyTried-0c9d8e7f6a";
const ADMIN_KEY: &str = "AdminKeySecret-5e4d3c2b1a";
const WRONG_ADMIN: &str = "WrongAdminTried-9a8b7c6d";
const APPLICATION: &str = "ApplicationSecret-1f2e3d4c";
const LIVEKIT: &str = "LivekitSecret-a1b2c3d4e5f6";
const PASSPHRASE: &str = "PassphraseSecret-3c2b1a0f";
const WRONG_PASSPHRASE: &str = "PassphraseTried-8f7e6d5c";
const IN_FILE: &str = "SecretOfABrokenFile-4d5e6f";

/// The forms in which bytes are found in logs.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let joined = |between: &str, form: fn(&u8) -> String| {
        bytes.iter().map(form).collect::<Vec<_>>().join(between)
    };
    vec![
        secret.to_owned(),
        joined("", |byte| format!("{byte:02x}")),
        joined(" ", |byte| format!("{byte:02x}")),
        joined(", ", u8::to_string),
        joined(", ", |byte| format!("0x{byte:02x}")),
    ]
}

/// Every way in which a secret comes near the gateway, right and wrong ones.
async fn use_everything(folder: &Folder, gateway: &Gateway, tokens: [&str; 3]) {
    let [playback, publish, forged] = tokens;
    // Encoders: taken, refused, cut off in the middle.
    for key in [
        format!("{STREAM_KEY};capabilities=streaming,token-auth;tags=a"),
        format!("{SECOND_KEY}?capabilities=streaming"),
        publish.to_owned(),
    ] {
        let mut encoder = Encoder::start(gateway.rtmp(), &key).await.unwrap();
        for _ in 0..4 {
            encoder.lap().await.unwrap();
        }
        encoder.finish().await;
    }
    for key in [
        WRONG_KEY.to_owned(),
        format!("{WRONG_KEY};capabilities=hd"),
        format!("{WRONG_KEY}?a=b"),
        format!("{WRONG_KEY}{}", "x".repeat(5000)),
        forged.to_owned(),
        playback.to_owned(),
    ] {
        let mut publisher = RtmpPublisher::connect(gateway.rtmp()).await.unwrap();
        let status = publisher.publish("live", &key).await.unwrap_err();
        let rest = publisher.closed().await;
        let said = format!("{status:?} {}", String::from_utf8_lossy(&rest));
        assert!(
            !said.contains(WRONG_KEY) && !said.contains(playback),
            "{said}"
        );
    }
    // People paste the key anywhere.
    let mut publisher = RtmpPublisher::connect(gateway.rtmp()).await.unwrap();
    let more = [
        ("swfUrl", amf::text(STREAM_KEY)),
        ("pageUrl", amf::text(STREAM_KEY)),
    ];
    let application = format!("live/{STREAM_KEY}");
    publisher
        .connect_application(&application, &more)
        .await
        .unwrap();
    publisher.create_stream(2.0).await.unwrap();
    let arguments = [amf::null(), amf::text(STREAM_KEY)];
    publisher
        .send_command(1, "play", 3.0, &arguments)
        .await
        .unwrap();
    publisher.closed().await;
    let mut publisher = RtmpPublisher::connect(gateway.rtmp()).await.unwrap();
    publisher.connect_application("live", &[]).await.unwrap();
    let cut = [
        amf::text("publish"),
        amf::number(1.0),
        amf::null(),
        amf::text(STREAM_KEY),
    ]
    .concat();
    let cut = &cut[..cut.len() - 2];
    publisher.send_message(3, 20, 1, 0, cut).await.unwrap();
    publisher.closed().await;
    let url = format!("rtmp://{}/ingest/{STREAM_KEY}", gateway.rtmp());
    let ffmpeg = Command::new("ffmpeg")
        .args(["-v", "quiet", "-nostdin", "-i"])
        .arg(Clip::h264(60, 30).file())
        .args(["-c", "copy", "-f", "flv", &url])
        .kill_on_drop(true)
        .status();
    let status = tokio::time::timeout(PATIENCE, ffmpeg).await.unwrap();
    assert!(status.unwrap().success());

    call_over_srt(gateway).await;

    // Operators.
    for key in [ADMIN_KEY, WRONG_ADMIN] {
        let bearer = format!("Bearer {key}");
        for header in [("X-Admin-Key", key), ("Authorization", &bearer)] {
            let headers = [header, ("X-Forwarded-For", "192.0.2.1")];
            let answer = http::request(gateway.http(), "GET", "/metrics", &headers).await;
            assert_eq!(answer.status == 200, key == ADMIN_KEY);
            assert!(!answer.text().contains(key));
            let url = format!("http://{}/metrics", gateway.http());
            let header = format!("{}: {}", header.0, header.1);
            let curl = Command::new("curl")
                .args([
                    "-s",
                    "--http2-prior-knowledge",
                    "-o",
                    "/dev/null",
                    "-H",
                    &header,
                    &url,
                ])
                .kill_on_drop(true)
                .status();
            let status = tokio::time::timeout(PATIENCE, curl).await.unwrap();
            assert!(status.unwrap().success());
        }
    }
    // Viewers.
    let id = gateway.stream_id().await;
    for token in [playback, forged] {
        for path in [
            format!("/hls/{id}/~{token}/index.m3u8"),
            format!("/hls/{id}/~{token}/source/index.m3u8?_HLS_msn=x"),
            format!("/dash/{id}/~{token}/ll.mpd"),
            format!("/hls/live/~{token}/index.m3u8"),
            format!("/hls/{id}/index.m3u8?token={token}&streamToken={token}"),
            format!("/thumb/{id}.jpg?token={token}"),
            format!("/pcast/channel/local%23forebay%23live/live.m3u8?streamToken={token}"),
            format!("/nowhere/{token}"),
        ] {
            gateway.get(&path).await;
        }
        // What the parser of requests complains of.
        for request in [
            format!("GET /{token} HTTP/9.9\r\n\r\n"),
            format!("GET /{token}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nConnection: close\r\n{token} : a\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nContent-Length: {token}\r\n\r\n"),
        ] {
            let mut stream = TcpStream::connect(gateway.http()).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let reading = stream.read_to_end(&mut answer);
            let _ = tokio::time::timeout(PATIENCE, reading).await.unwrap();
        }
    }
    // A reload that fails at a secret.
    let broken = format!("[identity]\nadmin_key = \"{IN_FILE}\nregion = 1\n");
    folder.write("forebay.toml", &broken);
    gateway.signal("HUP").await;
    let complained = async || {
        gateway
            .log()
            .contains("settings not reloaded")
            .then_some(())
    };
    gateway.until("complaint", complained).await;
}

/// Callers with every secret in every form of streamid: let in, refused for the key, the mode or the
/// passphrase.
async fn call_over_srt(gateway: &Gateway) {
    let file = Clip::h264(60, 30).file();
    let mut senders = Vec::new();
    for (stream_id, passphrase) in [
        (format!("{STREAM_KEY};capabilities=streaming"), PASSPHRASE),
        (format!("#!::r={SECOND_KEY},m=publish"), PASSPHRASE),
        (format!("publish:{WRONG_KEY}"), PASSPHRASE),
        (STREAM_KEY.to_owned(), WRONG_PASSPHRASE),
    ] {
        let call = Call::new(gateway.srt(), &stream_id).passphrase(passphrase, 16);
        senders.push(call.ffmpeg_5(&file));
    }
    for sender in senders {
        sender.ended().await;
    }
    for key in [STREAM_KEY, SECOND_KEY, WRONG_KEY] {
        for form in [
            "",
            "publish:",
            "play:",
            "#!::m=request,r=",
            "#!::r=",
            "#!::u=",
            "\u{1}",
        ] {
            let mut caller = RawCaller::new(gateway.srt()).await;
            let stream_id = format!("{form}{key}");
            let answer = caller.connect(stream_id.as_bytes()).await;
            assert!(answer.is_err(), "there is a passphrase: {form}");
        }
        let mut caller = RawCaller::new(gateway.srt()).await;
        let long = format!("{key}{}", "x".repeat(700));
        let cookie = caller.cookie().await;
        let handshake = Handshake::conclusion(caller.id, cookie, long.as_bytes());
        caller.shake(&handshake).await;
        caller.peer = 1;
        caller.data(key.as_bytes()).await;
    }
}

/// A LiveKit server that refuses whoever asks it.
async fn refusing_livekit() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "ended with the test")]
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut question = [0; 4096];
            let _ = stream.read(&mut question).await;
            let refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.write_all(refusal).await;
        }
    });
    url
}

/// An app takes part in a room: its API key, a co-host's invite, and a token of the room.
async fn take_part(gateway: &Gateway) -> [String; 3] {
    let post = async |path: &str, header, body: &str| -> serde_json::Value {
        let answer = http::send(gateway.http(), "POST", path, &[header], body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        serde_json::from_str(answer.text()).unwrap()
    };
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let body = r#"{"name": "App", "contactEmail": "a@example.org", "agreeTerms": true}"#;
    let admin = ("X-Admin-Key", ADMIN_KEY);
    let client = post("/api/admin/sdk-clients", admin, body).await;
    let api_key = text(&client["apiKey"]);
    let key = ("X-API-Key", api_key.as_str());
    let made = post("/api/streaming/sessions", key, r#"{"title": "Mine"}"#).await;
    let id = text(&made["id"]);
    let status = format!("/api/broadcasts/{id}/status");
    post(&status, key, r#"{"status": "active"}"#).await;
    let session = format!("/api/streaming/sessions/{id}");
    let joining = r#"{"userName": "Jo", "userId": "u"}"#;
    let joined = post(&format!("{session}/join-cohost"), key, joining).await;
    let invite = text(&joined["inviteToken"]);
    let body = format!(r#"{{"userId": "u", "inviteToken": "{invite}"}}"#);
    let token = post(&format!("{session}/token"), key, &body).await;
    let forged = format!(r#"{{"userId": "u", "inviteToken": "{invite}A"}}"#);
    let path = format!("{session}/token");
    let refused = http::send(gateway.http(), "POST", &path, &[key], &forged).await;
    assert_eq!(refused.status, 403);
    let health = gateway.get("/api/livekit/health").await;
    assert!(health.text().contains("refuses"), "{}", health.text());
    let token = text(&token["token"]);
    let token = token.strip_prefix("livekit_").unwrap().to_owned();
    [api_key, invite, token]
}

async fn nothing_leaks(format: &str) {
    let folder = Folder::new();
    let channel = format!("[[channel]]\nalias = \"second\"\nkey = \"{SECOND_KEY}\"\n");
    folder.write("forebay.toml", &channel);
    let secret_file = folder.write("application.secret", APPLICATION);
    let livekit = refusing_livekit().await;
    let settings = [
        ("RUST_LOG", "trace,h2=trace"),
        ("FOREBAY_LOG_FORMAT", format),
        ("FOREBAY_STREAM_KEY", STREAM_KEY),
        ("FOREBAY_ADMIN_KEY", ADMIN_KEY),
        ("FOREBAY_SRT_PASSPHRASE", PASSPHRASE),
        ("FOREBAY_APPLICATION_SECRET_FILE", &secret_file),
        ("LIVEKIT_URL", &livekit),
        ("LIVEKIT_API_KEY", "devkey"),
        ("LIVEKIT_API_SECRET", LIVEKIT),
    ];
    let gateway = folder.serve(&settings).await;
    let mut said = String::new();
    let mut tokens = Vec::new();
    // Each form of tokens in one of the two logs.
    let form = if format == "json" { "digest" } else { "jwt" };
    for kind in ["playback", "publish"] {
        let command = ["token", kind, "--channel", "live", "--format", form];
        let output = folder.run(&command, &settings).await;
        assert!(output.status.success(), "{output:?}");
        tokens.push(String::from_utf8(output.stdout).unwrap().trim().to_owned());
        said.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    // Its application and claims are right, its digest is not.
    let forged = format!("{}AAAA{}", &tokens[0][..60], &tokens[0][64..]);
    use_everything(&folder, &gateway, [&tokens[0], &tokens[1], &forged]).await;
    let [api_key, invite, room_token] = take_part(&gateway).await;
    said.push_str(&gateway.banner());
    said.push_str(&gateway.stop().await);
    let output = folder.run(&["check"], &settings).await;
    said.push_str(&String::from_utf8_lossy(&output.stderr));

    assert!(said.lines().count() > 500, "trace says more than this");
    let fingerprint = forebay::base::secret::fingerprint(STREAM_KEY);
    assert!(
        said.contains(&fingerprint),
        "keys are named by their fingerprint"
    );
    if format == "json" {
        let lines = said.lines().filter(|line| line.starts_with('{'));
        let objects = lines.map(serde_json::from_str::<serde_json::Value>);
        assert!(objects.map(Result::unwrap).count() > 500);
    }
    let [playback, publish] = &tokens[..] else {
        panic!("two tokens")
    };
    // What follows the prefix of a digest token, and the claims of a JWT, whose header is everybody's.
    let body = playback.split([':', '.']).nth(1).unwrap();
    for secret in [
        STREAM_KEY,
        SECOND_KEY,
        WRONG_KEY,
        ADMIN_KEY,
        WRONG_ADMIN,
        APPLICATION,
        LIVEKIT,
        PASSPHRASE,
        WRONG_PASSPHRASE,
        IN_FILE,
        playback,
        publish,
        &forged,
        body,
        &body[40..100],
        &api_key,
        &invite,
        &room_token,
    ] {
        for form in forms(secret) {
            let leak = said.lines().find(|line| line.contains(&form));
            assert!(leak.is_none(), "{secret} is in a log line: {leak:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_reaches_a_text_log() {
    nothing_leaks("text").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_reaches_a_json_log() {
    nothing_leaks("json").await;
}

#[test]
fn a_leak_would_be_found() {
    assert!(forms("ab").contains(&"6162".to_owned()));
    assert!(forms("ab").contains(&"97, 98".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_data_folder_are_their_owner_s_only() {
    let folder = Folder::new();
    let check = |when: &str, least: usize| {
        let entries = std::fs::read_dir(folder.data()).unwrap();
        let files: Vec<_> = entries.map(|entry| entry.unwrap()).collect();
        assert!(files.len() >= least, "{when}: {files:?}");
        for file in files {
            let about = file.metadata().unwrap();
            let allowed = if about.is_dir() { 0o700 } else { 0o600 };
            let mode = about.permissions().mode() & 0o777;
            assert_eq!(mode, allowed, "{when}: {}", file.path().display());
        }
    };
    let gateway = folder.serve(&[]).await;
    let key = folder.credential("stream_key");
    let mut encoder = Encoder::start(gateway.rtmp(), &key).await.unwrap();
    encoder.lap().await.unwrap();
    gateway.stream_id().await;
    // The database with its two log files, and the credentials.
    check("running", 4);
    encoder.finish().await;
    gateway.stop().await;
    check("stopped", 2);
    folder.print(&["key", "rotate", "live"]).await;
    check("after a command", 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_credentials_file_is_named_but_not_quoted() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.data()).unwrap();
    folder.write(
        "data/credentials.toml",
        &format!("admin_key = \"{ADMIN_KEY}\nx"),
    );
    for arguments in [&["serve"][..], &["token", "playback", "--channel", "live"]] {
        let output = folder.run(arguments, &[("RUST_LOG", "trace")]).await;
        let said = format!("{output:?}");
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("credentials.toml"), "{said}");
        assert!(!said.contains(ADMIN_KEY), "{said}");
    }
}
