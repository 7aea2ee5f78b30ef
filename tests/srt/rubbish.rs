//! Transport streams as no encoder makes them, packet by packet (ISO/IEC 13818-1 §2.4).

use std::collections::HashMap;

use crate::common::noise::noise;

pub(super) const PACKET_BYTES: usize = 188;
/// Elementary streams that tables name (table 2-34, and A/52 for AC-3 outside of DVB).
pub(super) const MPEG_2_VIDEO: u8 = 0x02;
pub(super) const H264: u8 = 0x1b;
pub(super) const AC_3: u8 = 0x81;
/// Where the PMT of these streams is.
pub(super) const PMT_PID: u16 = 0x1000;
pub(super) const VIDEO_PID: u16 = 0x100;

/// Writes packets, and counts for each PID.
#[derive(Default)]
pub(super) struct Mux {
    counters: HashMap<u16, u8>,
    version: u8,
    pub(super) bytes: Vec<u8>,
}

impl Mux {
    /// A payload as it begins a unit or goes on with one, in as many packets as it takes.
    pub(super) fn payload(&mut self, pid: u16, payload: &[u8]) {
        for (index, piece) in payload.chunks(PACKET_BYTES - 4).enumerate() {
            let counter = self.counters.entry(pid).or_default();
            let start = if index == 0 { 0x4000 } else { 0 };
            let stuffing = PACKET_BYTES - 4 - piece.len();
            let control = if stuffing > 0 { 0x30 } else { 0x10 };
            self.bytes.push(0x47);
            self.bytes.extend((start | pid).to_be_bytes());
            self.bytes.push(control | *counter);
            *counter = (*counter + 1) & 15;
            // §2.4.3.5: length, flags, stuffing.
            let mut field = vec![0xff; stuffing];
            if let [length, rest @ ..] = &mut field[..] {
                *length = rest.len() as u8;
                if let [flags, ..] = rest {
                    *flags = 0;
                }
            }
            self.bytes.extend(field);
            self.bytes.extend(piece);
        }
    }

    fn section(&mut self, pid: u16, table: u8, number: u16, body: &[u8]) {
        let mut section = vec![table];
        let length = u16::try_from(5 + body.len() + 4).expect("a section is short");
        section.extend((0xb000 | length).to_be_bytes());
        section.extend(number.to_be_bytes());
        section.extend([0xc1 | self.version << 1, 0, 0]);
        section.extend(body);
        section.extend(crc(&section).to_be_bytes());
        section.insert(0, 0);
        section.resize(section.len().next_multiple_of(PACKET_BYTES - 4), 0xff);
        self.payload(pid, &section);
    }

    pub(super) fn pat(&mut self) {
        let body = [1_u16, 0xe000 | PMT_PID].map(u16::to_be_bytes).concat();
        self.section(0, 0, 1, &body);
    }

    /// A program of these streams: type and PID.
    pub(super) fn pmt(&mut self, streams: &[(u8, u16)]) {
        let clock = streams.first().map_or(0x1fff, |(_, pid)| *pid);
        let mut body = [0xe000 | clock, 0xf000].map(u16::to_be_bytes).concat();
        for (kind, pid) in streams {
            body.push(*kind);
            body.extend([0xe000 | pid, 0xf000].map(u16::to_be_bytes).concat());
        }
        self.section(PMT_PID, 2, 1, &body);
    }

    /// The same with its next version.
    pub(super) fn next_pmt(&mut self, streams: &[(u8, u16)]) {
        self.version = (self.version + 1) & 31;
        self.pmt(streams);
    }

    /// A PES packet of unknown length with a presentation time, 90 kHz.
    pub(super) fn pes(&mut self, pid: u16, stream_id: u8, time: u64, data: &[u8]) {
        let mut pes = vec![0, 0, 1, stream_id, 0, 0, 0x80, 0x80, 5];
        let part = |shift: u32, bits: u64| ((time >> shift & bits) << 1 | 1) as u16;
        pes.push(0x20 | part(30, 7) as u8);
        pes.extend(part(15, 0x7fff).to_be_bytes());
        pes.extend(part(0, 0x7fff).to_be_bytes());
        pes.extend(data);
        self.payload(pid, &pes);
    }
}

/// CRC_32 of annex A.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            let carry = crc >> 31;
            crc = (crc << 1) ^ (carry * 0x04c1_1db7);
        }
    }
    crc
}

/// A slice of H.264 that cannot be decoded, of so many bytes.
fn slice(count: usize) -> Vec<u8> {
    let mut data = vec![0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x65];
    data.resize(count.max(10), 0x5a);
    data
}

/// Everything at once that is wrong with tables.
pub(super) fn tables_that_change() -> Vec<u8> {
    let mut mux = Mux::default();
    for round in 0..400_u16 {
        mux.pat();
        mux.next_pmt(&[(H264, VIDEO_PID + round % 40), (0x0f, 0x200 + round % 7)]);
        mux.pes(
            VIDEO_PID + round % 40,
            0xe0,
            u64::from(round) * 3000,
            &slice(200),
        );
    }
    mux.bytes
}

/// Good packets that no table speaks of.
pub(super) fn without_tables() -> Vec<u8> {
    let mut mux = Mux::default();
    for frame in 0..300 {
        mux.pes(VIDEO_PID, 0xe0, frame * 3000, &slice(900));
    }
    mux.bytes
}

/// A stream of one kind.
pub(super) fn of_kind(kind: u8, stream_id: u8) -> Vec<u8> {
    let mut mux = Mux::default();
    for frame in 0..200 {
        mux.pat();
        mux.pmt(&[(kind, VIDEO_PID)]);
        mux.pes(VIDEO_PID, stream_id, frame * 3000, &noise(frame, 800));
    }
    mux.bytes
}

/// One unit that never ends, of so many bytes.
pub(super) fn giant(count: usize) -> Vec<u8> {
    let mut mux = Mux::default();
    mux.pat();
    mux.pmt(&[(H264, VIDEO_PID)]);
    mux.pes(VIDEO_PID, 0xe0, 0, &slice(count));
    mux.bytes
}

/// A table of a thousand streams, as far as a section holds them, and packets of all of them.
pub(super) fn thousand_pids() -> Vec<u8> {
    let mut mux = Mux::default();
    let streams: Vec<(u8, u16)> = (0..200).map(|index| (H264, VIDEO_PID + index)).collect();
    mux.pat();
    mux.pmt(&streams);
    for index in 0..1000 {
        mux.pes(VIDEO_PID + index, 0xe0, 0, &slice(300));
        mux.pes(VIDEO_PID + index, 0xe0, 3000, &slice(300));
    }
    mux.bytes
}

#[test]
fn these_streams_are_packets() {
    for bytes in [
        tables_that_change(),
        without_tables(),
        of_kind(AC_3, 0xbd),
        giant(100_000),
        thousand_pids(),
    ] {
        assert_eq!(bytes.len() % PACKET_BYTES, 0);
        assert!(bytes.chunks(PACKET_BYTES).all(|packet| packet[0] == 0x47));
    }
}
