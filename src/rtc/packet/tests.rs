use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use super::avc::{Depacketiser, payloads};
use super::jitter::{self, Jitter, Patience};
use super::receiver::{Out, Receiver};
use super::sender::{Block, Sender};
use super::timing::{Origin, TrackClock, Unwrap, ntp_micros, ntp_time};
use super::{Format, PAYLOAD_BYTES, Packet, fuzz};
use crate::media::codec::avc;
use crate::media::codec::testing::data;
use crate::media::{AccessUnit, CodecConfig, Ticks, Timescale, nal};

mod timing;

const MS: Duration = Duration::from_millis(1);

fn config() -> avc::Config {
    avc::Config::parse(data("avc_opengop.avcc")).unwrap()
}

/// A unit of NAL units with this type byte and so many bytes in all.
fn unit(nals: &[(u8, usize)]) -> Bytes {
    let mut out = BytesMut::new();
    for (index, &(header, size)) in nals.iter().enumerate() {
        out.put_u32(u32::try_from(size).unwrap());
        out.put_u8(header);
        let fill = u8::try_from(index % 250).unwrap() + 1;
        out.put_bytes(fill, size - 1);
    }
    out.freeze()
}

fn packed(unit: &Bytes) -> Vec<Bytes> {
    let mut out = Vec::new();
    payloads(&config(), unit, &mut out);
    out
}

fn unpacked(payloads: &[Bytes]) -> Option<Bytes> {
    let mut depacketiser = Depacketiser::default();
    payloads
        .iter()
        .for_each(|payload| depacketiser.push(payload));
    depacketiser.finish()
}

fn packet(sequence: u16, timestamp: u32, marker: bool, payload: Bytes) -> Packet {
    Packet {
        sequence,
        timestamp,
        marker,
        payload,
    }
}

/// The packets of units, 3000 ticks apart, from this number and time on.
fn stream(units: &[Bytes], mut sequence: u16, mut timestamp: u32) -> Vec<Packet> {
    let mut out = Vec::new();
    for unit in units {
        let payloads = packed(unit);
        let last = payloads.len() - 1;
        for (index, payload) in payloads.into_iter().enumerate() {
            out.push(packet(sequence, timestamp, index == last, payload));
            sequence = sequence.wrapping_add(1);
        }
        timestamp = timestamp.wrapping_add(3000);
    }
    out
}

fn outs(receiver: &mut Receiver) -> Vec<Out> {
    std::iter::from_fn(|| receiver.poll()).collect()
}

fn units(outs: &[Out]) -> Vec<&AccessUnit> {
    fn unit(out: &Out) -> Option<&AccessUnit> {
        match out {
            Out::Unit(unit) => Some(unit),
            _ => None,
        }
    }
    outs.iter().filter_map(unit).collect()
}

fn key() -> Bytes {
    data("avc_idr.au")
}

fn delta(size: usize) -> Bytes {
    unit(&[(0x41, size)])
}

#[test]
fn small_units_share_a_packet_and_large_ones_are_cut() {
    let whole = unit(&[
        (0x67, 20),
        (0x68, 6),
        (0x06, 30),
        (0x65, 3 * PAYLOAD_BYTES),
        (0x65, 40),
    ]);
    let payloads = packed(&whole);
    assert!(
        payloads
            .iter()
            .all(|payload| payload.len() <= PAYLOAD_BYTES)
    );
    // STAP-A with the reference bits of its units, the SPS first; then FU-A, first to last.
    assert_eq!((payloads[0][0], payloads[0][3]), (0x78, 0x67));
    let fragments: Vec<_> = payloads[1..5].iter().map(|fu| (fu[0], fu[1])).collect();
    assert_eq!(
        fragments,
        [(0x7C, 0x85), (0x7C, 0x05), (0x7C, 0x05), (0x7C, 0x45)]
    );
    assert_eq!(payloads[5][0], 0x65);
    assert_eq!(payloads.len(), 6);
    assert_eq!(unpacked(&payloads), Some(whole));
}

#[test]
fn an_idr_without_parameter_sets_gets_those_of_the_track() {
    let payloads = packed(&unit(&[(0x09, 2), (0x65, 100)]));
    let back = unpacked(&payloads).unwrap();
    let kinds: Vec<u8> = nal::units(&back)
        .map(|nal| nal.unwrap()[0] & 0x1F)
        .collect();
    assert_eq!(kinds, [9, 7, 8, 5]);
    let sets = avc::parameter_sets(&back).config().unwrap().unwrap();
    assert_eq!((sets.sps(), sets.pps()), (config().sps(), config().pps()));
    assert_eq!(packed(&delta(100)).len(), 1);
}

