//! From bytes to RTMP messages and back. Sans-IO. In: a read buffer that the
//! caller fills. Out: whole messages. Chunk size changes and aborts are obeyed here and not shown.
//!
//! A message that lies in one chunk of moderate size is sliced out of the read buffer; any other is
//! copied once, into a buffer that grows as its bytes arrive.
//!
//! Source: Adobe "RTMP 1.0" (2012), §5.3 and §5.4.

use bytes::{Buf, Bytes, BytesMut};

/// Longest message taken. A 4K key frame at 60 Mb/s is below 2 MiB.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of unfinished messages on all chunk streams of a connection. Two of the longest ones.
pub const MAX_UNFINISHED_BYTES: usize = 2 * MAX_MESSAGE_BYTES;
/// Chunk streams of a connection. Encoders use two to six; each costs some 100 bytes here.
pub const MAX_CHUNK_STREAMS: usize = 16;
/// Longest chunk that is awaited whole in the read buffer, so that its message needs no copy. The
/// size that we announce, so most encoders send key frames in few chunks and the rest in one.
pub const MAX_IN_PLACE_BYTES: usize = 64 * 1024;
/// What is allocated for an unfinished message at first, whatever length it states.
const FIRST_ALLOCATION_BYTES: usize = 64 * 1024;
/// §5.4.1: the chunk size until it is set.
const INITIAL_CHUNK_BYTES: usize = 128;
/// §5.4.1: sizes above are equal to this one, since no message is longer than 24 bits say.
const MAX_CHUNK_BYTES: usize = 0xff_ffff;
/// §5.3.1.2: this value says that four more bytes follow.
const EXTENDED: u32 = 0xff_ffff;

/// §5.4.1: Set Chunk Size.
pub const TYPE_SET_CHUNK_SIZE: u8 = 1;
/// §5.4.2: Abort Message.
pub const TYPE_ABORT: u8 = 2;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Message type id.
    pub type_id: u8,
    /// Message stream id.
    pub stream_id: u32,
    /// Milliseconds, modulo 2^32.
    pub timestamp_ms: u32,
    /// The body.
    pub payload: Bytes,
}

/// Why bytes are not chunks that are taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A message states more than is taken.
    #[error("message of {length} bytes above limit {limit} (csid {csid}, type {type_id})")]
    MessageSize {
        /// Stated length.
        length: usize,
        /// What is taken at this point of the session.
        limit: usize,
        /// Chunk stream.
        csid: u32,
        /// Message type.
        type_id: u8,
    },
    /// More than [`MAX_UNFINISHED_BYTES`].
    #[error("unfinished messages above limit {MAX_UNFINISHED_BYTES} bytes (csid {csid})")]
    Unfinished {
        /// The chunk stream whose chunk was too much.
        csid: u32,
    },
    /// More than [`MAX_CHUNK_STREAMS`].
    #[error("chunk streams above limit {MAX_CHUNK_STREAMS} (csid {csid})")]
    ChunkStreams {
        /// The new chunk stream.
        csid: u32,
    },
    /// A header that refers to one that never came.
    #[error("chunk header type {format} without one before it (csid {csid})")]
    NoPrevious {
        /// Chunk stream.
        csid: u32,
        /// Header type.
        format: u8,
    },
    /// A new message begins where the last one is not finished.
    #[error("message interrupted by a header of type {format} (csid {csid})")]
    Interrupted {
        /// Chunk stream.
        csid: u32,
        /// Header type.
        format: u8,
    },
    /// §5.4.1: zero, or with the upper bit set.
    #[error("chunk size {0} is not allowed")]
    ChunkSize(u32),
    /// A protocol control message that is too short.
    #[error("control message type {type_id} of {size} bytes is too short")]
    Control {
        /// Message type.
        type_id: u8,
        /// Size of its body.
        size: usize,
    },
}

/// What is remembered of a chunk stream.
#[derive(Debug)]
struct ChunkStream {
    csid: u32,
    timestamp_ms: u32,
    /// What a type 3 header adds when it opens a message (§5.3.1.2.4).
    delta_ms: u32,
    /// The last extended timestamp field as sent, if the last header had one.
    extended: Option<u32>,
    length: usize,
    type_id: u8,
    stream_id: u32,
    /// The unfinished message, if one is in the middle.
    unfinished: Option<Vec<u8>>,
}

