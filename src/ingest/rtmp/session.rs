//! The RTMP dialogue of one publisher, sans-IO. In: bytes in a read buffer. Out: events for the
//! caller, and bytes that it must send. Handshake, connect, createStream, publish, their answers and
//! refusals, acknowledgements. Not here: sockets, deadlines, what the media is.
//!
//! Sources: Adobe "RTMP 1.0" (2012) §5.2, §5.4, §7; Veovera "Enhanced RTMP v2" ("Enhancing
//! NetConnection connect Command").

use bytes::{Bytes, BytesMut};
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};

use super::command::{self, Command};
use crate::format::flv::amf0;
use crate::format::rtmp::chunk::{self, Dechunker, Message};
use crate::media::MediaKind;

/// What the peer must send to make the handshake whole: C0, C1 and C2 (§5.2).
const HANDSHAKE_BYTES: usize = 1 + 1536 + 1536;
/// Longest message before a publish is accepted: commands only.
const MAX_COMMAND_BYTES: usize = amf0::MAX_SIZE_BYTES;
/// Bytes waiting to be sent. A peer that makes us answer and does not read is cut off here; an
/// answer has some 200 bytes.
const MAX_OUTPUT_BYTES: usize = 32 * 1024;
/// Message streams that a connection may create. Encoders create one.
const MAX_MESSAGE_STREAMS: u32 = 8;
/// Chunk size of what we send, and so, for encoders that adopt it, of what we receive.
const CHUNK_BYTES: u32 = 65_536;
/// The acknowledgement window that we announce, and our own where the peer announces none.
const WINDOW_BYTES: u32 = 2_500_000;
/// Smallest window obeyed. Bounds our acknowledgements to 16 bytes per 64 KiB received.
const MIN_WINDOW_BYTES: u32 = 65_536;

/// What the caller must act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A publish is asked for: call [`Session::accept`] or [`Session::refuse`] before the next poll.
    Publish {
        /// Application, without its query.
        application: String,
        /// Stream name as sent: key and options.
        name: String,
    },
    /// A media message of the accepted publish: an FLV tag body.
    Media {
        /// Video or audio.
        kind: MediaKind,
        /// Milliseconds, modulo 2^32.
        timestamp_ms: u32,
        /// The tag body.
        body: Bytes,
    },
    /// A run of FLV tags in one message (§7.1.6).
    Aggregate {
        /// Of the first tag: the others are relative to it. Milliseconds, modulo 2^32.
        timestamp_ms: u32,
        /// Tags with their headers.
        body: Bytes,
    },
    /// A data message of the accepted publish, as AMF0.
    Data(Bytes),
    /// The publisher said goodbye.
    Finished,
    /// The peer asked for what is not done here. The answer waits to be sent; then close.
    Refused(&'static str),
}

