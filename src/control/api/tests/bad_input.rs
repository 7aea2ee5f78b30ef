//! What no client should send: it is refused with a sentence that names what is wrong, and nothing of it is
//! kept.

use super::*;

mod good;

use good::all;

/// A user with a broadcast, a contact and a file.
struct World {
    bench: Bench,
    headers: Vec<(&'static str, String)>,
    cast: String,
    contact: String,
    file: String,
}

impl World {
    async fn new() -> World {
        let bench = clients().await;
        let key = "x-api-key: pk_one";
        let jane = person_of(&bench, &[key], "jane", "").await;
        let token = jane
            .token
            .strip_prefix("authorization: ")
            .unwrap()
            .to_owned();
        let headers = vec![
            ("x-api-key", "pk_one".to_owned()),
            ("authorization", token),
            ("x-admin-key", "admin-key".to_owned()),
        ];
        let mut world = World {
            bench,
            headers,
            cast: String::new(),
            contact: String::new(),
            file: String::new(),
        };
        for call in all() {
            let (code, answer) = world.send(call.what, call.body.to_string()).await;
            let id = |value: &Value| value.as_str().unwrap().to_owned();
            match call.what {
                "POST /api/broadcasts" => world.cast = id(&answer["id"]),
                "POST /api/contacts/sync" => world.contact = id(&answer["contacts"][0]["id"]),
                "POST /api/files" => world.file = id(&answer["id"]),
                _ => {}
            }
            let expected = if call.what.ends_with("login") {
                401
            } else {
                200
            };
            assert_eq!(code, expected, "{} {answer}", call.what);
        }
        world
    }

    fn path<'a>(&self, what: &'a str) -> (&'a str, String) {
        let (method, path) = what.split_once(' ').unwrap();
        let path = path.replace("{cast}", &self.cast);
        let path = path.replace("{contact}", &self.contact);
        (method, path.replace("{file}", &self.file))
    }

