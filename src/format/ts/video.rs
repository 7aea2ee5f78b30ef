//! H.264 and HEVC byte streams. In: bytes of PES packets with their times. Out: access units with
//! 4-byte lengths, and a configuration whenever the parameter sets change. Parameter sets, delimiters
//! and filler are left out of units, as an `avc1` or `hvc1` track has them; SEI stays.

use bytes::{BufMut, BytesMut};
use memchr::memchr_iter;
use smallvec::SmallVec;

use super::Event;
use super::program::Out;
use super::sets::Sets;
use super::stamps::{Stamps, Time};
use crate::media::codec::{avc, hevc};
use crate::media::{AccessUnit, MediaKind, Ticks, Timescale, Track, nal};

/// Largest access unit, bytes. Bounds memory per stream; as large as the largest RTMP message.
const UNIT_BYTES_LIMIT: usize = 4 * 1024 * 1024;
/// Room that stays between units, bytes: a key picture of a 10 Mb/s stream. Bounds what one huge
/// picture leaves behind.
const ROOM_BYTES: usize = 512 * 1024;
/// NAL units of one access unit. Bounds memory on a stream of nothing but start codes; HEVC allows at
/// most 600 slices in a picture (ITU-T H.265 table A.8).
const UNIT_NALS_LIMIT: usize = 4096;
/// Duration of a picture when nothing was measured yet: 30 per second.
const DEFAULT_DURATION: i64 = 3000;
/// Longest measured duration of a picture that is believed: one second.
const LONGEST_DURATION: i64 = 90_000;

/// How the byte stream is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Avc,
    Hevc,
}

/// What a NAL unit is to the access unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The first slice of a picture.
    FirstSlice,
    /// Another slice, or what belongs to the slice before it.
    Slice,
    /// Stays in the unit and stands before the slices.
    Prefix,
    /// Stays in the unit and stands after the slices.
    Suffix,
    /// A parameter set: goes into the configuration, and stands before the slices.
    Set,
    /// An access unit delimiter.
    Delimiter,
    /// Filler and ends of sequences.
    Nothing,
}

/// ITU-T H.264 table 7-1, H.265 table 7-1; `None` while the bytes that decide are not there.
fn role(coding: Coding, nal: &[u8]) -> Option<Role> {
    let first = *nal.first()?;
    match coding {
        Coding::Avc => Some(match first & 0x1F {
            // first_mb_in_slice is zero when its first bit is one, ITU-T H.264 §7.3.3.
            1 | 2 | 5 => match nal.get(1)? & 0x80 {
                0 => Role::Slice,
                _ => Role::FirstSlice,
            },
            // Data partitions B and C, auxiliary pictures, extension slices: never the first.
            3 | 4 | 19..=21 => Role::Slice,
            7 | 8 | 13 | 15 => Role::Set,
            9 => Role::Delimiter,
            10..=12 => Role::Nothing,
            6 | 14 | 16..=18 => Role::Prefix,
            _ => Role::Suffix,
        }),
        Coding::Hevc => Some(match first >> 1 & 0x3F {
            // first_slice_segment_in_pic_flag, ITU-T H.265 §7.3.6.1.
            0..=31 => match nal.get(2)? & 0x80 {
                0 => Role::Slice,
                _ => Role::FirstSlice,
            },
            32..=34 => Role::Set,
            35 => Role::Delimiter,
            36..=38 => Role::Nothing,
            39 | 41..=44 | 48..=55 => Role::Prefix,
            _ => Role::Suffix,
        }),
    }
}

impl Role {
    /// Whether this opens an access unit when a slice stands before it (ITU-T H.264 §7.4.1.2.3, H.265
    /// §7.4.2.4.4).
    fn opens(self) -> bool {
        matches!(
            self,
            Role::FirstSlice | Role::Prefix | Role::Set | Role::Delimiter
        )
    }
}

