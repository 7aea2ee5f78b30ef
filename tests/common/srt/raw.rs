//! A caller made of raw SRT packets that says what it is told to, wrong things included. It shares no code
//! with the server.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;

use crate::common::server::PATIENCE;

/// Kinds of control packets (draft-sharabayko-srt §3.2).
pub mod control {
    pub const HANDSHAKE: u16 = 0;
    pub const KEEP_ALIVE: u16 = 1;
    pub const ACK: u16 = 2;
    pub const LOSS_REPORT: u16 = 3;
    pub const SHUTDOWN: u16 = 5;
    pub const ACK_ACK: u16 = 6;
    pub const DROP_REQUEST: u16 = 7;
    pub const PEER_ERROR: u16 = 8;
    pub const USER: u16 = 0x7fff;
}

/// What a handshake is for (§3.2.1).
pub mod kind {
    pub const WAVE_A_HAND: u32 = 0;
    pub const INDUCTION: u32 = 1;
    pub const CONCLUSION: u32 = 0xffff_ffff;
    pub const AGREEMENT: u32 = 0xffff_fffe;
    /// A refusal is this and its code.
    pub const REFUSAL: u32 = 1000;
}

/// The body of a handshake packet.
#[derive(Clone, Debug)]
pub struct Handshake {
    pub version: u32,
    pub encryption: u16,
    pub extension: u16,
    pub sequence: u32,
    pub mtu: u32,
    pub window: u32,
    pub kind: u32,
    pub socket: u32,
    pub cookie: u32,
    pub extensions: Vec<u8>,
}

impl Handshake {
    /// The first one of a caller.
    pub fn induction(socket: u32) -> Handshake {
        Handshake {
            version: 4,
            encryption: 0,
            // A stream of datagrams, in the words of version 4.
            extension: 2,
            sequence: 0x0123_4567,
            mtu: 1500,
            window: 8192,
            kind: kind::INDUCTION,
            socket,
            cookie: 0,
            extensions: Vec::new(),
        }
    }

    /// The second one, for live mode, with a streamid.
    pub fn conclusion(socket: u32, cookie: u32, stream_id: &[u8]) -> Handshake {
        let mut extensions = Vec::new();
        // §3.2.1.1: version 1.5.1; TSBPD both ways, encryption known, too late packets dropped,
        // periodic loss reports, retransmission flag; 120 ms both ways.
        let request = [0x0001_0501, 0x3f, 120 << 16 | 120].map(u32::to_be_bytes);
        extension(&mut extensions, 1, &request.concat());
        if !stream_id.is_empty() {
            extension(&mut extensions, 5, &swapped(stream_id));
        }
        Handshake {
            version: 5,
            // Extensions: the handshake's own, configuration.
            extension: if stream_id.is_empty() { 1 } else { 5 },
            kind: kind::CONCLUSION,
            cookie,
            extensions,
            ..Handshake::induction(socket)
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let fields = u32::from(self.encryption) << 16 | u32::from(self.extension);
        let words = [
            self.version,
            fields,
            self.sequence,
            self.mtu,
            self.window,
            self.kind,
            self.socket,
            self.cookie,
            // The peer's address, 127.0.0.1.
            0x0100_007f,
            0,
            0,
            0,
        ];
        let mut bytes = words.map(u32::to_be_bytes).concat();
        bytes.extend(&self.extensions);
        bytes
    }
}

/// Appends a handshake extension, filled up to whole words.
pub fn extension(into: &mut Vec<u8>, kind: u16, content: &[u8]) {
    let words = u16::try_from(content.len().div_ceil(4)).expect("it fits a packet");
    into.extend(kind.to_be_bytes());
    into.extend(words.to_be_bytes());
    into.extend(content);
    into.resize(into.len().next_multiple_of(4), 0);
}

/// Text as an extension has it: words with their lowest byte first (§3.2.1.3).
pub fn swapped(text: &[u8]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    bytes.resize(text.len().next_multiple_of(4), 0);
    bytes.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    bytes
}

/// Kind, cookie and socket number, if the packet is a handshake.
fn handshake(packet: &[u8]) -> Option<(u32, u32, u32)> {
    let word = |index: usize| {
        let word = packet.get(index * 4..index * 4 + 4)?;
        Some(u32::from_be_bytes(word.try_into().expect("4 bytes")))
    };
    let is_handshake = word(0)? == 1 << 31;
    is_handshake.then_some((word(9)?, word(11)?, word(10)?))
}

/// A caller made of packets.
pub struct RawCaller {
    pub socket: UdpSocket,
    listener: SocketAddr,
    /// Ours and, once it is known, the other side's socket number.
    pub id: u32,
    pub peer: u32,
    sequence: u32,
    message: u32,
    clock: tokio::time::Instant,
}

impl RawCaller {
    pub async fn new(listener: SocketAddr) -> RawCaller {
        let socket = UdpSocket::bind("127.0.0.1:0").await;
        let socket = socket.expect("loopback is there");
        RawCaller {
            // Distinct for each caller, as §3 asks.
            id: 0x1000_0000 | u32::from(socket.local_addr().expect("it is bound").port()),
            socket,
            listener,
            peer: 0,
            sequence: 0x0123_4567,
            message: 0,
            clock: tokio::time::Instant::now(),
        }
    }

