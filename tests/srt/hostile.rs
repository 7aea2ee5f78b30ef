//! Callers that mean no good, or do not know better: the listener and another encoder's stream never
//! notice, and the gateway's memory stays flat. The real binary; a real encoder publishes all the while.

use std::path::PathBuf;

use forebay::base::secret::fingerprint;
use forebay::manifest::parse::Media;

use super::rubbish;
use super::streamids::keying_material;
use crate::common::gateway::{Folder, Gateway};
use crate::common::media::{Clip, pictures};
use crate::common::noise::noise;
use crate::common::srt::raw::{Handshake, RawCaller, control, extension, kind, swapped};
use crate::common::srt::{Call, PAYLOAD_BYTES, Sender};

const KEY: &str = "HostileKey0123456789";
/// A channel of its own, so that what is wrong there is wrong there only.
const OTHER: &str = "OtherKey0123456789";
const LOCKED: &str = "LockedKey0123456789";
const PASSPHRASE: &str = "nobody-shall-know-this";
/// Sockets of a flood.
const FLOOD: usize = 200;
/// What memory may grow by from the first round to the second. A connection that was kept would hold a
/// receive buffer and threads, a few hundred of them in each round; allocators and libsrt's pools settle
/// within this.
const GROWTH_BYTES: u64 = 24 << 20;

/// A gateway under attack, with an encoder on the air of its default channel.
struct Attacked {
    gateway: Gateway,
    folder: Folder,
    good: Sender,
}

/// A minute and a half, more than the attacks take.
fn film() -> Clip {
    Clip {
        container: "ts",
        ..Clip::small("30", 2700)
    }
}

fn short() -> PathBuf {
    let clip = Clip {
        container: "ts",
        ..Clip::small("30", 150)
    };
    clip.file()
}

impl Attacked {
    async fn start() -> Attacked {
        let folder = Folder::new();
        folder.write(
            "forebay.toml",
            &format!(
                "[[channel]]\nalias = \"other\"\nkey = \"{OTHER}\"\n\n[[channel]]\nalias = \"locked\"\n\
                 key = \"{LOCKED}\"\nsrt_passphrase = \"{PASSPHRASE}\"\n"
            ),
        );
        let settings = [
            ("FOREBAY_STREAM_KEY", KEY),
            ("FOREBAY_WINDOW_SECONDS", "120"),
        ];
        let gateway = folder.serve(&settings).await;
        let good = Call::new(gateway.srt(), KEY).ffmpeg_5(&film().file());
        gateway.stream_id().await;
        Attacked {
            gateway,
            folder,
            good,
        }
    }

    async fn caller(&self) -> RawCaller {
        RawCaller::new(self.gateway.srt()).await
    }

    async fn connected(&self, stream_id: &str) -> RawCaller {
        let mut caller = self.caller().await;
        let answer = caller.connect(stream_id.as_bytes()).await;
        assert_eq!(answer, Ok(()), "{}", self.gateway.log());
        caller
    }

    /// Sends bytes as media on the other channel, in messages of this size, and says goodbye.
    async fn sends(&self, bytes: &[u8], message: usize) {
        let mut caller = self.connected(OTHER).await;
        for (index, piece) in bytes.chunks(message).enumerate() {
            caller.data(piece).await;
            if index % 32 == 31 {
                // The socket's buffer is not what is tested.
                tokio::task::yield_now().await;
            }
        }
        caller.shutdown().await;
        self.until_alone().await;
    }

