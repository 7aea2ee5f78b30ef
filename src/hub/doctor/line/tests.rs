use super::super::{Change, Doctor, Finding, Surroundings};
use super::*;
use crate::hub::observer::{Facts, Lane, Presence};

/// A line of 2.5 Mbit/s on which nothing is wrong.
fn good() -> Link {
    Link {
        rtt: Duration::from_millis(30),
        latency: Duration::from_millis(120),
        ..Link::default()
    }
}

/// What a minute on a line adds: packets that arrive, are lost, arrive again, come too late, are not
/// decrypted.
type Minute = [u64; 5];

fn facts(link: Link, seconds: u64) -> Facts {
    let lane = || Lane {
        presence: Presence::Present,
        track: None,
    };
    Facts {
        watched_seconds: seconds as f64,
        link: Some(link),
        video: lane(),
        audio: lane(),
        ..Facts::default()
    }
}

/// The findings after a minute, which adds to what the session has counted before.
fn after(link: Link, minute: Minute) -> Vec<Finding> {
    let mut doctor = Doctor::default();
    let around = Surroundings {
        on_air: true,
        silence: Duration::from_secs(1),
        ..Surroundings::default()
    };
    for second in 0..=63_u64 {
        // What was counted in the first seconds is not told.
        let part = |count: u64| 100_000 + count * second.saturating_sub(3) / 60;
        let [packets, lost, retransmitted, dropped, undecrypted] = minute.map(part);
        let link = Link {
            packets,
            lost_packets: lost,
            retransmitted_packets: retransmitted,
            dropped_packets: dropped,
            undecrypted_packets: undecrypted,
            ..link
        };
        doctor.examine(Duration::from_secs(second), &facts(link, second), &around);
    }
    doctor.findings()
}

fn with(rtt_ms: u64, latency_ms: u64) -> Link {
    Link {
        rtt: Duration::from_millis(rtt_ms),
        latency: Duration::from_millis(latency_ms),
        ..good()
    }
}

#[test]
fn a_good_line_and_one_that_repairs_a_little_loss_hear_nothing() {
    assert_eq!(after(good(), [14_000, 0, 0, 0, 0]), []);
    assert_eq!(after(good(), [14_000, 140, 140, 0, 0]), []);
    // A single bad moment.
    assert_eq!(after(good(), [14_000, 20, 15, 5, 0]), []);
    // Too little to speak of shares.
    assert_eq!(after(good(), [400, 60, 40, 20, 0]), []);
}

/// The line, what a minute adds, code and severity of the finding that comes first, and what it says.
type Row = (Link, Minute, (&'static str, Severity), [&'static str; 3]);

#[test]
fn each_fault_of_the_line_has_its_sentence_its_number_and_what_to_type() {
    #[rustfmt::skip]
    let rows: [Row; 8] = [
        // Twice the latency that is not enough.
        (with(40, 200), [13_700, 290, 10, 290, 0], ("srt-latency", Severity::Error), ["2.1 % of packets arrive too late", "to 400 ms", "latency=400000"]),
        // Four round trips are more than that.
        (with(150, 200), [13_700, 290, 10, 290, 0], ("srt-latency", Severity::Error), ["2.1 %", "to 600 ms", "latency=600000"]),
        // Half as much again, up to the next 50 ms.
        (with(40, 250), [13_900, 100, 60, 30, 0], ("srt-latency", Severity::Warning), ["0.2 % of packets", "to 400 ms", "round trip 40 ms"]),
        (with(40, 120), [14_000, 30, 20, 9, 0], ("srt-latency", Severity::Warning), ["0.06 % of packets", "to 200 ms", "(9 within"]),
        // At 15 % loss a packet needs more attempts.
        (with(100, 120), [14_000, 2_000, 1_800, 150, 0], ("srt-latency", Severity::Error), ["1.1 %", "to 800 ms", "latency=800000"]),
        (with(900, 8_000), [13_000, 2_000, 1_000, 900, 0], ("srt-latency", Severity::Error), ["as high as it can be", "Bitrate: less", "8000 ms"]),
        (with(60, 120), [14_000, 0, 0, 0, 0], ("srt-latency-short", Severity::Info), ["120 ms is less than 3 round trips of 60 ms", "to 250 ms", "latency=250000"]),
        (good(), [14_000, 0, 0, 20, 20], ("srt-encryption", Severity::Error), ["20 packets could not be decrypted", "passphrase", "Settings > Stream"]),
    ];
    for (link, minute, (code, severity), words) in rows {
        let findings = after(link, minute);
        let first = findings
            .first()
            .unwrap_or_else(|| panic!("{code}: nothing"));
        assert_eq!((first.code, first.severity), (code, severity), "{first:?}");
        let all = format!("{} {}", first.text, first.remedy);
        for word in words {
            assert!(all.contains(word), "{word} is not in: {all}");
        }
    }
}

