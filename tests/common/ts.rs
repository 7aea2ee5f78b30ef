//! Writes transport streams, well formed or not: packets, tables, PES packets, AAC and H.264 as small
//! as they can be.

/// PIDs of the streams that [`Writer::tables`] announces first.
pub const MAP: u16 = 0x1000;
pub const VIDEO: u16 = 0x100;
pub const AUDIO: u16 = 0x101;

/// Stream types.
pub const AVC: u8 = 0x1B;
pub const HEVC: u8 = 0x24;
pub const ADTS: u8 = 0x0F;
pub const LATM: u8 = 0x11;
pub const PRIVATE: u8 = 0x06;

/// Baseline, 160x90; and the same in 320x180.
pub const SPS: &[u8] = &[
    0x67, 0x42, 0xC0, 0x0B, 0xDA, 0x0A, 0x1E, 0x84, 0, 0, 3, 0, 4, 0, 0, 3, 0, 0xC2, 0x3C, 0x50,
    0xAA, 0x80,
];
pub const PPS: &[u8] = &[0x68, 0xCE, 0x3C, 0x80];
pub const AUD: &[u8] = &[0x09, 0xF0];

/// A stream of packets, with a continuity counter for each PID.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    pub bytes: Vec<u8>,
    counters: std::collections::BTreeMap<u16, u8>,
}

impl Writer {
    pub fn new() -> Writer {
        Writer::default()
    }

    /// A PAT and a map of these streams: type, PID, descriptors.
    pub fn tables(&mut self, streams: &[(u8, u16, &[u8])]) -> &mut Writer {
        self.section(0, &pat(&[(1, MAP)]));
        self.map(0, streams)
    }

    /// A map of version `version`.
    pub fn map(&mut self, version: u8, streams: &[(u8, u16, &[u8])]) -> &mut Writer {
        self.section(MAP, &pmt(1, version, streams))
    }

    /// H.264 and AAC.
    pub fn usual_tables(&mut self) -> &mut Writer {
        self.tables(&[(AVC, VIDEO, &[]), (ADTS, AUDIO, &[])])
    }

    /// A section in as many packets as it needs.
    pub fn section(&mut self, pid: u16, section: &[u8]) -> &mut Writer {
        let mut payload = vec![0];
        payload.extend_from_slice(section);
        let filled = payload.len().div_ceil(184) * 184;
        payload.resize(filled, 0xFF);
        self.payload(pid, &payload)
    }

    /// A PES packet with its length told; `None` for times that are not sent.
    pub fn pes(&mut self, pid: u16, times: Option<(u64, u64)>, data: &[u8]) -> &mut Writer {
        let stream_id = if pid == VIDEO { 0xE0 } else { 0xC0 };
        self.payload(pid, &pes(stream_id, times, data, true))
    }

    /// A PES packet without length.
    pub fn open_pes(&mut self, pid: u16, times: Option<(u64, u64)>, data: &[u8]) -> &mut Writer {
        self.payload(pid, &pes(0xE0, times, data, false))
    }

    /// A payload in as many packets as it needs, the first of which says that it starts.
    pub fn payload(&mut self, pid: u16, payload: &[u8]) -> &mut Writer {
        for (index, piece) in payload.chunks(184).enumerate() {
            self.packet(pid, index == 0, piece);
        }
        self
    }

    /// One packet, stuffed by its adaptation field.
    pub fn packet(&mut self, pid: u16, starts: bool, piece: &[u8]) -> &mut Writer {
        let counter = self.counters.entry(pid).or_insert(15);
        *counter = (*counter + 1) & 15;
        let starts = if starts { 0x40 } else { 0 };
        let [high, low] = pid.to_be_bytes();
        let stuffing = 184 - piece.len();
        let adaptation = if stuffing > 0 { 0x20 } else { 0 };
        self.bytes
            .extend([0x47, starts | high, low, 0x10 | adaptation | *counter]);
        if stuffing > 0 {
            self.bytes.push((stuffing - 1) as u8);
        }
        if stuffing > 1 {
            self.bytes.push(0);
            self.bytes.resize(self.bytes.len() + stuffing - 2, 0xFF);
        }
        self.bytes.extend_from_slice(piece);
        self
    }

    /// Number of packets so far.
    pub fn packets(&self) -> usize {
        self.bytes.len() / 188
    }

    /// Changes a packet.
    pub fn change(&mut self, packet: usize, change: impl FnOnce(&mut [u8])) -> &mut Writer {
        change(&mut self.bytes[packet * 188..][..188]);
        self
    }