    /// How many publishers there are, of all streams.
    async fn publishers(&self) -> Option<u64> {
        let metrics = self.gateway.get("/metrics").await;
        let lines = metrics.text().lines();
        let values = lines.filter(|line| line.starts_with("forebay_publishers{"));
        values
            .map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    /// The listener has answered all that came before: it takes packets in their order.
    async fn settled(&self) {
        self.caller().await.cookie().await;
    }

    async fn until_alone(&self) {
        let alone = async || (self.publishers().await? == 1).then_some(());
        self.gateway.until("end of the attack", alone).await;
    }

    /// Every kind of bad caller, once.
    async fn round(&self) {
        self.datagrams().await;
        self.handshakes().await;
        self.floods().await;
        self.words().await;
        self.media().await;
        self.crowds().await;
    }

    /// What is no SRT, and media without a connection.
    async fn datagrams(&self) {
        let caller = self.caller().await;
        for size in [
            0, 1, 3, 4, 15, 16, 17, 63, 64, 65, 188, 1316, 1456, 1472, 9000,
        ] {
            for seed in 0..8 {
                caller.send(&noise(seed, size)).await;
                let mut bytes = noise(seed, size);
                // A control packet for nobody, and one for the listener itself.
                if let Some(head) = bytes.first_chunk_mut::<4>() {
                    *head = [0x80, (seed % 9) as u8, 0, 0];
                }
                caller.send(&bytes).await;
                if let Some(to) = bytes.get_mut(12..16) {
                    to.fill(0);
                }
                caller.send(&bytes).await;
            }
        }
        let mut caller = self.caller().await;
        for peer in [0, 1, 0x1234_5678, u32::MAX] {
            caller.peer = peer;
            caller.data(&[0x47; PAYLOAD_BYTES]).await;
            for word in 0..10 {
                caller.control(word, u32::MAX, &noise(1, 64)).await;
            }
        }
    }

    /// Handshakes that are cut, wrong or of another age.
    async fn handshakes(&self) {
        let mut callers = Vec::new();
        // Inductions only.
        for _ in 0..20 {
            let caller = self.caller().await;
            caller.cookie().await;
            callers.push(caller);
        }
        let cookie = callers[0].cookie().await;
        let good = |caller: &RawCaller| Handshake::conclusion(caller.id, cookie, OTHER.as_bytes());
        for change in [
            // No extension, and none that is announced.
            (|h| h.extensions.clear()) as fn(&mut Handshake),
            |h| h.extension = 0,
            // Lengths that go beyond the packet, types that nobody knows.
            |h| h.extensions[2..4].fill(0xff),
            |h| h.extensions.truncate(7),
            |h| h.extensions[0..2].fill(0xff),
            |h| h.extensions.extend([0xff; 64]),
            |h| extension(&mut h.extensions, 5, &[]),
            |h| h.extension = 0xffff,
            // A wrong cookie, other versions, no room, no size, wrong purpose.
            |h| h.cookie ^= 1,
            |h| h.version = 4,
            |h| h.version = 0,
            |h| h.version = u32::MAX,
            |h| h.window = 0,
            |h| h.mtu = 0,
            |h| h.mtu = u32::MAX,
            |h| h.sequence = u32::MAX,
            |h| h.kind = kind::AGREEMENT,
            |h| h.kind = kind::WAVE_A_HAND,
            |h| h.kind = 1404,
            |h| h.encryption = 0xffff,
            // Keying material that is cut, empty, absurd or of a key length that does not exist.
            |h| keys(h, &keying_material()[..9]),
            |h| keys(h, &[]),
            |h| keys(h, &[0xff; 200]),
            |h| {
                let mut material = keying_material();
                material[15] = 5;
                keys(h, &material);
            },
            |h| keys(h, &keying_material()),
            // Streamids that are too long, no text, or only separators.
            |h| named(h, &[b'x'; 600]),
            |h| named(h, b"\0\0\0\0"),
            |h| named(h, b"Other\0Key"),
            |h| named(h, &[0xff, 0xfe, 0xc3, 0x28, 0xf0, 0x9f]),
            |h| named(h, b"#!::"),
            |h| named(h, b"#!::r=,m=,,,=,=="),
            |h| named(h, b"publish:"),
        ] {
            let caller = self.caller().await;
            let mut handshake = good(&caller);
            change(&mut handshake);
            caller.shake(&handshake).await;
            callers.push(caller);
        }
        // Some of these are good enough.
        self.settled().await;
        for caller in &mut callers {
            caller.hang_up().await;
        }
        // In pieces.
        let caller = self.caller().await;
        let whole = good(&caller).bytes();
        for length in (0..whole.len()).step_by(7) {
            let piece = &whole[..length];
            caller.control(control::HANDSHAKE, 0, piece).await;
        }
        // A rendezvous.
        let caller = self.caller().await;
        let mut handshake = Handshake::induction(caller.id);
        (handshake.kind, handshake.version) = (kind::WAVE_A_HAND, 5);
        caller.shake(&handshake).await;
        // A file instead of a stream: the flag of the stream API, and no time stamps.
        let mut caller = self.caller().await;
        let mut handshake = good(&caller);
        handshake.extensions[8..12].copy_from_slice(&0x0000_00f4_u32.to_be_bytes());
        let cookie = caller.cookie().await;
        handshake.cookie = cookie;
        let _ = caller.conclude(&handshake).await;
        caller.shutdown().await;
        // As it comes out of the application for files.
        for mode in ["&transtype=file", "&transtype=file&messageapi=1"] {
            let call = Call::new(self.gateway.srt(), OTHER).more(mode);
            let _ = call.ffmpeg("ffmpeg", &short(), "-t 0.3").ended().await;
        }
        self.until_alone().await;
    }

    /// Many sockets at once, with and without the rest of a handshake.
    async fn floods(&self) {
        let mut callers = Vec::new();
        for number in 0..FLOOD {
            let caller = self.caller().await;
            caller.shake(&Handshake::induction(caller.id)).await;
            if number % 2 == 0 {
                let wrong = Handshake::conclusion(caller.id, 0x1234, b"flood");
                caller.shake(&wrong).await;
            }
            callers.push(caller);
        }
        self.settled().await;
        // Through to the end, and gone without a word; and with one.
        for number in 0..20 {
            let caller = self.connected(OTHER).await;
            if number % 2 == 0 {
                caller.shutdown().await;
                self.until_alone().await;
            } else {
                caller.control(control::SHUTDOWN, 7, &[]).await;
                self.until_alone().await;
            }
        }
    }

    /// Control packets of a connected caller that mean nothing, or harm.
    async fn words(&self) {
        let mut caller = self.connected(OTHER).await;
        for word in (0..12).chain([0x100, control::USER]) {
            for size in [0, 1, 4, 7, 16, 64, 1456] {
                if word == control::SHUTDOWN {
                    continue;
                }
                caller.control(word, size as u32, &noise(7, size)).await;
                caller.control(word, u32::MAX, &vec![0xff; size]).await;
            }
        }
        // All that was ever sent and all that never was is lost; drop it; new keys.
        let all = [0x8000_0000_u32, 0x7fff_ffff]
            .map(u32::to_be_bytes)
            .concat();
        caller.control(control::LOSS_REPORT, 0, &all).await;
        caller.control(control::DROP_REQUEST, 1, &all).await;
        caller
            .control(control::USER | 3, 0, &keying_material())
            .await;
        for seed in 0..50 {
            caller.data(&noise(seed, PAYLOAD_BYTES)).await;
        }
        caller.shutdown().await;
        self.until_alone().await;
    }

    /// What is no stream that can be shown.
    async fn media(&self) {
        let films = [
            noise(3, 200_000),
            rubbish::without_tables(),
            rubbish::of_kind(rubbish::MPEG_2_VIDEO, 0xe0),
            rubbish::of_kind(rubbish::AC_3, 0xbd),
            rubbish::tables_that_change(),
            rubbish::thousand_pids(),
        ];
        for film in &films {
            self.sends(film, PAYLOAD_BYTES).await;
        }
        self.sends(&rubbish::giant(12 << 20), PAYLOAD_BYTES).await;
        // A good stream in messages that are not whole packets, and in very small ones.
        let good = std::fs::read(short()).expect("the clip is there");
        self.sends(&good[..good.len().min(300_000)], 777).await;
        self.sends(&good[..good.len().min(40_000)], 41).await;
        self.sends(&good[..2000], 1).await;
    }

    /// Real callers: the wrong passphrase, none, one too many, many, killed and frozen ones.
    async fn crowds(&self) {
        let (file, to) = (short(), self.gateway.srt());
        let mut refused = Vec::new();
        for call in [
            Call::new(to, LOCKED),
            Call::new(to, LOCKED).passphrase("not-this-one-at-all", 16),
            Call::new(to, LOCKED).passphrase("not-this-one-at-all", 32),
            Call::new(to, KEY).passphrase(PASSPHRASE, 16),
            Call::new(to, "NoSuchKey"),
        ] {
            refused.push(call.ffmpeg("ffmpeg", &file, ""));
        }
        let killed = Call::new(to, OTHER).ffmpeg("ffmpeg", &file, "");
        let frozen = Call::new(to, OTHER).ffmpeg("ffmpeg", &file, "");
        let three = async || (self.publishers().await? == 3).then_some(());
        self.gateway.until("both callers", three).await;
        killed.kill();
        frozen.signal("STOP");
        // One on the good encoder's key too, and more than a key may have.
        let mut crowd = Vec::new();
        let mut answers = Vec::new();
        for _ in 0..10 {
            let mut caller = self.caller().await;
            answers.push(caller.connect(OTHER.as_bytes()).await);
            crowd.push(caller);
        }
        // Who sends nothing loses its place to the next after a second, so how many are refused depends on
        // the machine; that no more than four have a place does not.
        let refusals = answers.iter().filter_map(|answer| answer.err());
        assert!(refusals.clone().all(|code| code == 1402), "{answers:?}");
        let few = async || (self.publishers().await? <= 1 + 4).then_some(());
        self.gateway.until("no more than four", few).await;
        for caller in crowd {
            caller.shutdown().await;
        }
        for sender in refused {
            let (well, said) = sender.ended().await;
            assert!(!well, "refused: {said}");
        }
        frozen.kill();
        self.until_alone().await;
    }

    /// Resident memory of the gateway, bytes.
    fn memory(&self) -> u64 {
        self.gateway.memory_bytes()
    }
}

fn keys(handshake: &mut Handshake, material: &[u8]) {
    handshake.extension |= 2;
    handshake.encryption = 2;
    extension(&mut handshake.extensions, 3, material);
}

fn named(handshake: &mut Handshake, stream_id: &[u8]) {
    // Behind the handshake's own extension of four words.
    handshake.extensions.truncate(16);
    extension(&mut handshake.extensions, 5, &swapped(stream_id));
}

/// The good encoder's pictures, from the first to the newest complete segment's last, are all there.
async fn nothing_is_missing(attacked: &Attacked) -> usize {
    let gateway = &attacked.gateway;
    let base = format!("/hls/{}/source", gateway.stream_id().await);
    let text = gateway.get(&format!("{base}/index.m3u8")).await;
    let playlist = Media::parse(text.text()).expect("a playlist");
    let mut bytes = Vec::new();
    for segment in playlist.segments.iter().filter(|s| !s.uri.is_empty()) {
        assert!(!segment.gap && !segment.discontinuity, "{}", text.text());
        for uri in segment.map.iter().chain([&segment.uri]) {
            let answer = gateway.get(&format!("{base}/{uri}")).await;
            assert_eq!(answer.status, 200, "{uri}");
            bytes.extend(answer.body);
        }
    }
    let file = attacked.folder.file("seen.mp4");
    std::fs::write(&file, bytes).expect("the folder can be written");
    let seen = pictures(&file);
    let numbers: Vec<u32> = seen
        .iter()
        .map(|seen| seen.number.expect("whole"))
        .collect();
    let wanted = 0..numbers.len() as u32;
    assert!(numbers.iter().copied().eq(wanted), "{numbers:?}");
    numbers.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_callers_disturb_nobody_and_leave_nothing_behind() {
    film().file();
    short();
    let mut attacked = Attacked::start().await;
    attacked.round().await;
    let before = attacked.memory();
    attacked.round().await;
    let seen = nothing_is_missing(&attacked).await;
    // libsrt takes its sockets apart some seconds after their end.
    let mut now = attacked.memory();
    let flat = async || {
        now = now.min(attacked.memory());
        (now < before + GROWTH_BYTES).then_some(())
    };
    attacked.gateway.until("flat memory", flat).await;
    let megabytes = |bytes: u64| bytes >> 20;
    super::show(&format!(
        "{} MB after the first round, {} MB after the last; {seen} pictures whole",
        megabytes(before),
        megabytes(attacked.memory())
    ));
    assert!(attacked.gateway.runs(), "{}", attacked.gateway.log());
    attacked.good.kill();
    let log = attacked.gateway.stop().await;
    assert!(
        !log.contains(" ERROR ") && !log.contains("panicked"),
        "{log}"
    );
    for secret in [KEY, OTHER, LOCKED, PASSPHRASE] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    assert!(seen > 60, "{seen} pictures");
    let key = fingerprint(KEY);
    let good = |line: &&str| line.contains("publish ended") && line.contains(&key);
    let end = log
        .lines()
        .find(good)
        .expect("the good one ended with the gateway");
    assert!(end.contains("continuity_errors=0"), "{end}");
    // Of a caller in file mode.
    assert!(log.contains("sends no live messages"), "{log}");
}