/// A chunk header that lies whole in the buffer.
#[derive(Debug)]
struct Header {
    csid: u32,
    /// Index into the streams; their number for a new one.
    index: usize,
    size: usize,
    opens: bool,
    timestamp_ms: u32,
    delta_ms: u32,
    extended: Option<u32>,
    length: usize,
    type_id: u8,
    stream_id: u32,
}

/// Puts chunks together.
#[derive(Debug)]
pub struct Dechunker {
    chunk_size: usize,
    max_message: usize,
    streams: Vec<ChunkStream>,
    /// The chunk whose payload is arriving: index of its stream, bytes to come.
    current: Option<(usize, usize)>,
    unfinished_bytes: usize,
}

impl Dechunker {
    /// A dechunker that takes messages of up to `max_message` bytes.
    pub fn new(max_message: usize) -> Dechunker {
        Dechunker {
            chunk_size: INITIAL_CHUNK_BYTES,
            max_message,
            streams: Vec::new(),
            current: None,
            unfinished_bytes: 0,
        }
    }

    /// Changes the longest message taken, for those that begin from now on.
    pub fn set_max_message(&mut self, bytes: usize) {
        self.max_message = bytes;
    }

    /// Takes bytes off the buffer until a message is whole. `None`: more bytes are needed.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Message>, Error> {
        loop {
            if let Some((index, left)) = self.current {
                if buffer.is_empty() {
                    return Ok(None);
                }
                let count = left.min(buffer.len());
                self.append(index, &buffer[..count])?;
                buffer.advance(count);
                if count < left {
                    self.current = Some((index, left - count));
                    return Ok(None);
                }
                self.current = None;
                if let Some(message) = self.finished(index)
                    && let Some(message) = self.obey(message)?
                {
                    return Ok(Some(message));
                }
                continue;
            }
            let Some(header) = self.header(buffer)? else {
                return Ok(None);
            };
            let in_place = header.opens
                && header.length <= self.chunk_size
                && header.length <= MAX_IN_PLACE_BYTES;
            if in_place {
                if buffer.len() < header.size + header.length {
                    return Ok(None);
                }
                buffer.advance(header.size);
                let payload = buffer.split_to(header.length).freeze();
                let stream = self.remember(&header);
                let message = Message {
                    type_id: stream.type_id,
                    stream_id: stream.stream_id,
                    timestamp_ms: stream.timestamp_ms,
                    payload,
                };
                if let Some(message) = self.obey(message)? {
                    return Ok(Some(message));
                }
                continue;
            }
            buffer.advance(header.size);
            let stream = self.remember(&header);
            let have = stream.unfinished.get_or_insert_default().len();
            let left = (stream.length - have).min(self.chunk_size);
            self.current = Some((header.index, left));
        }
    }

    /// Reads a chunk header without taking it off the buffer; `None` while it is not whole.
    fn header(&self, buffer: &[u8]) -> Result<Option<Header>, Error> {
        // §5.3.1.1
        let (basic_size, csid) = match buffer {
            [] => return Ok(None),
            [first, rest @ ..] => match (first & 0x3f, rest) {
                (0, [a, ..]) => (2, 64 + u32::from(*a)),
                (1, [a, b, ..]) => (3, 64 + u32::from(*a) + 256 * u32::from(*b)),
                (0 | 1, _) => return Ok(None),
                (csid, _) => (1, u32::from(csid)),
            },
        };
        let format = buffer[0] >> 6;
        let index = self.streams.iter().position(|stream| stream.csid == csid);
        let previous = index.map(|index| &self.streams[index]);
        if previous.is_none() && self.streams.len() >= MAX_CHUNK_STREAMS {
            return Err(Error::ChunkStreams { csid });
        }
        // librtmp opens chunk stream 2 with a type 1 header, so that one is taken too.
        if previous.is_none() && format > 1 {
            return Err(Error::NoPrevious { csid, format });
        }
        let opens = previous.is_none_or(|stream| stream.unfinished.is_none());
        if !opens && format != 3 {
            return Err(Error::Interrupted { csid, format });
        }
        // §5.3.1.2
        let fixed_size = [11, 7, 3, 0][usize::from(format)];
        let Some(fixed) = buffer.get(basic_size..basic_size + fixed_size) else {
            return Ok(None);
        };
        let mut size = basic_size + fixed_size;
        let mut extended = previous.and_then(|stream| stream.extended);
        let (mut time, mut length, mut type_id, mut stream_id) =
            previous.map_or((0, 0, 0, 0), |stream| {
                (
                    stream.delta_ms,
                    stream.length,
                    stream.type_id,
                    stream.stream_id,
                )
            });
        if let [a, b, c, rest @ ..] = fixed {
            time = u32::from_be_bytes([0, *a, *b, *c]);
            extended = None;
            if time == EXTENDED {
                let Some(field) = buffer.get(size..size + 4) else {
                    return Ok(None);
                };
                time = u32::from_be_bytes(field.try_into().expect("a slice of 4"));
                extended = Some(time);
                size += 4;
            }
            if let [a, b, c, kind, rest @ ..] = rest {
                length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).expect("24 bits fit");
                type_id = *kind;
                if let [a, b, c, d] = rest {
                    stream_id = u32::from_le_bytes([*a, *b, *c, *d]);
                }
            }
        } else if let (Some(field), Some(stream)) = (extended, previous) {
            // §5.3.1.3 wants the field repeated in type 3 headers; some encoders leave it out. It is
            // there if these bytes are the ones that it would hold.
            match repeats(&buffer[size..], &[field, stream.timestamp_ms]) {
                Repeat::Yes => size += 4,
                Repeat::No => {}
                Repeat::Unknown => return Ok(None),
            }
        }
        let timestamp_ms = match (format, previous) {
            (0, _) | (_, None) => time,
            (_, Some(stream)) if opens => stream.timestamp_ms.wrapping_add(time),
            (_, Some(stream)) => stream.timestamp_ms,
        };
        if opens && length > self.max_message {
            return Err(Error::MessageSize {
                length,
                limit: self.max_message,
                csid,
                type_id,
            });
        }
        Ok(Some(Header {
            csid,
            index: index.unwrap_or(self.streams.len()),
            size,
            opens,
            timestamp_ms,
            delta_ms: time,
            extended,
            length,
            type_id,
            stream_id,
        }))
    }

    fn remember(&mut self, header: &Header) -> &mut ChunkStream {
        if header.index == self.streams.len() {
            self.streams.push(ChunkStream {
                csid: header.csid,
                timestamp_ms: 0,
                delta_ms: 0,
                extended: None,
                length: 0,
                type_id: 0,
                stream_id: 0,
                unfinished: None,
            });
        }
        let stream = &mut self.streams[header.index];
        stream.timestamp_ms = header.timestamp_ms;
        stream.delta_ms = header.delta_ms;
        stream.extended = header.extended;
        stream.length = header.length;
        stream.type_id = header.type_id;
        stream.stream_id = header.stream_id;
        stream
    }

    fn append(&mut self, index: usize, bytes: &[u8]) -> Result<(), Error> {
        let stream = &mut self.streams[index];
        self.unfinished_bytes += bytes.len();
        if self.unfinished_bytes > MAX_UNFINISHED_BYTES {
            return Err(Error::Unfinished { csid: stream.csid });
        }
        let length = stream.length;
        let message = stream.unfinished.get_or_insert_default();
        let needed = message.len() + bytes.len();
        if needed > message.capacity() {
            // Doubled, but never beyond the message: the last step makes it exact.
            let capacity = (2 * message.capacity()).max(FIRST_ALLOCATION_BYTES);
            let capacity = capacity.max(needed).min(length);
            message.reserve_exact(capacity - message.len());
        }
        message.extend_from_slice(bytes);
        Ok(())
    }

    fn finished(&mut self, index: usize) -> Option<Message> {
        let stream = &mut self.streams[index];
        let length = stream.length;
        let message = stream.unfinished.take_if(|bytes| bytes.len() >= length)?;
        self.unfinished_bytes -= message.len();
        Some(Message {
            type_id: stream.type_id,
            stream_id: stream.stream_id,
            timestamp_ms: stream.timestamp_ms,
            payload: Bytes::from(message),
        })
    }

    /// Obeys the two messages that are about chunks, passes all others on.
    fn obey(&mut self, message: Message) -> Result<Option<Message>, Error> {
        if !matches!(message.type_id, TYPE_SET_CHUNK_SIZE | TYPE_ABORT) {
            return Ok(Some(message));
        }
        let field = message.payload.get(..4).ok_or(Error::Control {
            type_id: message.type_id,
            size: message.payload.len(),
        })?;
        let field = u32::from_be_bytes(field.try_into().expect("a slice of 4"));
        if message.type_id == TYPE_SET_CHUNK_SIZE {
            if field == 0 || field > 0x7fff_ffff {
                return Err(Error::ChunkSize(field));
            }
            let size = usize::try_from(field).unwrap_or(MAX_CHUNK_BYTES);
            self.chunk_size = size.min(MAX_CHUNK_BYTES);
        } else if let Some(stream) = self.streams.iter_mut().find(|s| s.csid == field) {
            let dropped = stream.unfinished.take().unwrap_or_default();
            self.unfinished_bytes -= dropped.len();
        }
        Ok(None)
    }
}

