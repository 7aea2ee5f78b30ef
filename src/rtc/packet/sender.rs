//! One sent stream: units to numbered packets with media time, sender reports, repeats.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::timing::{ntp_micros, ntp_time};
use super::{Format, Packet, distance};
use crate::media::{Ticks, Timescale, rescale};

/// Packets that can be repeated. At 8 Mb/s they are one second; they hold no copies of payloads.
const HISTORY_PACKETS: usize = 1024;
/// A packet that was just repeated is still on its way.
const REPEAT_INTERVAL: Duration = Duration::from_millis(10);
/// Sender reports are this far apart.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Sender reports that a receiver may still refer to.
const REPORTS_KEPT: usize = 8;

/// A sender report (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Seconds since 1900 in 32.32 bits.
    pub ntp: u64,
    /// The same time in the stream's clock.
    pub rtp: u32,
    /// Packets sent; wraps.
    pub packets: u32,
    /// Their payload in bytes; wraps.
    pub bytes: u32,
}

/// What a receiver says of a stream (RFC 3550 §6.4.1, report block).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Share of packets lost since its last report, in 1/256.
    pub fraction_lost: u8,
    /// Middle of the NTP time of the last sender report it got; 0 if none.
    pub last_report: u32,
    /// How long ago that was, in 1/65536 s.
    pub delay: u32,
}

/// The packets of one SSRC.
#[derive(Debug)]
pub struct Sender {
    clock: Timescale,
    /// RTP time of media time zero.
    base: u32,
    sequence: u16,
    history: VecDeque<Sent>,
    packets: u32,
    bytes: u32,
    /// Media time (microseconds) and RTP time of the newest unit.
    newest: Option<(i64, u32)>,
    reported: Option<Duration>,
    /// Middles of NTP times of reports, and when they were sent.
    reports: VecDeque<(u32, Duration)>,
}

#[derive(Debug)]
struct Sent {
    packet: Packet,
    repeated: Option<Duration>,
}

impl Sender {
    /// A stream whose first packet has this number. Layers of one track share `base`.
    pub fn new(format: Format, base: u32, sequence: u16) -> Sender {
        Sender {
            clock: format.clock(),
            base,
            sequence,
            history: VecDeque::new(),
            packets: 0,
            bytes: 0,
            newest: None,
            reported: None,
            reports: VecDeque::new(),
        }
    }

    /// RTP time of a media time.
    pub fn timestamp(&self, time: Ticks, scale: Timescale) -> u32 {
        let ticks = rescale(time, scale, self.clock).0;
        let low = u32::try_from(ticks & 0xFFFF_FFFF).expect("32 bits");
        self.base.wrapping_add(low)
    }

    /// The next packet.
    pub fn packet(
        &mut self,
        time: Ticks,
        scale: Timescale,
        payload: Bytes,
        marker: bool,
    ) -> Packet {
        let packet = Packet {
            sequence: self.sequence,
            timestamp: self.timestamp(time, scale),
            marker,
            payload,
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        let bytes = u32::try_from(packet.payload.len()).unwrap_or(u32::MAX);
        self.bytes = self.bytes.wrapping_add(bytes);
        let micros = rescale(time, scale, Timescale::MICROS).0;
        self.newest = Some((micros, packet.timestamp));
        if self.history.len() == HISTORY_PACKETS {
            self.history.pop_front();
        }
        self.history.push_back(Sent {
            packet: packet.clone(),
            repeated: None,
        });
        packet
    }

    /// A sender report of the newest packet, when it is time for one: with the first packet, then once a
    /// second. `epoch_micros` is media time zero in microseconds since 1970.
    pub fn poll_report(&mut self, now: Duration, epoch_micros: i64) -> Option<Report> {
        let due = |at: Duration| now.saturating_sub(at) >= REPORT_INTERVAL;
        if !self.reported.is_none_or(due) {
            return None;
        }
        let (micros, rtp) = self.newest?;
        self.reported = Some(now);
        let ntp = ntp_time(epoch_micros.saturating_add(micros));
        if self.reports.len() == REPORTS_KEPT {
            self.reports.pop_front();
        }
        self.reports.push_back((middle(ntp), now));
        Some(Report {
            ntp,
            rtp,
            packets: self.packets,
            bytes: self.bytes,
        })
    }

    /// A packet once more, if it is still here and was not just repeated.
    pub fn repeat(&mut self, now: Duration, sequence: u16) -> Option<Packet> {
        let first = self.history.front()?.packet.sequence;
        let index = usize::try_from(distance(first, sequence)).ok()?;
        let sent = self.history.get_mut(index)?;
        if let Some(at) = sent.repeated
            && now.saturating_sub(at) < REPEAT_INTERVAL
        {
            return None;
        }
        sent.repeated = Some(now);
        Some(sent.packet.clone())
    }

    /// The round trip that a receiver's report tells (RFC 3550 §6.4.1, figure 2). Reports bear media time,
    /// therefore when they were sent is remembered and not computed.
    pub fn round_trip(&self, now: Duration, block: &Block) -> Option<Duration> {
        if block.last_report == 0 {
            return None;
        }
        let reports = self.reports.iter().rev();
        let (_, sent) = reports
            .into_iter()
            .find(|(middle, _)| *middle == block.last_report)?;
        let held = Duration::from_micros(u64::from(block.delay) * 1_000_000 / 65_536);
        now.saturating_sub(*sent).checked_sub(held)
    }
}

/// The middle 32 bits of an NTP time.
fn middle(ntp: u64) -> u32 {
    u32::try_from((ntp >> 16) & 0xFFFF_FFFF).expect("32 bits")
}

impl Report {
    /// Its time in microseconds since 1970.
    pub fn unix_micros(&self) -> i64 {
        ntp_micros(self.ntp)
    }
}
