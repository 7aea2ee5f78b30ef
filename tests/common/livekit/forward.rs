//! What one subscriber gets of one track. In: packets of the track's layers. Out: one stream with one source,
//! numbered without holes, in one RTP time, whose sender reports carry the publisher's clock; layers change at
//! key frames.

use std::time::{Duration, Instant};

use str0m::Rtc;
use str0m::media::{MediaKind, Mid, Pt};
use str0m::rtp::{RtpWrite, SeqNo};

use super::h264::begins_key_frame;
use super::record::{Packet, Report};

/// How far behind the present the clocks of publishers are put. A report must not lie in the future, and all
/// tracks are put back alike.
const BEHIND: Duration = Duration::from_secs(2);
/// A layer of which nothing came for that long does not come any more.
const SILENCE: Duration = Duration::from_secs(2);

/// What a subscriber wants of a track (`UpdateTrackSettings`).
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    pub is_disabled: bool,
    /// `VideoQuality`; what is above the best layer means the best.
    pub quality: i32,
    pub width: u32,
    pub height: u32,
}

impl Default for Wish {
    fn default() -> Wish {
        Wish {
            is_disabled: false,
            quality: 2,
            width: 0,
            height: 0,
        }
    }
}

/// A layer that may be forwarded.
#[derive(Clone, Copy, Debug)]
pub struct Offered {
    pub quality: i32,
    pub width: u32,
    pub height: u32,
    pub last_arrival: Option<Instant>,
}

/// The place of a publisher's clock in ours: the same for all its tracks.
#[derive(Clone, Copy, Debug)]
pub struct ClockPlace {
    pub instant: Instant,
    pub at: f64,
}

impl ClockPlace {
    /// When the publisher's clock showed that, a fixed time behind.
    fn instant(&self, at: f64) -> Instant {
        let ahead = at - self.at;
        let instant = match ahead >= 0.0 {
            true => self.instant + Duration::from_secs_f64(ahead),
            false => {
                let back = Duration::from_secs_f64(-ahead);
                self.instant.checked_sub(back).unwrap_or(self.instant)
            }
        };
        instant.checked_sub(BEHIND).unwrap_or(instant)
    }
}

/// A track on its way to a subscriber.
#[derive(Debug)]
pub struct Down {
    pub track: String,
    pub kind: MediaKind,
    pub mid: Option<Mid>,
    pub wish: Wish,
    /// Unsubscribed: out of use with the next offer.
    pub is_gone: bool,
    /// Index of the layer on its way.
    pub layer: Option<usize>,
    pub packets: u64,
    pub switches: u32,
    pub key_frame_requests: u64,
    offset: i64,
    /// Numbers of packets without payload since the switch, which subscribers do not get.
    paddings: Vec<u64>,
    base: u64,
    last_sequence: u64,
    shift: u32,
    last: Option<(u32, Instant)>,
    pub asked: Option<Instant>,
}

impl Down {
    pub fn new(track: &str, kind: MediaKind) -> Down {
        Down {
            track: track.to_owned(),
            kind,
            mid: None,
            wish: Wish::default(),
            is_gone: false,
            layer: None,
            packets: 0,
            switches: 0,
            key_frame_requests: 0,
            offset: 0,
            paddings: Vec::new(),
            base: 0,
            last_sequence: 1000,
            shift: 0,
            last: None,
            asked: None,
        }
    }

    /// The layer that it should get: the best that comes and that is not more than what is wanted.
    pub fn target(&self, layers: &[Offered], now: Instant) -> Option<usize> {
        if self.wish.is_disabled {
            return None;
        }
        let comes = |layer: &Offered| layer.last_arrival.is_some_and(|at| now - at < SILENCE);
        let mut order: Vec<usize> = (0..layers.len()).filter(|i| comes(&layers[*i])).collect();
        order.sort_by_key(|index| layers[*index].quality);
        let (width, height) = (self.wish.width, self.wish.height);
        let fits = |layer: &Offered| match width > 0 && height > 0 {
            true => layer.width >= width || layer.height >= height,
            false => layer.quality >= self.wish.quality,
        };
        let smallest = order.iter().find(|index| fits(&layers[**index]));
        smallest.or(order.last()).copied()
    }