/// Whether a type 3 header is followed by the extended timestamp.
enum Repeat {
    Yes,
    No,
    Unknown,
}

fn repeats(bytes: &[u8], candidates: &[u32]) -> Repeat {
    let mut unknown = false;
    for candidate in candidates {
        let field = candidate.to_be_bytes();
        let count = bytes.len().min(4);
        if bytes[..count] == field[..count] {
            if count == 4 {
                return Repeat::Yes;
            }
            unknown = true;
        }
    }
    if unknown { Repeat::Unknown } else { Repeat::No }
}

/// Where and when a message belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Chunk stream, 2 to 63.
    pub csid: u8,
    /// Message type id.
    pub type_id: u8,
    /// Message stream id.
    pub stream_id: u32,
    /// Milliseconds, modulo 2^32.
    pub timestamp_ms: u32,
}

/// Writes a reply: a message at time zero with a header of type 0, in chunks of `chunk` bytes. Replies are
/// short.
pub fn write(
    csid: u8,
    type_id: u8,
    stream_id: u32,
    payload: &[u8],
    chunk: usize,
    out: &mut Vec<u8>,
) {
    let head = Head {
        csid,
        type_id,
        stream_id,
        timestamp_ms: 0,
    };
    let fits = write_parts(&head, [payload, &[]], chunk, out);
    debug_assert!(fits, "replies are short");
}

