//! Entries for fuzzing: whatever packets come, in whatever order. They must return, and keep within bounds.

use std::time::Duration;

use bytes::Bytes;

use super::avc::{Depacketiser, begins_unit};
use super::receiver::{Out, Receiver};
use super::timing::Origin;
use super::{Format, Packet};
use crate::media::{CodecConfig, MediaKind, nal};
use crate::rtc::description;

/// Payloads of 0 to 255 bytes: what is put together is well formed.
pub fn fuzz_depacketiser(data: &[u8]) {
    let mut depacketiser = Depacketiser::default();
    let mut rest = data;
    while let Some((&size, after)) = rest.split_first() {
        let (payload, after) = after.split_at(after.len().min(usize::from(size)));
        begins_unit(payload);
        depacketiser.push(payload);
        if size % 7 == 3 {
            depacketiser.lose();
        }
        if size % 5 == 1
            && let Some(unit) = depacketiser.finish()
        {
            nal::validate(&unit).expect("units are well formed");
        }
        rest = after;
    }
}

/// Descriptions: an offer, and an answer to it behind the first zero.
pub fn fuzz_description(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (offer, answer) = text.split_once('\0').unwrap_or((&text, &text));
    assert!(description::sections(offer).len() <= 256);
    let refused = description::refuse_unread(offer, answer);
    assert!(refused.len() <= 2 * answer.len() + 64);
}

/// Packets with any number, time and payload, sender reports and pauses between them: tracks come before
/// units, times only grow, and what is asked for is missing.
pub fn fuzz_receiver(data: &[u8]) {
    for format in [Format::Avc, Format::Opus] {
        let mut receiver = Receiver::new(format, data.len().is_multiple_of(2));
        let mut origin = Origin::default();
        let (mut now, mut last, mut track) = (Duration::ZERO, None, false);
        let mut rest = data;
        while let Some((head, after)) = rest.split_first_chunk::<4>() {
            let &[step, sequence, time, size] = head;
            let (payload, after) = after.split_at(after.len().min(usize::from(size)));
            now += Duration::from_millis(u64::from(step));
            let far = if step > 250 { 0x7FF0 } else { 0 };
            let packet = Packet {
                sequence: u16::from(sequence).wrapping_add(far),
                timestamp: u32::from(time) << (step % 25),
                marker: step.is_multiple_of(3),
                payload: Bytes::copy_from_slice(payload),
            };
            if let Some((ntp, rtp)) = receiver.begin(&packet) {
                receiver.report(&mut origin, now, ntp, rtp);
            }
            receiver.handle(now, packet);
            if step % 11 == 5 {
                let ntp = u64::from(time) << (sequence % 57);
                receiver.report(&mut origin, now, ntp, u32::from(sequence) << 24);
            }
            assert!(receiver.poll_asks(now).len() <= 256);
            receiver.poll_key_unit(now);
            while let Some(out) = receiver.poll() {
                match out {
                    Out::Track(new) => {
                        track = true;
                        assert_eq!(
                            matches!(new.config, CodecConfig::Avc(_)),
                            format == Format::Avc
                        );
                    }
                    Out::Unit(unit) => {
                        assert!(track, "a track comes before its units");
                        assert!(last.is_none_or(|last| last < unit.dts));
                        last = Some(unit.dts);
                        if unit.kind == MediaKind::Video {
                            nal::validate(&unit.data).expect("units are well formed");
                        }
                    }
                    Out::Lost => {}
                }
            }
            if let Some(at) = receiver.poll_timeout() {
                receiver.handle_timeout(at);
            }
            rest = after;
        }
    }
}
