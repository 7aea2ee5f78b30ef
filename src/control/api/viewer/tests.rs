//! What a watch page is given, and what it can do with it.

mod runs;

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::base::id::Uuid;
use crate::base::secret::Secret;
use crate::control::tests::{Bench, bench};
use crate::store::{
    Broadcast, BroadcastUpdate, File, FileLinks, FilePaths, NewBroadcast, Status, User, Visibility,
};

/// A broadcast of the application `app`, by a user or by its key.
async fn made(bench: &Bench, title: &str, visibility: Visibility, by: Option<Uuid>) -> Broadcast {
    let new = NewBroadcast {
        user_id: by,
        description: Some("Two\n<i>lines</i>"),
        visibility,
        ..NewBroadcast::titled("app", title)
    };
    bench.store.create_broadcast(&new, 100).await.unwrap()
}

async fn turn(bench: &Bench, broadcast: &Broadcast, status: Status) {
    let update = BroadcastUpdate {
        status: Some(status),
        ..BroadcastUpdate::default()
    };
    let changed = bench.store.update_broadcast(broadcast.id, &update);
    changed.await.unwrap();
}

/// Code and text of an answer, pages included.
async fn ask(
    bench: &Bench,
    method: &str,
    path: &str,
    header: Option<(&str, &str)>,
) -> (u16, String) {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("host", "media.example");
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let pages = crate::control::pages::routes(bench.state.clone());
    let router = crate::control::router(bench.state.clone()).merge(pages);
    let answer = router.oneshot(request.body(Body::empty()).unwrap());
    let answer = answer.await.unwrap();
    let code = answer.status().as_u16();
    // What streams without end is not read.
    if code == 200 && path == "/api/admin/streams/events" {
        return (code, String::new());
    }
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8_lossy(&body).into_owned())
}

