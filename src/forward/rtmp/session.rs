//! The RTMP dialogue of one publish of ours, sans-IO. In: bytes in a read buffer, messages to send. Out: bytes
//! that the caller must send, and what the server says. Handshake, connect, createStream, publish, pings and
//! acknowledgements. Not here: sockets, deadlines, what the messages hold.
//!
//! The handshake is the simple one, as OBS and librtmp publish: every server takes it.
//!
//! Sources: Adobe "RTMP 1.0" (2012) §5.2, §5.4, §7; Veovera "Enhanced RTMP v2" ("Enhancing NetConnection
//! connect Command").

use bytes::{Buf, BytesMut};

use crate::base::push;
use crate::base::secret::Secret;
use crate::format::flv::amf0::{self, Value};
use crate::format::rtmp::chunk::{self, Dechunker, Head, Message};

/// §5.2.2: version 3.
const VERSION: u8 = 3;
/// §5.2.3: length of C1, S1, C2 and S2.
const PACKET_BYTES: usize = 1536;
/// Chunk size of what we send: ffmpeg's, which every server has met.
const CHUNK_BYTES: u32 = 60_000;
/// Longest message of a server: commands only.
const MAX_COMMAND_BYTES: usize = amf0::MAX_SIZE_BYTES;
/// §5.4.4: a window below this is a mistake of the server's and would have us acknowledge without end.
const MIN_WINDOW_BYTES: u32 = 16 * 1024;
/// Longest text of a server that is repeated, characters.
const MAX_TEXT_CHARS: usize = 200;
/// Transactions of our commands.
const CONNECT: f64 = 1.0;
const CREATE_STREAM: f64 = 4.0;

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Media may be sent.
    Ready,
    /// It does not take the publish: which status, and what it says about it.
    Refused(String),
    /// It ends the publish.
    Over(String),
}

