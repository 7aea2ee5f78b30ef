//! Where broadcasts are shown: lists, posters, what operators see.

use std::time::Duration;

use super::*;
use crate::base::id::Uuid;
use crate::hub::Listing;
use crate::store::{File, FileLinks, FilePaths};

async fn become_of(bench: &Bench, broadcast: &Value, status: &str) {
    let path = format!(
        "/api/broadcasts/{}/status",
        broadcast["id"].as_str().unwrap()
    );
    let changed = bench.api("POST", &path, &KEY, json!({ "status": status }));
    assert_eq!(changed.await.0, 200);
}

/// The stream of a client's broadcast is on air.
fn put_on_air(bench: &Bench, broadcast: &Value) {
    let text = |name: &str| broadcast[name].as_str().unwrap();
    bench.world.put_on_list(Listing {
        id: Uuid::parse_str(text("streamId")).unwrap(),
        channel_id: format!("local#one#{}", text("id")),
        alias: text("id").to_owned(),
        name: "Name of the channel".to_owned(),
        on_air: true,
        protected: false,
        playable: true,
    });
}

async fn names(bench: &Bench) -> Vec<String> {
    // It is kept for a second.
    bench.clock.advance(Duration::from_secs(1));
    let (code, list) = bench.api("GET", "/streams.json", &NOBODY, "").await;
    assert_eq!(code, 200);
    let list = list.as_array().unwrap().iter();
    list.map(|entry| entry["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn what_is_published_for_a_broadcast_is_listed_while_that_is_active_and_public() {
    let bench = clients().await;
    let public = bench.broadcast("Title").await;
    let body = json!({"title": "Hidden", "visibility": "unlisted"});
    let (_, hidden) = bench.api("POST", "/api/broadcasts", &KEY, body).await;
    put_on_air(&bench, &public);
    put_on_air(&bench, &hidden);
    assert!(
        names(&bench).await.is_empty(),
        "publishing makes none active"
    );
    become_of(&bench, &public, "active").await;
    become_of(&bench, &hidden, "active").await;
    assert_eq!(names(&bench).await, ["Title"]);
    let path = format!("/api/v1/sessions/{}", public["id"].as_str().unwrap());
    bench
        .api("PATCH", &path, &KEY, json!({"title": "Other"}))
        .await;
    assert_eq!(names(&bench).await, ["Other"]);
    let (_, listed) = bench.api("GET", "/api/broadcasts", &NOBODY, "").await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_broadcast_shows_the_poster_of_its_own_people_everywhere() {
    let bench = clients().await;
    let made = bench.broadcast("Title").await;
    let id = made["id"].as_str().unwrap();
    assert!(made.get("posterUrl").is_none());
    for (key, name) in [("x-api-key: pk_one", "ann"), ("x-api-key: pk_two", "eve")] {
        let person = person_of(&bench, &[key], name, "").await;
        let paths = FilePaths {
            original: format!("/uploads/{name}/original.png"),
            thumbnail: Some(format!("/uploads/{name}/thumbnail.jpg")),
            ..FilePaths::default()
        };
        let file = File {
            id: Uuid::new_v4(),
            user_id: Uuid::parse_str(&person.id).unwrap(),
            links: FileLinks {
                broadcast: Some(id.to_owned()),
                ..FileLinks::default()
            },
            mime_type: "image/png".to_owned(),
            tags: Some(vec!["poster".to_owned()]),
            paths,
            stored: true,
            ..File::default()
        };
        bench.store.create_file(&file).await.unwrap();
    }
    become_of(&bench, &made, "active").await;
    let expected = json!("http://media.example:8080/uploads/ann/thumbnail.jpg");
    let (_, one) = bench
        .api("GET", &format!("/api/broadcasts/{id}"), &NOBODY, "")
        .await;
    assert_eq!(one["posterUrl"], expected);
    for (path, headers) in [("/api/broadcasts", &NOBODY[..]), ("/api/v1/sessions", &KEY)] {
        let (_, list) = bench.api("GET", path, headers, "").await;
        assert_eq!(list[0]["posterUrl"], expected, "{path}");
        assert_eq!(list[0]["viewerCount"], 0);
        assert_eq!(list[0]["measuredViewers"], 3);
    }
    let (_, list) = bench
        .api("GET", "/api/admin/broadcasts", &OPERATOR, "")
        .await;
    assert_eq!(list["broadcasts"][0]["posterUrl"], expected);
}

#[tokio::test]
async fn operators_see_broadcasts_of_all_tenants_without_their_keys() {
    let bench = clients().await;
    let path = "/api/admin/broadcasts";
    assert_eq!(bench.api("GET", path, &NOBODY, "").await.0, 401);
    assert_eq!(bench.api("GET", path, &KEY, "").await.0, 401);
    let one = bench.broadcast("One").await;
    let body = json!({"title": "Two", "visibility": "private"});
    let (_, two) = bench.api("POST", "/api/broadcasts", &OTHER_KEY, body).await;
    become_of(&bench, &one, "active").await;
    let (code, list) = bench.api("GET", path, &OPERATOR, "").await;
    assert_eq!((code, &list["status"]), (200, &json!("ok")));
    let titles = |list: &Value| {
        let broadcasts = list["broadcasts"].as_array().unwrap().iter();
        let titles = broadcasts.map(|one| one["title"].as_str().unwrap().to_owned());
        titles.collect::<Vec<_>>()
    };
    assert_eq!(titles(&list), ["Two", "One"]);
    let shown = &list["broadcasts"][1];
    let id = one["id"].as_str().unwrap();
    assert_eq!(shown["channelId"], format!("local#one#{id}"));
    assert_eq!(shown["applicationId"], "one");
    assert_eq!(shown["status"], "active");
    assert_eq!(shown["anonymous"], false);
    assert_eq!(shown["publishers"], 0);
    for made in [&one, &two] {
        let key = made["streamKey"].as_str().unwrap();
        assert!(!list.to_string().contains(key));
    }
    let (_, active) = bench
        .api(
            "GET",
            "/api/admin/broadcasts?status=active&limit=5",
            &OPERATOR,
            "",
        )
        .await;
    assert_eq!(titles(&active), ["One"]);
    for query in ["status=live", "limit=0", "offset=-1"] {
        let path = format!("{path}?{query}");
        assert_eq!(
            bench.api("GET", &path, &OPERATOR, "").await.0,
            400,
            "{query}"
        );
    }
}
