//! Files of events at the real program: what is found in them, how much memory they take, what a kill leaves of
//! them, and whether a client that others wrote gets along. What each call answers is tested beside its code.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::common::gateway::{Folder, Gateway};
use crate::common::http::{self, Answer};
use crate::common::server::PATIENCE;

mod preparation;

/// Bytes that a large upload may add to the gateway's memory: buffers of a connection, a form and a file, and
/// what the allocator keeps of them.
const UPLOAD_BYTES: u64 = 24 << 20;
/// Bytes of that upload.
const LARGE: usize = 100 << 20;
/// Bytes behind which an upload lasts, as `src/films` has it.
const KEPT_EVERY: u64 = 8 << 20;
const FORM: &str = "multipart/form-data; boundary=edge";
const PIECE: &str = "application/offset+octet-stream";

/// Somebody who has signed up, and one event.
struct Owner {
    token: String,
    event: String,
}

impl Owner {
    async fn new(gateway: &Gateway) -> Owner {
        let address = gateway.http();
        let about =
            json!({"username": "jane", "email": "jane@example.test", "password": "s3cretpass"});
        let made = ask(address, "POST", "/api/users/signup", "", &about).await;
        let token = format!("Bearer {}", made["token"].as_str().unwrap());
        let mut owner = Owner {
            token,
            event: String::new(),
        };
        owner.event = owner.schedule(address).await;
        owner
    }

    async fn schedule(&self, address: SocketAddr) -> String {
        let about = json!({"title": "Premiere", "scheduledStartTime": "2099-01-01T20:00:00Z"});
        let made = ask(address, "POST", "/api/events/schedule", &self.token, &about).await;
        made["id"].as_str().unwrap().to_owned()
    }

    async fn file(&self, address: SocketAddr) -> Value {
        let path = format!("/api/events/{}", self.event);
        let event = ask(address, "GET", &path, &self.token, &Value::Null).await;
        event["file"].clone()
    }

    /// Sends a file as a form.
    async fn send(&self, address: SocketAddr, name: &str, file: &[u8]) -> Answer {
        let head = format!(
            "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
        );
        let body = [head.as_bytes(), file, b"\r\n--edge--\r\n"];
        let path = format!("/api/events/{}/upload", self.event);
        let lines = [("Content-Type", FORM)];
        self.pour(address, "POST", &path, &lines, &body).await
    }

