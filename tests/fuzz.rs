//! Every parser of network input over damaged and made-up bytes: it returns, whatever comes. 20,000
//! inputs per parser, or as many as `FOREBAY_FUZZ_INPUTS` says (`make soak`: a million). Inputs are a
//! function of the target's name and their number, so that a failure comes again; it prints them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use forebay::base::clock::Clock;

/// Inputs per parser when nothing else is said.
const INPUTS: u64 = 20_000;
/// Longest input, bytes. Bounds what splicing and doubling make of it.
const LONGEST: usize = 64 * 1024;
/// Most inputs are cut to this, since what parsers decide on stands at the front.
const USUAL: usize = 2048;

#[test]
fn configuration_records_end_well() {
    run("config", forebay::media::codec::fuzz::fuzz_config_records);
}

#[test]
fn access_units_end_well() {
    run("nal", forebay::media::codec::fuzz::fuzz_nal);
}

#[test]
fn chunks_end_well() {
    run("chunks", forebay::ingest::rtmp::fuzz::fuzz_rtmp_chunks);
}

#[test]
fn amf0_values_end_well() {
    run("amf0", forebay::ingest::rtmp::fuzz::fuzz_amf0);
}

#[test]
fn flv_tags_end_well() {
    run("flv", forebay::ingest::rtmp::fuzz::fuzz_flv_tags);
}

#[test]
fn transport_streams_end_well() {
    run("ts", forebay::format::ts::fuzz::fuzz_ts);
}

#[test]
fn program_tables_end_well() {
    run("psi", forebay::format::ts::fuzz::fuzz_psi);
}

#[test]
fn pes_packets_end_well() {
    run("pes", forebay::format::ts::fuzz::fuzz_pes);
}

#[test]
fn adts_frames_end_well() {
    run("adts", forebay::format::ts::fuzz::fuzz_adts);
}

#[test]
fn latm_elements_end_well() {
    run("latm", forebay::format::ts::fuzz::fuzz_latm);
}

#[test]
fn opus_in_transport_streams_ends_well() {
    run("opus", forebay::format::ts::fuzz::fuzz_opus);
}

#[test]
fn rtmp_sessions_end_well() {
    run("session", forebay::ingest::rtmp::fuzz::fuzz_rtmp_session);
}

#[test]
fn answers_of_rtmp_servers_end_well() {
    run(
        "rtmp_server",
        forebay::forward::rtmp::session::fuzz_rtmp_server,
    );
}

#[test]
fn answers_of_whip_endpoints_end_well() {
    run("whip", forebay::forward::whip::fuzz_whip_link);
}

#[test]
fn stream_ids_end_well() {
    run("streamid", forebay::ingest::srt::streamid::fuzz_streamid);
}

#[test]
fn tokens_end_well() {
    run("token", forebay::control::token::fuzz_token);
}

#[test]
fn chats_passes_and_phone_numbers_end_well() {
    run("chat", forebay::control::fuzz_api);
}

#[test]
fn requests_and_webhooks_of_livekit_end_well() {
    run("livekit", forebay::control::fuzz_livekit);
}

#[test]
fn headers_of_uploads_end_well() {
    run("tus", forebay::control::fuzz_uploads);
}

/// Read after a crash: the disk may hold anything.
#[test]
fn indexes_of_recordings_end_well() {
    run("recording", forebay::record::fuzz_index);
}

/// The same.
#[test]
fn indexes_of_films_end_well() {
    run("film", forebay::playout::asset::fuzz_index);
}

#[test]
fn answers_of_an_admission_service_end_well() {
    run("admission", forebay::control::admission::fuzz_answer);
}

#[test]
fn rtp_payloads_end_well() {
    run(
        "depacketiser",
        forebay::rtc::packet::fuzz::fuzz_depacketiser,
    );
}

#[test]
fn rtp_packets_end_well() {
    run("rtp", forebay::rtc::packet::fuzz::fuzz_receiver);
}

#[test]
fn session_descriptions_end_well() {
    run("sdp", forebay::rtc::packet::fuzz::fuzz_description);
}

#[test]
fn requests_end_well() {
    run("request", forebay::origin::fuzz_request);
}

/// Publishers choose stream names; they have no folder of their own, tokens are near enough.
#[test]
fn stream_names_end_well() {
    run_from("names", "token", |bytes| {
        let name = String::from_utf8_lossy(bytes);
        if let Some(key) = forebay::ingest::key::StreamKey::parse(&name) {
            assert!(!key.key.expose().is_empty());
        }
    });
}

#[test]
fn inputs_come_again_and_differ() {
    let seeds = seeds("amf0");
    let make = |number| input(&seeds, &mut Random::of("amf0", number));
    let distinct: std::collections::HashSet<Vec<u8>> = (0..1000).map(make).collect();
    assert!(distinct.len() > 900, "{} distinct inputs", distinct.len());
    assert_eq!(make(7), make(7));
    assert!(distinct.iter().all(|input| input.len() <= LONGEST));
}

