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

mod pieces;

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
