//! Packets of 188 bytes out of pieces of any size. In: bytes. Out: packets with a known place, one
//! after the other. Not here: what a PID carries.

use memchr::memchr;

/// Size of a packet, ISO/IEC 13818-1 §2.4.3.2.
pub const PACKET_BYTES: usize = 188;
/// `sync_byte`.
const SYNC: u8 = 0x47;

/// Finds packets in bytes. Holds less than two packets.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// Whether the last packet was followed by a sync byte, as far as can be seen.
    locked: bool,
    /// What was left of the pieces before: less than 188 bytes when locked, at most 188 otherwise.
    rest: Vec<u8>,
    /// Bytes thrown away to find a sync byte.
    pub(super) unsynced_bytes: u64,
}

impl Splitter {
    /// Hands every whole packet in what is held and `data` to `take`.
    pub(super) fn push(&mut self, data: &[u8], mut take: impl FnMut(&[u8; PACKET_BYTES])) {
        if self.rest.is_empty() {
            let used = self.split(data, &mut take);
            self.rest.extend_from_slice(&data[used..]);
        } else {
            let mut joined = std::mem::take(&mut self.rest);
            joined.extend_from_slice(data);
            let used = self.split(&joined, &mut take);
            joined.drain(..used);
            self.rest = joined;
        }
    }

    /// Nothing follows: a packet that waited for the sync byte after it is taken as it is.
    pub(super) fn finish(&mut self, mut take: impl FnMut(&[u8; PACKET_BYTES])) {
        let rest = std::mem::take(&mut self.rest);
        match rest.first_chunk() {
            Some(packet) => take(packet),
            None => self.discard(rest.len()),
        }
    }

    /// How many bytes of `data` are done with.
    fn split(&mut self, data: &[u8], take: &mut impl FnMut(&[u8; PACKET_BYTES])) -> usize {
        let mut at = 0;
        loop {
            let rest = &data[at..];
            if self.locked {
                match rest.first_chunk::<PACKET_BYTES>() {
                    Some(packet) if packet[0] == SYNC => {
                        take(packet);
                        at += PACKET_BYTES;
                        continue;
                    }
                    None if rest.first().is_none_or(|&first| first == SYNC) => return at,
                    _ => self.locked = false,
                }
            }
            // One sync byte may be any byte; a second one at the right distance is believed.
            let Some(skipped) = memchr(SYNC, rest) else {
                self.discard(rest.len());
                return data.len();
            };
            self.discard(skipped);
            at += skipped;
            match data.get(at + PACKET_BYTES) {
                None => return at,
                Some(&SYNC) => self.locked = true,
                Some(_) => {
                    self.discard(1);
                    at += 1;
                }
            }
        }
    }

    fn discard(&mut self, bytes: usize) {
        self.unsynced_bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    }
}

/// The header of a packet and what it carries, ISO/IEC 13818-1 §2.4.3.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) pid: u16,
    /// `payload_unit_start_indicator`.
    pub(super) starts: bool,
    /// `transport_error_indicator`: a modem before us knows of a wrong bit.
    pub(super) corrupt: bool,
    /// `transport_scrambling_control` is not zero.
    pub(super) scrambled: bool,
    /// `continuity_counter`.
    pub(super) counter: u8,
    /// `discontinuity_indicator`: the counter may jump here.
    pub(super) discontinuity: bool,
    /// The adaptation field holds more than its flags say: the last packet of a PES packet, since
    /// others have enough to be full.
    pub(super) stuffed: bool,
    /// `None` when the packet holds an adaptation field alone, or one that is too long.
    pub(super) payload: Option<&'a [u8]>,
}

impl<'a> Packet<'a> {
    pub(super) fn read(packet: &'a [u8; PACKET_BYTES]) -> Packet<'a> {
        let [_, second, third, fourth, rest @ ..] = packet;
        let mut payload = &rest[..];
        let mut discontinuity = false;
        let (mut whole, mut stuffed) = (true, false);
        if fourth & 0x20 != 0 {
            let length = usize::from(rest[0]);
            discontinuity = length > 0 && rest[1] & 0x80 != 0;
            match rest.get(1 + length..) {
                Some(after) => {
                    payload = after;
                    stuffed = is_stuffed(&rest[1..=length]);
                }
                None => whole = false,
            }
        }
        let carries = fourth & 0x10 != 0 && whole && !payload.is_empty();
        Packet {
            pid: u16::from(second & 0x1F) << 8 | u16::from(*third),
            starts: second & 0x40 != 0,
            corrupt: second & 0x80 != 0,
            scrambled: fourth & 0xC0 != 0,
            counter: fourth & 0x0F,
            discontinuity,
            stuffed,
            payload: carries.then_some(payload),
        }
    }
}

/// Whether an adaptation field is longer than its parts, ISO/IEC 13818-1 §2.4.3.4.
fn is_stuffed(field: &[u8]) -> bool {
    let Some((&flags, rest)) = field.split_first() else {
        return true;
    };
    // PCR and OPCR, splice_countdown.
    let fixed = [(0x10, 6), (0x08, 6), (0x04, 1)];
    let fixed = fixed.into_iter().filter(|(flag, _)| flags & flag != 0);
    let mut size: usize = fixed.map(|(_, size)| size).sum();
    // Private data, the extension: each with its length in front.
    for flag in [0x02, 0x01] {
        if flags & flag != 0 {
            size += 1 + rest.get(size).copied().map_or(0, usize::from);
        }
    }
    rest.len() > size
}

/// What a packet is to the one before it of the same PID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The next one.
    Next,
    /// The same once more, ISO/IEC 13818-1 §2.4.3.3.
    Repeated,
    /// Packets are missing in between.
    Lost,
}

