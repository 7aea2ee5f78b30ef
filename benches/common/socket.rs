//! A client of WebSocket that does little more than count, so that thousands cost the machine as little as they
//! can (RFC 6455).

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes of a frame that is read in one piece.
const BUFFER: usize = 1024;
/// Opcodes (RFC 6455 §5.2), the last frame's bit set.
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// One socket.
pub struct Socket {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Socket {
    /// Returns when the server has agreed.
    pub async fn open(address: SocketAddr, path: String) -> Socket {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket of TCP");
        // The key is the example of RFC 6455 §1.3.
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut buffer = Vec::with_capacity(BUFFER);
        let end = loop {
            let size = stream.read_buf(&mut buffer).await.expect("an answer");
            assert!(size > 0, "an answer");
            let end = buffer.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                break end + 4;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        buffer.drain(..end);
        Socket { stream, buffer }
    }

    /// Waits for the next text; `None` at the end.
    pub async fn hear(&mut self) -> Option<()> {
        loop {
            let Some(size) = self.frame_size() else {
                match self.stream.read_buf(&mut self.buffer).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => continue,
                }
            };
            let kind = self.buffer[0];
            self.buffer.drain(..size);
            match kind {
                TEXT => return Some(()),
                PING => self.send(PONG, &[]).await?,
                CLOSE => return None,
                _ => {}
            }
        }
    }

    /// Bytes of the first frame, if all of it is there.
    fn frame_size(&self) -> Option<usize> {
        let size = match *self.buffer.get(1)? {
            126 => {
                let long = [*self.buffer.get(2)?, *self.buffer.get(3)?];
                4 + usize::from(u16::from_be_bytes(long))
            }
            short => 2 + usize::from(short),
        };
        (size <= self.buffer.len()).then_some(size)
    }

    /// Sends a text.
    pub async fn say(&mut self, text: &str) {
        self.send(TEXT, text.as_bytes()).await.expect("sent");
    }

    async fn send(&mut self, kind: u8, content: &[u8]) -> Option<()> {
        let mut frame = vec![kind];
        match u8::try_from(content.len()) {
            Ok(short) if short < 126 => frame.push(0x80 | short),
            _ => {
                frame.push(0x80 | 126);
                let long = u16::try_from(content.len()).expect("a small frame");
                frame.extend(long.to_be_bytes());
            }
        }
        // A mask of zeros changes nothing.
        frame.extend([0; 4]);
        frame.extend(content);
        self.stream.write_all(&frame).await.ok()
    }
}