#[test]
fn loss_is_told_with_whether_it_was_repaired() {
    let findings = after(good(), [14_000, 700, 700, 0, 0]);
    let [finding] = &findings[..] else {
        panic!("{findings:?}");
    };
    assert_eq!(
        (finding.code, finding.severity),
        ("srt-loss", Severity::Info)
    );
    assert_eq!(
        finding.text,
        "The line loses 5.0 % of packets; all of them were sent again in time."
    );
    let findings = after(good(), [14_000, 2_400, 2_200, 200, 0]);
    let codes: Vec<_> = findings.iter().map(|f| (f.code, f.severity)).collect();
    let expected = [
        ("srt-latency", Severity::Error),
        ("srt-loss", Severity::Warning),
    ];
    assert_eq!(codes, expected);
    assert!(findings[1].text.contains("16.9 % of packets; 200 were not"));
}

#[test]
fn a_proposed_latency_is_within_bounds_whatever_the_line_says() {
    let huge = Duration::from_secs(u64::from(u32::MAX));
    for rtt in [
        Duration::ZERO,
        Duration::from_micros(1),
        Duration::from_secs(3),
        huge,
    ] {
        for latency in [
            Duration::ZERO,
            Duration::from_millis(20),
            HIGHEST_LATENCY,
            huge,
        ] {
            let link = Link {
                rtt,
                latency,
                ..good()
            };
            for minute in [[1_000, 0, 0, 0, 0], [1_000, 900, 9, 900, 0], [u64::MAX; 5]] {
                let [packets, lost, retransmitted, dropped, undecrypted] = minute;
                let line = super::super::Line {
                    packets: packets / 4,
                    lost: lost / 4,
                    retransmitted,
                    dropped: dropped / 4,
                    undecrypted,
                };
                let recent = Recent {
                    line,
                    ..Recent::default()
                };
                let (proposed, _) = proposed(&link, &recent);
                assert!(proposed <= HIGHEST_LATENCY);
                assert_eq!(proposed.as_micros() % 50_000, 0);
            }
        }
    }
}

#[test]
fn a_line_that_cannot_be_decrypted_from_the_start_is_told_of_although_nothing_comes() {
    let mut doctor = Doctor::default();
    let around = Surroundings {
        silence: Duration::from_secs(1),
        ..Surroundings::default()
    };
    let mut appeared = Vec::new();
    for second in 0..6_u64 {
        let link = Link {
            packets: second * 100,
            undecrypted_packets: second * 100,
            ..good()
        };
        let mut facts = facts(link, 0);
        facts.watched_seconds = 0.0;
        facts.quiet_seconds = second as f64;
        for change in doctor.examine(Duration::from_secs(second), &facts, &around) {
            if let Change::Appeared(finding) = change {
                appeared.push(finding.code);
            }
        }
    }
    assert!(appeared.contains(&"srt-encryption"), "{appeared:?}");
}

#[test]
fn what_the_line_did_is_told_for_a_minute() {
    let mut doctor = Doctor::default();
    let around = Surroundings {
        on_air: true,
        silence: Duration::from_secs(1),
        ..Surroundings::default()
    };
    let mut told = Vec::new();
    for second in 0..150_u64 {
        let late = if second < 10 { 0 } else { 200 };
        let link = Link {
            packets: second * 240,
            lost_packets: late,
            dropped_packets: late,
            ..good()
        };
        let facts = facts(link, second);
        for change in doctor.examine(Duration::from_secs(second), &facts, &around) {
            told.push(match change {
                Change::Appeared(finding) => (second, "appeared", finding.code),
                Change::Gone(finding) => (second, "gone", finding.code),
            });
        }
    }
    let of_latency = |told: &&(u64, &str, &str)| told.2 == "srt-latency";
    let told: Vec<_> = told.iter().filter(of_latency).collect();
    assert_eq!(told[0], &(13, "appeared", "srt-latency"));
    assert_eq!((told[1].1, told.len()), ("gone", 2));
    assert!((70..=85).contains(&told[1].0), "{told:?}");
}