fn run(target: &str, parser: impl Fn(&[u8])) {
    run_from(target, target, parser);
}

#[expect(clippy::print_stderr, reason = "the run time is what people look for")]
fn run_from(target: &str, folder: &str, parser: impl Fn(&[u8])) {
    let seeds = seeds(folder);
    let clock = Clock::system();
    let inputs = match std::env::var("FOREBAY_FUZZ_INPUTS") {
        Ok(text) => text.parse().expect("FOREBAY_FUZZ_INPUTS is a number"),
        Err(_) => INPUTS,
    };
    let mut slowest = (Duration::ZERO, 0);
    let mut feed = |what: &str, number: u64, bytes: &[u8]| {
        let begun = clock.monotonic();
        let outcome = catch_unwind(AssertUnwindSafe(|| parser(bytes)));
        assert!(
            outcome.is_ok(),
            "{target}: a panic at {what} {number}, put these bytes into tests/data/fuzz/{folder}: {}",
            hex(bytes)
        );
        slowest = slowest.max((clock.monotonic() - begun, number));
    };
    for (number, seed) in (0..).zip(&seeds) {
        feed("seed", number, seed);
    }
    for number in 0..inputs {
        let bytes = input(&seeds, &mut Random::of(target, number));
        feed("input", number, &bytes);
    }
    let (longest, number) = slowest;
    let total = clock.monotonic();
    eprintln!(
        "fuzz {target}: {inputs} inputs in {total:.1?}, slowest {longest:.1?} (input {number})"
    );
}

fn seeds(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/fuzz")
        .join(folder);
    let entries = std::fs::read_dir(&folder).expect("the corpus is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 5, "{} seeds", paths.len());
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn of(target: &str, number: u64) -> Random {
        let name = target.bytes().fold(0_u64, |hash, byte| {
            hash.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte)
        });
        Random(name ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`; zero when that is zero.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    /// A range of `data`, mostly short.
    fn range(&mut self, data: &[u8]) -> std::ops::Range<usize> {
        let start = self.below(data.len());
        let most = data.len() - start;
        let most = if self.below(4) == 0 {
            most
        } else {
            most.min(16)
        };
        start..start + self.below(most + 1)
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// A seed with one to six damages, or bytes that nobody meant.
fn input(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    if random.below(16) == 0 {
        let count = random.below(512);
        return random.bytes(count);
    }
    let mut data = random.one(seeds).clone();
    if random.below(32) != 0 {
        data.truncate(USUAL);
    }
    for _ in 0..=random.below(6) {
        damage(&mut data, seeds, random);
        data.truncate(LONGEST);
    }
    data
}

fn damage(data: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    if data.is_empty() {
        *data = random.bytes(8);
    }
    // Half of the damages lie in the first bytes.
    let front = if random.below(2) == 0 { 64 } else { usize::MAX };
    let at = random.below(data.len().min(front));
    match random.below(9) {
        0 => data[at] ^= 1 << random.below(8),
        1 => data[at] = *random.one(&[0, 1, 0x02, 0x03, 0x7f, 0x80, 0xfe, 0xff, b'/', b'%', b'~']),
        2 => data.truncate(at),
        3 => {
            let range = random.range(data);
            data.drain(range);
        }
        4 => {
            // The head of one and the tail of another.
            let other = random.one(seeds);
            let from = random.below(other.len());
            data.truncate(at);
            data.extend_from_slice(&other[from..]);
        }
        5 => length_field(data, at, random),
        6 => {
            let count = random.below(12);
            let bytes = random.bytes(count);
            data.splice(at..at, bytes);
        }
        7 => {
            let piece = data[random.range(data)].to_vec();
            data.splice(at..at, piece);
        }
        // Nesting, and long runs.
        _ => {
            let range = random.range(data);
            let piece = data[range.start..range.end.min(range.start + 16)].to_vec();
            let run = piece.repeat(random.below(256));
            data.splice(at..at, run);
        }
    }
}

/// Changes a number of one to four bytes, big endian, as those of lengths and counts are.
fn length_field(data: &mut [u8], at: usize, random: &mut Random) {
    let end = data.len().min(at + 1 + random.below(4));
    let rest = data.len() - end;
    let field = &mut data[at..end];
    let value = field
        .iter()
        .fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
    let value = match random.below(5) {
        0 => value.wrapping_add(1),
        1 => value.wrapping_sub(1),
        2 => rest as u32,
        3 => (rest as u32).wrapping_add(1),
        _ => *random.one(&[0, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0x00ff_ffff, 0xffff]),
    };
    let bytes = value.to_be_bytes();
    let count = field.len();
    field.copy_from_slice(&bytes[bytes.len() - count..]);
}
