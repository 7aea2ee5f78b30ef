//! One received stream: packets as they arrive to tracks and access units.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::avc::{Depacketiser, begins_unit};
use super::jitter::{self, Jitter, Patience};
use super::timing::{Origin, TrackClock, Unwrap};
use super::{Format, Packet};
use crate::media::codec::{avc, opus};
use crate::media::{AccessUnit, CodecConfig, Ticks, Track};

/// Key units are asked for this often at most: a sender that could not send one at once makes none sooner
/// because it is asked again.
const KEY_UNIT_INTERVAL: Duration = Duration::from_millis(500);

/// A report before the first packet is of a time this near to that one's, or knows nothing of it.
const EARLIEST_REPORT: Duration = Duration::from_secs(10);

/// What comes out of a stream.
#[derive(Clone, Debug)]
pub enum Out {
    /// What the following units are.
    Track(Arc<Track>),
    /// A whole unit, in decode order.
    Unit(AccessUnit),
    /// What follows does not connect to what was: pictures go on at the next key unit.
    Lost,
}

/// The packets of one SSRC.
#[derive(Debug)]
pub struct Receiver {
    format: Format,
    jitter: Jitter,
    unwrap: Unwrap,
    clock: TrackClock,
    begun: bool,
    /// NTP and RTP time of a report that came before the first packet.
    early: Option<(u64, u32)>,
    depacketiser: Depacketiser,
    /// The RTP time of the unit that is being put together.
    unit: Option<u32>,
    /// The configuration that was handed out.
    config: Option<CodecConfig>,
    /// Whether pictures wait for a key unit.
    broken: bool,
    /// Whether packets are missing before the next one.
    gap: bool,
    key_unit_wanted: bool,
    key_unit_asked: Option<Duration>,
    out: VecDeque<Out>,
    /// Packets that never came.
    lost: u64,
}

impl Receiver {
    /// A stream of which nothing came yet. `repeats`: whether its sender repeats what is missing.
    pub fn new(format: Format, repeats: bool) -> Receiver {
        let patience = if repeats {
            Patience::REPEATED
        } else {
            Patience::ONCE
        };
        Receiver {
            format,
            jitter: Jitter::new(patience),
            unwrap: Unwrap::default(),
            clock: TrackClock::new(format.clock()),
            begun: false,
            early: None,
            depacketiser: Depacketiser::default(),
            unit: None,
            config: None,
            broken: format == Format::Avc,
            gap: false,
            key_unit_wanted: false,
            key_unit_asked: None,
            out: VecDeque::new(),
            lost: 0,
        }
    }

    /// NTP and RTP time of the report that came before the first packet, where `packet` is that one: to be
    /// taken by [`Receiver::report`] before the packet. Not one whose time is another: some report before
    /// they know which time their first packet will have (str0m says zero).
    pub fn begin(&mut self, packet: &Packet) -> Option<(u64, u32)> {
        if std::mem::replace(&mut self.begun, true) {
            return None;
        }
        let (ntp, rtp) = self.early.take()?;
        let apart = i64::from(rtp.wrapping_sub(packet.timestamp).cast_signed());
        let longest = Ticks::from_duration(EARLIEST_REPORT, self.format.clock());
        (apart.abs() <= longest.0).then_some((ntp, rtp))
    }

    /// Takes a packet as it arrives.
    pub fn handle(&mut self, now: Duration, packet: Packet) {
        self.jitter.handle(now, packet);
        self.advance(now);
    }

    /// Takes a sender report.
    pub fn report(&mut self, origin: &mut Origin, now: Duration, ntp: u64, rtp: u32) {
        if !self.begun {
            self.early = Some((ntp, rtp));
            return;
        }
        let rtp = self.unwrap.extend(rtp);
        self.clock.report(origin, now, ntp, rtp);
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.advance(now);
    }

    /// What came out.
    pub fn poll(&mut self) -> Option<Out> {
        self.out.pop_front()
    }

    /// Sequence numbers to ask for now.
    pub fn poll_asks(&mut self, now: Duration) -> Vec<u16> {
        self.jitter.poll_asks(now)
    }

    /// Whether to ask for a key unit now.
    pub fn poll_key_unit(&mut self, now: Duration) -> bool {
        let due = self.key_unit_wanted && self.key_unit_at().is_none_or(|at| at <= now);
        if due {
            self.key_unit_asked = Some(now);
            self.key_unit_wanted = false;
        }
        due
    }