#[test]
fn payloads_that_make_no_sense_damage_their_unit_only() {
    let start = Bytes::from_static(&[0x7C, 0x85, 1, 2]);
    let end = Bytes::from_static(&[0x7C, 0x45, 3]);
    let whole = Bytes::from_static(&[0, 0, 0, 4, 0x65, 1, 2, 3]);
    let bad: [&[Bytes]; 6] = [
        std::slice::from_ref(&end),
        std::slice::from_ref(&start),
        &[start.clone(), start.clone(), end.clone()],
        &[start.clone(), Bytes::from_static(&[0x41, 1]), end.clone()],
        &[Bytes::from_static(&[0x78, 0, 9, 0x67])],
        &[Bytes::from_static(&[0x1D, 0, 0])],
    ];
    for payloads in bad {
        assert_eq!(unpacked(payloads), None);
    }
    let mut depacketiser = Depacketiser::default();
    depacketiser.push(&end);
    assert_eq!(depacketiser.finish(), None);
    depacketiser.push(&start);
    depacketiser.push(&end);
    assert_eq!(depacketiser.finish(), Some(whole));
}

#[test]
fn packets_come_out_in_order_once_and_across_the_wrap() {
    let mut jitter = Jitter::new(Patience::REPEATED);
    for offset in [0u16, 2, 1, 1, 5, 4, 3, 0] {
        jitter.handle(
            MS,
            packet(65_533_u16.wrapping_add(offset), 0, false, Bytes::new()),
        );
    }
    let out: Vec<_> = std::iter::from_fn(|| jitter.poll(MS))
        .map(|out| match out {
            jitter::Out::Packet(packet) => packet.sequence,
            jitter::Out::Lost(_) => panic!("nothing is lost"),
        })
        .collect();
    assert_eq!(out, [65_533, 65_534, 65_535, 0, 1, 2]);
    assert_eq!(jitter.poll_timeout(), None);
}

#[test]
fn a_gap_is_asked_for_and_given_up_after_a_while() {
    let mut jitter = Jitter::new(Patience::REPEATED);
    for sequence in [10, 13] {
        jitter.handle(MS, packet(sequence, 0, false, Bytes::new()));
    }
    assert!(matches!(jitter.poll(MS), Some(jitter::Out::Packet(_))));
    assert!(jitter.poll_asks(5 * MS).is_empty());
    let first = jitter.poll_timeout().unwrap();
    assert_eq!(jitter.poll_asks(first), [11, 12]);
    assert!(jitter.poll_asks(first + 10 * MS).is_empty());
    let mut asked = 1;
    let mut now = first;
    while jitter.poll(now).is_none() {
        asked += usize::from(!jitter.poll_asks(now).is_empty());
        now = jitter.poll_timeout().unwrap();
    }
    assert_eq!(now, MS + Patience::REPEATED.wait);
    assert!((8..=11).contains(&asked), "asked {asked} times");
    assert!(matches!(jitter.poll(now), Some(jitter::Out::Packet(p)) if p.sequence == 13));
    // Too late.
    jitter.handle(now, packet(12, 0, false, Bytes::new()));
    assert_eq!(jitter.poll(now), None);
}

#[test]
fn another_numbering_counts_when_a_second_packet_goes_on_with_it() {
    let mut jitter = Jitter::new(Patience::REPEATED);
    let mut handle = |sequence| {
        jitter.handle(MS, packet(sequence, 0, false, Bytes::new()));
        std::iter::from_fn(|| jitter.poll(MS)).count()
    };
    assert_eq!(
        [
            handle(1),
            handle(40_000),
            handle(2),
            handle(50_000),
            handle(3)
        ],
        [1, 0, 1, 0, 1]
    );
    assert_eq!([handle(40_000), handle(40_001), handle(40_002)], [0, 2, 1]);
}

#[test]
fn what_a_gap_holds_up_is_bounded() {
    let mut jitter = Jitter::new(Patience::REPEATED);
    jitter.handle(MS, packet(0, 0, false, Bytes::new()));
    assert!(jitter.poll(MS).is_some());
    let payload = Bytes::from(vec![0; 60_000]);
    for sequence in 2..100 {
        jitter.handle(MS, packet(sequence, 0, false, payload.clone()));
    }
    assert_eq!(jitter.poll(MS), Some(jitter::Out::Lost(1)));
}

