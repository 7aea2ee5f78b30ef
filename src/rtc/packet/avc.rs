//! H.264 in RTP (RFC 6184, packetization mode 1): access units to payloads and back.

use bytes::{BufMut, Bytes, BytesMut};

use super::PAYLOAD_BYTES;
use crate::media::codec::avc;
use crate::media::nal;

/// `nal_unit_type` values (ITU-T H.264 table 7-1).
const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_DELIMITER: u8 = 9;
/// Types of payloads that are no NAL unit (RFC 6184 table 1).
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

const TYPE_MASK: u8 = 0x1F;
/// `nal_ref_idc`.
const REFERENCE_MASK: u8 = 0x60;
/// First and last of a fragmented unit (RFC 6184 §5.8).
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;

/// Bytes of a received unit at most. Bounds memory against a sender that never ends one: well above a picture
/// of level 6.2 at rates that WebRTC reaches.
const UNIT_BYTES: usize = 4 * 1024 * 1024;

/// The payloads of a unit (4-byte lengths), in order. Before an IDR picture that comes without parameter
/// sets, those of `config` are put: a receiver may join at any of them.
pub fn payloads(config: &avc::Config, unit: &Bytes, out: &mut Vec<Bytes>) {
    let nals = || nal::units(unit).map_while(Result::ok);
    let kind = |nal: &[u8]| nal[0] & TYPE_MASK;
    let own = nals().any(|nal| kind(nal) == NAL_SPS);
    let mut sets = Vec::new();
    if !own && nals().any(|nal| kind(nal) == NAL_IDR) {
        sets = config.sps();
        sets.extend(config.pps());
        sets.retain(|set| !set.is_empty());
    }
    let mut packer = Packer::new(out);
    for nal in nals() {
        // A delimiter stays in front (ITU-T H.264 §7.4.1.2.3).
        if kind(nal) != NAL_DELIMITER {
            sets.drain(..).for_each(|set| packer.push(set));
        }
        packer.push(unit.slice_ref(nal));
    }
    packer.flush();
}

/// Puts small units together and takes large ones apart.
struct Packer<'a> {
    out: &'a mut Vec<Bytes>,
    /// Units that fit into one payload together.
    small: Vec<Bytes>,
    /// What they take in a STAP-A.
    small_bytes: usize,
}

impl<'a> Packer<'a> {
    fn new(out: &'a mut Vec<Bytes>) -> Packer<'a> {
        Packer {
            out,
            small: Vec::new(),
            small_bytes: 1,
        }
    }

    fn push(&mut self, nal: Bytes) {
        let bytes = 2 + nal.len();
        if self.small_bytes + bytes > PAYLOAD_BYTES {
            self.flush();
        }
        if nal.len() > PAYLOAD_BYTES {
            self.fragment(&nal);
        } else {
            self.small_bytes += bytes;
            self.small.push(nal);
        }
    }

    /// RFC 6184 §5.8.
    fn fragment(&mut self, nal: &[u8]) {
        let (header, body) = (nal[0], &nal[1..]);
        let size = PAYLOAD_BYTES - 2;
        let last = body.len().div_ceil(size) - 1;
        for (index, piece) in body.chunks(size).enumerate() {
            let start = if index == 0 { FU_START } else { 0 };
            let end = if index == last { FU_END } else { 0 };
            let mut payload = BytesMut::with_capacity(2 + piece.len());
            payload.put_u8(header & !TYPE_MASK | FU_A);
            payload.put_u8(start | end | header & TYPE_MASK);
            payload.put_slice(piece);
            self.out.push(payload.freeze());
        }
    }

    /// One unit as it is (RFC 6184 §5.6), several as STAP-A (§5.7.1).
    fn flush(&mut self) {
        match self.small.len() {
            0 => {}
            1 => self.out.extend(self.small.pop()),
            _ => {
                let mut payload = BytesMut::with_capacity(self.small_bytes);
                let reference = self.small.iter().map(|nal| nal[0] & REFERENCE_MASK).max();
                payload.put_u8(reference.unwrap_or(0) | STAP_A);
                for nal in self.small.drain(..) {
                    let length = u16::try_from(nal.len()).expect("below the bound of a payload");
                    payload.put_u16(length);
                    payload.put_slice(&nal);
                }
                self.out.push(payload.freeze());
            }
        }
        self.small.clear();
        self.small_bytes = 1;
    }
}

/// Puts units together from payloads in order.
#[derive(Debug, Default)]
pub struct Depacketiser {
    /// Units so far, each behind its length.
    data: BytesMut,
    /// Where the length of the fragmented unit stands that is not yet whole.
    fragment: Option<usize>,
    /// Whether something of this unit is missing or senseless.
    damaged: bool,
}

impl Depacketiser {
    /// Takes the next payload of the unit.
    pub fn push(&mut self, payload: &[u8]) {
        if self.damaged {
            return;
        }
        // Prefixes of one-byte units cost more than the bytes that came: four for each two.
        if self.data.len() + 3 * payload.len() > UNIT_BYTES || self.read(payload).is_none() {
            self.lose();
        }
    }

