//! A publisher that speaks real RTMP and does as it is told, wrong things included. In: what a test
//! wants on the wire. Out: what the server answers. It shares no code with the server but the
//! handshake.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test binary uses a part of it"
)]

use std::io;
use std::net::SocketAddr;

use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// An `onStatus` (or the information object of another answer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub level: String,
    pub code: String,
    pub description: String,
}

/// One message of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub type_id: u8,
    pub stream_id: u32,
    pub body: Vec<u8>,
}

impl Answer {
    /// The name of a command.
    pub fn name(&self) -> Option<String> {
        (self.type_id == 20)
            .then(|| text_at(&self.body, 1))
            .flatten()
    }

    /// The status in an answer, if it has one.
    pub fn status(&self) -> Option<Status> {
        Some(Status {
            level: self.property("level")?,
            code: self.property("code")?,
            description: self.property("description")?,
        })
    }

    /// A property whose value is a string, wherever it stands.
    pub fn property(&self, name: &str) -> Option<String> {
        let mut wanted = u16::try_from(name.len()).unwrap().to_be_bytes().to_vec();
        wanted.extend_from_slice(name.as_bytes());
        wanted.push(0x02);
        let found = self.body.windows(wanted.len()).position(|w| w == wanted)?;
        text_at(&self.body, found + wanted.len())
    }
}

fn text_at(body: &[u8], at: usize) -> Option<String> {
    let length = u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?);
    let bytes = body.get(at + 2..at + 2 + usize::from(length))?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// AMF0 values, as far as a publisher needs them.
pub mod amf {
    pub fn text(text: &str) -> Vec<u8> {
        [&[0x02][..], &name(text)].concat()
    }

    pub fn number(number: f64) -> Vec<u8> {
        [&[0x00][..], &number.to_be_bytes()].concat()
    }

    pub fn null() -> Vec<u8> {
        vec![0x05]
    }

    pub fn object(properties: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut out = vec![0x03];
        for (key, value) in properties {
            out.extend(name(key));
            out.extend(value);
        }
        out.extend([0, 0, 9]);
        out
    }

    pub fn strict_array(values: &[Vec<u8>]) -> Vec<u8> {
        let count = u32::try_from(values.len()).unwrap();
        [&[0x0a][..], &count.to_be_bytes(), &values.concat()].concat()
    }

    fn name(text: &str) -> Vec<u8> {
        let length = u16::try_from(text.len()).unwrap();
        [&length.to_be_bytes()[..], text.as_bytes()].concat()
    }
}

/// The connection of a publisher.
#[derive(Debug)]
pub struct RtmpPublisher<S = TcpStream> {
    pub stream: S,
    /// What we send in; 128 until [`RtmpPublisher::set_chunk_size`].
    pub chunk_size: usize,
    /// Message stream, when there is one.
    pub stream_id: u32,
    input: Vec<u8>,
    input_chunk: usize,
}