/// Why a session cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The handshake is none.
    #[error("handshake: {0}")]
    Handshake(String),
    /// The bytes are not chunks that are taken.
    #[error("chunk: {0}")]
    Chunk(#[from] chunk::Error),
    /// A command is not AMF0 that is taken.
    #[error("command: {0}")]
    Amf(#[from] amf0::Error),
    /// A command without a name, or one that has no place here.
    #[error("command {0} is not allowed now")]
    Command(&'static str),
    /// The peer does not read our answers.
    #[error("answers waiting above limit {MAX_OUTPUT_BYTES} bytes")]
    Output,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Handshake,
    Commands,
    /// The caller decides on a publish.
    Deciding,
    Publishing,
    Closed,
}

/// The state of one connection.
pub struct Session {
    stage: Stage,
    handshake: Option<Box<Handshake>>,
    handshake_left: usize,
    chunks: Dechunker,
    output: Vec<u8>,
    output_chunk: usize,
    application: Option<String>,
    message_streams: u32,
    /// Message stream of the publish.
    publish_stream: u32,
    answers_fc_publish: bool,
    received_bytes: u64,
    acknowledged_bytes: u64,
    window_bytes: u64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("Session");
        text.field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl Default for Session {
    fn default() -> Session {
        Session::new()
    }
}

impl Session {
    /// A connection on which nothing was received yet.
    pub fn new() -> Session {
        Session {
            stage: Stage::Handshake,
            handshake: Some(Box::new(Handshake::new(PeerType::Server))),
            handshake_left: HANDSHAKE_BYTES,
            chunks: Dechunker::new(MAX_COMMAND_BYTES),
            output: Vec::new(),
            output_chunk: 128,
            application: None,
            message_streams: 0,
            publish_stream: 0,
            answers_fc_publish: false,
            received_bytes: 0,
            acknowledged_bytes: 0,
            window_bytes: u64::from(WINDOW_BYTES),
        }
    }

    /// Whether the handshake is done.
    pub fn is_past_handshake(&self) -> bool {
        self.stage != Stage::Handshake
    }

    /// Counts received bytes and acknowledges them when the peer's window asks for it (§5.4.3).
    pub fn handle_received(&mut self, count: usize) {
        self.received_bytes += u64::try_from(count).unwrap_or(0);
        let waiting = self.received_bytes - self.acknowledged_bytes;
        if waiting >= self.window_bytes && self.stage == Stage::Publishing {
            self.acknowledged_bytes = self.received_bytes;
            // The total since the beginning, modulo 2^32.
            let total = u32::try_from(self.received_bytes & 0xffff_ffff).unwrap_or(0);
            self.control(3, &total.to_be_bytes());
        }
    }

    /// Bytes to send, which are then no longer here.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether bytes wait to be sent.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Takes bytes off the buffer until something happens that the caller must act on. `None`: more
    /// bytes are needed (or, after a refusal or the end, nothing more comes).
    pub fn poll_event(&mut self, buffer: &mut BytesMut) -> Result<Option<Event>, Error> {
        if self.stage == Stage::Handshake && !self.handshake(buffer)? {
            return Ok(None);
        }
        while matches!(self.stage, Stage::Commands | Stage::Publishing) {
            let Some(message) = self.chunks.next(buffer)? else {
                return Ok(None);
            };
            if let Some(event) = self.handle(message)? {
                return Ok(Some(event));
            }
            if self.output.len() > MAX_OUTPUT_BYTES {
                return Err(Error::Output);
            }
        }
        Ok(None)
    }

    /// Answers the publish that was asked for with success.
    pub fn accept(&mut self) {
        self.stage = Stage::Publishing;
        self.chunks.set_max_message(chunk::MAX_MESSAGE_BYTES);
        let stream = self.publish_stream;
        // §7.1.7: Stream Begin.
        self.control(4, &[&[0, 0][..], &stream.to_be_bytes()].concat());
        let description = "publishing";
        if self.answers_fc_publish {
            let answer = command::fc_publish(description);
            self.command(0, &answer);
        }
        let answer = command::status("status", "NetStream.Publish.Start", description);
        self.command(stream, &answer);
    }

    /// Answers with an error; nothing more is read. `description` must not hold the key.
    pub fn refuse(&mut self, code: &'static str, description: &str) {
        let answer = command::status("error", code, description);
        self.command(self.publish_stream, &answer);
        self.stage = Stage::Closed;
    }

    /// Runs the handshake; true when it is done. No byte behind it is taken.
    fn handshake(&mut self, buffer: &mut BytesMut) -> Result<bool, Error> {
        let handshake = self.handshake.as_mut();
        let handshake = handshake.expect("it is there until it is done");
        let bytes = buffer.split_to(buffer.len().min(self.handshake_left));
        if bytes.is_empty() {
            return Ok(false);
        }
        self.handshake_left -= bytes.len();
        let result = handshake.process_bytes(&bytes);
        match result.map_err(|err| Error::Handshake(err.to_string()))? {
            HandshakeProcessResult::InProgress { response_bytes } => {
                self.output.extend_from_slice(&response_bytes);
                Ok(false)
            }
            HandshakeProcessResult::Completed { response_bytes, .. } => {
                self.output.extend_from_slice(&response_bytes);
                self.handshake = None;
                self.stage = Stage::Commands;
                Ok(true)
            }
        }
    }

    fn handle(&mut self, message: Message) -> Result<Option<Event>, Error> {
        let publishing = self.stage == Stage::Publishing;
        let media = |kind| {
            Ok(publishing.then_some(Event::Media {
                kind,
                timestamp_ms: message.timestamp_ms,
                body: message.payload.clone(),
            }))
        };
        match message.type_id {
            8 => media(MediaKind::Audio),
            9 => media(MediaKind::Video),
            4 => {
                // §7.1.7: answer a ping request (6) with its own timestamp (7).
                if let [0, 6, a, b, c, d, ..] = message.payload[..] {
                    self.control(4, &[0, 7, a, b, c, d]);
                }
                Ok(None)
            }
            5 => {
                if let Some(field) = message.payload.first_chunk::<4>() {
                    let window = u32::from_be_bytes(*field).max(MIN_WINDOW_BYTES);
                    self.window_bytes = u64::from(window);
                }
                Ok(None)
            }
            20 => self.handle_command(message.stream_id, &message.payload),
            // §7.1.1: AMF3 commands begin with a format byte; zero means that AMF0 follows.
            17 => self.handle_command(message.stream_id, message.payload.get(1..).unwrap_or(&[])),
            18 if publishing => Ok(Some(Event::Data(message.payload))),
            15 if publishing && !message.payload.is_empty() => {
                Ok(Some(Event::Data(message.payload.slice(1..))))
            }
            22 if publishing => Ok(Some(Event::Aggregate {
                timestamp_ms: message.timestamp_ms,
                body: message.payload,
            })),
            // Acknowledgements, peer bandwidth, shared objects, types that nobody defined.
            _ => Ok(None),
        }
    }

    fn handle_command(&mut self, stream: u32, body: &[u8]) -> Result<Option<Event>, Error> {
        let command = Command::parse(body)?.ok_or(Error::Command("without a name"))?;
        let transaction = command.transaction;
        if self.application.is_none() && command.name != "connect" {
            return Err(Error::Command("before connect"));
        }
        match command.name.as_str() {
            "connect" => self.connect(&command)?,
            "createStream" => {
                self.message_streams += 1;
                if self.message_streams > MAX_MESSAGE_STREAMS {
                    return Err(Error::Command("createStream (too many)"));
                }
                let id = f64::from(self.message_streams);
                self.command(0, &command::result(transaction, id.into()));
            }
            "publish" => return self.publish(stream, &command),
            "play" | "play2" => {
                self.publish_stream = stream;
                let reason = "nothing is played over RTMP here: use HLS or DASH";
                self.refuse("NetStream.Play.Failed", reason);
                return Ok(Some(Event::Refused(reason)));
            }
            "FCUnpublish" | "closeStream" | "deleteStream" => {
                let other = command
                    .number(0)
                    .is_some_and(|id| id != f64::from(self.publish_stream));
                let other = other && command.name == "deleteStream";
                if self.stage == Stage::Publishing && !other {
                    let code = "NetStream.Unpublish.Success";
                    let answer = command::status("status", code, "publish ended");
                    self.command(self.publish_stream, &answer);
                    self.stage = Stage::Closed;
                    return Ok(Some(Event::Finished));
                }
            }
            "getStreamLength" => self.command(0, &command::result(transaction, 0.0.into())),
            "releaseStream" | "FCPublish" | "_checkbw" | "checkBandwidth" => {
                self.answers_fc_publish |= command.name == "FCPublish";
                if transaction != 0.0 {
                    let nothing = amf0::Value::Undefined;
                    self.command(0, &command::result(transaction, nothing));
                }
            }
            // Answers to what we never asked, and commands that want no answer.
            "_result" | "_error" | "onStatus" => {}
            _ if transaction != 0.0 => self.command(0, &command::unknown(transaction)),
            _ => {}
        }
        Ok(None)
    }

    fn connect(&mut self, command: &Command) -> Result<(), Error> {
        if self.application.is_some() {
            return Err(Error::Command("connect (second)"));
        }
        self.application = Some(command.application());
        self.control(5, &WINDOW_BYTES.to_be_bytes());
        // §5.4.5, limit type 2: dynamic.
        self.control(6, &[&WINDOW_BYTES.to_be_bytes()[..], &[2]].concat());
        self.control(chunk::TYPE_SET_CHUNK_SIZE, &CHUNK_BYTES.to_be_bytes());
        self.output_chunk = 65_536;
        self.command(0, &command::connected(command));
        Ok(())
    }

    fn publish(&mut self, stream: u32, command: &Command) -> Result<Option<Event>, Error> {
        if self.stage == Stage::Publishing {
            let reason = "this connection publishes already: use another one";
            self.refuse("NetStream.Publish.BadName", reason);
            return Ok(Some(Event::Refused(reason)));
        }
        self.publish_stream = stream;
        self.stage = Stage::Deciding;
        Ok(Some(Event::Publish {
            application: self.application.clone().unwrap_or_default(),
            name: command.text(0).unwrap_or_default().to_owned(),
        }))
    }

    /// §5.4: control messages go on chunk stream 2, message stream 0.
    fn control(&mut self, type_id: u8, body: &[u8]) {
        chunk::write(2, type_id, 0, body, self.output_chunk, &mut self.output);
    }

    fn command(&mut self, stream: u32, body: &[u8]) {
        let csid = if stream == 0 { 3 } else { 5 };
        chunk::write(csid, 20, stream, body, self.output_chunk, &mut self.output);
    }
}

#[cfg(test)]
mod tests;