    /// Sends parts of a body one after the other, and reads the answer even where not all of it was taken.
    async fn pour(
        &self,
        address: SocketAddr,
        method: &str,
        path: &str,
        lines: &[(&str, &str)],
        body: &[&[u8]],
    ) -> Answer {
        let length: usize = body.iter().map(|part| part.len()).sum();
        let mut stream = self.begin(address, method, path, lines, length).await;
        let exchange = async {
            for part in body {
                for piece in part.chunks(1 << 20) {
                    if stream.write_all(piece).await.is_err() {
                        break;
                    }
                }
            }
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            http::parse(&answer, method)
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await;
        answer.unwrap_or_else(|_| panic!("{method} {path} has no answer"))
    }

    /// Sends the head of a request.
    async fn begin(
        &self,
        address: SocketAddr,
        method: &str,
        path: &str,
        lines: &[(&str, &str)],
        length: usize,
    ) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Authorization: {}\r\nTus-Resumable: 1.0.0\r\nContent-Length: {length}\r\n",
            self.token
        );
        for (name, value) in lines {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    /// Begins an upload in pieces; its path.
    async fn create(&self, address: SocketAddr, length: usize) -> String {
        let path = format!("/api/events/{}/uploads", self.event);
        let length = length.to_string();
        let lines = [
            ("Upload-Length", length.as_str()),
            ("Upload-Metadata", "filename YS5tcDQ="),
        ];
        let made = self.pour(address, "POST", &path, &lines, &[]).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.header("location").unwrap().to_owned()
    }

    /// How much of an upload is there.
    async fn offset(&self, address: SocketAddr, path: &str) -> u64 {
        let told = self.pour(address, "HEAD", path, &[], &[]).await;
        assert_eq!(told.status, 200);
        told.header("upload-offset").unwrap().parse().unwrap()
    }
}

async fn ask(address: SocketAddr, method: &str, path: &str, token: &str, body: &Value) -> Value {
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let mut lines = vec![("Content-Type", "application/json")];
    if !token.is_empty() {
        lines.push(("Authorization", token));
    }
    let answer = http::send(address, method, path, &lines, &body).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_str(answer.text()).unwrap()
}

/// Two seconds of picture and sound, as ffmpeg makes them of a file name.
async fn media(folder: &Folder, name: &str, options: &[&str]) -> Vec<u8> {
    let path = folder.file(name);
    let mut arguments = vec!["-v", "error", "-y"];
    for source in ["testsrc2=s=320x180:r=25:d=2", "sine=r=44100:d=2"] {
        arguments.extend(["-f", "lavfi", "-i", source]);
    }
    arguments.extend(options);
    let made = Command::new("ffmpeg").args(&arguments).arg(&path).status();
    assert!(made.await.unwrap().success(), "{name}");
    std::fs::read(path).unwrap()
}

const H264: [&str; 6] = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"];

/// A film of so many bytes: what is behind its last box nobody shows.
async fn large(folder: &Folder, bytes: usize) -> Vec<u8> {
    let mut film = media(folder, "large.mp4", &H264).await;
    let rest = bytes - film.len();
    // ISO/IEC 14496-12 §8.1.2.
    film.extend_from_slice(&u32::try_from(rest).unwrap().to_be_bytes());
    film.extend_from_slice(b"free");
    film.resize(bytes, 0);
    film
}

fn sum(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn films(folder: &Folder) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.data().join("films")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_is_is_found_out_by_its_content() {
    let folder = Folder::new();
    let gateway = folder.serve(&[]).await;
    let address = gateway.http();
    let owner = Owner::new(&gateway).await;
    for (name, options, kind) in [
        ("a.mp4", &H264[..], "video"),
        ("a.mov", &H264, "video"),
        (
            "a.webm",
            &["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"],
            "video",
        ),
        ("a.mp3", &["-vn"], "audio"),
        ("a.wav", &["-vn"], "audio"),
        ("a.m4a", &["-vn"], "audio"),
        ("a.aac", &["-vn"], "audio"),
    ] {
        let bytes = media(&folder, name, options).await;
        // Neither name nor type say what it is.
        let answer = owner.send(address, "../x.txt", &bytes).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let file = owner.file(address).await;
        assert_eq!(
            (
                &file["kind"],
                &file["name"],
                &file["bytes"],
                &file["sha256"]
            ),
            (
                &json!(kind),
                &json!("x.txt"),
                &json!(bytes.len()),
                &json!(sum(&bytes))
            ),
            "{name}"
        );
    }
    // One that was being prepared when it was replaced goes with its child.
    let kept = gateway
        .until("one film", async || {
            let kept = films(&folder);
            (kept.len() == 1).then_some(kept)
        })
        .await;
    let picture = media(&folder, "a.png", &["-frames:v", "1"]).await;
    let matroska = media(&folder, "a.mkv", &H264).await;
    let program = std::fs::read("/bin/sh").unwrap();
    let video = media(&folder, "b.mp4", &H264).await;
    for (what, bytes, said) in [
        ("a picture", &picture[..], "PNG"),
        ("Matroska", &matroska, "Matroska"),
        ("a program", &program, ""),
        (
            "a text",
            &b"<html><body>hello</body></html>".repeat(100),
            "",
        ),
        ("nothing", b"", ""),
        ("half a film", &video[..video.len() / 2], ""),
    ] {
        let answer = owner.send(address, "film.mp4", bytes).await;
        let text = answer.text();
        assert_eq!(answer.status, 415, "{what}: {text}");
        assert!(text.contains(said), "{what}: {text}");
    }
    assert_eq!(films(&folder), kept);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_takes_no_memory_and_one_too_large_is_not_read() {
    let folder = Folder::new();
    let gateway = folder.serve(&[]).await;
    let address = gateway.http();
    let owner = Owner::new(&gateway).await;
    let film = large(&folder, LARGE).await;
    let before = gateway.memory_bytes();
    let most = std::sync::atomic::AtomicU64::new(0);
    let sending = async {
        let answer = owner.send(address, "large.mp4", &film).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let watching = async {
        let mut again = tokio::time::interval(Duration::from_millis(20));
        loop {
            again.tick().await;
            most.fetch_max(gateway.memory_bytes(), std::sync::atomic::Ordering::Relaxed);
        }
    };
    tokio::select! {
        () = sending => {}
        () = watching => {}
    }
    let more = most.into_inner().saturating_sub(before);
    assert!(more < UPLOAD_BYTES, "{more} bytes more");
    assert_eq!(owner.file(address).await["sha256"], json!(sum(&film)));
    // Not a byte of this is sent.
    let path = format!("/api/events/{}/upload", owner.event);
    let lines = [("Content-Type", FORM)];
    let mut stream = owner
        .begin(address, "POST", &path, &lines, (1 << 30) + (1 << 20))
        .await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.expect("it is refused at once").unwrap();
    assert_eq!(http::parse(&answer, "POST").status, 413);
    let length = ((1_u64 << 30) + 1).to_string();
    let path = format!("/api/events/{}/uploads", owner.event);
    let lines = [("Upload-Length", length.as_str())];
    let refused = owner.pour(address, "POST", &path, &lines, &[]).await;
    assert_eq!(refused.status, 413);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_byte_too_many_is_counted() {
    let folder = Folder::new();
    let film = large(&folder, 1 << 20).await;
    let gateway = folder
        .serve(&[("FOREBAY_EVENT_MAX_BYTES", "1048576")])
        .await;
    let address = gateway.http();
    let owner = Owner::new(&gateway).await;
    assert_eq!(owner.send(address, "a.mp4", &film).await.status, 200);
    let longer = [&film[..], b"x"].concat();
    assert_eq!(owner.send(address, "a.mp4", &longer).await.status, 413);
    assert_eq!(films(&folder).len(), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_of_an_upload_is_there_after_a_kill_and_the_rest_leaves_nothing() {
    let folder = Folder::new();
    let gateway = folder.serve(&[]).await;
    let address = gateway.http();
    let owner = Owner::new(&gateway).await;
    let film = large(&folder, 30 << 20).await;
    let path = owner.create(address, film.len()).await;
    let lines = [("Content-Type", PIECE), ("Upload-Offset", "0")];
    let mut piece = owner
        .begin(address, "PATCH", &path, &lines, film.len())
        .await;
    piece.write_all(&film[..20 << 20]).await.unwrap();
    gateway
        .until("an upload that goes on", async || {
            (owner.offset(address, &path).await >= 2 * KEPT_EVERY).then_some(())
        })
        .await;
    // Meanwhile another event gets a file as a form.
    let other = Owner {
        token: owner.token.clone(),
        event: owner.schedule(address).await,
    };
    let form = format!("/api/events/{}/upload", other.event);
    let lines = [("Content-Type", FORM)];
    let mut sending = other
        .begin(address, "POST", &form, &lines, film.len() + 200)
        .await;
    let head = "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
    sending.write_all(head.as_bytes()).await.unwrap();
    sending.write_all(&film[..1 << 20]).await.unwrap();
    gateway
        .until("a form that goes on", async || {
            (films(&folder).len() == 2).then_some(())
        })
        .await;
    gateway.kill().await;

    let gateway = folder.serve(&[]).await;
    let address = gateway.http();
    assert_eq!(films(&folder).len(), 1, "{:?}", films(&folder));
    let offset = owner.offset(address, &path).await;
    assert!((2 * KEPT_EVERY..=20 << 20).contains(&offset), "{offset}");
    let at = offset.to_string();
    let lines = [("Content-Type", PIECE), ("Upload-Offset", at.as_str())];
    let rest = &film[usize::try_from(offset).unwrap()..];
    let last = owner.pour(address, "PATCH", &path, &lines, &[rest]).await;
    assert_eq!(last.status, 204, "{}", last.text());
    assert_eq!(owner.file(address).await["sha256"], json!(sum(&film)));
    assert_eq!(films(&folder).len(), 1);
    gateway.stop().await;
}

/// tus-js-client breaks off in the middle, finds where it was, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_others_goes_on_where_it_broke_off() {
    let folder = Folder::new();
    let gateway = folder.serve(&[]).await;
    let address = gateway.http();
    let owner = Owner::new(&gateway).await;
    let film = large(&folder, 12 << 20).await;
    let file = folder.file("upload.mp4");
    std::fs::write(&file, &film).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/players/upload.mjs");
    let endpoint = format!("http://{address}/api/events/{}/uploads", owner.event);
    let run = Command::new("node")
        .arg(script)
        .args(["--endpoint", &endpoint, "--authorization", &owner.token])
        .arg("--file")
        .arg(&file)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, run).await.expect("it ends");
    let output = output.expect("node is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let told: Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
    assert_eq!(
        told["resumedAt"].as_u64().map(|at| at > 0),
        Some(true),
        "{told}"
    );
    assert_eq!(told["terminated"], 404, "{told}");
    assert_eq!(told["refused"], 415, "{told}");
    let kept = owner.file(address).await;
    assert_eq!(kept["sha256"], json!(sum(&film)));
    assert_eq!(kept["name"], "upload.mp4");
    gateway.stop().await;
}