impl RtmpPublisher<TcpStream> {
    /// Connects and shakes hands.
    pub async fn connect(address: SocketAddr) -> io::Result<RtmpPublisher> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        RtmpPublisher::over(stream).await
    }

    /// Ends without a goodbye, by a reset.
    #[expect(deprecated, reason = "zero does not block")]
    pub fn reset(self) {
        self.stream
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> RtmpPublisher<S> {
    /// Shakes hands over a stream that is there.
    pub async fn over(stream: S) -> io::Result<RtmpPublisher<S>> {
        let mut publisher = RtmpPublisher {
            stream,
            chunk_size: 128,
            stream_id: 0,
            input: Vec::new(),
            input_chunk: 128,
        };
        let mut handshake = Handshake::new(PeerType::Client);
        let first = handshake.generate_outbound_p0_and_p1().unwrap();
        publisher.send_raw(&first).await?;
        loop {
            let mut bytes = [0; 4096];
            let count = publisher.stream.read(&mut bytes).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let result = handshake.process_bytes(&bytes[..count]);
            match result.map_err(|err| io::Error::other(err.to_string()))? {
                HandshakeProcessResult::InProgress { response_bytes } => {
                    publisher.send_raw(&response_bytes).await?;
                }
                HandshakeProcessResult::Completed {
                    response_bytes,
                    remaining_bytes,
                } => {
                    publisher.send_raw(&response_bytes).await?;
                    publisher.input = remaining_bytes;
                    return Ok(publisher);
                }
            }
        }
    }

    /// connect, releaseStream, FCPublish, createStream, publish; the server's refusal as the error.
    pub async fn publish(&mut self, application: &str, key: &str) -> Result<(), Status> {
        self.connect_application(application, &[]).await.unwrap();
        for (transaction, name) in [(2.0, "releaseStream"), (3.0, "FCPublish")] {
            let arguments = [amf::null(), amf::text(key)];
            self.send_command(0, name, transaction, &arguments)
                .await
                .unwrap();
        }
        self.create_stream(4.0).await.unwrap();
        self.ask_to_publish(key).await.unwrap();
        let status = self.status().await.unwrap();
        match status.code.as_str() {
            "NetStream.Publish.Start" => Ok(()),
            _ => Err(status),
        }
    }

    /// connect, with more properties than the usual ones; the answer.
    pub async fn connect_application(
        &mut self,
        application: &str,
        more: &[(&str, Vec<u8>)],
    ) -> io::Result<Answer> {
        let mut properties = vec![
            ("app", amf::text(application)),
            ("type", amf::text("nonprivate")),
            ("flashVer", amf::text("FMLE/3.0 (compatible; FMSc/1.0)")),
            ("tcUrl", amf::text("rtmp://localhost/")),
        ];
        properties.extend_from_slice(more);
        self.send_command(0, "connect", 1.0, &[amf::object(&properties)])
            .await?;
        self.answer_named("_result").await
    }

    /// createStream; its id is used from then on.
    pub async fn create_stream(&mut self, transaction: f64) -> io::Result<()> {
        self.send_command(0, "createStream", transaction, &[amf::null()])
            .await?;
        let expected = amf::number(transaction);
        loop {
            let answer = self.answer_named("_result").await?;
            // _result, transaction, null, number
            if answer.body.get(10..19) == Some(&expected[..]) && answer.body.len() >= 29 {
                let id = f64::from_be_bytes(answer.body[21..29].try_into().unwrap());
                self.stream_id = id as u32;
                return Ok(());
            }
        }
    }

    pub async fn ask_to_publish(&mut self, key: &str) -> io::Result<()> {
        let arguments = [amf::null(), amf::text(key), amf::text("live")];
        self.send_command(self.stream_id, "publish", 5.0, &arguments)
            .await
    }

    /// Says goodbye as encoders do, without closing.
    pub async fn unpublish(&mut self, key: &str) -> io::Result<()> {
        let arguments = [amf::null(), amf::text(key)];
        self.send_command(0, "FCUnpublish", 6.0, &arguments).await?;
        let arguments = [amf::null(), amf::number(f64::from(self.stream_id))];
        self.send_command(0, "deleteStream", 7.0, &arguments).await
    }

    /// Closes the sending side: a FIN without a goodbye.
    pub async fn close(mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    pub async fn send_video(&mut self, timestamp_ms: u32, body: &[u8]) -> io::Result<()> {
        self.send_message(6, 9, self.stream_id, timestamp_ms, body)
            .await
    }

    pub async fn send_audio(&mut self, timestamp_ms: u32, body: &[u8]) -> io::Result<()> {
        self.send_message(4, 8, self.stream_id, timestamp_ms, body)
            .await
    }

    /// A data message with `@setDataFrame`, `onMetaData` and an object of numbers and strings.
    pub async fn send_metadata(&mut self, properties: &[(&str, Vec<u8>)]) -> io::Result<()> {
        let body = [
            amf::text("@setDataFrame"),
            amf::text("onMetaData"),
            amf::object(properties),
        ];
        self.send_message(4, 18, self.stream_id, 0, &body.concat())
            .await
    }

    /// Sends chunks of this size from now on.
    pub async fn set_chunk_size(&mut self, size: u32) -> io::Result<()> {
        self.send_message(2, 1, 0, 0, &size.to_be_bytes()).await?;
        self.chunk_size = size as usize;
        Ok(())
    }

    pub async fn send_command(
        &mut self,
        stream_id: u32,
        name: &str,
        transaction: f64,
        values: &[Vec<u8>],
    ) -> io::Result<()> {
        let body = [amf::text(name), amf::number(transaction), values.concat()].concat();
        self.send_message(3, 20, stream_id, 0, &body).await
    }

    /// One message in chunks with a full first header.
    pub async fn send_message(
        &mut self,
        csid: u8,
        type_id: u8,
        stream_id: u32,
        timestamp_ms: u32,
        body: &[u8],
    ) -> io::Result<()> {
        let pieces = chunks(
            csid,
            type_id,
            stream_id,
            timestamp_ms,
            body,
            self.chunk_size,
        );
        self.send_raw(&pieces.concat()).await
    }

    /// Messages on different chunk streams, a chunk of each in turn.
    pub async fn send_interleaved(&mut self, messages: &[(u8, u8, u32, &[u8])]) -> io::Result<()> {
        let (id, size) = (self.stream_id, self.chunk_size);
        let mut lists: Vec<_> = messages
            .iter()
            .map(|(csid, type_id, time, body)| {
                chunks(*csid, *type_id, id, *time, body, size).into_iter()
            })
            .collect();
        loop {
            let round: Vec<u8> = lists
                .iter_mut()
                .filter_map(Iterator::next)
                .flatten()
                .collect();
            if round.is_empty() {
                return Ok(());
            }
            self.send_raw(&round).await?;
        }
    }

    pub async fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The next `onStatus`.
    pub async fn status(&mut self) -> io::Result<Status> {
        let answer = self.answer_named("onStatus").await?;
        answer
            .status()
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The next answer of this name.
    pub async fn answer_named(&mut self, name: &str) -> io::Result<Answer> {
        loop {
            let answer = self.answer().await?;
            if answer.name().as_deref() == Some(name) {
                return Ok(answer);
            }
        }
    }

    /// The next message of the server, whose headers are all of type 0 or 3.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        self.fill(12).await?;
        let header: Vec<u8> = self.input.drain(..12).collect();
        assert_eq!(header[0] >> 6, 0, "a full header");
        let length = u32::from_be_bytes([0, header[4], header[5], header[6]]) as usize;
        let mut body = Vec::new();
        while body.len() < length {
            if !body.is_empty() {
                self.fill(1).await?;
                assert_eq!(self.input.remove(0), 0xc0 | header[0]);
            }
            let count = (length - body.len()).min(self.input_chunk);
            self.fill(count).await?;
            body.extend(self.input.drain(..count));
        }
        let answer = Answer {
            type_id: header[7],
            stream_id: u32::from_le_bytes(header[8..12].try_into().unwrap()),
            body,
        };
        if answer.type_id == 1 {
            self.input_chunk = u32::from_be_bytes(answer.body[..4].try_into().unwrap()) as usize;
        }
        Ok(answer)
    }

    /// Reads until the server closes; what it sent.
    pub async fn closed(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.input);
        // A reset is a close too.
        let _ = self.stream.read_to_end(&mut rest).await;
        rest
    }

    async fn fill(&mut self, count: usize) -> io::Result<()> {
        while self.input.len() < count {
            let mut bytes = [0; 4096];
            let read = self.stream.read(&mut bytes).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.input.extend_from_slice(&bytes[..read]);
        }
        Ok(())
    }
}

/// The chunks of a message: a full header first, type 3 after it, the extended timestamp in each of
/// them where the time needs it.
pub fn chunks(
    csid: u8,
    type_id: u8,
    stream_id: u32,
    timestamp_ms: u32,
    body: &[u8],
    chunk_size: usize,
) -> Vec<Vec<u8>> {
    let length = u32::try_from(body.len()).unwrap();
    let field = timestamp_ms.min(0xff_ffff);
    let extended = match field {
        0xff_ffff => timestamp_ms.to_be_bytes().to_vec(),
        _ => Vec::new(),
    };
    let mut first = vec![csid];
    first.extend(&field.to_be_bytes()[1..]);
    first.extend(&length.to_be_bytes()[1..]);
    first.push(type_id);
    first.extend(stream_id.to_le_bytes());
    let mut out = Vec::new();
    let pieces = body
        .chunks(chunk_size)
        .chain(body.is_empty().then_some(body));
    for (index, piece) in pieces.enumerate() {
        let header = if index == 0 {
            first.clone()
        } else {
            vec![0xc0 | csid]
        };
        out.push([&header[..], &extended, piece].concat());
    }
    out
}

/// The tags of an FLV file: 8 audio, 9 video, 18 data; milliseconds; body.
pub fn flv_tags(file: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    assert_eq!(&file[..3], b"FLV");
    // File header and the back pointer of nothing.
    let mut rest = &file[13..];
    let mut tags = Vec::new();
    while rest.len() >= 11 {
        let size = u32::from_be_bytes([0, rest[1], rest[2], rest[3]]) as usize;
        let time = u32::from_be_bytes([rest[7], rest[4], rest[5], rest[6]]);
        let Some(body) = rest.get(11..11 + size) else {
            break;
        };
        tags.push((rest[0], time, body.to_vec()));
        rest = rest.get(11 + size + 4..).unwrap_or(&[]);
    }
    tags
}

/// Tag bodies that a parser takes, without an encoder.
pub mod synthetic {
    /// A legacy H.264 sequence header: High, 160x90.
    pub fn avc_config() -> Vec<u8> {
        let mut body = vec![0x17, 0, 0, 0, 0];
        body.extend(AVC_RECORD);
        body
    }

    /// A legacy H.264 frame with one slice of `size` bytes; composition time in milliseconds.
    pub fn avc_frame(key: bool, composition_time_ms: i32, size: usize) -> Vec<u8> {
        let mut body = vec![if key { 0x17 } else { 0x27 }, 1];
        body.extend(&composition_time_ms.to_be_bytes()[1..]);
        body.extend(u32::try_from(size).unwrap().to_be_bytes());
        let start = body.len();
        body.resize(start + size, 0x80);
        // nal_unit_type 5 is an IDR slice, 1 is any other one.
        body[start] = if key { 0x65 } else { 0x41 };
        body
    }

    /// A legacy AAC sequence header: AAC-LC, 44.1 kHz, mono.
    pub fn aac_config() -> Vec<u8> {
        vec![0xaf, 0, 0x12, 0x08]
    }

    /// A legacy AAC frame with a payload of `size` bytes.
    pub fn aac_frame(size: usize) -> Vec<u8> {
        let mut body = vec![0xaf, 1];
        body.resize(2 + size, 0x21);
        body
    }

    /// AVCDecoderConfigurationRecord of `ffmpeg5-h264-aac.bin`.
    pub const AVC_RECORD: &[u8] = &[
        0x01, 0x64, 0x00, 0x0b, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x64, 0x00, 0x0b, 0xac, 0xd9, 0x42,
        0x8d, 0xf9, 0x30, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x32, 0x0f,
        0x14, 0x29, 0x96, 0x01, 0x00, 0x04, 0x68, 0xef, 0xbc, 0xb0, 0xfd, 0xf8, 0xf8, 0x00,
    ];
}
