//! Files as users and everybody see them.

use std::io::Cursor;

use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::base::secret::Secret;
use crate::control::router;
use crate::control::tests::{Bench, bench};
use crate::store::User;

struct Person {
    id: Uuid,
    token: Secret,
}

async fn person(bench: &Bench, application_id: &str, name: &str) -> Person {
    let user = User::named(application_id, name);
    let user = bench.store.create_user(&user).await.unwrap();
    let token = bench.store.issue_bearer(&user).await.unwrap();
    Person { id: user.id, token }
}

async fn ask(bench: &Bench, request: Request<Body>) -> (u16, HeaderMap, Vec<u8>) {
    let answer = router(bench.state.clone()).oneshot(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), parts.headers, bytes.to_vec())
}

async fn call(bench: &Bench, who: &Person, method: &str, path: &str, body: Value) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {}", who.token.expose()))
        .header("content-type", "application/json");
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let (code, _, bytes) = ask(bench, request.body(Body::from(body)).unwrap()).await;
    (code, serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn send(bench: &Bench, who: &Person, parts: &[(&str, &[u8])]) -> (u16, Value) {
    let mut body = Vec::new();
    for (disposition, bytes) in parts {
        body.extend_from_slice(b"--edge\r\nContent-Disposition: form-data; ");
        body.extend_from_slice(disposition.as_bytes());
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--edge--\r\n");
    let request = Request::post("/api/files")
        .header("authorization", format!("Bearer {}", who.token.expose()))
        .header("content-type", "multipart/form-data; boundary=edge");
    let (code, _, bytes) = ask(bench, request.body(Body::from(body)).unwrap()).await;
    (code, serde_json::from_slice(&bytes).unwrap())
}

fn record() -> Value {
    json!({
        "name": "profile-photo.jpg", "description": "<b>'; DROP TABLE files; --</b>",
        "mimeType": "image/jpeg", "filePathOriginal": "../../../etc/passwd",
        "filePathThumbnail": "/uploads/thumb/p.jpg", "filePathSmall": null, "fileSizeBytes": 245_890,
        "categoryName": "profile", "tags": ["profilepic", "avatar"], "location": "San Francisco, CA",
        "forContactID": "c1", "forMessageId": "m1", "forCallId": "l1", "forBroadcastId": "r5",
    })
}

fn picture() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let picture = image::RgbImage::new(200, 100);
    picture
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

#[tokio::test]
async fn a_record_is_answered_as_it_was_sent_changed_and_deleted() {
    let bench = bench(|_| {}).await;
    let ann = person(&bench, "app", "ann").await;
    let (code, made) = call(&bench, &ann, "POST", "/api/files", record()).await;
    assert_eq!(code, 200, "{made}");
    let mut expected = record();
    let fields = expected.as_object_mut().unwrap();
    fields.remove("filePathSmall");
    fields.insert("id".to_owned(), made["id"].clone());
    fields.insert("userID".to_owned(), json!(ann.id.to_string()));
    fields.insert("createdAt".to_owned(), json!("2026-09-21T14:13:20Z"));
    fields.insert("updatedAt".to_owned(), json!("2026-09-21T14:13:20Z"));
    assert_eq!(made, expected);

    let path = format!("/api/files/{}", made["id"].as_str().unwrap());
    let change = json!({"name": "n", "tags": [], "categoryName": "k", "location": null});
    let (code, changed) = call(&bench, &ann, "PUT", &path, change).await;
    assert_eq!(
        (code, &changed["name"], &changed["tags"]),
        (200, &json!("n"), &json!([]))
    );
    assert_eq!(changed["location"], "San Francisco, CA");
    // What a client says of a path opens nothing.
    let read = Request::get(format!(
        "/uploads/{}/original.jpg",
        made["id"].as_str().unwrap()
    ));
    assert_eq!(ask(&bench, read.body(Body::empty()).unwrap()).await.0, 404);
    assert_eq!(
        call(&bench, &ann, "DELETE", &path, Value::Null).await,
        (204, Value::Null)
    );
    assert_eq!(
        call(&bench, &ann, "DELETE", &path, Value::Null).await.0,
        404
    );
}

#[tokio::test]
async fn lists_are_bare_arrays_and_images_are_one_record_or_none() {
    let bench = bench(|_| {}).await;
    let ann = person(&bench, "app", "ann").await;
    let bob = person(&bench, "app", "bob").await;
    let of_ann = format!("/api/files/foruser/{}", ann.id);
    let image = format!("/api/files/profileimage/foruser/{}", ann.id);
    assert_eq!(call(&bench, &bob, "GET", &image, Value::Null).await.0, 404);
    let (_, made) = call(&bench, &ann, "POST", "/api/files", record()).await;
    let contact = format!("/api/files/contactimage/foruser/{}", ann.id);
    for path in [&image, &contact] {
        assert_eq!(
            call(&bench, &bob, "GET", path, Value::Null).await,
            (200, made.clone())
        );
    }
    for (path, of_bob) in [
        ("/api/files", false),
        (&of_ann, true),
        (&format!("{of_ann}?category=profile&tag=avatar"), true),
        ("/api/files/forcontact/c1", false),
        ("/api/files/formessage/m1", true),
        ("/api/files/forcall/l1", true),
        ("/api/files/forbroadcast/r5", true),
    ] {
        let all = json!([made]);
        assert_eq!(
            call(&bench, &ann, "GET", path, Value::Null).await,
            (200, all.clone()),
            "{path}"
        );
        let expected = if of_bob { all } else { json!([]) };
        assert_eq!(
            call(&bench, &bob, "GET", path, Value::Null).await,
            (200, expected),
            "{path}"
        );
    }
    let path = format!("{of_ann}?tag=other");
    assert_eq!(
        call(&bench, &ann, "GET", &path, Value::Null).await,
        (200, json!([]))
    );
    // Another's file is not changed, and another tenant's is not there.
    let eve = bench
        .store
        .ensure_application("other", &Secret::new("other-secret"))
        .await;
    eve.unwrap();
    let eve = person(&bench, "other", "eve").await;
    let path = format!("/api/files/{}", made["id"].as_str().unwrap());
    for method in ["PUT", "DELETE"] {
        assert_eq!(call(&bench, &bob, method, &path, json!({})).await.0, 403);
        assert_eq!(call(&bench, &eve, method, &path, json!({})).await.0, 404);
    }
    assert_eq!(
        call(&bench, &eve, "GET", &of_ann, Value::Null).await,
        (200, json!([]))
    );
    assert_eq!(call(&bench, &eve, "GET", &image, Value::Null).await.0, 404);
}

#[tokio::test]
async fn bytes_that_are_sent_are_read_by_everybody_until_they_are_deleted() {
    let bench = bench(|_| {}).await;
    let ann = person(&bench, "app", "ann").await;
    let sent = picture();
    let (code, made) = send(
        &bench,
        &ann,
        &[
            ("name=\"tags\"", b"poster"),
            (
                "name=\"file\"; filename=\"../../../evil.html\"\r\nContent-Type: text/html",
                &sent,
            ),
            ("name=\"tags\"", b"[\"a\", \"b\"]"),
            ("name=\"forBroadcastId\"", b"r5"),
            ("name=\"mimeType\"", b"text/html"),
        ],
    )
    .await;
    assert_eq!(code, 200, "{made}");
    assert_eq!(made["mimeType"], "image/png");
    assert_eq!(made["fileSizeBytes"], sent.len());
    assert_eq!(made["tags"], json!(["poster", "a", "b"]));
    let id = made["id"].as_str().unwrap();
    assert_eq!(
        made["filePathOriginal"],
        format!("/uploads/{id}/original.png")
    );
    assert_eq!(
        made["filePathThumbnail"],
        format!("/uploads/{id}/thumbnail.jpg")
    );
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let original = made["filePathOriginal"].as_str().unwrap();
    for path in [original.to_owned(), format!("/{original}")] {
        let (code, headers, bytes) = ask(&bench, get(&path)).await;
        assert_eq!((code, &bytes), (200, &sent), "{path}");
        assert_eq!(headers["content-type"], "image/png");
        assert_eq!(headers["x-content-type-options"], "nosniff");
    }
    let mut range = get(original);
    range
        .headers_mut()
        .insert("range", "bytes=1-3".parse().unwrap());
    let (code, _, bytes) = ask(&bench, range).await;
    assert_eq!((code, bytes.as_slice()), (206, &b"PNG"[..]));
    for name in [
        "..%2F..%2Fforebay.db",
        "original.jpg",
        "%00",
        "original.png%2F..",
    ] {
        let path = format!("/uploads/{id}/{name}");
        assert_eq!(ask(&bench, get(&path)).await.0, 404, "{path}");
    }
    assert_eq!(ask(&bench, get("/uploads/..%2F/forebay.db")).await.0, 404);
    let path = format!("/api/files/{id}");
    assert_eq!(
        call(&bench, &ann, "DELETE", &path, Value::Null).await.0,
        204
    );
    assert_eq!(ask(&bench, get(original)).await.0, 404);
    let folder = bench.state.setup().data.join("uploads");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_refused_and_nothing_of_it_stays() {
    let bench = bench(|_| {}).await;
    let ann = person(&bench, "app", "ann").await;
    let anonymous = Request::post("/api/files").body(Body::from("{")).unwrap();
    assert_eq!(ask(&bench, anonymous).await.0, 401);
    for (field, value) in [
        ("name", Value::Null),
        ("name", json!("")),
        ("name", json!("a\u{0}b")),
        ("mimeType", Value::Null),
        ("filePathOriginal", Value::Null),
        ("fileSizeBytes", json!(-1)),
        ("fileSizeBytes", json!("1")),
        ("tags", json!("x")),
        ("description", json!("x".repeat(5000))),
    ] {
        let mut body = record();
        body[field] = value.clone();
        let (code, answer) = call(&bench, &ann, "POST", "/api/files", body).await;
        assert_eq!(
            (code, &answer["error"]),
            (400, &json!(true)),
            "{field}: {value}"
        );
    }
    let png = picture();
    let file = "name=\"file\"; filename=\"a.png\"";
    let many = vec![("name=\"tags\"", &b"x"[..]); 101];
    let long = vec![b'x'; 20_000];
    for (parts, expected) in [
        (vec![(file, &b"<html>"[..])], 415),
        (vec![(file, &png[..50])], 415),
        (vec![(file, &b""[..])], 415),
        (vec![("name=\"name\"", &b"x"[..])], 400),
        (vec![(file, &png[..]), (file, &png[..])], 400),
        (vec![("name=\"file\"", &png[..])], 400),
        (vec![(file, &png[..]), ("name=\"name\"", b"\xFF")], 400),
        (many, 413),
        (vec![("name=\"description\"", &long[..])], 413),
    ] {
        let (code, answer) = send(&bench, &ann, &parts).await;
        assert_eq!(code, expected, "{answer}");
    }
    // Too large is said before anything is read, and what has no end is not kept in memory.
    let form = || {
        Request::post("/api/files")
            .header("authorization", format!("Bearer {}", ann.token.expose()))
            .header("content-type", "multipart/form-data; boundary=edge")
    };
    let declared = form().header("content-length", (2_u64 << 30).to_string());
    assert_eq!(
        ask(&bench, declared.body(Body::empty()).unwrap()).await.0,
        413
    );
    let endless = pieces(vec![b'x'; 64 << 10], 1000);
    let (code, _, answer) = ask(&bench, form().body(endless).unwrap()).await;
    assert_eq!(code, 400);
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("failed to read stream"), "{answer}");
    let folder = bench.state.setup().data.join("uploads");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
    assert_eq!(
        call(&bench, &ann, "GET", "/api/files", Value::Null).await,
        (200, json!([]))
    );
}

/// A body of so many pieces.
fn pieces(piece: Vec<u8>, count: usize) -> Body {
    let whole = std::io::Cursor::new(piece.repeat(count));
    Body::from_stream(ReaderStream::with_capacity(whole, 64 << 10))
}