    async fn send(&self, what: &str, body: impl Into<Body>) -> Answer {
        let (method, path) = self.path(what);
        // Nobody meets an hourly limit.
        self.bench
            .clock
            .advance(std::time::Duration::from_secs(301));
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<_> = headers.collect();
        let (code, bytes) = self.bench.raw(method, &path, &headers, body).await;
        (code, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Sends what must be refused; the sentence.
    async fn refused(&self, what: &str, body: impl Into<Body>, why: &str) -> String {
        let (code, answer) = self.send(what, body).await;
        assert!([400, 413].contains(&code), "{what}, {why}: {code} {answer}");
        check_refusal(&answer);
        answer["reason"].as_str().unwrap().to_owned()
    }
}

/// Bodies that are no JSON object of anybody's.
fn rubbish(body: &Value) -> Vec<(&'static str, Vec<u8>)> {
    let text = body.to_string();
    let utf16 =
        |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> { text.encode_utf16().flat_map(bytes).collect() };
    let with = |value: &str| {
        let (field, _) = body.as_object().unwrap().iter().next().unwrap();
        format!("{{\"{field}\":{value}}}").into_bytes()
    };
    let deep = |open: &str, close: &str| {
        let levels = (1 << 20) / (open.len() + close.len());
        [open.repeat(levels), close.repeat(levels)]
            .concat()
            .into_bytes()
    };
    let twice = format!("{},{}", &text[..text.len() - 1], &text[1..]);
    let mut rubbish = vec![
        ("nothing but brackets", deep("[", "]")),
        ("a megabyte of objects", deep("{\"a\":", "}")),
        (
            "a megabyte of arrays",
            with(&format!("[{}1]", "[],".repeat(350_000))),
        ),
        (
            "a hundred and thirty levels",
            with(&format!("{}{}", "[".repeat(130), "]".repeat(130))),
        ),
        (
            "little-endian UTF-16",
            [vec![0xff, 0xfe], utf16(u16::to_le_bytes)].concat(),
        ),
        (
            "big-endian UTF-16",
            [vec![0xfe, 0xff], utf16(u16::to_be_bytes)].concat(),
        ),
        ("UTF-16 without a mark", utf16(u16::to_le_bytes)),
        (
            "bytes that are no UTF-8",
            [b"{\"title\":\"", &[0xff, 0xc0, 0x80][..], b"\"}"].concat(),
        ),
        ("half a character", with("\"\\ud800\"")),
        ("the other half", with("\"\\udc00 \"")),
        ("a raw zero byte", with("\"\0\"")),
        ("a raw line feed", with("\"\n\"")),
        ("a field twice", twice.into_bytes()),
        ("a field of a field twice", with("{\"a\":1,\"a\":2}")),
        ("a number that is none", with("1e999")),
        ("not a number", with("NaN")),
        ("an array", format!("[{text}]").into_bytes()),
        ("a text", b"\"title\"".to_vec()),
        ("half of it", text.as_bytes()[..text.len() / 2].to_vec()),
        ("more than it", format!("{text}{text}").into_bytes()),
        ("zero bytes", vec![0; 1000]),
    ];
    // Nothing at all is no change to some.
    if text.contains("password") {
        rubbish.push(("nothing", Vec::new()));
    }
    rubbish
}

#[tokio::test]
async fn bodies_that_are_none_are_refused_and_leave_nothing_behind() {
    let world = World::new().await;
    let before = world.bench.store.every_row().await;
    for call in all() {
        for (why, body) in rubbish(&call.body) {
            world.refused(call.what, body, why).await;
        }
        assert_eq!(before, world.bench.store.every_row().await, "{}", call.what);
    }
}

#[tokio::test]
async fn each_field_of_the_wrong_kind_is_named() {
    let world = World::new().await;
    let before = world.bench.store.every_row().await;
    for call in all() {
        let fields = call.body.as_object().unwrap();
        for field in fields.keys() {
            let mut wrong = vec![json!({"a": [1]}), json!([[1]])];
            match &fields[field] {
                Value::Number(_) => wrong.extend([
                    json!("1"),
                    json!(-1),
                    json!(1.5),
                    json!(true),
                    serde_json::from_str("9223372036854775808").unwrap(),
                    serde_json::from_str("1e300").unwrap(),
                ]),
                Value::String(_) => wrong.extend([json!(7), json!(true), json!("a\u{0}b")]),
                Value::Array(_) => wrong.extend([json!("a"), json!([7]), json!(["a\u{0}"])]),
                Value::Object(_) => wrong = vec![json!("a"), json!([1]), json!(7)],
                _ => wrong.push(json!("true")),
            }
            for value in wrong {
                let mut body = call.body.clone();
                body[field] = value.clone();
                let reason = world
                    .refused(call.what, body.to_string(), &value.to_string())
                    .await;
                assert!(
                    reason.contains(field.as_str()),
                    "{}: {value}: {reason}",
                    call.what
                );
            }
        }
        // Paragraphs may have several lines; names, words and ids have one.
        let lines = call
            .texts
            .iter()
            .filter(|field| !["description", "useCase"].contains(*field));
        let secrets = ["password", "currentPassword", "newPassword"];
        for field in
            lines.filter(|field| !secrets.contains(*field) && !field.starts_with("filePath"))
        {
            for value in ["a\nb".to_owned(), "a\u{7}".to_owned(), "x".repeat(600)] {
                let mut body = call.body.clone();
                body[field] = json!(value);
                let reason = world.refused(call.what, body.to_string(), &value).await;
                assert!(reason.contains(field), "{}: {value:?}: {reason}", call.what);
            }
        }
        assert_eq!(before, world.bench.store.every_row().await, "{}", call.what);
    }
}

#[tokio::test]
async fn statements_and_markup_are_texts_like_others() {
    let world = World::new().await;
    let tables = |rows: Vec<String>| rows.len();
    let before = tables(world.bench.store.every_row().await);
    let evil = "'); DROP TABLE users; --<script>alert(1)</script>\"%_\\";
    for (number, call) in all().into_iter().enumerate() {
        let evil = format!("{evil}{number}");
        let mut body = call.body.clone();
        let closed = [
            "visibility",
            "status",
            "password",
            "currentPassword",
            "newPassword",
            "type",
        ];
        let mut texts = call.texts.to_vec();
        texts.retain(|field| !closed.contains(field));
        for field in &texts {
            body[*field] = match *field {
                "email" => json!(format!("o'--<b>\"@{number}.test")),
                _ => json!(evil),
            };
        }
        if let Some(tags) = body.get_mut("tags") {
            *tags = json!([evil]);
        }
        let (code, answer) = world.send(call.what, body.to_string()).await;
        let expected = if call.what.ends_with("login") {
            401
        } else {
            200
        };
        // Of a number nothing is left to call.
        assert_eq!(code, expected, "{} {answer}", call.what);
        let shown = match answer.get("user") {
            Some(user) => user.clone(),
            None => answer,
        };
        for field in texts {
            // What is not shown is kept, or of no use.
            if let Some(text) = shown.get(field).and_then(Value::as_str) {
                assert_eq!(&json!(text), &body[field], "{} {field}", call.what);
            }
        }
    }
    assert!(tables(world.bench.store.every_row().await) >= before);
    for q in ["'%20OR%20'1'='1", "%25", "_", "%5C"] {
        let (code, hits) = world
            .send(&format!("GET /api/users/search?q={q}"), "")
            .await;
        assert_eq!(code, 200, "{q}");
        // They stand for themselves, and two names have them.
        let hits = hits.as_array().unwrap();
        let has = |hit: &Value| hit["username"].as_str().unwrap().contains("DROP TABLE");
        assert!(hits.iter().all(has), "{q}: {hits:?}");
    }
}

#[tokio::test]
async fn paths_and_queries_that_make_no_sense_are_refused() {
    let world = World::new().await;
    let before = world.bench.store.every_row().await;
    let long = "9".repeat(5000);
    for id in [
        "%00",
        "%FF%FE",
        "a%0Ab",
        "r",
        "r-1",
        "r1e3",
        "..%2f..%2fetc%2fpasswd",
        "%F0%9F%8E%A5",
        "'%20OR%201=1",
        "local%23one%23",
        "%23%23%23",
        &long,
    ] {
        for what in [
            "GET /api/broadcasts/ID",
            "POST /api/sessions/ID/heartbeat",
            "PATCH /api/v1/sessions/ID",
            "POST /api/users/follow/ID",
            "GET /api/contacts/ID",
            "PUT /api/files/ID",
            "DELETE /api/files/ID",
            "GET /ws/streams/ID/chat",
            "GET /uploads/ID/original.png",
        ] {
            let (code, answer) = world.send(&what.replace("ID", id), "{}").await;
            assert!(
                [400, 404].contains(&code),
                "{what} {id:.40}: {code} {answer}"
            );
            check_refusal(&answer);
        }
    }
    for name in [
        "..%2foriginal.png",
        "..%2f..%2fforebay.db",
        "%00",
        "%FF",
        "%2fetc%2fpasswd",
        "..%5coriginal.png",
        "original.png%00.jpg",
        ".",
        &long,
    ] {
        let (code, answer) = world
            .send(&format!("GET /uploads/{}/{name}", world.file), "")
            .await;
        assert!([400, 404].contains(&code), "{name:.40}: {code} {answer}");
        check_refusal(&answer);
    }
    for (what, query, name) in [
        ("GET /api/broadcasts", "status=live", "status"),
        ("GET /api/broadcasts", "status=active%00", "status"),
        ("GET /api/broadcasts", "limit=-1", "limit"),
        ("GET /api/broadcasts", "limit=x", "limit"),
        (
            "GET /api/broadcasts",
            "limit=99999999999999999999999",
            "limit",
        ),
        ("GET /api/broadcasts", "offset=1.5", "offset"),
        ("GET /api/broadcasts", "limit=1&limit=2", "limit"),
        ("GET /api/v1/sessions", "limit=0", "limit"),
        ("GET /api/users/search", "limit=5", "q"),
        ("GET /api/users/search", "q=a%00", "q"),
        ("GET /api/users/search", "q=a%1b", "q"),
        ("GET /api/users/search", "q=%FF", "q is not UTF-8"),
        ("GET /api/users/search", "q=a&q=b", "q"),
        ("GET /api/users/search", "q=a&limit=101", "limit"),
        ("GET /api/files/foruser/{file}", "category=%00", "category"),
        ("GET /api/files/foruser/{file}", "tag=a%0a", "tag"),
    ] {
        let reason = world.refused(&format!("{what}?{query}"), "", query).await;
        assert!(reason.contains(name), "{what}?{query}: {reason}");
    }
    let (code, answer) = world
        .send("GET /api/broadcasts?offset=99999999999999999999999", "")
        .await;
    assert_eq!((code, answer), (200, json!([])));
    assert_eq!(before, world.bench.store.every_row().await);
}

/// The name that a form gives its file, and what the file is called then.
async fn upload(world: &World, disposition: &[u8]) -> Answer {
    let picture = [&b"\x89PNG\r\n\x1a\n"[..], &[0; 100]].concat();
    upload_of(world, disposition, &picture).await
}

async fn upload_of(world: &World, disposition: &[u8], content: &[u8]) -> Answer {
    let body = [
        b"--edge\r\nContent-Disposition: form-data; ",
        disposition,
        b"\r\n\r\n",
        content,
        b"\r\n--edge--\r\n",
    ]
    .concat();
    let mut headers: Vec<_> = world
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    headers.push(("content-type", "multipart/form-data; boundary=edge"));
    let (code, bytes) = world.bench.raw("POST", "/api/files", &headers, body).await;
    (code, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn names_of_sent_files_are_texts_and_never_paths() {
    let world = World::new().await;
    let pdf = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n%%EOF\n";
    for (name, called) in [
        ("../../../x.pdf", "x.pdf"),
        ("/etc/passwd", "passwd"),
        ("C:\\\\windows\\\\x.pdf", "x.pdf"),
        ("..%2f..%2fx.pdf", "..%2f..%2fx.pdf"),
        (
            "<script>'; DROP TABLE files.pdf",
            "<script>'; DROP TABLE files.pdf",
        ),
    ] {
        let disposition = format!("name=\"file\"; filename=\"{name}\"");
        let (code, made) = upload_of(&world, disposition.as_bytes(), pdf).await;
        assert_eq!(
            (code, &made["name"]),
            (200, &json!(called)),
            "{name}: {made}"
        );
        let path = format!("/uploads/{}/original.pdf", made["id"].as_str().unwrap());
        assert_eq!(made["filePathOriginal"], json!(path));
    }
    let before = world.bench.store.every_row().await;
    let folder = world.bench.state.setup().data.join("uploads");
    let kept = || std::fs::read_dir(&folder).unwrap().count();
    let files = kept();
    let long = format!("name=\"file\"; filename=\"{}\"", "x".repeat(300));
    let endless = format!("name=\"file\"; filename=\"{}\"", "x".repeat(300_000));
    for disposition in [
        &b"name=\"file\"; filename=\"a\0b\""[..],
        b"name=\"file\"; filename=\"a\x07b\"",
        b"name=\"file\"; filename=\"folder/\"",
        b"name=\"file\"; filename=\"\"",
        b"name=\"file\"; filename=\"\xff\xfe\"",
        b"name=\"file\"",
        b"name=\"other\"; filename=\"x.pdf\"",
        long.as_bytes(),
        endless.as_bytes(),
    ] {
        let (code, answer) = upload_of(&world, disposition, pdf).await;
        let shown = String::from_utf8_lossy(&disposition[..disposition.len().min(60)]);
        assert!([400, 413].contains(&code), "{shown}: {code} {answer}");
        check_refusal(&answer);
    }
    // What only begins as a picture is none.
    assert_eq!(
        upload(&world, b"name=\"file\"; filename=\"x.png\"").await.0,
        415
    );
    assert_eq!(before, world.bench.store.every_row().await);
    assert_eq!(files, kept());
}

#[tokio::test]
async fn heads_above_eight_kilobytes_are_refused() {
    let bench = clients().await;
    let long = "x".repeat(10_000);
    for (name, value) in [("x-api-key", &long), ("cookie", &long), ("x-other", &long)] {
        let headers = [(name, value.as_str())];
        let (code, _) = bench.api("GET", "/api/broadcasts", &headers, "").await;
        assert_eq!(code, 431, "{name}");
    }
    let (code, _) = bench
        .api("GET", "/api/broadcasts", &[("cookie", &long[..4000])], "")
        .await;
    assert_eq!(code, 200);
}