#[test]
fn pictures_go_on_at_a_key_unit_after_a_loss() {
    let all = [key(), delta(3000), delta(500), key(), delta(400)];
    let packets = stream(&all, 65_530, u32::MAX - 4000);
    let mut receiver = Receiver::new(Format::Avc, true);
    // The first fragment of the second unit never comes.
    let gone = packed(&all[0]).len();
    for (index, packet) in packets.into_iter().enumerate() {
        if index != gone {
            receiver.handle(MS, packet);
        }
    }
    receiver.handle_timeout(Duration::from_secs(1));
    let outs = outs(&mut receiver);
    assert!(matches!(&outs[0], Out::Track(track) if matches!(track.config, CodecConfig::Avc(_))));
    assert!(matches!(outs[2], Out::Lost));
    let units = units(&outs);
    let times: Vec<i64> = units
        .iter()
        .map(|unit| unit.pts.0 - units[0].pts.0)
        .collect();
    assert_eq!(times, [0, 9000, 12_000]);
    let keys: Vec<bool> = units.iter().map(|unit| unit.key).collect();
    assert_eq!(keys, [true, true, false]);
    assert_eq!(units[2].data, all[4]);
    assert_eq!(receiver.lost(), 1);
}

#[test]
fn a_key_unit_is_asked_for_where_nobody_can_decode_but_not_all_the_time() {
    let mut receiver = Receiver::new(Format::Avc, true);
    let packets = stream(&[delta(100), delta(100), delta(100), key()], 0, 0);
    receiver.handle(MS, packets[0].clone());
    assert!(receiver.poll_key_unit(MS));
    receiver.handle(2 * MS, packets[1].clone());
    assert!(!receiver.poll_key_unit(2 * MS));
    let at = receiver.poll_timeout().unwrap();
    assert!(receiver.poll_key_unit(at));
    receiver.handle(at, packets[2].clone());
    for packet in &packets[3..] {
        receiver.handle(at, packet.clone());
    }
    assert!(!receiver.poll_key_unit(at + Duration::from_secs(2)));
    assert_eq!(units(&outs(&mut receiver)).len(), 1);
    receiver.want_key_unit();
    assert!(receiver.poll_key_unit(at + Duration::from_secs(2)));
}

#[test]
fn sound_goes_on_after_a_loss_and_packets_without_payload_are_no_sound() {
    let sound = data("opus.packet");
    let mut receiver = Receiver::new(Format::Opus, false);
    for sequence in [0, 1, 3] {
        let payload = if sequence == 1 {
            Bytes::new()
        } else {
            sound.clone()
        };
        receiver.handle(
            MS,
            packet(sequence, u32::from(sequence) * 960, false, payload),
        );
    }
    receiver.handle_timeout(Duration::from_secs(1));
    let outs = outs(&mut receiver);
    assert!(matches!(
        outs[..],
        [Out::Track(_), Out::Unit(_), Out::Lost, Out::Unit(_)]
    ));
    let units = units(&outs);
    assert_eq!(units[1].pts - units[0].pts, Ticks(2880));
    assert_eq!(units[0].duration, Some(Ticks(960)));
}

#[test]
fn reports_bear_media_time_and_come_at_once_and_every_second() {
    let epoch = 1_700_000_000_000_000;
    let mut sender = Sender::new(Format::Avc, 0xFFFF_0000, 65_535);
    assert_eq!(sender.poll_report(MS, epoch), None);
    let millis = Timescale::MILLIS;
    let sent = sender.packet(Ticks(10_000), millis, Bytes::from_static(b"abc"), true);
    assert_eq!(
        (sent.sequence, sent.timestamp),
        (65_535, 0xFFFF_0000_u32.wrapping_add(900_000))
    );
    let report = sender.poll_report(MS, epoch).unwrap();
    assert_eq!(report.unix_micros(), epoch + 10_000_000);
    assert_eq!(
        (report.rtp, report.packets, report.bytes),
        (sent.timestamp, 1, 3)
    );
    let next = sender.packet(Ticks(10_040), millis, Bytes::from_static(b"d"), true);
    assert_eq!(
        (next.sequence, next.timestamp.wrapping_sub(sent.timestamp)),
        (0, 3600)
    );
    assert_eq!(sender.poll_report(900 * MS, epoch), None);
    let report = sender.poll_report(1001 * MS, epoch).unwrap();
    assert_eq!(report.unix_micros(), epoch + 10_040_000);
    // The far side heard of it 40 ms ago, we sent it 100 ms ago.
    let block = Block {
        fraction_lost: 0,
        last_report: u32::try_from((report.ntp >> 16) & 0xFFFF_FFFF).unwrap(),
        delay: 65_536 * 40 / 1000,
    };
    let round_trip = sender.round_trip(1101 * MS, &block).unwrap();
    assert!(round_trip.abs_diff(60 * MS) < MS, "{round_trip:?}");
}