    /// Something before the next payload is missing: the unit cannot become whole.
    pub fn lose(&mut self) {
        self.damaged = true;
        self.fragment = None;
        self.data.clear();
    }

    /// Ends the unit: what it holds if it is whole.
    pub fn finish(&mut self) -> Option<Bytes> {
        let whole = !self.damaged && self.fragment.is_none() && !self.data.is_empty();
        let data = self.data.split().freeze();
        self.damaged = false;
        self.fragment = None;
        whole.then_some(data)
    }

    /// Whether nothing of a unit is here.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty() && !self.damaged
    }

    fn read(&mut self, payload: &[u8]) -> Option<()> {
        let (&header, body) = payload.split_first()?;
        // forbidden_zero_bit: the sender or a gateway says that the unit is damaged (RFC 6184 §1.3).
        if header & 0x80 != 0 {
            return None;
        }
        match header & TYPE_MASK {
            1..=23 => self.put(payload),
            STAP_A => self.read_aggregate(body),
            FU_A => self.read_fragment(header, body),
            _ => None,
        }
    }

    fn put(&mut self, nal: &[u8]) -> Option<()> {
        if self.fragment.is_some() {
            return None;
        }
        self.data.put_u32(u32::try_from(nal.len()).ok()?);
        self.data.put_slice(nal);
        Some(())
    }

    /// RFC 6184 §5.7.1.
    fn read_aggregate(&mut self, mut rest: &[u8]) -> Option<()> {
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (nal, after) = after.split_at_checked(length)?;
            let header = nal.first()?;
            if header & 0x80 != 0 || !(1..=23).contains(&(header & TYPE_MASK)) {
                return None;
            }
            self.put(nal)?;
            rest = after;
        }
        Some(())
    }

    /// RFC 6184 §5.8.
    fn read_fragment(&mut self, indicator: u8, body: &[u8]) -> Option<()> {
        let (&header, body) = body.split_first()?;
        let kind = header & TYPE_MASK;
        if !(1..=23).contains(&kind) {
            return None;
        }
        match (header & FU_START != 0, self.fragment) {
            (true, None) => {
                self.fragment = Some(self.data.len());
                self.data.put_u32(0);
                self.data.put_u8(indicator & REFERENCE_MASK | kind);
            }
            (false, Some(_)) => {}
            _ => return None,
        }
        self.data.put_slice(body);
        if header & FU_END != 0 {
            let at = self.fragment.take()?;
            let length = u32::try_from(self.data.len() - at - 4).ok()?;
            self.data[at..at + 4].copy_from_slice(&length.to_be_bytes());
        }
        Some(())
    }
}

/// Whether a unit can only begin with this payload: after a gap it says that nothing of its unit is missing.
pub fn begins_unit(payload: &[u8]) -> bool {
    let kind = match payload.first().map(|header| header & TYPE_MASK) {
        Some(STAP_A) => payload.get(3).map(|header| header & TYPE_MASK),
        kind => kind,
    };
    matches!(kind, Some(NAL_SPS | NAL_DELIMITER))
}
