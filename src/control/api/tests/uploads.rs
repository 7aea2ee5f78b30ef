//! Files of events: as a form, and in pieces.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::*;
use crate::base::id::Uuid;
use crate::control::api::leftover::Leftovers;
use crate::films::{LIFETIME, MAX_UPLOADS_OF_USER};
use crate::store::{After, AssetKind, AssetState, EventStatus, NewEvent, Repeat, ShowRow};

/// An answer with its head.
struct Told {
    code: u16,
    head: BTreeMap<String, String>,
    body: Value,
}

impl Told {
    fn head(&self, name: &str) -> &str {
        self.head.get(name).map_or("", String::as_str)
    }
}

async fn tell(
    bench: &Bench,
    what: &str,
    who: &Person,
    lines: &[&str],
    body: impl Into<Body>,
) -> Told {
    let (method, path) = what.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for line in lines.iter().copied().chain([who.token.as_str()]) {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let router = crate::control::router(bench.state.clone());
    let answer = router.oneshot(request.body(body.into()).unwrap()).await;
    let (parts, body) = answer.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let head = parts.headers.iter();
    let head = head.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    Told {
        code: parts.status.as_u16(),
        head: head.collect(),
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    }
}

/// Makes an event of a user that begins in so many seconds.
async fn event(bench: &Bench, user: &Person, after_s: i64) -> Uuid {
    let id = Uuid::new_v4();
    let owner = Uuid::parse_str(&user.id).unwrap();
    let starts = bench.clock.wall().plus_micros(after_s * 1_000_000);
    let show = ShowRow {
        stream_id: Uuid::new_v4(),
        event_id: id,
        asset_id: None,
        epoch: starts,
        starts,
        ends: None,
        looping: false,
        after: After::End,
        ended: None,
        cuts: Vec::new(),
    };
    let tenant = tenant_of(bench, owner).await;
    let new = NewEvent {
        application_id: &tenant,
        user_id: owner,
        channel_id: None,
        title: "Premiere",
        description: None,
        starts,
        ends: None,
        time_zone: "UTC",
        repeat: Repeat::None,
        repeat_until_end: false,
        show,
    };
    bench.store.create_event(&new, &|_, _| false).await.unwrap();
    id
}

async fn tenant_of(bench: &Bench, user: Uuid) -> String {
    for tenant in ["app", "one", "two"] {
        if bench.store.user(tenant, user).await.unwrap().is_some() {
            return tenant.to_owned();
        }
    }
    panic!("no tenant has {user}");
}

fn form(file_name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut body = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nignored\r\n\
         --edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{file_name}\"\r\n\
         Content-Type: image/png\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n--edge--\r\n");
    body
}

const FORM: &str = "content-type: multipart/form-data; boundary=edge";
const TUS: &str = "tus-resumable: 1.0.0";
const PIECE: &str = "content-type: application/offset+octet-stream";

async fn send(bench: &Bench, who: &Person, event: Uuid, bytes: &[u8]) -> Told {
    let what = format!("POST /api/events/{event}/upload");
    tell(bench, &what, who, &[FORM], form("a.mp4", bytes)).await
}

