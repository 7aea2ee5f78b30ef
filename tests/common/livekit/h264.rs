//! H.264 out of RTP. In: payloads in the order of their sequence numbers. Out: access units as Annex B.
//! Packetisation modes 0 and 1 (RFC 6184 §5.2); interleaved packets (mode 2) are not understood.

const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// RFC 6184 table 1.
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// ISO/IEC 14496-10 table 7-1.
const IDR: u8 = 5;
const SPS: u8 = 7;
/// A picture is never larger here. Bounds memory against a stream without markers.
const MAX_UNIT_BYTES: usize = 4 << 20;

/// An access unit in the making.
#[derive(Debug, Default)]
pub struct Assembly {
    bytes: Vec<u8>,
    key: bool,
    is_broken: bool,
    in_fragment: bool,
}

/// An access unit: Annex B, and whether it holds an IDR picture.
pub struct Whole {
    pub bytes: Vec<u8>,
    pub key: bool,
}

/// Whether a payload begins what a decoder can start from: parameter sets, or an IDR picture itself.
pub fn begins_key_frame(payload: &[u8]) -> bool {
    match payload.first().map(|byte| byte & 0x1f) {
        Some(SPS | IDR) => true,
        Some(STAP_A) => nals(&payload[1..]).any(|nal| matches!(nal[0] & 0x1f, SPS | IDR)),
        Some(FU_A) => payload
            .get(1)
            .is_some_and(|fu| fu & 0x80 != 0 && fu & 0x1f == IDR),
        _ => false,
    }
}

/// The units of an aggregation packet (RFC 6184 §5.7.1), up to the first that is not whole.
fn nals(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let size = usize::from(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]));
        let nal = bytes.get(2..2 + size).filter(|nal| !nal.is_empty())?;
        bytes = &bytes[2 + size..];
        Some(nal)
    })
}

impl Assembly {
    /// Packets are missing: the unit is not whole.
    pub fn broke(&mut self) {
        self.is_broken = true;
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.is_broken
    }

    pub fn push(&mut self, payload: &[u8]) {
        let Some(first) = payload.first() else { return };
        if self.bytes.len() + payload.len() > MAX_UNIT_BYTES {
            self.is_broken = true;
            return;
        }
        match first & 0x1f {
            STAP_A => nals(&payload[1..]).for_each(|nal| self.nal(nal)),
            // RFC 6184 §5.8: start bit, end bit, type of the fragmented unit.
            FU_A => {
                let Some(fu) = payload.get(1) else { return };
                if fu & 0x80 != 0 {
                    self.nal(&[first & 0xe0 | fu & 0x1f]);
                    self.in_fragment = true;
                } else if !self.in_fragment {
                    self.is_broken = true;
                }
                self.bytes.extend_from_slice(&payload[2..]);
                if fu & 0x40 != 0 {
                    self.in_fragment = false;
                }
            }
            1..=23 => self.nal(payload),
            _ => self.is_broken = true,
        }
    }

    fn nal(&mut self, nal: &[u8]) {
        self.key |= nal[0] & 0x1f == IDR;
        self.bytes.extend_from_slice(&START_CODE);
        self.bytes.extend_from_slice(nal);
    }

    /// The unit, unless something of it is missing.
    pub fn finish(&mut self) -> Option<Whole> {
        let done = std::mem::take(self);
        let is_whole = !done.is_broken && !done.in_fragment && !done.bytes.is_empty();
        is_whole.then_some(Whole {
            bytes: done.bytes,
            key: done.key,
        })
    }
}