    /// Takes packets out, as if they were lost.
    pub fn lose(&mut self, packets: std::ops::Range<usize>) -> &mut Writer {
        self.bytes.drain(packets.start * 188..packets.end * 188);
        self
    }
}

/// A PAT section of programs: number, PID of the map.
pub fn pat(programs: &[(u16, u16)]) -> Vec<u8> {
    let entries = programs.iter().flat_map(|(number, pid)| {
        let [a, b] = number.to_be_bytes();
        let [c, d] = pid.to_be_bytes();
        [a, b, 0xE0 | c, d]
    });
    section(0, 1, 0, &entries.collect::<Vec<u8>>())
}

/// A PMT section.
pub fn pmt(program: u16, version: u8, streams: &[(u8, u16, &[u8])]) -> Vec<u8> {
    let mut body = vec![0xE1, 0, 0xF0, 0];
    for (kind, pid, descriptors) in streams {
        let [high, low] = pid.to_be_bytes();
        let [more, less] = (descriptors.len() as u16).to_be_bytes();
        body.extend([*kind, 0xE0 | high, low, 0xF0 | more, less]);
        body.extend_from_slice(descriptors);
    }
    section(2, program, version, &body)
}

/// A section with its CRC.
pub fn section(table: u8, id: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = ((body.len() + 9) as u16).to_be_bytes();
    let [id_high, id_low] = id.to_be_bytes();
    let mut section = vec![table, 0xB0 | high, low, id_high, id_low];
    section.extend([0xC1 | version << 1, 0, 0]);
    section.extend_from_slice(body);
    let crc = section.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            let carry = if crc >> 31 == 1 { 0x04C1_1DB7 } else { 0 };
            crc << 1 ^ carry
        })
    });
    section.extend(crc.to_be_bytes());
    section
}

/// A PES packet.
pub fn pes(stream_id: u8, times: Option<(u64, u64)>, data: &[u8], sized: bool) -> Vec<u8> {
    let stamps: Vec<u8> = match times {
        None => Vec::new(),
        Some((pts, dts)) if pts == dts => timestamp(2, pts).to_vec(),
        Some((pts, dts)) => [timestamp(3, pts), timestamp(1, dts)].concat(),
    };
    let size = if sized {
        3 + stamps.len() + data.len()
    } else {
        0
    };
    let [high, low] = (size as u16).to_be_bytes();
    let presence = [0, 0x80, 0xC0][stamps.len() / 5];
    let mut packet = vec![0, 0, 1, stream_id, high, low, 0x80, presence];
    packet.push(stamps.len() as u8);
    packet.extend(stamps);
    packet.extend_from_slice(data);
    packet
}

fn timestamp(mark: u8, time: u64) -> [u8; 5] {
    [
        mark << 4 | ((time >> 29) as u8 & 0x0E) | 1,
        (time >> 22) as u8,
        (time >> 14) as u8 | 1,
        (time >> 7) as u8,
        (time << 1) as u8 | 1,
    ]
}

/// NAL units as a byte stream.
pub fn annexb(nals: &[&[u8]]) -> Vec<u8> {
    let with_code = nals.iter().map(|nal| [&[0, 0, 0, 1], *nal].concat());
    with_code.flatten().collect()
}

/// A key picture with its parameter sets, of which `size` bytes are the slice.
pub fn key_picture(size: usize) -> Vec<u8> {
    annexb(&[AUD, SPS, PPS, &slice(0x65, size)])
}

/// Another picture.
pub fn picture(size: usize) -> Vec<u8> {
    annexb(&[AUD, &slice(0x41, size)])
}

/// A slice that begins a picture.
pub fn slice(header: u8, size: usize) -> Vec<u8> {
    let mut slice = vec![0xA5; size.max(3)];
    slice[0] = header;
    slice[1] = 0x9A;
    slice
}

/// An AAC-LC frame of 48 kHz stereo with its ADTS header; `size` bytes of `fill` in it.
pub fn adts_frame(size: usize, fill: u8) -> Vec<u8> {
    let total = size + 7;
    let mut frame = vec![
        0xFF,
        0xF1,
        1 << 6 | 3 << 2,
        2 << 6 | (total >> 11) as u8,
        (total >> 3) as u8,
        (total << 5) as u8 | 0x1F,
        0xFC,
    ];
    frame.resize(total, fill);
    frame
}
