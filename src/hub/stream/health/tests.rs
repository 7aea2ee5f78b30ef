use bytes::Bytes;

use super::*;
use crate::base::clock::Clock;
use crate::hub::boundary::{OnLoss, Resumed};
use crate::hub::stream::Joining;
use crate::hub::{Admission, Announcement, Beginning, Limits, Publisher};
use crate::media::codec::aac;
use crate::media::{CodecConfig, MediaKind};

const EPOCH: Wall = Wall(1_700_000_000_000_000);

struct Bench {
    clock: Clock,
    stream: Arc<Stream>,
}

/// A publisher of sound: a frame whenever one is full.
struct Encoder {
    publisher: Publisher,
    frame: Duration,
    sent: Duration,
}

impl Bench {
    fn new(resumed: Option<Resumed>) -> Bench {
        let clock = Clock::simulated(EPOCH);
        let admission = Admission {
            channel_id: "local#forebay#live".to_owned(),
            alias: "live".to_owned(),
            name: "Live".to_owned(),
            capabilities: Vec::new(),
            tags: Vec::new(),
            screen_name: None,
            lasting: None,
            placed: None,
        };
        let settings = Settings {
            segment_target: Ticks(180_000),
            longest_segment: Ticks(900_000),
            ladder: false,
            on_loss: OnLoss::Gap,
        };
        let beginning = Beginning {
            resumed,
            ..Beginning::now(Uuid::nil(), &clock)
        };
        let limits = Limits {
            silence: Duration::from_secs(1),
            window: Duration::from_secs(60),
        };
        let stream = Stream::new(beginning, admission, settings, limits, clock.clone());
        Bench {
            clock,
            stream: Arc::new(stream),
        }
    }

    fn publisher(&self, sample_rate: u32) -> Encoder {
        let peer = ([192, 0, 2, 1], 5000).into();
        let (member, eviction) = self
            .stream
            .join(Joining {
                proto: "rtmp",
                peer,
                session: "local#session".into(),
                screen_name: None,
            })
            .unwrap();
        let mut publisher = Publisher::new(self.stream.clone(), member, eviction);
        publisher.announce(Announcement {
            video: Some(false),
            audio: Some(true),
            encoder: Some("OBS 30".to_owned()),
            ..Announcement::default()
        });
        publisher.set_track(Track {
            config: CodecConfig::Aac(aac::Config::new_lc(sample_rate, 2).unwrap()),
            timescale: Timescale::MILLIS,
        });
        Encoder {
            publisher,
            frame: Duration::from_secs(1024) / sample_rate,
            sent: Duration::ZERO,
        }
    }

    /// Lets all of them send for so many seconds, 20 ms at a time.
    fn play(&self, encoders: &mut [&mut Encoder], seconds: u32) {
        for _ in 0..seconds * 50 {
            for encoder in &mut *encoders {
                encoder.send(self.clock.monotonic());
            }
            self.wait(20);
        }
    }

    fn wait(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
        self.stream.examine();
    }

    fn history(&self) -> Vec<String> {
        let history = self.stream.health().history;
        history.into_iter().map(|incident| incident.text).collect()
    }

    fn standings(&self) -> Vec<(u64, Standing, String)> {
        let members = self.stream.members().into_iter();
        members
            .map(|member| (member.id, member.standing, member.reason))
            .collect()
    }
}

impl Encoder {
    fn send(&mut self, now: Duration) {
        // What was not sent in a pause is not sent later.
        self.sent = self.sent.max(now.saturating_sub(2 * self.frame));
        while self.sent + self.frame <= now {
            let time = Ticks::from_duration(self.sent, Timescale::MILLIS);
            self.sent += self.frame;
            self.publisher.push(AccessUnit {
                kind: MediaKind::Audio,
                dts: time,
                pts: time,
                duration: None,
                key: true,
                data: Bytes::from_static(b"a frame of some sound"),
            });
        }
    }
}

#[test]
fn the_history_tells_who_was_on_air_and_why() {
    let bench = Bench::new(None);
    assert_eq!(bench.stream.health().state, story::State::Waiting);
    let mut one = bench.publisher(48_000);
    bench.play(&mut [&mut one], 2);
    let mut two = bench.publisher(48_000);
    bench.play(&mut [&mut one, &mut two], 2);
    assert_eq!(
        bench.standings(),
        [
            (0, Standing::OnAir, "it came first".to_owned()),
            (
                1,
                Standing::Standby,
                "another publisher is on air".to_owned()
            ),
        ]
    );
    drop(one);
    bench.play(&mut [&mut two], 1);
    bench.wait(5_000);
    assert_eq!(bench.stream.health().state, story::State::Silent);
    bench.play(&mut [&mut two], 1);
    bench.stream.end();
    assert_eq!(bench.stream.health().state, story::State::Ended);
    assert_eq!(
        bench.history(),
        [
            "The stream began.",
            "publisher 0 (rtmp, OBS 30) is on air as the first one.",
            "publisher 1 (rtmp) stands by.",
            "publisher 0 (rtmp, OBS 30) went away while on air.",
            "publisher 1 (rtmp, OBS 30) took the air: the one before went away.",
            "publisher 1 (rtmp, OBS 30) is connected but has sent nothing for 5.0 s.",
            "publisher 1 (rtmp, OBS 30) is on air after 5.0 s without media.",
            "The stream ended.",
        ]
    );
}