/// A NAL unit whose first byte is known.
#[derive(Clone, Copy, Debug)]
struct Nal {
    /// Of the first byte after the start code.
    at: usize,
    /// `None` until it is told.
    role: Option<Role>,
}

/// One video stream.
#[derive(Debug)]
pub(super) struct Video {
    coding: Coding,
    /// The byte stream from the first byte of the unit under way on.
    stream: Vec<u8>,
    /// What of `stream` was searched for start codes.
    searched: usize,
    /// The NAL units in `stream`, in order.
    nals: Vec<Nal>,
    /// The first of `nals` whose role is not told yet.
    untold: usize,
    /// Whether the unit under way holds a slice.
    sliced: bool,
    /// Whether the unit under way can be no picture any more: too large, or bytes are missing.
    damaged: bool,
    stamps: Stamps,
    /// Times of the last unit.
    last: Option<Time>,
    /// Decode time from one picture to the next, as measured.
    duration: i64,
    sets: Sets,
}

impl Video {
    pub(super) fn new(coding: Coding) -> Video {
        Video {
            coding,
            stream: Vec::new(),
            searched: 0,
            nals: Vec::new(),
            untold: 0,
            sliced: false,
            damaged: false,
            stamps: Stamps::default(),
            last: None,
            duration: DEFAULT_DURATION,
            sets: Sets::default(),
        }
    }

    /// A PES packet begins.
    pub(super) fn begin(&mut self, time: Option<Time>) {
        if let Some(time) = time {
            self.stamps.put(self.stream.len(), time);
        }
    }

    /// Bytes follow.
    pub(super) fn push(&mut self, data: &[u8], out: &mut Out) {
        if self.stream.len() + data.len() > UNIT_BYTES_LIMIT || self.nals.len() > UNIT_NALS_LIMIT {
            self.damage();
        }
        self.stream.extend_from_slice(data);
        // A start code may begin in the two bytes before.
        let from = self.searched.saturating_sub(2);
        for one in memchr_iter(1, &self.stream[from..]) {
            let one = from + one;
            if one >= 2 && self.stream[one - 2..one] == [0, 0] && one >= self.searched {
                self.nals.push(Nal {
                    at: one + 1,
                    role: None,
                });
            }
        }
        self.searched = self.stream.len();
        self.tell(out);
    }

    /// Packets are missing in the unit under way. A picture with a slice cut off may stop a player's
    /// decoder, one that is missing does not, so it is left out.
    pub(super) fn lose(&mut self) {
        if !self.stream.is_empty() {
            self.damage();
        }
    }

    /// The stream is over: the unit under way is complete.
    pub(super) fn finish(&mut self, out: &mut Out) {
        self.tell(out);
        let end = self.stream.len();
        self.emit(self.nals.len(), end, out);
    }

    /// Forgets the bytes of the unit under way, and remembers that it was there.
    fn damage(&mut self) {
        self.damaged |= self.sliced || !self.nals.is_empty();
        self.clear();
    }

    fn clear(&mut self) {
        self.stream.clear();
        self.stamps.clear();
        self.nals.clear();
        self.searched = 0;
        self.untold = 0;
    }

    /// Finds out what the new NAL units are, and hands out the unit before each one that opens another.
    fn tell(&mut self, out: &mut Out) {
        while let Some(nal) = self.nals.get(self.untold) {
            let end = self.nals.get(self.untold + 1).map(|next| next.at - 3);
            let bytes = &self.stream[nal.at..end.unwrap_or(self.stream.len())];
            let role = match role(self.coding, bytes) {
                Some(role) => role,
                // Nothing more can come.
                None if end.is_some() => Role::Nothing,
                None => return,
            };
            self.nals[self.untold].role = Some(role);
            let opens = role.opens() && (self.sliced || self.damaged);
            if opens || (role == Role::Delimiter && self.untold > 0) {
                let start = self.nals[self.untold].at - 3;
                self.emit(self.untold, start, out);
            }
            self.sliced |= matches!(role, Role::FirstSlice | Role::Slice);
            self.untold += 1;
        }
    }

