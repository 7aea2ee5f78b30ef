//! PES packets of one PID. In: payloads of transport packets. Out: where a PES packet begins and with
//! which times, and its bytes as they come, not gathered. Not here: where an access unit ends.

/// Longest PES header: nine bytes, and `PES_header_data_length` at most.
const HEADER_BYTES_LIMIT: usize = 9 + 255;

/// Bits of a timestamp.
const TIMESTAMP_BITS: u32 = 33;

/// PTS and DTS as they stand, 33 bits of 90 kHz. The same when only PTS is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) pts: u64,
    pub(super) dts: u64,
}

/// What a PES packet hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A PES packet begins.
    Begin(Option<Stamp>),
    /// Bytes of it.
    Data(&'a [u8]),
    /// What begins here is no PES packet with media: its bytes are left out.
    Malformed,
    /// It is scrambled: its bytes are left out.
    Scrambled,
}

/// What of a PES packet comes next.
#[derive(Debug, Default)]
enum State {
    /// Nothing until the next one begins.
    #[default]
    Outside,
    /// More of the header, which is gathered.
    Header,
    /// The payload: so many bytes, or all until the next one begins.
    Payload(Option<usize>),
}

/// Reads the PES packets of one PID.
#[derive(Debug, Default)]
pub(super) struct Reader {
    state: State,
    /// A header that did not end in the packet in which it begins.
    header: Vec<u8>,
}

impl Reader {
    /// Packets are missing. With `go_on` the payload under way goes on after the gap, to an end that is
    /// not known any more; otherwise nothing is handed on until the next PES packet begins. Whether
    /// something was under way: not so when the last PES packet was complete by its length.
    pub(super) fn lose(&mut self, go_on: bool) -> bool {
        let damaged = !matches!(self.state, State::Outside | State::Payload(Some(0)));
        self.state = match self.state {
            State::Payload(_) if go_on => State::Payload(None),
            _ => State::Outside,
        };
        self.header.clear();
        damaged
    }

    /// Takes the payload of a transport packet.
    pub(super) fn push<'a>(
        &mut self,
        payload: &'a [u8],
        starts: bool,
        mut take: impl FnMut(Piece<'a>),
    ) {
        if starts {
            self.header.clear();
            self.state = State::Header;
        }
        let mut data = payload;
        if let State::Header = self.state {
            let Some(rest) = self.header(payload, &mut take) else {
                return;
            };
            data = rest;
        }
        if let State::Payload(left) = &mut self.state {
            if let Some(left) = left {
                data = &data[..data.len().min(*left)];
                *left -= data.len();
            }
            if !data.is_empty() {
                take(Piece::Data(data));
            }
        }
    }

    /// Reads the header from what is gathered and `payload`; what follows it, when it is complete.
    fn header<'a>(
        &mut self,
        payload: &'a [u8],
        take: &mut impl FnMut(Piece<'a>),
    ) -> Option<&'a [u8]> {
        let gathered = self.header.len();
        let outcome = if gathered == 0 {
            read_header(payload)
        } else {
            let more = payload.len().min(HEADER_BYTES_LIMIT - gathered);
            self.header.extend_from_slice(&payload[..more]);
            read_header(&self.header)
        };
        match outcome {
            Outcome::Incomplete => {
                if gathered == 0 {
                    self.header.extend_from_slice(payload);
                }
                None
            }
            Outcome::Header(header) => {
                self.state = State::Payload(header.payload_bytes);
                take(Piece::Begin(header.stamp));
                // What was gathered before did not hold the whole header.
                payload.get(header.size - gathered..)
            }
            Outcome::Other(piece) => {
                self.state = State::Outside;
                if let Some(piece) = piece {
                    take(piece);
                }
                None
            }
        }
    }
}

enum Outcome {
    Incomplete,
    Header(Header),
    Other(Option<Piece<'static>>),
}

struct Header {
    size: usize,
    payload_bytes: Option<usize>,
    stamp: Option<Stamp>,
}

/// ISO/IEC 13818-1 §2.4.3.6.
fn read_header(data: &[u8]) -> Outcome {
    let prefix = [0, 0, 1];
    if data
        .iter()
        .zip(prefix)
        .any(|(&byte, wanted)| byte != wanted)
    {
        return Outcome::Other(Some(Piece::Malformed));
    }
    let Some((&[_, _, _, stream_id, high, low, flags, presence, length], rest)) =
        data.split_first_chunk()
    else {
        // A padding packet may be shorter than the head of the others.
        return match data.get(3) {
            Some(&stream_id) if !has_header(stream_id) => Outcome::Other(None),
            _ => Outcome::Incomplete,
        };
    };
    if !has_header(stream_id) {
        return Outcome::Other(None);
    }
    if flags & 0xC0 != 0x80 {
        return Outcome::Other(Some(Piece::Malformed));
    }
    if flags & 0x30 != 0 {
        return Outcome::Other(Some(Piece::Scrambled));
    }
    let Some(fields) = rest.get(..usize::from(length)) else {
        return Outcome::Incomplete;
    };
    let size = 9 + fields.len();
    // Zero: until the next one begins, which only video may say.
    let payload_bytes = match usize::from(u16::from_be_bytes([high, low])) {
        0 => None,
        bytes => match (6 + bytes).checked_sub(size) {
            None => return Outcome::Other(Some(Piece::Malformed)),
            some => some,
        },
    };
    let stamp = match presence >> 6 {
        2 => timestamp(fields).map(|pts| Stamp { pts, dts: pts }),
        3 => {
            let dts = fields.get(5..).and_then(timestamp);
            timestamp(fields).map(|pts| Stamp {
                pts,
                dts: dts.unwrap_or(pts),
            })
        }
        _ => None,
    };
    Outcome::Header(Header {
        size,
        payload_bytes,
        stamp,
    })
}

/// The streams of table 2-22 that have no header of times: program stream map and directory, padding,
/// private stream 2, ECM, EMM, DSM-CC, ITU-T H.222.1 type E.
fn has_header(stream_id: u8) -> bool {
    !matches!(stream_id, 0xBC | 0xBE | 0xBF | 0xF0..=0xF2 | 0xF8 | 0xFF)
}

/// A timestamp in five bytes, whose marker bits are not looked at: some muxers forget them.
fn timestamp(fields: &[u8]) -> Option<u64> {
    let &[a, b, c, d, e] = fields.first_chunk::<5>()?;
    Some(
        u64::from(a >> 1 & 7) << 30
            | u64::from(b) << 22
            | u64::from(c >> 1) << 15
            | u64::from(d) << 7
            | u64::from(e >> 1),
    )
}

/// Makes 33-bit times into times that never wrap. One for all tracks, so that a track which begins
/// after a wrap is beside the others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    last: Option<(u64, i64)>,
}

impl Times {
    /// Presentation and decode time of a stamp.
    pub(super) fn unwrap(&mut self, stamp: Stamp) -> (i64, i64) {
        let dts = match self.last {
            None => i64::try_from(stamp.dts).unwrap_or_default(),
            Some((raw, time)) => time.saturating_add(distance(raw, stamp.dts)),
        };
        self.last = Some((stamp.dts, dts));
        (dts.saturating_add(distance(stamp.dts, stamp.pts)), dts)
    }
}

/// Ticks from `from` to `to`, the shorter way around 2^33.
fn distance(from: u64, to: u64) -> i64 {
    let unused = u64::BITS - TIMESTAMP_BITS;
    (to.wrapping_sub(from) << unused).cast_signed() >> unused
}