#[test]
fn a_backup_that_takes_over_from_a_silent_publisher_says_so() {
    let bench = Bench::new(Some(Resumed {
        discontinuities: 3,
        end: Ticks::ZERO,
    }));
    let mut one = bench.publisher(48_000);
    let mut two = bench.publisher(48_000);
    bench.play(&mut [&mut one, &mut two], 1);
    bench.play(&mut [&mut two], 2);
    let history = bench.history();
    assert_eq!(
        history[0],
        "The stream goes on after a restart of the server."
    );
    assert_eq!(
        history.last().unwrap(),
        "publisher 1 (rtmp, OBS 30) took the air: the one before was silent for 1.0 s."
    );
    let standings = bench.standings();
    assert_eq!(standings[0].1, Standing::Silent);
    assert_eq!(standings[0].2, "nothing came for 2.0 s");
    let stats = bench.stream.stats();
    assert_eq!((stats.members, stats.standby, stats.silent), (2, 0, 1));
    assert_eq!((stats.counts.switches, stats.stalls), (1, 1));
}

#[test]
fn the_air_is_given_by_hand_to_a_publisher_that_sends() {
    let bench = Bench::new(None);
    let mut one = bench.publisher(48_000);
    let mut two = bench.publisher(48_000);
    let mut silent = bench.publisher(48_000);
    bench.play(&mut [&mut one, &mut two, &mut silent], 1);
    bench.play(&mut [&mut one, &mut two], 2);
    let switch = |id| bench.stream.switch_to(id);
    assert_eq!(switch(7), Err(SwitchError::Unknown(7)));
    assert_eq!(switch(0), Err(SwitchError::OnAir(0)));
    assert_eq!(switch(2), Err(SwitchError::Silent(2)));
    assert_eq!(switch(1), Ok(()));
    bench.play(&mut [&mut one, &mut two], 2);
    assert_eq!(
        bench.standings()[1],
        (1, Standing::OnAir, "switched by hand".to_owned())
    );
    assert_eq!(
        bench.history().last().unwrap(),
        "publisher 1 (rtmp, OBS 30) took the air: switched by hand."
    );
    bench.stream.end();
    assert_eq!(bench.stream.switch_to(0), Err(SwitchError::Ended));
}

#[test]
fn another_configuration_is_told_with_what_it_was_before() {
    let bench = Bench::new(None);
    let mut one = bench.publisher(48_000);
    bench.play(&mut [&mut one], 1);
    drop(one);
    bench.wait(3_000);
    let mut two = bench.publisher(44_100);
    bench.play(&mut [&mut two], 1);
    let history = bench.history();
    let told = "The encoder changed: audio mp4a.40.2 44100 Hz 2 ch instead of audio mp4a.40.2 48000 Hz 2 ch.";
    assert!(history.iter().any(|text| text == told), "{history:?}");
}

#[test]
fn every_publisher_has_facts_and_findings_the_backup_too() {
    let bench = Bench::new(None);
    let mut one = bench.publisher(48_000);
    let mut two = bench.publisher(44_100);
    bench.play(&mut [&mut one, &mut two], 6);
    let members = bench.stream.members();
    let codes = |index: usize| -> Vec<&str> {
        let findings = members[index].findings.iter();
        findings.map(|finding| finding.code).collect()
    };
    assert_eq!(codes(0), [""; 0]);
    assert_eq!(codes(1), ["sample-rate"]);
    for (member, rate) in members.iter().zip([48_000.0, 44_100.0]) {
        let expected = 21.0 * 8.0 * rate / 1024.0;
        let off = (member.facts.bitrate_bps - expected).abs() / expected;
        assert!(off < 0.01, "{}", member.facts.bitrate_bps);
        assert_eq!(member.facts.encoder.as_deref(), Some("OBS 30"));
    }
    let stats = bench.stream.stats();
    assert_eq!(stats.ingest_bps, members[0].facts.bitrate_bps);
}

#[test]
fn a_silent_encoder_that_gives_its_place_to_another_is_written_down() {
    let bench = Bench::new(None);
    let mut first = bench.publisher(48_000);
    bench.play(&mut [&mut first], 3);
    bench.wait(700);
    bench.play(&mut [&mut first], 1);
    let stalls = bench.stream.stats().stalls;
    assert_eq!(stalls, 1);
    let _others: Vec<Encoder> = (1..crate::hub::stream::MAX_MEMBERS)
        .map(|_| bench.publisher(48_000))
        .collect();
    bench.wait(2_000);
    let _next = bench.publisher(48_000);
    let history = bench.history();
    assert!(
        history
            .iter()
            .any(|text| text.contains("publisher 0") && text.contains("went away")),
        "{history:?}"
    );
    assert!(
        bench.stream.stats().stalls >= stalls,
        "its pauses are forgotten"
    );
}