    /// Hands out the first `count` NAL units, which end at `end`, and keeps the rest.
    fn emit(&mut self, count: usize, end: usize, out: &mut Out) {
        if std::mem::take(&mut self.damaged) {
            out.counts.malformed_units += 1;
        } else if count > 0 {
            let time = self.time();
            self.take_sets(count, end, out);
            if self.sliced {
                self.take_unit(count, end, time, out);
            }
        }
        self.sliced = false;
        self.stream.drain(..end);
        self.stream.shrink_to(ROOM_BYTES);
        self.stamps.shift(end);
        self.nals.drain(..count);
        for nal in &mut self.nals {
            nal.at -= end;
        }
        self.searched = self.stream.len();
        self.untold = 0;
    }

    /// When the unit under way is shown: by the last PES packet that began before it, or one duration
    /// after the last unit.
    fn time(&mut self) -> Time {
        let start = self.nals.first().map_or(0, |nal| nal.at);
        let time = match (self.stamps.take(start), self.last) {
            (Some(time), Some(last)) => {
                let step = time.dts.saturating_sub(last.dts);
                if (1..=LONGEST_DURATION).contains(&step) {
                    self.duration = step;
                }
                time
            }
            (Some(time), None) => time,
            (None, Some(last)) => last.plus(self.duration),
            (None, None) => Time::default(),
        };
        self.last = Some(time);
        time
    }

    /// The first `count` NAL units, with what they are.
    fn units(&self, count: usize, end: usize) -> impl Iterator<Item = (Role, &[u8])> {
        let ends = self.nals[1..].iter().map(|next| next.at - 3);
        let ends = ends.take(count - 1).chain([end]);
        let nals = self.nals[..count].iter().zip(ends);
        nals.filter_map(|(nal, end)| {
            let bytes = &self.stream[nal.at..end];
            // trailing_zero_8bits, and the zero_byte of the start code that follows.
            let last = bytes.iter().rposition(|&byte| byte != 0)?;
            Some((nal.role?, &bytes[..=last]))
        })
    }

    fn take_sets(&mut self, count: usize, end: usize, out: &mut Out) {
        let mut sets = std::mem::take(&mut self.sets);
        let update = {
            let found = self.units(count, end);
            let found = found.filter(|(role, _)| *role == Role::Set);
            let found: SmallVec<[&[u8]; 4]> = found.map(|(_, set)| set).collect();
            sets.update(self.coding, &found)
        };
        self.sets = sets;
        match update {
            None => {}
            Some(Ok(config)) => out.events.push_back(Event::Track(Track {
                config,
                timescale: Timescale::CHANNEL,
            })),
            Some(Err(_)) => out.counts.malformed_units += 1,
        }
    }

    fn take_unit(&self, count: usize, end: usize, time: Time, out: &mut Out) {
        if !self.sets.are_complete() {
            out.counts.unready_units += 1;
            return;
        }
        let kept = self.units(count, end).filter(|(role, _)| {
            matches!(
                role,
                Role::FirstSlice | Role::Slice | Role::Prefix | Role::Suffix
            )
        });
        let mut data = BytesMut::with_capacity(end + usize::from(nal::LENGTH_SIZE) * count);
        for (_, unit) in kept {
            data.put_u32(u32::try_from(unit.len()).expect("bounded by the limit of a unit"));
            data.put_slice(unit);
        }
        let data = data.freeze();
        let key = match self.coding {
            Coding::Avc => avc::is_key_unit(&data),
            Coding::Hevc => hevc::is_key_unit(&data),
        };
        out.events.push_back(Event::Unit(AccessUnit {
            kind: MediaKind::Video,
            dts: Ticks(time.dts),
            pts: Ticks(time.pts),
            duration: None,
            key,
            data,
        }));
    }
}