    /// Whether the layer that it should get still waits for a key frame.
    pub fn needs_key_frame(&self, target: Option<usize>) -> bool {
        self.kind == MediaKind::Video && target.is_some() && self.layer != target
    }

    /// Passes a packet on, if it is one of the layer that the subscriber gets.
    pub fn forward(
        &mut self,
        rtc: &mut Rtc,
        layer: usize,
        target: Option<usize>,
        packet: &Packet,
        clock: (u32, Option<&Report>, Option<&ClockPlace>),
    ) {
        let Some(mid) = self.mid else { return };
        let Some(pt) = payload_type(rtc, mid) else {
            return;
        };
        if self.wish.is_disabled || self.is_gone {
            return;
        }
        if packet.payload.is_empty() {
            // Probing of the publisher's line. Its number would be a hole in the subscriber's.
            if self.layer == Some(layer) && packet.sequence >= self.base {
                self.paddings.push(packet.sequence);
            }
            return;
        }
        let wall = wall(packet, clock);
        if self.layer != Some(layer) {
            let may_begin = self.kind == MediaKind::Audio || begins_key_frame(&packet.payload);
            if target != Some(layer) || !may_begin {
                return;
            }
            self.switch(layer, packet, wall, clock.0);
        }
        if packet.sequence < self.base {
            return;
        }
        let before = self.paddings.iter().filter(|at| **at < packet.sequence);
        let offset = self.offset - i64::try_from(before.count()).unwrap_or(0);
        let sequence = packet.sequence.wrapping_add_signed(offset);
        let timestamp = packet.timestamp.wrapping_add(self.shift);
        if sequence > self.last_sequence {
            self.last_sequence = sequence;
            self.last = Some((timestamp, wall));
        }
        self.packets += 1;
        let mut api = rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(mid, None) else {
            return;
        };
        let write = RtpWrite::new(
            pt,
            SeqNo::from(sequence),
            timestamp,
            wall,
            packet.payload.clone(),
        );
        stream.write_rtp(write.marker(packet.marker).nackable(true));
    }

    /// Numbers and times go on where the layer before ended.
    fn switch(&mut self, layer: usize, packet: &Packet, wall: Instant, clock_rate: u32) {
        self.base = packet.sequence;
        self.paddings.clear();
        let next = self.last_sequence + 1;
        self.offset = next.wrapping_sub(packet.sequence) as i64;
        if let Some((timestamp, before)) = self.last {
            let passed = wall.saturating_duration_since(before).as_secs_f64();
            // A picture that is not after the one before still needs a time of its own.
            let ticks = ((passed * f64::from(clock_rate)).round() as u32).max(1);
            let timestamp = timestamp.wrapping_add(ticks);
            self.shift = timestamp.wrapping_sub(packet.timestamp);
            self.switches += 1;
        }
        self.layer = Some(layer);
        self.asked = None;
    }
}

/// When a packet was captured, in our clock and a fixed time behind: by the publisher's report, and by its
/// arrival before there is one.
fn wall(packet: &Packet, clock: (u32, Option<&Report>, Option<&ClockPlace>)) -> Instant {
    let (clock_rate, report, place) = clock;
    let (Some(report), Some(place)) = (report, place) else {
        return packet.arrived.checked_sub(BEHIND).unwrap_or(packet.arrived);
    };
    let ahead = packet.timestamp.wrapping_sub(report.rtp_time) as i32;
    place.instant(report.at + f64::from(ahead) / f64::from(clock_rate))
}

/// The payload type that the subscriber has for what we send: one codec is negotiated for each kind.
fn payload_type(rtc: &Rtc, mid: Mid) -> Option<Pt> {
    rtc.media(mid)?.remote_pts().first().copied()
}