    /// When there is something to do if no packet comes before.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let key_unit = if self.key_unit_wanted {
            Some(self.key_unit_at().unwrap_or_default())
        } else {
            None
        };
        self.jitter.poll_timeout().into_iter().chain(key_unit).min()
    }

    /// Asks for a key unit, as soon as one may be asked for again. Sound has none.
    pub fn want_key_unit(&mut self) {
        self.key_unit_wanted |= self.format == Format::Avc;
    }

    /// Packets that never came.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn key_unit_at(&self) -> Option<Duration> {
        self.key_unit_asked.map(|asked| asked + KEY_UNIT_INTERVAL)
    }

    fn advance(&mut self, now: Duration) {
        while let Some(out) = self.jitter.poll(now) {
            match out {
                jitter::Out::Lost(count) => {
                    self.lost += count;
                    self.lose();
                }
                // Packets without payload fill the line.
                jitter::Out::Packet(packet) if packet.payload.is_empty() => {}
                jitter::Out::Packet(packet) => match self.format {
                    Format::Avc => self.read_picture(now, &packet),
                    Format::Opus => self.read_sound(now, &packet),
                },
            }
        }
    }

    fn lose(&mut self) {
        if self.format == Format::Avc {
            if self.unit.is_some() {
                self.depacketiser.lose();
            }
            self.gap = true;
            self.break_off();
        } else {
            self.out.push_back(Out::Lost);
        }
    }

    /// Pictures end here until the next key unit.
    fn break_off(&mut self) {
        self.key_unit_wanted = true;
        if !std::mem::replace(&mut self.broken, true) {
            self.out.push_back(Out::Lost);
        }
    }

    fn read_picture(&mut self, now: Duration, packet: &Packet) {
        // A unit ends at its marker; without one, where the time changes (RFC 6184 §5.1).
        if self.unit.is_some_and(|unit| unit != packet.timestamp) {
            self.finish_picture(now);
        }
        // What is missing before a packet may be the beginning of its unit.
        let gap = std::mem::take(&mut self.gap);
        if gap && self.unit.is_none() && !begins_unit(&packet.payload) {
            self.depacketiser.lose();
        }
        self.unit = Some(packet.timestamp);
        self.depacketiser.push(&packet.payload);
        if packet.marker {
            self.finish_picture(now);
        }
    }

    fn finish_picture(&mut self, now: Duration) {
        let Some(timestamp) = self.unit.take() else {
            return;
        };
        let Some(data) = self.depacketiser.finish() else {
            self.break_off();
            return;
        };
        let rtp = self.unwrap.extend(timestamp);
        let key = avc::is_key_unit(&data);
        if key && let Some(Ok(config)) = avc::parameter_sets(&data).config() {
            self.configure(CodecConfig::Avc(config));
        }
        if self.config.is_none() || (self.broken && !key) {
            self.break_off();
            return;
        }
        if key {
            self.broken = false;
            self.key_unit_wanted = false;
        }
        let time = self.clock.time(now, rtp);
        self.emit(time, None, key, data);
    }

    fn read_sound(&mut self, now: Duration, packet: &Packet) {
        let Ok(samples) = opus::packet_samples(&packet.payload) else {
            self.out.push_back(Out::Lost);
            return;
        };
        if self.config.is_none() {
            // The decoder makes stereo of whatever comes (RFC 7587 §7).
            let config = opus::Config::new(2).expect("two channels");
            self.configure(CodecConfig::Opus(config));
        }
        let rtp = self.unwrap.extend(packet.timestamp);
        let time = self.clock.time(now, rtp);
        let duration = Ticks(i64::from(samples));
        self.emit(time, Some(duration), true, packet.payload.clone());
    }

    fn configure(&mut self, config: CodecConfig) {
        if self.config.as_ref() == Some(&config) {
            return;
        }
        self.config = Some(config.clone());
        self.out.push_back(Out::Track(Arc::new(Track {
            config,
            timescale: self.format.clock(),
        })));
    }

    fn emit(&mut self, time: Ticks, duration: Option<Ticks>, key: bool, data: Bytes) {
        self.out.push_back(Out::Unit(AccessUnit {
            kind: self.format.kind(),
            dts: time,
            pts: time,
            duration,
            key,
            data,
        }));
    }
}
