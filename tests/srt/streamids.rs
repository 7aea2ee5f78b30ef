//! Whom the listener lets in, by streamid and passphrase; whom it refuses, with which code, as callers and
//! the log see it.

use std::collections::BTreeSet;

use forebay::base::secret::fingerprint;
use forebay::config::{Channel, Config, Sources};

use crate::common::gateway::{Folder, Gateway};
use crate::common::media::{Clip, enhanced_ffmpeg};
use crate::common::server::Server;
use crate::common::srt::Call;
use crate::common::srt::raw::{Handshake, RawCaller, extension, swapped};

const KEY: &str = "StreamIdKey-0123456789";
const WRONG: &str = "NoSuchKey-9876543210";
const PASSPHRASE: &str = "correct-horse-battery";
const WRONG_PASSPHRASE: &str = "incorrect-donkey-battery";

/// SRT Access Control, "Rejection codes".
mod code {
    pub(super) const WRONG_SECRET: u32 = 10;
    pub(super) const NOT_SECURED: u32 = 11;
    pub(super) const FULL: u32 = 1402;
    pub(super) const UNKNOWN_KEY: u32 = 1404;
    pub(super) const WRONG_MODE: u32 = 1405;
}

/// The key, the options of a form, and what the stream can do then beside what it always can.
const FORMS: &[(&str, &[&str])] = &[
    ("KEY", &[]),
    (
        "KEY;capabilities=hd,streaming;tags=a,b",
        &["hd", "streaming"],
    ),
    ("KEY|capabilities=hd,streaming", &["hd", "streaming"]),
    ("KEY?capabilities=hd,streaming", &["hd", "streaming"]),
    ("publish:KEY", &[]),
    ("publish:KEY;capabilities=streaming", &["streaming"]),
    ("#!::r=KEY,m=publish", &[]),
    ("#!::m=publish,u=somebody,r=KEY,h=host", &[]),
    (
        "#!::r=KEY,m=publish;capabilities=hd,streaming",
        &["hd", "streaming"],
    ),
    ("#!::r=KEY|capabilities=hd,streaming,m=publish", &[]),
    ("#!::r=KEY,m=publish,capabilities=streaming", &["streaming"]),
];

