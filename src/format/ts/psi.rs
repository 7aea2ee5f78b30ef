//! Program specific information. In: payloads of the PAT's and the PMT's packets. Out: whole sections
//! with a right CRC, and what they say. Not here: which stream is taken.

use smallvec::SmallVec;

/// `section_length` of a PAT or PMT at most (ISO/IEC 13818-1 §2.4.4.4), with the three bytes before it.
/// Bounds the memory of an assembly.
const SECTION_BYTES_LIMIT: usize = 1024;
/// Bytes before the first entry: up to `last_section_number`.
const SECTION_HEAD: usize = 8;
/// `CRC_32` at the end of a section.
const CRC_BYTES: usize = 4;
/// Elementary streams of one program that are looked at. More than any encoder sends; a section has
/// place for 200.
const STREAMS_LIMIT: usize = 64;

/// PID of the program association table, ISO/IEC 13818-1 table 2-3.
pub(super) const PAT_PID: u16 = 0;
/// `table_id` of a program association section and of a program map section, table 2-31.
pub(super) const PAT_TABLE: u8 = 0;
pub(super) const PMT_TABLE: u8 = 2;

/// Puts sections of one PID together.
#[derive(Debug, Default)]
pub(super) struct Sections {
    /// A section of which more is to come; empty between sections.
    section: Vec<u8>,
    /// Whether the next bytes belong to a section: not before the first start, nor after a loss.
    following: bool,
}

impl Sections {
    /// Packets are missing: the section under way cannot be finished.
    pub(super) fn lose(&mut self) {
        self.section.clear();
        self.following = false;
    }

    /// Takes the payload of a packet. `take` gets whole sections as they stand, unchecked.
    pub(super) fn push(&mut self, payload: &[u8], starts: bool, mut take: impl FnMut(&[u8])) {
        if !starts {
            self.follow(payload, &mut take);
            return;
        }
        // pointer_field, ISO/IEC 13818-1 §2.4.4.2: where the first new section begins.
        let pointer = payload.first().copied().map_or(0, usize::from);
        let rest = payload.get(1..).unwrap_or_default();
        let Some((tail, head)) = rest.split_at_checked(pointer) else {
            self.lose();
            return;
        };
        self.follow(tail, &mut take);
        self.section.clear();
        self.following = true;
        self.follow(head, &mut take);
    }

    fn follow(&mut self, mut data: &[u8], take: &mut impl FnMut(&[u8])) {
        while self.following && !data.is_empty() {
            // Stuffing follows the last section of a packet.
            if self.section.is_empty() && data[0] == 0xFF {
                self.following = false;
                return;
            }
            let wanted = self.size().unwrap_or(3);
            let more = data.len().min(wanted - self.section.len());
            self.section.extend_from_slice(&data[..more]);
            data = &data[more..];
            match self.size() {
                Some(size) if size > SECTION_BYTES_LIMIT => self.lose(),
                Some(size) if size == self.section.len() => {
                    take(&self.section);
                    self.section.clear();
                }
                _ => {}
            }
        }
    }

    /// Size of the section under way, once its length is there.
    fn size(&self) -> Option<usize> {
        let head = self.section.get(1..3)?;
        Some(3 + (usize::from(head[0] & 0x0F) << 8 | usize::from(head[1])))
    }
}

/// A section that is valid now, without its CRC; `None` when it is another table, not valid yet, or
/// damaged (`Err`).
pub(super) fn check(section: &[u8], table: u8) -> Result<Option<Section<'_>>, Damaged> {
    let Some(&found) = section.first() else {
        return Err(Damaged);
    };
    if found != table {
        return Ok(None);
    }
    if section.len() < SECTION_HEAD + CRC_BYTES || section[1] & 0x80 == 0 || crc_32(section) != 0 {
        return Err(Damaged);
    }
    // current_next_indicator
    if section[5] & 1 == 0 {
        return Ok(None);
    }
    Ok(Some(Section {
        id: u16::from_be_bytes([section[3], section[4]]),
        number: section[6],
        body: &section[SECTION_HEAD..section.len() - CRC_BYTES],
    }))
}

/// A section whose CRC or length is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// What stands between a section's head and its CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section<'a> {
    /// `transport_stream_id` or `program_number`.
    pub(super) id: u16,
    /// `section_number`.
    pub(super) number: u8,
    pub(super) body: &'a [u8],
}

/// A program of the PAT: number and PID of its map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) number: u16,
    pub(super) map_pid: u16,
}

/// The programs of a PAT section, ISO/IEC 13818-1 §2.4.4.3.
pub(super) fn programs(section: Section<'_>) -> impl Iterator<Item = Program> {
    let entries = section.body.chunks_exact(4);
    entries
        .map(|entry| Program {
            number: u16::from_be_bytes([entry[0], entry[1]]),
            map_pid: u16::from_be_bytes([entry[2], entry[3]]) & 0x1FFF,
        })
        // Number zero is the network's PID.
        .filter(|program| program.number != 0)
}

/// An elementary stream of a PMT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stream<'a> {
    pub(super) pid: u16,
    /// `stream_type`, ISO/IEC 13818-1 table 2-34.
    pub(super) kind: u8,
    /// The descriptors, one after the other.
    pub(super) descriptors: &'a [u8],
}

impl<'a> Stream<'a> {
    /// Tag and body of each descriptor, as far as they are whole (ISO/IEC 13818-1 §2.6).
    pub(super) fn descriptors(&self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let mut rest = self.descriptors;
        std::iter::from_fn(move || {
            let (&[tag, length], after) = rest.split_first_chunk()?;
            let (body, after) = after.split_at_checked(usize::from(length))?;
            rest = after;
            Some((tag, body))
        })
    }
}

/// The streams of a PMT section, ISO/IEC 13818-1 §2.4.4.8, as far as they are whole.
pub(super) fn streams(section: Section<'_>) -> SmallVec<[Stream<'_>; 8]> {
    let mut streams = SmallVec::new();
    // PCR_PID and program_info_length.
    let Some((&[_, _, high, low], rest)) = section.body.split_first_chunk() else {
        return streams;
    };
    let mut rest = rest.get(twelve_bits(high, low)..).unwrap_or_default();
    while let Some((&[kind, pid_high, pid_low, high, low], after)) = rest.split_first_chunk() {
        let Some((descriptors, after)) = after.split_at_checked(twelve_bits(high, low)) else {
            break;
        };
        if streams.len() == STREAMS_LIMIT {
            break;
        }
        streams.push(Stream {
            pid: u16::from_be_bytes([pid_high & 0x1F, pid_low]),
            kind,
            descriptors,
        });
        rest = after;
    }
    streams
}

fn twelve_bits(high: u8, low: u8) -> usize {
    usize::from(high & 0x0F) << 8 | usize::from(low)
}

/// CRC of ISO/IEC 13818-1 annex A: zero over data that ends with its own.
pub(super) fn crc_32(data: &[u8]) -> u32 {
    data.iter().fold(u32::MAX, |crc, &byte| {
        crc << 8 ^ CRC_TABLE[usize::from(crc.to_be_bytes()[0] ^ byte)]
    })
}

/// The remainders of all bytes, for the polynomial of annex A.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0_u32; 256];
    let mut index = 0;
    while index < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "an index below 256")]
        let mut crc = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000_0000 != 0 {
                crc << 1 ^ 0x04C1_1DB7
            } else {
                crc << 1
            };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};
