//! Files in pieces.

use super::*;

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