    /// A datagram.
    pub async fn send(&self, bytes: &[u8]) {
        let _ = self.socket.send_to(bytes, self.listener).await;
    }

    fn timestamp(&self) -> u32 {
        // §3: microseconds since the beginning, wrapping.
        self.clock.elapsed().as_micros() as u32
    }

    /// A control packet.
    pub async fn control(&self, kind: u16, info: u32, body: &[u8]) {
        let head = [
            1 << 31 | u32::from(kind) << 16,
            info,
            self.timestamp(),
            self.peer,
        ];
        let mut bytes = head.map(u32::to_be_bytes).concat();
        bytes.extend(body);
        self.send(&bytes).await;
    }

    pub async fn shake(&self, handshake: &Handshake) {
        self.control(control::HANDSHAKE, 0, &handshake.bytes())
            .await;
    }

    /// The next handshake that the listener sends: its kind, cookie and socket number; `None` when it
    /// says nothing for a second, which is an answer too.
    pub async fn answer(&self) -> Option<(u32, u32, u32)> {
        let listening = async {
            let mut bytes = [0; 2048];
            loop {
                let Ok((count, _)) = self.socket.recv_from(&mut bytes).await else {
                    continue;
                };
                if let Some(answer) = handshake(&bytes[..count]) {
                    return answer;
                }
            }
        };
        let answer = tokio::time::timeout(Duration::from_secs(1), listening).await;
        answer.ok()
    }

    /// The cookie that the listener gives everybody.
    pub async fn cookie(&self) -> u32 {
        let asking = async {
            loop {
                self.shake(&Handshake::induction(self.id)).await;
                if let Some((kind::INDUCTION, cookie, _)) = self.answer().await {
                    return cookie;
                }
            }
        };
        let cookie = tokio::time::timeout(PATIENCE, asking).await;
        cookie.expect("a listener answers an induction")
    }

    /// Asks for a connection; the code of the refusal as the error.
    pub async fn connect(&mut self, stream_id: &[u8]) -> Result<(), u32> {
        let cookie = self.cookie().await;
        self.conclude(&Handshake::conclusion(self.id, cookie, stream_id))
            .await
    }

    /// The same with a second handshake of the test's own.
    pub async fn conclude(&mut self, handshake: &Handshake) -> Result<(), u32> {
        let asking = async {
            loop {
                self.shake(handshake).await;
                match self.answer().await {
                    Some((kind::CONCLUSION, _, socket)) => return Ok(socket),
                    Some((kind::INDUCTION, ..)) | None => {}
                    Some((refusal, ..)) => return Err(refusal.wrapping_sub(kind::REFUSAL)),
                }
            }
        };
        let answer = tokio::time::timeout(PATIENCE, asking).await;
        self.peer = answer.expect("a listener answers a conclusion")?;
        Ok(())
    }

    /// One message of media in one packet.
    pub async fn data(&mut self, payload: &[u8]) {
        // §3.1: the whole message in one packet, in order.
        let message = 0b11 << 30 | 1 << 29 | (self.message & 0x03ff_ffff).max(1);
        let head = [self.sequence, message, self.timestamp(), self.peer];
        let mut bytes = head.map(u32::to_be_bytes).concat();
        bytes.extend(payload);
        self.sequence = (self.sequence + 1) & 0x7fff_ffff;
        self.message += 1;
        self.send(&bytes).await;
    }

    /// Says goodbye if the listener has answered yes meanwhile.
    pub async fn hang_up(&mut self) {
        let mut bytes = [0; 2048];
        while let Ok((count, _)) = self.socket.try_recv_from(&mut bytes) {
            if let Some((kind::CONCLUSION, _, socket)) = handshake(&bytes[..count]) {
                self.peer = socket;
            }
        }
        if self.peer != 0 {
            self.shutdown().await;
        }
    }

    /// Says goodbye.
    pub async fn shutdown(&self) {
        self.control(control::SHUTDOWN, 0, &[0; 4]).await;
    }
}