/// Follows the continuity counter of one PID.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Continuity {
    last: Option<(u8, u64)>,
}

impl Continuity {
    /// Compares a packet with a payload to the last one.
    pub(super) fn step(&mut self, packet: &Packet<'_>, payload: &[u8]) -> Step {
        let print = print(payload);
        let last = self.last.replace((packet.counter, print));
        match last {
            None => Step::Next,
            Some((counter, _)) if (counter + 1) & 0x0F == packet.counter => Step::Next,
            // Sixteen missing packets look the same, but for what they carry.
            Some(last) if last == (packet.counter, print) => Step::Repeated,
            Some(_) if packet.discontinuity => Step::Next,
            Some(_) => Step::Lost,
        }
    }
}

/// Both ends of a payload, to tell a repeated packet from another one.
fn print(payload: &[u8]) -> u64 {
    let ends = [payload.first_chunk::<8>(), payload.last_chunk::<8>()];
    ends.into_iter().flatten().fold(
        u64::try_from(payload.len()).unwrap_or_default(),
        |sum, end| sum.rotate_left(17) ^ u64::from_le_bytes(*end),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(number: u8) -> [u8; PACKET_BYTES] {
        let mut packet = [number; PACKET_BYTES];
        packet[0] = SYNC;
        packet
    }

    fn numbers(splitter: &mut Splitter, data: &[u8]) -> Vec<u8> {
        let mut found = Vec::new();
        splitter.push(data, |packet| found.push(packet[1]));
        found
    }

    #[test]
    fn packets_come_out_of_pieces_of_any_size() {
        let stream: Vec<u8> = (0..20).flat_map(packet).collect();
        for size in [1, 7, 187, 188, 189, 1000, 1316] {
            let mut splitter = Splitter::default();
            let mut found: Vec<u8> = Vec::new();
            for piece in stream.chunks(size) {
                found.extend(numbers(&mut splitter, piece));
                assert!(splitter.rest.len() <= PACKET_BYTES);
            }
            splitter.finish(|packet| found.push(packet[1]));
            assert_eq!(found, (0..20).collect::<Vec<u8>>(), "pieces of {size}");
            assert_eq!(splitter.unsynced_bytes, 0);
        }
    }

    #[test]
    fn garbage_before_between_and_after_packets_is_passed_over_and_counted() {
        let mut stream = vec![9, SYNC, 3];
        stream.extend((0..3).flat_map(packet));
        stream.extend([1, SYNC, 2, 3, 4]);
        stream.extend((3..6).flat_map(packet));
        stream.extend([7; 50]);
        let mut splitter = Splitter::default();
        let mut found = numbers(&mut splitter, &stream);
        splitter.finish(|packet| found.push(packet[1]));
        assert_eq!(found, [0, 1, 2, 3, 4, 5]);
        assert_eq!(splitter.unsynced_bytes, 3 + 5 + 50);
    }

    #[test]
    fn a_single_packet_is_taken_at_the_end() {
        let mut splitter = Splitter::default();
        assert!(numbers(&mut splitter, &packet(4)).is_empty());
        let mut found = 0;
        splitter.finish(|packet| found = packet[1]);
        assert_eq!(found, 4);
    }

    #[test]
    fn nothing_but_sync_bytes_is_linear_and_holds_one_packet() {
        let mut splitter = Splitter::default();
        let mut count = 0;
        splitter.push(&[SYNC; 10_000], |_| count += 1);
        assert_eq!(count, 10_000 / PACKET_BYTES);
        assert!(splitter.rest.len() < PACKET_BYTES);
    }

    #[test]
    fn an_adaptation_field_beyond_the_end_leaves_no_payload() {
        let mut bytes = packet(0);
        bytes[3] = 0x30;
        for (length, left) in [(0, Some(183)), (182, Some(1)), (183, None), (255, None)] {
            bytes[4] = length;
            let payload = Packet::read(&bytes).payload;
            assert_eq!(payload.map(<[u8]>::len), left, "length {length}");
        }
    }

    #[test]
    fn a_repeated_packet_is_told_from_sixteen_lost_ones() {
        let mut bytes = packet(1);
        bytes[3] = 0x1F;
        let mut continuity = Continuity::default();
        let mut step = |bytes: &[u8; PACKET_BYTES]| {
            let packet = Packet::read(bytes);
            continuity.step(&packet, packet.payload.unwrap())
        };
        assert_eq!(step(&bytes), Step::Next);
        assert_eq!(step(&bytes), Step::Repeated);
        bytes[100] = 77;
        bytes[187] = 78;
        assert_eq!(step(&bytes), Step::Lost);
        bytes[3] = 0x10;
        assert_eq!(step(&bytes), Step::Next);
        bytes[3] = 0x12;
        assert_eq!(step(&bytes), Step::Lost);
        bytes[3] = 0x35;
        bytes[4..6].copy_from_slice(&[1, 0x80]);
        assert_eq!(step(&bytes), Step::Next, "the packet announces the jump");
    }
}