async fn view(bench: &Bench, id: &str, query: &str) -> (u16, Value) {
    let path = format!("/api/streams/{id}/viewer{query}");
    let (code, text) = ask(bench, "GET", &path, None).await;
    (code, serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn a_page_learns_what_it_shows_and_no_secret() {
    let bench = bench(|_| {}).await;
    let broadcast = made(&bench, "Tea <b>time</b>", Visibility::Unlisted, None).await;
    let key = broadcast.key.expose();
    for id in [
        broadcast.id.to_string(),
        broadcast.stream_id.to_string(),
        format!("r{}", broadcast.number),
        broadcast.channel_id.replace('#', "%23"),
    ] {
        let (code, view) = view(&bench, &id, "").await;
        assert_eq!(code, 200, "{id}: {view}");
        assert_eq!(view["title"], "Tea <b>time</b>");
        assert_eq!(view["status"], "created");
        assert_eq!(view["streamId"], broadcast.stream_id.to_string());
        assert_eq!(
            (&view["onAir"], &view["viewers"]),
            (&json!(false), &json!(3))
        );
        assert!(!view.to_string().contains(key), "{view}");
    }
    let (code, _) = view(&bench, &Uuid::new_v4().to_string(), "").await;
    assert_eq!(code, 404);
    bench.store.report_viewers(broadcast.id, 9).await.unwrap();
    turn(&bench, &broadcast, Status::Completed).await;
    let (_, view) = view(&bench, &broadcast.id.to_string(), "").await;
    assert_eq!(
        (&view["status"], &view["viewers"]),
        (&json!("completed"), &json!(9))
    );
}

#[tokio::test]
async fn a_private_broadcast_is_there_for_its_tenant_and_with_a_pass() {
    let bench = bench(|_| {}).await;
    for id in ["app2", "app3"] {
        let (key, secret) = (Secret::new(format!("pk_{id}")), Secret::new("sk"));
        let made = bench.store.register_client(id, &key, &secret, "{}");
        made.await.unwrap();
    }
    let broadcast = made(&bench, "Secret", Visibility::Private, None).await;
    let other = made(&bench, "Other", Visibility::Public, None).await;
    let id = broadcast.id.to_string();
    let operator = Some(("x-admin-key", "admin-key"));
    let path = format!("/api/streams/{id}/viewer");
    let (code, shown) = ask(&bench, "GET", &path, operator).await;
    assert_eq!(code, 200, "{shown}");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let pass = shown["chat"]["token"].as_str().unwrap();
    let of_other = view(&bench, &other.id.to_string(), "").await.1;
    let of_other = of_other["chat"]["token"].as_str().unwrap();
    for (query, wanted) in [
        (String::new(), 404),
        ("?token=pk_app2".to_owned(), 404),
        (format!("?token={of_other}"), 404),
        ("?token=watch_".to_owned(), 404),
        (format!("?token={pass}"), 200),
    ] {
        assert_eq!(view(&bench, &id, &query).await.0, wanted, "{query}");
    }
    // What is public is not made secret by a bad pass: it is called bad.
    let (code, _) = view(&bench, &other.id.to_string(), &format!("?token={pass}")).await;
    assert_eq!(code, 401);
    let (code, page) = ask(&bench, "GET", &format!("/watch/{id}"), None).await;
    assert_eq!(code, 200);
    assert!(!page.contains("Secret"), "{page}");
    bench.clock.advance(std::time::Duration::from_secs(15 * 60));
    assert_eq!(view(&bench, &id, &format!("?token={pass}")).await.0, 404);
}

/// Wherever a key or a user's token opens something, a pass opens nothing that is closed without it.
#[tokio::test]
async fn a_pass_is_no_key() {
    let bench = bench(|_| {}).await;
    let broadcast = made(&bench, "Talk", Visibility::Public, None).await;
    let id = broadcast.id.to_string();
    let view = view(&bench, &id, "").await.1;
    let pass = view["chat"]["token"].as_str().unwrap();
    let bearer = format!("Bearer {pass}");
    let mut refused = 0;
    for (route, _, _) in crate::control::routes() {
        let parts = route.split('/').map(|part| match part.starts_with('{') {
            true => id.as_str(),
            false => part,
        });
        let path = parts.collect::<Vec<_>>().join("/");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let (without, _) = ask(&bench, method, &path, None).await;
            if without == 405 {
                continue;
            }
            for header in [
                ("x-api-key", pass),
                ("authorization", bearer.as_str()),
                ("x-admin-key", pass),
            ] {
                let (code, _) = ask(&bench, method, &path, Some(header)).await;
                assert!(
                    code == 401 || code == without,
                    "{method} {path} with {}: {code}, and {without} without",
                    header.0
                );
                refused += u32::from(code == 401);
            }
            let with = format!("{path}?token={pass}");
            let (code, _) = ask(&bench, method, &with, None).await;
            let is_its_own = route.ends_with("/reactions");
            assert!(
                code == without || is_its_own && (without, code) == (401, 400),
                "{method} {with}: {code}, and {without} without"
            );
        }
    }
    assert!(refused > 100, "{refused}");
}

#[tokio::test]
async fn the_head_of_a_page_names_the_broadcast_and_escapes_what_it_says() {
    let bench = bench(|_| {}).await;
    let title = r#""><script>alert('1')</script>&amp;"#;
    let broadcast = made(&bench, title, Visibility::Unlisted, None).await;
    let escaped = "&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;amp;";
    let stream = broadcast.stream_id;
    for path in [
        format!("/watch/{stream}"),
        format!("/streams/{}/watch", broadcast.id),
        format!("/watch/r{}", broadcast.number),
    ] {
        let (code, page) = ask(&bench, "GET", &path, None).await;
        assert_eq!(code, 200, "{path}");
        assert!(!page.contains("alert('"), "{page}");
        for wanted in [
            format!("<title>{escaped} · Forebay</title>"),
            format!(r#"<meta name="forebay-broadcast" content="{stream}">"#),
            format!(r#"<meta property="og:title" content="{escaped}">"#),
            format!(
                r#"<meta property="og:url" content="http://media.example/streams/{stream}/watch">"#
            ),
            r#"<meta name="description" content="Two &lt;i&gt;lines&lt;/i&gt;">"#.to_owned(),
            r#"<meta name="robots" content="noindex">"#.to_owned(),
        ] {
            assert!(page.contains(&wanted), "{wanted} is not in {page}");
        }
    }
    // The page of what is no broadcast is the plain one.
    let (_, page) = ask(&bench, "GET", "/watch/live", None).await;
    assert!(!page.contains("forebay-broadcast"), "{page}");
}

#[tokio::test]
async fn a_page_may_open_sockets_of_its_own_host_and_no_others() {
    let bench = bench(|_| {}).await;
    let broadcast = made(&bench, "Talk", Visibility::Public, None).await;
    let pages = crate::control::pages::routes(bench.state.clone());
    for (host, wanted) in [
        (
            "media.example:8080",
            "connect-src 'self' ws://media.example:8080 wss://media.example:8080;",
        ),
        (
            "[::1]:8080",
            "connect-src 'self' ws://[::1]:8080 wss://[::1]:8080;",
        ),
        ("a;script-src*", "connect-src 'self';"),
    ] {
        let request = Request::get(format!("/watch/{}", broadcast.id)).header("host", host);
        let answer = pages.clone().oneshot(request.body(Body::empty()).unwrap());
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(policy.contains(wanted), "{policy}");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
    }
}

#[tokio::test]
async fn the_list_shows_public_broadcasts_while_they_are_active_and_nothing_of_others() {
    let bench = bench(|_| {}).await;
    let [public, created, private] = [
        made(&bench, "Public", Visibility::Public, None).await,
        made(&bench, "Created", Visibility::Public, None).await,
        made(&bench, "Private", Visibility::Private, None).await,
    ];
    turn(&bench, &public, Status::Active).await;
    turn(&bench, &private, Status::Active).await;
    // All have media.
    for broadcast in [&public, &created, &private] {
        bench.list_on_air(&broadcast.channel_id);
    }
    let list = async || {
        let (_, text) = ask(&bench, "GET", "/streams.json", None).await;
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let wanted = json!([{
        "id": public.stream_id.to_string(), "alias": public.id.to_string(), "name": "Public",
        // The media of this world have ids of their own.
        "onAir": false, "viewers": 3, "since": "2026-09-21T14:13:20Z",
    }]);
    assert_eq!(list().await, wanted);
    turn(&bench, &public, Status::Completed).await;
    assert_eq!(list().await, wanted, "it is kept for a second");
    bench.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(list().await, json!([]));
}

#[tokio::test]
async fn a_poster_is_the_newest_stored_picture_of_the_one_who_may_choose_it() {
    let bench = bench(|_| {}).await;
    let user = async |name: &str| {
        let user = User::named("app", name);
        bench.store.create_user(&user).await.unwrap()
    };
    let (ann, eve) = (user("ann").await.id, user("eve").await.id);
    let by_ann = made(&bench, "Hers", Visibility::Public, Some(ann)).await;
    let by_key = made(&bench, "Its", Visibility::Public, None).await;
    let keep = async |name: &str, user_id, broadcast: String, change: fn(&mut File)| {
        let mut file = File {
            id: Uuid::new_v4(),
            user_id,
            name: name.to_owned(),
            mime_type: "image/png".to_owned(),
            paths: FilePaths {
                original: format!("/uploads/{name}/original.png"),
                ..FilePaths::default()
            },
            links: FileLinks {
                broadcast: Some(broadcast),
                ..FileLinks::default()
            },
            category: Some("Poster".to_owned()),
            stored: true,
            ..File::default()
        };
        change(&mut file);
        bench.clock.advance(std::time::Duration::from_millis(1));
        bench.store.create_file(&file).await.unwrap();
    };
    let poster = async |broadcast: &Broadcast| {
        let found = bench.store.posters(std::slice::from_ref(broadcast)).await;
        let paths = found.unwrap().remove(&broadcast.id);
        paths.map(|paths| paths.original)
    };
    assert_eq!(poster(&by_ann).await, None);
    let id = by_ann.id.to_string();
    keep("old", ann, id.clone(), |_| {}).await;
    keep("tagged", ann, id.to_uppercase(), |file| {
        file.category = None;
        file.tags = Some(vec!["POSTER".to_owned()]);
    })
    .await;
    keep("elsewhere", ann, id.clone(), |file| file.stored = false).await;
    keep("film", ann, id.clone(), |file| {
        file.mime_type = "video/mp4".to_owned()
    })
    .await;
    keep("other", ann, id.clone(), |file| file.category = None).await;
    keep("hers", eve, id.clone(), |_| {}).await;
    let path = poster(&by_ann).await;
    assert_eq!(path.as_deref(), Some("/uploads/tagged/original.png"));
    keep("any", eve, format!("r{}", by_key.number), |_| {}).await;
    let path = poster(&by_key).await;
    assert_eq!(path.as_deref(), Some("/uploads/any/original.png"));
    let (_, view) = view(&bench, &by_key.id.to_string(), "").await;
    assert_eq!(view["poster"], "/uploads/any/original.png");
}