/// Names in the folder of films.
fn kept(bench: &Bench) -> Vec<String> {
    let folder: PathBuf = bench.state.setup().data.join("films");
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

async fn asset_of(bench: &Bench, event: Uuid) -> crate::store::Asset {
    let event = bench.store.event(event).await.unwrap().unwrap();
    let asset = bench.store.asset(event.asset_id.unwrap()).await;
    asset.unwrap().unwrap()
}

async fn set_status(bench: &Bench, event: Uuid, status: EventStatus) {
    let changed = bench.store.change_event(event, &|_, _| false, |event, _| {
        event.status = status;
        Ok::<(), ()>(())
    });
    changed.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_form_gives_an_event_its_file_in_the_place_of_the_one_before() {
    let bench = clients().await;
    let jane = person(&bench, "jane", "").await;
    let event = event(&bench, &jane, 3600).await;
    let answer = tell(
        &bench,
        &format!("POST /api/events/{event}/upload"),
        &jane,
        &[FORM],
        form("../../etc/pass\\wd.mp4", b"film of something"),
    )
    .await;
    assert_eq!(answer.code, 200, "{}", answer.body);
    assert_eq!(answer.body["id"], event.to_string());
    let asset = asset_of(&bench, event).await;
    assert_eq!(asset.name, "wd.mp4");
    assert_eq!((asset.kind, asset.bytes), (Some(AssetKind::Video), 17));
    assert_eq!(asset.duration_us, Some(2_500_000));
    assert_eq!(asset.state, AssetState::Uploaded);
    let sum = Sha256::digest(b"film of something");
    let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(asset.sha256, Some(sum));
    let films = &bench.state.setup().films;
    let original = std::fs::read(films.original(asset.id)).unwrap();
    assert_eq!(original, b"film of something");

    assert_eq!(send(&bench, &jane, event, b"film two").await.code, 200);
    let second = asset_of(&bench, event).await;
    assert_ne!(second.id, asset.id);
    assert_eq!(kept(&bench), [second.id.to_string()]);
}

#[tokio::test]
async fn a_file_is_for_its_events_owner_and_not_while_the_event_is_on() {
    let bench = clients().await;
    let jane = person(&bench, "jane", "").await;
    let john = person(&bench, "john", "").await;
    let eve = person_of(&bench, &["x-api-key: pk_two"], "eve", "").await;
    let event = event(&bench, &jane, 3600).await;
    let (upload, uploads) = (
        format!("POST /api/events/{event}/upload"),
        format!("POST /api/events/{event}/uploads"),
    );
    let nobody = Person {
        id: String::new(),
        token: "x-api-key: pk_one".to_owned(),
    };
    let wrong = Person {
        id: String::new(),
        token: "authorization: Bearer wrong".to_owned(),
    };
    for (who, code) in [(&nobody, 401), (&wrong, 401), (&john, 403), (&eve, 404)] {
        for what in [&upload, &uploads] {
            let answer = tell(&bench, what, who, &[FORM], form("a", b"film")).await;
            assert_eq!(answer.code, code, "{what} {}", answer.body);
        }
    }
    for id in ["x", "00000000-0000-4000-8000-000000000000", "..%2F.."] {
        let what = format!("POST /api/events/{id}/upload");
        let answer = tell(&bench, &what, &jane, &[FORM], form("a", b"film")).await;
        assert_eq!(answer.code, 404, "{id}");
    }
    set_status(&bench, event, EventStatus::Active).await;
    for what in [&upload, &uploads] {
        let answer = tell(&bench, what, &jane, &[FORM, TUS], form("a", b"film")).await;
        assert_eq!(answer.code, 409, "{}", answer.body);
    }
    set_status(&bench, event, EventStatus::Completed).await;
    let operator = Person {
        id: String::new(),
        token: "x-admin-key: admin-key".to_owned(),
    };
    assert_eq!(send(&bench, &operator, event, b"film").await.code, 401);
    let what = format!("POST /api/admin/events/{event}/uploads");
    let lines = [TUS, "upload-length: 4"];
    assert_eq!(tell(&bench, &what, &jane, &lines, "").await.code, 401);
    let made = tell(&bench, &what, &operator, &lines, "").await;
    let path = made.head("location");
    assert!(path.starts_with("/api/admin/uploads/"), "{path}");
    for who in [&jane, &nobody] {
        assert_eq!(append(&bench, who, path, 0, b"film").await.code, 401);
    }
    assert_eq!(offset(&bench, &operator, path).await, (200, "0".to_owned()));
    assert_eq!(append(&bench, &operator, path, 0, b"film").await.code, 204);
    let of_jane = asset_of(&bench, event).await;
    assert_eq!(of_jane.user_id.to_string(), jane.id);
}

#[tokio::test]
async fn what_cannot_be_shown_is_too_large_or_no_form_is_refused_and_nothing_of_it_stays() {
    let bench = clients().await;
    let jane = person(&bench, "jane", "").await;
    let event = event(&bench, &jane, 3600).await;
    let what = format!("POST /api/events/{event}/upload");
    for bytes in [&b"\x89PNG"[..], b"#!/bin/sh", b"\x7fELF", b""] {
        let answer = send(&bench, &jane, event, bytes).await;
        let reason = answer.body["reason"].as_str().unwrap_or_default();
        assert_eq!(answer.code, 415, "{}", answer.body);
        let said = match bytes {
            b"" => "the file is empty",
            _ => "the file is a text; MP4",
        };
        assert!(reason.starts_with(said), "{reason}");
    }
    let declared = format!("content-length: {}", (10 << 20) + (64 << 10) + 1);
    let early = tell(&bench, &what, &jane, &[FORM, &declared], Body::empty()).await;
    assert_eq!(early.code, 413, "{}", early.body);
    let mut large = form("a.mp4", &vec![b'f'; 10 << 20]);
    large[200] = b'x';
    let mut larger = form("a.mp4", &vec![b'f'; (10 << 20) + 1]);
    larger[200] = b'x';
    for (body, code) in [(large, 415), (larger, 413)] {
        // Without a declared length it is counted.
        let answer = tell(
            &bench,
            &what,
            &jane,
            &[FORM],
            Body::from_stream(pieces(body)),
        )
        .await;
        assert_eq!(answer.code, code, "{}", answer.body);
    }
    for (kind, body, code) in [
        ("content-type: video/mp4", b"film".to_vec(), 415),
        ("content-type: multipart/form-data", b"film".to_vec(), 415),
        (FORM, b"film".to_vec(), 400),
        (FORM, b"--edge\r\n\r\nfilm\r\n--edge--\r\n".to_vec(), 400),
        (FORM, form("a", b"film")[..150].to_vec(), 400),
        (FORM, [form("a", b"film"), form("a", b"film")].concat(), 200),
    ] {
        let answer = tell(&bench, &what, &jane, &[kind], body).await;
        assert_eq!(answer.code, code, "{kind}: {}", answer.body);
    }
    assert_eq!(kept(&bench).len(), 1);
}

/// A body without a declared length.
fn pieces(body: Vec<u8>) -> impl futures_util::Stream<Item = std::io::Result<bytes::Bytes>> {
    let body = std::io::Cursor::new(body);
    tokio_util::io::ReaderStream::with_capacity(body, 64 << 10)
}

/// Begins an upload of so many bytes; its path.
async fn begin(bench: &Bench, who: &Person, event: Uuid, length: usize) -> String {
    let what = format!("POST /api/events/{event}/uploads");
    let length = format!("upload-length: {length}");
    let name = format!(
        "upload-metadata: filename {}",
        STANDARD.encode("../a b.mp4")
    );
    let answer = tell(bench, &what, who, &[TUS, &length, &name], "").await;
    assert_eq!(answer.code, 201, "{}", answer.body);
    assert_eq!(answer.head("tus-resumable"), "1.0.0");
    assert_eq!(answer.head("upload-offset"), "0");
    assert!(answer.head("upload-expires").ends_with(" GMT"));
    answer.head("location").to_owned()
}

async fn append(bench: &Bench, who: &Person, path: &str, offset: usize, bytes: &[u8]) -> Told {
    let what = format!("PATCH {path}");
    let offset = format!("upload-offset: {offset}");
    tell(bench, &what, who, &[TUS, PIECE, &offset], bytes.to_vec()).await
}

async fn offset(bench: &Bench, who: &Person, path: &str) -> (u16, String) {
    let answer = tell(bench, &format!("HEAD {path}"), who, &[TUS], "").await;
    if answer.code == 200 {
        assert_eq!(answer.head("cache-control"), "no-store");
    }
    (answer.code, answer.head("upload-offset").to_owned())
}

#[tokio::test]
async fn a_file_comes_in_pieces_and_is_the_events_with_the_last() {
    let bench = clients().await;
    let jane = person(&bench, "jane", "").await;
    let event = event(&bench, &jane, 3600).await;
    let path = begin(&bench, &jane, event, 8).await;
    let head = tell(&bench, &format!("HEAD {path}"), &jane, &[TUS], "").await;
    assert_eq!(head.head("upload-length"), "8");
    assert!(head.head("upload-metadata").starts_with("filename "));
    let first = append(&bench, &jane, &path, 0, b"film").await;
    assert_eq!((first.code, first.head("upload-offset")), (204, "4"));
    assert_eq!(append(&bench, &jane, &path, 0, b"film").await.code, 409);
    assert_eq!(append(&bench, &jane, &path, 4, b" four+").await.code, 413);
    assert_eq!(offset(&bench, &jane, &path).await, (200, "4".to_owned()));
    let last = append(&bench, &jane, &path, 4, b" two").await;
    assert_eq!((last.code, last.head("upload-offset")), (204, "8"));
    let asset = asset_of(&bench, event).await;
    assert_eq!((asset.name.as_str(), asset.bytes), ("a b.mp4", 8));
    assert!(path.ends_with(&asset.id.to_string()));
    let original = bench.state.setup().films.original(asset.id);
    assert_eq!(std::fs::read(original).unwrap(), b"film two");
    // Who lost the last answer learns that all of it is there.
    assert_eq!(offset(&bench, &jane, &path).await, (200, "8".to_owned()));
    assert_eq!(append(&bench, &jane, &path, 8, b"").await.code, 409);
    let cancel = tell(&bench, &format!("DELETE {path}"), &jane, &[TUS], "").await;
    assert_eq!(cancel.code, 409);
}

#[tokio::test]
async fn the_first_piece_may_come_with_the_beginning() {
    let bench = clients().await;
    let jane = person(&bench, "jane", "").await;
    let event = event(&bench, &jane, 3600).await;
    let what = format!("POST /api/events/{event}/uploads");
    let lines = [TUS, PIECE, "upload-length: 8"];
    let answer = tell(&bench, &what, &jane, &lines, "film").await;
    assert_eq!((answer.code, answer.head("upload-offset")), (201, "4"));
    let answer = tell(&bench, &what, &jane, &lines, "film two").await;
    assert_eq!((answer.code, answer.head("upload-offset")), (201, "8"));
    assert_eq!(asset_of(&bench, event).await.bytes, 8);
    let answer = tell(&bench, &what, &jane, &lines, "text two").await;
    assert_eq!(answer.code, 415);
    assert_eq!(kept(&bench).len(), 1);
    let answer = tell(&bench, &what, &jane, &lines, "film too long").await;
    assert_eq!(answer.code, 413);
}

#[tokio::test]
async fn a_piece_that_is_not_what_its_sum_says_is_not_kept() {
    let bench = clients().await;
    let jane = person(&bench, "jane", "").await;
    let event = event(&bench, &jane, 3600).await;
    let path = begin(&bench, &jane, event, 4).await;
    let what = format!("PATCH {path}");
    let right = STANDARD.encode(Sha256::digest(b"film"));
    let right = format!("upload-checksum: sha256 {right}");
    let lines = |sum| [TUS, PIECE, "upload-offset: 0", sum];
    let wrong = tell(&bench, &what, &jane, &lines(&right), "fiml").await;
    assert_eq!(wrong.code, 460, "{}", wrong.body);
    let unknown = tell(
        &bench,
        &what,
        &jane,
        &lines("upload-checksum: md5 eA=="),
        "film",
    )
    .await;
    assert_eq!(unknown.code, 400);
    assert_eq!(offset(&bench, &jane, &path).await, (200, "0".to_owned()));
    assert_eq!(
        tell(&bench, &what, &jane, &lines(&right), "film")
            .await
            .code,
        204
    );
    assert_eq!(asset_of(&bench, event).await.bytes, 4);
}

#[tokio::test]
async fn what_breaks_off_is_kept_as_far_as_it_came() {
    let bench = clients().await;
    let jane = person(&bench, "jane", "").await;
    let event = event(&bench, &jane, 3600).await;
    let path = begin(&bench, &jane, event, 8).await;
    let broken = [
        Ok(bytes::Bytes::from_static(b"film")),
        Err(std::io::Error::other("gone")),
    ];
    let body = Body::from_stream(futures_util::stream::iter(broken));
    let what = format!("PATCH {path}");
    let lines = [TUS, PIECE, "upload-offset: 0"];
    assert_eq!(tell(&bench, &what, &jane, &lines, body).await.code, 400);
    assert_eq!(offset(&bench, &jane, &path).await, (200, "4".to_owned()));
    assert_eq!(append(&bench, &jane, &path, 4, b" two").await.code, 204);
    assert_eq!(asset_of(&bench, event).await.bytes, 8);
}

#[tokio::test]
async fn a_file_on_its_way_is_shown_as_far_as_it_came() {
    let bench = clients().await;
    let jane = person(&bench, "jane", "").await;
    let event = event(&bench, &jane, 3600).await;
    let shown = async || {
        let path = format!("/api/events/{event}");
        let (code, shown) = bench.api("GET", &path, &[], "").await;
        assert_eq!(code, 200, "{shown}");
        let file = shown["file"].clone();
        (
            file["state"].clone(),
            file["bytes"].clone(),
            file["progress"].clone(),
        )
    };
    let of = |state: &str, bytes: u64, progress: u64| (json!(state), json!(bytes), json!(progress));
    assert_eq!(shown().await.0, Value::Null);
    // In pieces, between them too, and after a crash as far as it was kept.
    let path = begin(&bench, &jane, event, 16).await;
    assert_eq!(shown().await, of("uploading", 0, 0));
    assert_eq!(append(&bench, &jane, &path, 0, b"film").await.code, 204);
    assert_eq!(shown().await, of("uploading", 4, 25));
    let id = Uuid::parse_str(path.rsplit('/').next().unwrap()).unwrap();
    let films = bench.state.setup().films.clone();
    let mut held = films.resume(id, 4).await.unwrap();
    held.write(b"more").await.unwrap();
    assert_eq!(shown().await, of("uploading", 8, 50));
    drop(held);
    let held = films.resume(id, 4).await.unwrap();
    assert_eq!(shown().await, of("uploading", 4, 25));
    drop(held);
    assert_eq!(
        append(&bench, &jane, &path, 4, b" of twelve b").await.code,
        204
    );
    assert_eq!(shown().await, of("uploaded", 16, 0));
    // What is there is shown again where its successor does not come.
    begin(&bench, &jane, event, 8).await;
    assert_eq!(shown().await, of("uploaded", 16, 0));
    let (sender, body) = tokio::sync::mpsc::channel::<std::io::Result<bytes::Bytes>>(1);
    let body = futures_util::stream::unfold(body, async |mut body| {
        let piece = body.recv().await?;
        Some((piece, body))
    });
    let what = format!("POST /api/events/{event}/upload");
    let whole = form("a.mp4", b"film");
    let length = format!("content-length: {}", whole.len());
    let lines = [FORM, length.as_str()];
    let sending = tell(
        &bench,
        &what,
        &jane,
        &lines,
        Body::from_stream(Box::pin(body)),
    );
    let watching = async {
        let bytes = bytes::Bytes::from(whole.clone());
        let end = bytes.len() - 16;
        sender.send(Ok(bytes.slice(..end))).await.unwrap();
        while shown().await.0 != json!("uploading") {
            tokio::task::yield_now().await;
        }
        sender.send(Ok(bytes.slice(end..))).await.unwrap();
        drop(sender);
    };
    let (told, ()) = tokio::join!(sending, watching);
    assert_eq!(told.code, 200, "{}", told.body);
    assert_eq!(shown().await, of("uploaded", 4, 0));
}

#[tokio::test]
async fn one_request_at_a_time_writes_an_upload_and_a_form_waits_for_none() {
    let bench = clients().await;
    let jane = person(&bench, "jane", "").await;
    let event = event(&bench, &jane, 3600).await;
    let path = begin(&bench, &jane, event, 8).await;
    let id = Uuid::parse_str(path.rsplit('/').next().unwrap()).unwrap();
    let held = bench.state.setup().films.resume(id, 0).await.unwrap();
    assert_eq!(append(&bench, &jane, &path, 0, b"film").await.code, 423);
    let cancel = format!("DELETE {path}");
    assert_eq!(tell(&bench, &cancel, &jane, &[TUS], "").await.code, 423);
    assert_eq!(send(&bench, &jane, event, b"film").await.code, 409);
    drop(held);
    assert_eq!(tell(&bench, &cancel, &jane, &[TUS], "").await.code, 204);
    assert_eq!(offset(&bench, &jane, &path).await.0, 404);
    assert!(kept(&bench).is_empty());
    // One that waits gives way to whoever begins anew.
    let path = begin(&bench, &jane, event, 8).await;
    assert_eq!(send(&bench, &jane, event, b"film").await.code, 200);
    assert_eq!(offset(&bench, &jane, &path).await.0, 404);
}

#[tokio::test]
async fn a_piece_that_trickles_is_cut_off_and_what_came_of_it_stays() {
    let bench = clients().await;
    let jane = person(&bench, "jane", "").await;
    let event = event(&bench, &jane, 3600).await;
    let path = begin(&bench, &jane, event, 1000).await;
    // A byte every twenty seconds, by a clock that does not wait for them.
    let trickle = futures_util::stream::unfold(0_u64, |count| async move {
        if count == 0 {
            tokio::time::pause();
        }
        tokio::time::sleep(Duration::from_secs(20)).await;
        let byte = Ok::<_, std::convert::Infallible>(bytes::Bytes::from_static(b"x"));
        Some((byte, count + 1))
    });
    let what = format!("PATCH {path}");
    let lines = [TUS, PIECE, "upload-offset: 0"];
    let told = tell(&bench, &what, &jane, &lines, Body::from_stream(trickle)).await;
    tokio::time::resume();
    assert_eq!(told.code, 400, "{}", told.body);
    assert!(told.body.to_string().contains("4500s"), "{}", told.body);
    let (code, came) = offset(&bench, &jane, &path).await;
    assert_eq!(code, 200);
    let came: u64 = came.parse().unwrap();
    assert!((220..=225).contains(&came), "{came} bytes in 4500 s");
}

#[tokio::test]
async fn uploads_are_their_owners_bounded_and_over_after_a_day() {
    let bench = clients().await;
    let jane = person(&bench, "jane", "").await;
    let john = person(&bench, "john", "").await;
    let eve = person_of(&bench, &["x-api-key: pk_two"], "eve", "").await;
    let first = event(&bench, &jane, 3600).await;
    let path = begin(&bench, &jane, first, 8).await;
    for (who, code) in [(&john, 403), (&eve, 404)] {
        assert_eq!(append(&bench, who, &path, 0, b"film").await.code, code);
        assert_eq!(offset(&bench, who, &path).await.0, code);
        let cancel = format!("DELETE {path}");
        assert_eq!(tell(&bench, &cancel, who, &[TUS], "").await.code, code);
    }
    for _ in 1..MAX_UPLOADS_OF_USER {
        let next = event(&bench, &jane, 3600).await;
        begin(&bench, &jane, next, 8).await;
    }
    let what = format!("POST /api/events/{}/uploads", event(&bench, &jane, 0).await);
    let lines = [TUS, "upload-length: 8"];
    assert_eq!(tell(&bench, &what, &jane, &lines, "").await.code, 409);
    bench.clock.advance(LIFETIME);
    // Only its owner is told that there was one.
    assert_eq!(append(&bench, &jane, &path, 0, b"film").await.code, 410);
    for (who, code) in [(&john, 403), (&eve, 404)] {
        assert_eq!(append(&bench, who, &path, 0, b"film").await.code, code);
        assert_eq!(offset(&bench, who, &path).await.0, code);
    }
    let setup = bench.state.setup();
    let files = (setup.files.clone(), setup.films.clone());
    let mut leftovers = Leftovers::new(bench.store.clone(), files.0, files.1);
    leftovers.look().await.unwrap();
    assert_eq!(append(&bench, &jane, &path, 0, b"film").await.code, 404);
    assert!(kept(&bench).is_empty());
}

#[tokio::test]
async fn an_upload_whose_event_is_gone_does_not_count_for_a_day() {
    let bench = clients().await;
    let jane = person(&bench, "jane", "").await;
    let (gone, stays) = (
        event(&bench, &jane, 3600).await,
        event(&bench, &jane, 3600).await,
    );
    let lost = begin(&bench, &jane, gone, 8).await;
    let path = begin(&bench, &jane, stays, 8).await;
    assert_eq!(append(&bench, &jane, &lost, 0, b"film").await.code, 204);
    bench.store.delete_event(gone).await.unwrap();
    let setup = bench.state.setup();
    let files = (setup.files.clone(), setup.films.clone());
    let mut leftovers = Leftovers::new(bench.store.clone(), files.0, files.1);
    leftovers.look().await.unwrap();
    assert_eq!(kept(&bench).len(), 1);
    assert_eq!(offset(&bench, &jane, &lost).await.0, 404);
    assert_eq!(append(&bench, &jane, &path, 0, b"film").await.code, 204);
}

#[tokio::test]
async fn what_is_no_tus_is_refused() {
    let bench = clients().await;
    let jane = person(&bench, "jane", "").await;
    let event = event(&bench, &jane, 3600).await;
    let what = format!("POST /api/events/{event}/uploads");
    let too_long = format!("upload-length: {}", (10 << 20) + 1);
    let metadata = format!("upload-metadata: a {}", "A".repeat(4096));
    for (lines, code) in [
        (vec!["upload-length: 8"], 412),
        (vec!["tus-resumable: 0.2.2", "upload-length: 8"], 412),
        (vec![TUS], 400),
        (vec![TUS, "upload-length: -1"], 400),
        (vec![TUS, "upload-defer-length: 1"], 400),
        (vec![TUS, &too_long], 413),
        (vec![TUS, "upload-length: 0"], 415),
        (vec![TUS, "upload-length: 8", "upload-metadata: ,"], 400),
        (vec![TUS, "upload-length: 8", &metadata], 413),
    ] {
        let answer = tell(&bench, &what, &jane, &lines, "").await;
        assert_eq!(answer.code, code, "{lines:?} {}", answer.body);
        assert_eq!(answer.head("tus-resumable"), "1.0.0");
    }
    let path = begin(&bench, &jane, event, 8).await;
    let patch = format!("PATCH {path}");
    for (lines, code) in [
        (vec![PIECE, "upload-offset: 0"], 412),
        (vec![TUS, "upload-offset: 0"], 415),
        (vec![TUS, PIECE], 400),
        (vec![TUS, PIECE, "upload-offset: x"], 400),
    ] {
        let answer = tell(&bench, &patch, &jane, &lines, "film").await;
        assert_eq!(answer.code, code, "{lines:?} {}", answer.body);
    }
    let post = format!("POST {path}");
    let lines = [
        TUS,
        PIECE,
        "upload-offset: 0",
        "x-http-method-override: PATCH",
    ];
    assert_eq!(tell(&bench, &post, &jane, &lines, "film").await.code, 204);
    assert_eq!(tell(&bench, &post, &jane, &[TUS], "").await.code, 405);
    let lines = [TUS, "x-http-method-override: DELETE"];
    assert_eq!(tell(&bench, &post, &jane, &lines, "").await.code, 204);
}

#[tokio::test]
async fn pages_of_any_origin_may_send_pieces_and_read_what_is_told() {
    let bench = clients().await;
    let jane = person(&bench, "jane", "").await;
    for path in ["/api/events/x/uploads", "/api/uploads/x"] {
        let told = tell(&bench, &format!("OPTIONS {path}"), &jane, &[], "").await;
        assert_eq!(told.code, 204);
        assert_eq!(told.head("tus-version"), "1.0.0");
        assert_eq!(told.head("tus-max-size"), (10 << 20).to_string());
        assert!(told.head("tus-extension").contains("termination"));
        assert_eq!(told.head("tus-checksum-algorithm"), "sha1,sha256");
        let ask = "access-control-request-method: PATCH";
        let told = tell(&bench, &format!("OPTIONS {path}"), &jane, &[ask], "").await;
        let (headers, methods) = (
            told.head("access-control-allow-headers"),
            told.head("access-control-allow-methods"),
        );
        assert!(headers.contains("Upload-Offset") && headers.contains("Tus-Resumable"));
        assert!(methods.contains("PATCH") && methods.contains("HEAD"));
        let told = tell(&bench, &format!("HEAD {path}"), &jane, &[TUS], "").await;
        let read = told.head("access-control-expose-headers");
        assert!(read.contains("Upload-Offset") && read.contains("Location"));
    }
}

#[tokio::test]
async fn a_whole_upload_that_nobody_was_told_of_is_settled_when_its_client_asks() {
    let bench = clients().await;
    let jane = person(&bench, "jane", "").await;
    let event = event(&bench, &jane, 3600).await;
    for (bytes, code) in [(&b"text"[..], 415), (b"film", 200)] {
        let path = begin(&bench, &jane, event, 4).await;
        let id = Uuid::parse_str(path.rsplit('/').next().unwrap()).unwrap();
        // As if the gateway had been killed behind the last byte.
        let mut incoming = bench.state.setup().films.resume(id, 0).await.unwrap();
        incoming.write(bytes).await.unwrap();
        incoming.keep().await.unwrap();
        drop(incoming);
        assert_eq!(offset(&bench, &jane, &path).await.0, code);
        let again = if code == 200 { 200 } else { 404 };
        assert_eq!(offset(&bench, &jane, &path).await.0, again);
    }
    assert_eq!(asset_of(&bench, event).await.bytes, 4);
}

#[tokio::test]
async fn films_of_events_that_are_gone_or_were_replaced_while_they_were_on_are_swept() {
    let bench = clients().await;
    let jane = person(&bench, "jane", "").await;
    let (gone, replaced) = (
        event(&bench, &jane, 3600).await,
        event(&bench, &jane, 3600).await,
    );
    for event in [gone, replaced] {
        assert_eq!(send(&bench, &jane, event, b"film").await.code, 200);
    }
    // Its run began, and what it shows stays.
    bench.clock.advance(Duration::from_secs(3601));
    assert_eq!(send(&bench, &jane, replaced, b"film two").await.code, 200);
    assert_eq!(kept(&bench).len(), 3);
    bench.store.delete_event(gone).await.unwrap();
    let setup = bench.state.setup();
    let mut leftovers = Leftovers::new(
        bench.store.clone(),
        setup.files.clone(),
        setup.films.clone(),
    );
    leftovers.look().await.unwrap();
    assert_eq!(kept(&bench).len(), 2);
    let newest = asset_of(&bench, replaced).await.id;
    // The run is over, and the next one shows the newest.
    let changed = bench
        .store
        .change_event(replaced, &|_, _| false, |event, show| {
            show.asset_id = event.asset_id;
            Ok::<(), ()>(())
        });
    changed.await.unwrap().unwrap();
    leftovers.look().await.unwrap();
    assert_eq!(kept(&bench), [newest.to_string()]);
}