/// Writes a message whose body is these parts, with a header of type 0, in chunks of `chunk` bytes. False,
/// and nothing written: it is longer than 24 bits say.
pub fn write_parts(head: &Head, parts: [&[u8]; 2], chunk: usize, out: &mut Vec<u8>) -> bool {
    debug_assert!((2..64).contains(&head.csid), "one-byte basic header");
    let length = parts[0].len() + parts[1].len();
    let Some(length) = u32::try_from(length).ok().filter(|it| *it <= EXTENDED) else {
        return false;
    };
    let time = head.timestamp_ms;
    // §5.3.1.3: it follows the headers of all chunks of the message.
    let extended = time.to_be_bytes();
    let extended = if time >= EXTENDED { &extended[..] } else { &[] };
    out.push(head.csid);
    out.extend_from_slice(&time.min(EXTENDED).to_be_bytes()[1..]);
    out.extend_from_slice(&length.to_be_bytes()[1..]);
    out.push(head.type_id);
    out.extend_from_slice(&head.stream_id.to_le_bytes());
    out.extend_from_slice(extended);
    let mut room = chunk;
    for mut rest in parts {
        while !rest.is_empty() {
            if room == 0 {
                out.push(0xc0 | head.csid);
                out.extend_from_slice(extended);
                room = chunk;
            }
            let (piece, after) = rest.split_at(rest.len().min(room));
            out.extend_from_slice(piece);
            room -= piece.len();
            rest = after;
        }
    }
    true
}

#[cfg(test)]
mod tests;