#[test]
fn packets_are_repeated_while_they_are_kept() {
    let mut sender = Sender::new(Format::Opus, 0, 65_000);
    let sent: Vec<Packet> = (0..1500)
        .map(|time| sender.packet(Ticks(time), Timescale::of(48_000), Bytes::new(), false))
        .collect();
    assert_eq!(
        sender.repeat(MS, sent[1499].sequence),
        Some(sent[1499].clone())
    );
    assert_eq!(sender.repeat(2 * MS, sent[1499].sequence), None);
    assert_eq!(
        sender.repeat(20 * MS, sent[1499].sequence),
        Some(sent[1499].clone())
    );
    assert_eq!(
        sender.repeat(MS, sent[600].sequence),
        Some(sent[600].clone())
    );
    assert_eq!(sender.repeat(MS, sent[100].sequence), None);
    assert_eq!(sender.repeat(MS, sent[1499].sequence.wrapping_add(1)), None);
}

proptest! {
    #[test]
    fn units_come_back_as_they_were(
        nals in proptest::collection::vec((1u8..=4, 1usize..4000), 1..12),
    ) {
        let whole = unit(&nals);
        let payloads = packed(&whole);
        prop_assert!(payloads.iter().all(|payload| payload.len() <= PAYLOAD_BYTES));
        prop_assert_eq!(unpacked(&payloads), Some(whole));
    }

    /// Whatever is lost and however packets overtake each other: what comes out was sent, in order, and after a
    /// loss it begins with a key unit.
    #[test]
    fn units_that_come_out_are_whole_and_connect(
        seed in any::<u16>(),
        lost in proptest::collection::vec(0usize..120, 0..8),
        swaps in proptest::collection::vec(0usize..118, 0..8),
    ) {
        let all: Vec<Bytes> = (0..40_usize)
            .map(|index| match index % 10 {
                0 => unit(&[(0x65, 1000 + index)]),
                _ => delta(10 + index * 97),
            })
            .collect();
        let mut packets: Vec<_> = stream(&all, seed, u32::MAX - 60_000).into_iter().map(Some).collect();
        for &index in &lost {
            if let Some(packet) = packets.get_mut(index) {
                *packet = None;
            }
        }
        for &index in &swaps {
            if index + 2 < packets.len() {
                packets.swap(index, index + 2);
            }
        }
        let mut receiver = Receiver::new(Format::Avc, true);
        let mut now = Duration::ZERO;
        let mut found = Vec::new();
        for packet in packets.into_iter().flatten() {
            now += MS;
            receiver.handle(now, packet);
            found.extend(outs(&mut receiver));
        }
        receiver.handle_timeout(now + Duration::from_secs(1));
        found.extend(outs(&mut receiver));
        let mut broken = true;
        let mut next = 0;
        for out in &found {
            match out {
                Out::Lost => broken = true,
                Out::Track(_) => {}
                Out::Unit(unit) => {
                    // The source's key unit has no sets: the sender put them in front.
                    let data = &unit.data;
                    let at = (next..all.len()).find(|&at| {
                        if unit.key { data.ends_with(&all[at]) } else { *data == all[at] }
                    });
                    let at = at.expect("what comes out was sent");
                    prop_assert!(unit.key || !broken);
                    prop_assert!(broken || at == next, "unit {} after {}", at, next);
                    (broken, next) = (false, at + 1);
                }
            }
        }
        if lost.is_empty() && swaps.is_empty() {
            prop_assert_eq!(next, all.len());
        }
    }

    #[test]
    fn any_packets_end_well(data in proptest::collection::vec(any::<u8>(), 0..2000)) {
        fuzz::fuzz_depacketiser(&data);
        fuzz::fuzz_receiver(&data);
        fuzz::fuzz_description(&data);
    }
}
