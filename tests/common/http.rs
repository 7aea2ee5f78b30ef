//! A small HTTP/1.1 client over plain TCP: one request a connection, so that nothing is hidden.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No answer of a test server takes longer, blocking reloads included.
const DEADLINE: Duration = Duration::from_secs(30);

/// An answer, body decoded from chunks but not from any content coding.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

/// `GET path`.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path, &[]).await
}

/// Any request without a body.
pub async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    send(address, method, path, headers, "").await
}

/// Any request.
pub async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Answer {
    let body = body.as_ref();
    let exchange = async {
        let mut stream = TcpStream::connect(address)
            .await
            .expect("the server listens");
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let request = [head.as_bytes(), body].concat();
        stream.write_all(&request).await.expect("request is taken");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("answer comes");
        parse(&bytes, method)
    };
    let answer = tokio::time::timeout(DEADLINE, exchange).await;
    answer.unwrap_or_else(|_| panic!("{method} {path} has no answer after {DEADLINE:?}"))
}

/// An answer as it came.
pub fn parse(bytes: &[u8], method: &str) -> Answer {
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a header ends");
    let head = std::str::from_utf8(&bytes[..end]).expect("headers are text");
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .expect("a status line");
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer {
        status: status.parse().expect("a number"),
        headers,
        body: Vec::new(),
    };
    let body = &bytes[end + 4..];
    answer.body = match answer.header("transfer-encoding") {
        Some(coding) if coding.eq_ignore_ascii_case("chunked") && method != "HEAD" => unchunk(body),
        _ => body.to_vec(),
    };
    answer
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let line = body
            .windows(2)
            .position(|window| window == b"\r\n")
            .expect("a chunk size");
        let size = std::str::from_utf8(&body[..line]).expect("hex");
        let size =
            usize::from_str_radix(size.split(';').next().unwrap_or(size).trim(), 16).expect("hex");
        body = &body[line + 2..];
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[..size]);
        body = &body[size + 2..];
    }
}

/// `GET path`, an answer in chunks: `take` is handed each chunk as it comes.
pub async fn get_in_chunks(address: SocketAddr, path: &str, mut take: impl FnMut(Vec<u8>)) {
    let exchange = async {
        let mut stream = TcpStream::connect(address)
            .await
            .expect("the server listens");
        let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream
            .write_all(head.as_bytes())
            .await
            .expect("request is taken");
        let mut stream = tokio::io::BufReader::new(stream);
        let mut line = String::new();
        let mut head = Vec::new();
        while line != "\r\n" {
            line.clear();
            let read = stream.read_line(&mut line).await.expect("a header");
            assert!(read > 0, "{path}: {head:?}");
            head.push(line.trim_end().to_ascii_lowercase());
        }
        assert!(head[0].contains(" 200 "), "{path}: {head:?}");
        assert!(
            head.iter().any(|line| line == "transfer-encoding: chunked"),
            "{path}: {head:?}"
        );
        loop {
            line.clear();
            stream.read_line(&mut line).await.expect("a chunk size");
            let size = usize::from_str_radix(line.trim_end(), 16).expect("hex");
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).await.expect("a chunk");
            if size == 0 {
                return;
            }
            chunk.truncate(size);
            take(chunk);
        }
    };
    let answer = tokio::time::timeout(DEADLINE, exchange).await;
    answer.unwrap_or_else(|_| panic!("GET {path} does not end within {DEADLINE:?}"));
}

/// Text as a part of a URL.
pub fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