/// What cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// Not version 3.
    #[error("it speaks RTMP version {0}, or something else")]
    Version(u8),
    /// No chunks.
    #[error(transparent)]
    Chunk(#[from] chunk::Error),
    /// No commands.
    #[error(transparent)]
    Amf0(#[from] amf0::Error),
    /// A message stream that has no number.
    #[error("it made a message stream without an id")]
    NoStream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// S0 and S1 are to come.
    Greeting,
    /// S2 is to come.
    Echo,
    Connecting,
    Creating,
    Asking,
    Publishing,
    Closed,
}

/// The state of one connection to a server.
pub(super) struct Session {
    stage: Stage,
    application: String,
    address: String,
    key: Secret,
    /// FourCCs that the media need, told at connect.
    four_ccs: Vec<&'static str>,
    chunks: Dechunker,
    output: Vec<u8>,
    output_chunk: usize,
    message_stream: u32,
    received_bytes: u64,
    acknowledged_bytes: u64,
    window_bytes: Option<u64>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("Session");
        text.field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl Session {
    /// A connection on which nothing was sent yet. `random`: of the handshake, where it means nothing.
    pub(super) fn new(
        target: &push::Rtmp,
        four_ccs: Vec<&'static str>,
        random: &[u8; PACKET_BYTES],
    ) -> Session {
        // §5.2.3: four bytes of time, four zeros, and anything.
        let mut output = vec![VERSION, 0, 0, 0, 0, 0, 0, 0, 0];
        output.extend_from_slice(&random[8..]);
        Session {
            stage: Stage::Greeting,
            application: target.application.clone(),
            address: target.address(),
            key: target.key.clone(),
            four_ccs,
            chunks: Dechunker::new(MAX_COMMAND_BYTES),
            output,
            output_chunk: 128,
            message_stream: 0,
            received_bytes: 0,
            acknowledged_bytes: 0,
            window_bytes: None,
        }
    }

    /// Bytes to send; whoever has sent some of them takes them away.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Whether media may be sent.
    pub(super) fn is_publishing(&self) -> bool {
        self.stage == Stage::Publishing
    }

    /// Counts received bytes and acknowledges them when the server's window asks for it (§5.4.3).
    pub(super) fn handle_received(&mut self, count: usize) {
        self.received_bytes += u64::try_from(count).unwrap_or(0);
        let waiting = self.received_bytes - self.acknowledged_bytes;
        if self.window_bytes.is_some_and(|window| waiting >= window) {
            self.acknowledged_bytes = self.received_bytes;
            let total = u32::try_from(self.received_bytes & 0xffff_ffff).unwrap_or(0);
            self.control(3, &total.to_be_bytes());
        }
    }

    /// Takes bytes off the buffer until the server has said something that matters. `None`: more are needed.
    pub(super) fn poll_said(&mut self, buffer: &mut BytesMut) -> Result<Option<Said>, Error> {
        if self.stage == Stage::Greeting {
            if let Some(version) = buffer.first().filter(|version| **version != VERSION) {
                return Err(Error::Version(*version));
            }
            if buffer.len() < 1 + PACKET_BYTES {
                return Ok(None);
            }
            // §5.2.4: C2 is S1 sent back.
            self.output.extend_from_slice(&buffer[1..=PACKET_BYTES]);
            buffer.advance(1 + PACKET_BYTES);
            self.stage = Stage::Echo;
        }
        if self.stage == Stage::Echo {
            if buffer.len() < PACKET_BYTES {
                return Ok(None);
            }
            // What S2 holds is not looked at: servers fill it as they like.
            buffer.advance(PACKET_BYTES);
            self.stage = Stage::Connecting;
            self.connect();
        }
        while self.stage != Stage::Closed {
            let Some(message) = self.chunks.next(buffer)? else {
                return Ok(None);
            };
            if let Some(said) = self.handle(&message)? {
                return Ok(Some(said));
            }
        }
        Ok(None)
    }

    /// Sends a message of the publish. False: it is too long for RTMP and was left out.
    pub(super) fn send(&mut self, type_id: u8, timestamp_ms: u32, parts: [&[u8]; 2]) -> bool {
        let head = Head {
            // Media of one kind stand in one chunk stream each.
            csid: if type_id == 8 { 4 } else { 6 },
            type_id,
            stream_id: self.message_stream,
            timestamp_ms,
        };
        chunk::write_parts(&head, parts, self.output_chunk, &mut self.output)
    }

    /// Says goodbye, when there is something to leave.
    pub(super) fn finish(&mut self) {
        if self.stage == Stage::Publishing {
            let key = self.key.clone();
            self.command(
                0,
                &[
                    "FCUnpublish".into(),
                    6.0.into(),
                    Value::Null,
                    key.expose().into(),
                ],
            );
            let stream = f64::from(self.message_stream);
            self.command(
                0,
                &[
                    "deleteStream".into(),
                    7.0.into(),
                    Value::Null,
                    stream.into(),
                ],
            );
        }
        self.stage = Stage::Closed;
    }

    fn connect(&mut self) {
        self.control(chunk::TYPE_SET_CHUNK_SIZE, &CHUNK_BYTES.to_be_bytes());
        self.output_chunk = usize::try_from(CHUNK_BYTES).unwrap_or(128);
        let mut properties = vec![
            ("app".to_owned(), self.application.as_str().into()),
            ("type".to_owned(), "nonprivate".into()),
            // What servers look at that were made for Flash's encoder.
            (
                "flashVer".to_owned(),
                "FMLE/3.0 (compatible; Forebay)".into(),
            ),
            ("tcUrl".to_owned(), self.address.as_str().into()),
        ];
        if !self.four_ccs.is_empty() {
            let list = self
                .four_ccs
                .iter()
                .map(|name| Value::from(*name))
                .collect();
            properties.push(("fourCcList".to_owned(), Value::StrictArray(list)));
        }
        self.command(
            0,
            &["connect".into(), CONNECT.into(), Value::Object(properties)],
        );
    }

    fn handle(&mut self, message: &Message) -> Result<Option<Said>, Error> {
        match message.type_id {
            4 => {
                // §7.1.7: answer a ping request (6) with its own timestamp (7).
                if let [0, 6, a, b, c, d, ..] = message.payload[..] {
                    self.control(4, &[0, 7, a, b, c, d]);
                }
            }
            5 => {
                if let Some(field) = message.payload.first_chunk::<4>() {
                    let window = u32::from_be_bytes(*field).max(MIN_WINDOW_BYTES);
                    self.window_bytes = Some(window.into());
                }
            }
            6 => {
                // §5.4.5: answered with our own window.
                if let Some(field) = message.payload.first_chunk::<4>() {
                    self.control(5, field);
                }
            }
            20 => return self.handle_command(&message.payload),
            // §7.1.1: AMF3 commands begin with a format byte; zero means that AMF0 follows.
            17 => return self.handle_command(message.payload.get(1..).unwrap_or(&[])),
            _ => {}
        }
        Ok(None)
    }

    fn handle_command(&mut self, body: &[u8]) -> Result<Option<Said>, Error> {
        let values = amf0::decode(body)?;
        let Some(name) = values.first().and_then(Value::as_str) else {
            return Ok(None);
        };
        let transaction = values.get(1).and_then(Value::as_number).unwrap_or(0.0);
        let info = values.get(3);
        let text = |name: &str| info.and_then(|info| info.get(name)?.as_str());
        let code = text("code").unwrap_or_default();
        match (name, self.stage) {
            ("_result", Stage::Connecting) if transaction == CONNECT => {
                self.stage = Stage::Creating;
                let key = self.key.clone();
                let key = || Value::from(key.expose());
                // Servers of the Flash family want the first two; the others answer anything, or nothing.
                self.command(0, &["releaseStream".into(), 2.0.into(), Value::Null, key()]);
                self.command(0, &["FCPublish".into(), 3.0.into(), Value::Null, key()]);
                self.command(
                    0,
                    &["createStream".into(), CREATE_STREAM.into(), Value::Null],
                );
            }
            ("_result", Stage::Creating) if transaction == CREATE_STREAM => {
                let id = info.and_then(Value::as_number).ok_or(Error::NoStream)?;
                let is_id = id.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&id);
                self.message_stream = Some(id).filter(|_| is_id).ok_or(Error::NoStream)? as u32;
                self.stage = Stage::Asking;
                let key = self.key.clone();
                let stream = self.message_stream;
                let publish = [
                    "publish".into(),
                    5.0.into(),
                    Value::Null,
                    key.expose().into(),
                    "live".into(),
                ];
                self.command(stream, &publish);
            }
            ("_error", Stage::Connecting) if transaction == CONNECT => {
                return Ok(Some(self.refused(code, text("description"))));
            }
            ("_error", Stage::Creating) if transaction == CREATE_STREAM => {
                return Ok(Some(self.refused(code, text("description"))));
            }
            ("onStatus", _) => {
                let failed = text("level") == Some("error");
                let description = text("description");
                return Ok(match (code, self.stage) {
                    ("NetStream.Publish.Start", Stage::Asking) => {
                        self.stage = Stage::Publishing;
                        Some(Said::Ready)
                    }
                    (_, Stage::Publishing)
                        if failed
                            || code.ends_with("Unpublish.Success")
                            || code.ends_with("Closed") =>
                    {
                        self.stage = Stage::Closed;
                        Some(Said::Over(self.sentence(code, description)))
                    }
                    (_, Stage::Connecting | Stage::Creating | Stage::Asking) if failed => {
                        Some(self.refused(code, description))
                    }
                    _ => None,
                });
            }
            ("close", _) => {
                self.stage = Stage::Closed;
                return Ok(Some(Said::Over("it closed the connection".to_owned())));
            }
            _ => {}
        }
        Ok(None)
    }

    fn refused(&mut self, code: &str, description: Option<&str>) -> Said {
        self.stage = Stage::Closed;
        Said::Refused(self.sentence(code, description))
    }

    /// What a server says, cut and without the key, which some repeat.
    fn sentence(&self, code: &str, description: Option<&str>) -> String {
        let description = description.filter(|text| !text.is_empty());
        let text = match (code, description) {
            ("", None) => "it gave no reason".to_owned(),
            ("", Some(description)) => description.to_owned(),
            (code, None) => code.to_owned(),
            (code, Some(description)) => format!("{code}: {description}"),
        };
        let key = self.key.expose();
        let mut text = text.replace(key, "(key)");
        // The name of the stream without its query is the key to some.
        if let Some((name, _)) = key.split_once('?').filter(|(name, _)| name.len() >= 4) {
            text = text.replace(name, "(key)");
        }
        let plain = text.chars().filter(|char| !char.is_control());
        plain.take(MAX_TEXT_CHARS).collect()
    }

    /// §5.4: control messages go on chunk stream 2, message stream 0.
    fn control(&mut self, type_id: u8, body: &[u8]) {
        chunk::write(2, type_id, 0, body, self.output_chunk, &mut self.output);
    }

    fn command(&mut self, stream: u32, values: &[Value]) {
        let csid = if stream == 0 { 3 } else { 5 };
        let body = amf0::encode(values);
        chunk::write(csid, 20, stream, &body, self.output_chunk, &mut self.output);
    }
}

/// Entry for fuzzing: what a server may send, after its handshake. No panic, bounded memory.
#[doc(hidden)]
pub fn fuzz_rtmp_server(bytes: &[u8]) {
    let target = push::Push::parse("rtmp", "rtmp://h/app", Some("key"));
    let Ok(push::Push::Rtmp(target)) = target else {
        return;
    };
    let mut session = Session::new(&target, vec!["hvc1"], &[0; PACKET_BYTES]);
    let mut buffer = BytesMut::from(&[VERSION][..]);
    buffer.extend_from_slice(&[0; 2 * PACKET_BYTES]);
    buffer.extend_from_slice(bytes);
    session.handle_received(bytes.len());
    while let Ok(Some(_)) = session.poll_said(&mut buffer) {
        session.send(9, 1, [&[1], &[2]]);
        session.output().clear();
    }
    session.finish();
}

#[cfg(test)]
mod tests;
