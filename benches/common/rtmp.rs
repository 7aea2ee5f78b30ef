//! A publisher as light as it can be: blocking sockets, tags that are sent as they lie in the file.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// Chunk size of OBS, by far the most used encoder.
const CHUNK_BYTES: usize = 4096;
/// Handshake and answers take no longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// One FLV tag.
#[derive(Clone)]
pub struct Tag {
    /// 8 audio, 9 video, 18 data.
    pub kind: u8,
    pub time_ms: u32,
    pub body: Vec<u8>,
}

/// A clip that can be repeated: what comes once, and what comes again.
pub struct Clip {
    pub setup: Vec<Tag>,
    pub media: Vec<Tag>,
    pub length_ms: u32,
}

impl Clip {
    pub fn read(path: &Path, length_ms: u32) -> Clip {
        let file = std::fs::read(path).expect("the clip is there");
        let (mut setup, mut media) = (Vec::new(), Vec::new());
        // File header, and the size of no previous tag.
        let mut rest = &file[13..];
        while rest.len() >= 11 {
            let size = u32::from_be_bytes([0, rest[1], rest[2], rest[3]]) as usize;
            let time_ms = u32::from_be_bytes([rest[7], rest[4], rest[5], rest[6]]);
            let Some(body) = rest.get(11..11 + size) else {
                break;
            };
            let tag = Tag {
                kind: rest[0],
                time_ms,
                body: body.to_vec(),
            };
            // The second byte of H.264 and AAC tags: 0 configuration, 1 a frame, 2 the end.
            match (tag.kind, tag.body.get(1)) {
                (8 | 9, Some(1)) => media.push(tag),
                (8 | 9, Some(0)) | (18, _) => setup.push(tag),
                _ => {}
            }
            rest = rest.get(11 + size + 4..).unwrap_or(&[]);
        }
        Clip {
            setup,
            media,
            length_ms,
        }
    }
}

/// A connection on which a publish was accepted.
pub struct Publisher {
    stream: TcpStream,
    stream_id: u32,
    out: Vec<u8>,
}

impl Publisher {
    pub fn connect(address: SocketAddr, application: &str, key: &str) -> io::Result<Publisher> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // The simple handshake: C0 C1, S0 S1 S2, C2.
        let mut hello = vec![0_u8; 1537];
        hello[0] = 3;
        stream.write_all(&hello)?;
        let mut answer = vec![0_u8; 1 + 2 * 1536];
        stream.read_exact(&mut answer)?;
        stream.write_all(&answer[1..1537])?;
        let mut publisher = Publisher {
            stream,
            stream_id: 0,
            out: Vec::new(),
        };
        let url = format!("rtmp://{address}/{application}");
        let connect = [
            text("connect"),
            number(1.0),
            vec![3],
            property("app", &text(application)),
            property("type", &text("nonprivate")),
            property("flashVer", &text("FMLE/3.0 (compatible; FMSc/1.0)")),
            property("tcUrl", &text(&url)),
            vec![0, 0, 9],
        ];
        publisher.command(0, &connect.concat())?;
        publisher.wait_for(b"NetConnection.Connect.Success")?;
        let create = [text("createStream"), number(2.0), vec![5]];
        publisher.command(0, &create.concat())?;
        // _result, transaction, null, the id.
        let rest = publisher.wait_for(&[&text("_result")[..], &number(2.0), &[5, 0]].concat())?;
        let id: [u8; 8] = rest
            .get(..8)
            .and_then(|id| id.try_into().ok())
            .unwrap_or_default();
        publisher.stream_id = f64::from_be_bytes(id) as u32;
        let publish = [
            text("publish"),
            number(3.0),
            vec![5],
            text(key),
            text("live"),
        ];
        publisher.command(publisher.stream_id, &publish.concat())?;
        publisher.wait_for(b"NetStream.Publish.Start")?;
        let size = u32::try_from(CHUNK_BYTES).expect("small");
        publisher.message(2, 1, 0, 0, &size.to_be_bytes());
        publisher.flush()?;
        Ok(publisher)
    }

    /// Sends a tag with another time.
    pub fn send(&mut self, tag: &Tag, time_ms: u32) -> io::Result<()> {
        let csid = if tag.kind == 9 { 6 } else { 4 };
        if tag.kind == 18 {
            let body = [&text("@setDataFrame")[..], &tag.body].concat();
            self.message(csid, 18, self.stream_id, time_ms, &body);
        } else {
            self.message(csid, tag.kind, self.stream_id, time_ms, &tag.body);
        }
        self.flush()
    }

    fn command(&mut self, stream_id: u32, body: &[u8]) -> io::Result<()> {
        // Commands are short, but the initial chunk size is 128.
        self.chunked(3, 20, stream_id, 0, body, 128);
        self.flush()
    }

    fn message(&mut self, csid: u8, kind: u8, stream_id: u32, time_ms: u32, body: &[u8]) {
        self.chunked(csid, kind, stream_id, time_ms, body, CHUNK_BYTES);
    }

    fn chunked(&mut self, csid: u8, kind: u8, stream: u32, time: u32, body: &[u8], chunk: usize) {
        let length = u32::try_from(body.len()).expect("a tag is below 16 MB");
        let out = &mut self.out;
        out.push(csid);
        out.extend_from_slice(&time.to_be_bytes()[1..]);
        out.extend_from_slice(&length.to_be_bytes()[1..]);
        out.push(kind);
        out.extend_from_slice(&stream.to_le_bytes());
        for (index, piece) in body.chunks(chunk).enumerate() {
            if index > 0 {
                out.push(0xc0 | csid);
            }
            out.extend_from_slice(piece);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Reads until these bytes came; what came behind them. Chunk headers are never inside of what is
    /// looked for, since answers are shorter than a chunk or the server has set a large one.
    fn wait_for(&mut self, wanted: &[u8]) -> io::Result<Vec<u8>> {
        let mut seen = Vec::new();
        loop {
            let mut bytes = [0; 4096];
            let count = self.stream.read(&mut bytes)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            seen.extend_from_slice(&bytes[..count]);
            if let Some(at) = seen.windows(wanted.len()).position(|part| part == wanted) {
                return Ok(seen.split_off(at + wanted.len()));
            }
        }
    }
}

fn text(text: &str) -> Vec<u8> {
    [&[2][..], &name(text)].concat()
}

fn number(number: f64) -> Vec<u8> {
    [&[0][..], &number.to_be_bytes()].concat()
}

fn property(key: &str, value: &[u8]) -> Vec<u8> {
    [&name(key)[..], value].concat()
}

fn name(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("short");
    [&length.to_be_bytes()[..], text.as_bytes()].concat()
}