/// A channel for each key.
fn channels(keys: &[String]) -> Vec<Channel> {
    let table = |(form, key): (usize, &String)| {
        format!("[[channel]]\nalias = \"form{form}\"\nkey = \"{key}\"\n")
    };
    let text: String = keys.iter().enumerate().map(table).collect();
    let sources = Sources {
        env: &[],
        file: Some(("channels.toml", &text)),
        read: &|path| std::fs::read_to_string(path),
    };
    let loaded = Config::load(&sources).expect("good settings");
    loaded.config.channels
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_streamid_publishes() {
    let keys: Vec<String> = (0..FORMS.len())
        .map(|form| format!("{KEY}-{form}"))
        .collect();
    let server = Server::start(|config| {
        config.media.ladder = "off".to_owned();
        config.channels = channels(&keys);
    })
    .await;
    let mut callers = Vec::new();
    for (form, (text, capabilities)) in FORMS.iter().enumerate() {
        let mut caller = RawCaller::new(server.srt()).await;
        let text = text.replace("KEY", &keys[form]);
        let answer = caller.connect(text.as_bytes()).await;
        assert_eq!(answer, Ok(()), "{text}");
        let alias = format!("form{form}");
        let found = || server.app.on_air(&alias);
        let id = server.until("a stream", found).await;
        let stream = server.app.hub.stream(id).unwrap();
        for capability in *capabilities {
            assert!(stream.has_capability(capability), "{text}: {capability}");
        }
        callers.push(caller);
    }
    for caller in callers {
        caller.shutdown().await;
    }
    server.stop().await;
}

async fn refusal(gateway: &Gateway, stream_id: &str) -> Result<(), u32> {
    let mut caller = RawCaller::new(gateway.srt()).await;
    let answer = caller.connect(stream_id.as_bytes()).await;
    caller.shutdown().await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_carry_their_codes_and_the_log_says_why_without_the_key() {
    let folder = Folder::new();
    let settings = [
        ("FOREBAY_STREAM_KEY", KEY),
        ("FOREBAY_MAX_PUBLISHERS", "1"),
        ("RUST_LOG", "trace"),
    ];
    let gateway = folder.serve(&settings).await;
    let publish = format!("publish:{WRONG}");
    let standard = format!("#!::r={WRONG},m=publish");
    let options = format!("{WRONG};capabilities=hd");
    for stream_id in [WRONG, &publish, &standard, &options] {
        let answer = refusal(&gateway, stream_id).await;
        assert_eq!(answer, Err(code::UNKNOWN_KEY), "{stream_id}");
    }
    for stream_id in [
        format!("#!::r={KEY},m=request"),
        format!("#!::r={KEY},m=bidirectional"),
        format!("play:{KEY}"),
    ] {
        let answer = refusal(&gateway, &stream_id).await;
        assert_eq!(answer, Err(code::WRONG_MODE), "{stream_id}");
    }
    // A caller without a streamid has no key.
    let answer = refusal(&gateway, "").await;
    assert!(answer.is_err_and(|code| code >= 1000), "{answer:?}");

    // One publisher is all that there may be.
    let mut first = RawCaller::new(gateway.srt()).await;
    assert_eq!(first.connect(KEY.as_bytes()).await, Ok(()));
    // It is connected before it is admitted: whoever asks meanwhile could take its place.
    let admitted = async || gateway.log().contains("publish accepted").then_some(());
    gateway.until("the first one's admission", admitted).await;
    let full = async || (refusal(&gateway, KEY).await == Err(code::FULL)).then_some(());
    gateway.until("refusal because it is full", full).await;
    first.shutdown().await;

    let log = gateway.stop().await;
    let refused: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("caller refused"))
        .collect();
    assert!(refused.len() >= 9, "{refused:#?}");
    for code in [code::UNKNOWN_KEY, code::WRONG_MODE, code::FULL] {
        let told = refused.iter().any(|line| line.contains(&code.to_string()));
        assert!(told, "{code}: {refused:#?}");
    }
    let with_reason = |line: &&str| line.contains("reason=") || line.contains("err=");
    assert!(refused.iter().all(with_reason), "{refused:#?}");
    for secret in [KEY, WRONG] {
        assert!(!log.contains(secret), "{secret} is in the log");
        assert!(log.contains(&fingerprint(secret)), "{secret} is not named");
    }
}

/// Callers as people run them: all are refused, at once, and say so.
#[tokio::test(flavor = "multi_thread")]
async fn real_callers_are_told_of_their_refusal() {
    let folder = Folder::new();
    let settings = [
        ("FOREBAY_STREAM_KEY", KEY),
        ("FOREBAY_SRT_PASSPHRASE", PASSPHRASE),
    ];
    let gateway = folder.serve(&settings).await;
    let file = Clip {
        container: "ts",
        ..Clip::small("30", 150)
    }
    .file();
    let good = Call::new(gateway.srt(), KEY).passphrase(PASSPHRASE, 16);
    let mut unknown = good.clone();
    unknown.stream_id = WRONG.to_owned();
    let mut bare = good.clone();
    bare.passphrase = None;
    let wrong = good.clone().passphrase(WRONG_PASSPHRASE, 16);
    let newer = enhanced_ffmpeg();
    let mut running = Vec::new();
    // srt-live-transmit repeats what libsrt says; ffmpeg keeps it for itself.
    for (call, text) in [
        (unknown, "Application-defined rejection reason"),
        (bare, "Password required or unexpected"),
        (wrong, "Incorrect passphrase"),
    ] {
        running.push((call.ffmpeg("ffmpeg", &file, ""), "rror"));
        running.push((call.ffmpeg(&newer, &file, ""), "rror"));
        running.push((call.transmit(&file), text));
    }
    for (sender, text) in running {
        let (_, said) = sender.ended().await;
        assert!(said.contains(text), "no {text}: {said}");
    }
    let answer = gateway.get("/hls/live/index.m3u8").await;
    assert_eq!(answer.status, 404, "nobody was let in");
    let log = gateway.stop().await;
    let reasons: BTreeSet<&str> = log
        .lines()
        .filter(|line| line.contains("caller refused"))
        .collect();
    assert!(reasons.len() >= 9, "each is told: {log}");
    for secret in [KEY, WRONG, PASSPHRASE, WRONG_PASSPHRASE] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

/// The refusals of encryption, by their numbers (`SRT_REJECT_REASON` of srt.h).
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_in_the_clear_is_refused_where_a_passphrase_is_set() {
    let folder = Folder::new();
    let settings = [
        ("FOREBAY_STREAM_KEY", KEY),
        ("FOREBAY_SRT_PASSPHRASE", PASSPHRASE),
    ];
    let gateway = folder.serve(&settings).await;
    assert_eq!(refusal(&gateway, KEY).await, Err(code::NOT_SECURED));
    // Keying material that nobody's passphrase opens.
    let mut caller = RawCaller::new(gateway.srt()).await;
    let cookie = caller.cookie().await;
    let mut handshake = Handshake::conclusion(caller.id, cookie, b"");
    handshake.encryption = 2;
    handshake.extension = 7;
    extension(&mut handshake.extensions, 3, &keying_material());
    extension(&mut handshake.extensions, 5, &swapped(KEY.as_bytes()));
    let answer = caller.conclude(&handshake).await;
    assert_eq!(answer, Err(code::WRONG_SECRET));
    gateway.stop().await;
}

/// draft-sharabayko-srt §3.2.2: a message with an even key of 128 bits, wrapped into 24 bytes.
pub(super) fn keying_material() -> Vec<u8> {
    let mut bytes = vec![0x12, 0x20, 0x29, 0x01, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 4, 4];
    bytes.extend([0x5a; 16]);
    bytes.extend([0xa5; 24]);
    bytes
}
