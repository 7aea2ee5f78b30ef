//! Tenants do not see each other: every route, with every id of another tenant's things, by whoever is not of
//! it.
//!
//! A route that [`ROUTES`] does not have fails the test. To add one, say what its path names and what its
//! owner gets; a new kind of id goes into [`Things`].

use std::collections::BTreeSet;

use super::*;
use crate::base::id::Uuid;
use crate::films::NewUpload;
use crate::store::{NewChat, User};

mod table;

use table::ROUTES;

/// In everything that the first tenant wrote.
const SECRET: &str = "of-tenant-one";

/// What a route is about.
#[derive(Clone, Copy, Debug)]
enum About {
    /// Nothing that is named: it makes or shows what is the caller's.
    Caller,
    /// What its path names, of this kind: for others it is not there.
    Named(Kind),
    /// A list of what belongs to what its path names: for others it is empty.
    Listed(Kind),
    /// Everybody may.
    Everybody,
    /// Events, which are there for everybody without credentials, and else for their tenant.
    Shown,
}

use About::{Caller, Everybody, Listed, Named, Shown};

/// Kinds of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Broadcast,
    /// Whoever calls.
    Me,
    User,
    Contact,
    File,
    Webhook,
    Event,
    Upload,
    Text,
}

use Kind::{Broadcast, Contact, Text};

/// What the first tenant has.
struct Things {
    ids: Vec<(Kind, String)>,
    key: String,
    token: String,
}

impl Things {
    fn id(&self, kind: Kind) -> &str {
        let found = self.ids.iter().find(|(of, _)| *of == kind);
        &found.unwrap().1
    }

    /// What of it a text shows.
    fn shown_in<'a>(&'a self, text: &'a str) -> Option<&'a str> {
        // Short ids are in too much else.
        let ids = self.ids.iter().map(|(_, id)| id.as_str());
        let ids = ids.filter(|id| id.len() > 10);
        ids.chain([SECRET]).find(|word| text.contains(word))
    }
}

async fn user_of(bench: &Bench, tenant: &str, name: &str) -> (User, String) {
    let user = User::named(tenant, name);
    let user = bench.store.create_user(&user).await.unwrap();
    let token = bench.store.issue_bearer(&user).await.unwrap();
    let token = format!("Bearer {}", token.expose());
    (user, token)
}

/// Gives the first tenant one of everything, all of it private.
async fn things(bench: &Bench) -> Things {
    let (ann, token) = user_of(bench, "one", &format!("ann-{SECRET}")).await;
    let headers = [("x-api-key", "pk_one"), ("authorization", token.as_str())];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let ask = |what: &'static str, body: Value| async move {
        let (method, path) = what.split_once(' ').unwrap();
        let (code, answer) = bench.api(method, path, &headers, &body).await;
        assert_eq!(code, 200, "{what} {answer}");
        answer
    };
    let friend = json!({"username": format!("amy-{SECRET}"), "email": format!("amy@{SECRET}"),
        "password": "s3cretpass", "phoneNumber": "212 555 0147"});
    let friend = ask("POST /api/users/signup", friend).await;
    let cast = json!({"title": SECRET, "visibility": "private", "tags": [SECRET]});
    let cast = ask("POST /api/broadcasts", cast).await;
    let chat = NewChat {
        user_id: None,
        user_name: SECRET.to_owned(),
        message: SECRET.to_owned(),
    };
    let id = Uuid::parse_str(cast["id"].as_str().unwrap()).unwrap();
    let chat = bench.store.send_chat(id, chat).await.unwrap();
    let contacts = json!({"contacts": [{"phoneNumber": "+1 212 555 0147", "displayName": SECRET}]});
    let contacts = ask("POST /api/contacts/sync", contacts).await;
    let contact = text(&contacts["contacts"][0]["id"]);
    let mut file = json!({"name": SECRET, "mimeType": "image/png", "filePathOriginal": SECRET,
        "fileSizeBytes": 1, "categoryName": "profile", "forMessageId": chat.id.to_string(),
        "forCallId": chat.id.to_string(), "forContactID": contact,
        "forBroadcastId": cast["id"]});
    let first = ask("POST /api/files", file.clone()).await;
    for id in ["streamId", "shortId"] {
        file["forBroadcastId"] = cast[id].clone();
        ask("POST /api/files", file.clone()).await;
    }
    let webhook = json!({"url": format!("https://{SECRET}.example/hook"), "description": SECRET});
    let webhook = ask("POST /api/webhooks", webhook).await;
    let event = json!({"title": SECRET, "scheduledStartTime": "2100-01-01T00:00:00Z"});
    let event = ask("POST /api/events/schedule", event).await;
    let upload = NewUpload {
        event: Uuid::parse_str(event["id"].as_str().unwrap()).unwrap(),
        user: ann.id,
        tenant: "one".to_owned(),
        name: SECRET.to_owned(),
        length: 4,
        metadata: SECRET.to_owned(),
    };
    let upload = bench.state.setup().films.create(upload).await.unwrap();
    Things {
        ids: vec![
            (Kind::User, text(&friend["user"]["id"])),
            (Kind::Me, ann.id.to_string()),
            (Broadcast, text(&cast["id"])),
            (Broadcast, text(&cast["streamId"])),
            (Broadcast, text(&cast["shortId"])),
            (Broadcast, format!("local%23one%23{}", text(&cast["id"]))),
            (Text, chat.id.to_string()),
            (Contact, contact),
            (Kind::File, text(&first["id"])),
            (Kind::Webhook, text(&webhook["id"])),
            (Kind::Event, text(&event["id"])),
            (Kind::Event, text(&event["streamId"])),
            (Kind::Upload, upload.upload.id.to_string()),
            (Text, text(&cast["streamKey"])),
        ],
        key: "pk_one".to_owned(),
        token,
    }
}

/// Every method of every route below `/api` and `/ws`, and what serves its files.
fn enumerated() -> BTreeSet<String> {
    let description = crate::control::api_description();
    let description: Value = serde_json::from_str(description).unwrap();
    let mut all = BTreeSet::new();
    for (path, _, _) in crate::control::routes() {
        let of_pcast = path.starts_with("/pcast");
        let is_ours = ["/api/", "/ws/", "/uploads/"]
            .iter()
            .any(|start| path.starts_with(start));
        if of_pcast || !is_ours {
            continue;
        }
        // Another test holds the description to the router.
        let methods = description["paths"][path].as_object().unwrap();
        all.extend(
            methods
                .keys()
                .map(|method| format!("{} {path}", method.to_uppercase())),
        );
    }
    all
}

/// The path with its parameters, all of them the same.
fn filled(route: &str, id: &str) -> String {
    let (_, path) = route.split_once(' ').unwrap();
    let parts = path.split('/');
    let parts = parts.map(|part| if part.starts_with('{') { id } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn another_tenants_things_are_not_there_whatever_is_asked_and_by_whom() {
    let bench = clients().await;
    let things = things(&bench).await;
    let routes = enumerated();
    for route in &routes {
        let known = ROUTES
            .iter()
            .any(|(known, ..)| known.split('?').next() == Some(route));
        let of_operators = route.contains(" /api/admin/");
        assert!(
            known || of_operators,
            "{route} is new: who may see what by it?"
        );
    }
    for (route, ..) in ROUTES {
        let is_there = routes.contains(route.split('?').next().unwrap());
        assert!(is_there, "{route} is gone");
    }
    let before = bench.store.every_row().await;
    // The console's own door opens to the admin key, which nobody here has.
    let of_operators = routes
        .iter()
        .filter(|route| route.contains(" /api/admin/") && !route.ends_with(" /api/admin/session"));
    let of_operators = of_operators.map(|route| (route.as_str(), None, "{}"));
    let ours = ROUTES
        .iter()
        .map(|(route, about, body, _)| (*route, Some(*about), *body));
    for (number, (route, about, body)) in ours.chain(of_operators).enumerate() {
        if matches!(about, Some(Everybody)) {
            continue;
        }
        // Nobody meets an hourly limit.
        bench.clock.advance(std::time::Duration::from_secs(3600));
        let (method, _) = route.split_once(' ').unwrap();
        let ids: Vec<&str> = match route.contains('{') {
            true => things.ids.iter().map(|(_, id)| id.as_str()).collect(),
            false => vec!["-"],
        };
        for id in ids {
            let path = filled(route, id);
            let (_, token) = user_of(&bench, "two", &Uuid::new_v4().to_string()).await;
            let (key, token) = (("x-api-key", "pk_two"), ("authorization", token.as_str()));
            let theirs = (
                ("x-api-key", &*things.key),
                ("authorization", &*things.token),
            );
            for (who, headers) in [
                ("nobody", vec![]),
                ("the key", vec![key]),
                ("key and user", vec![key, token]),
                ("a key of each", vec![key, theirs.0]),
                ("their user", vec![key, theirs.1]),
                ("their key", vec![theirs.0, token]),
                // The last, since it may be gone then.
                ("the user", vec![token]),
            ] {
                let place = format!("{method} {path} by {who} ({number})");
                let (code, answer) = bench.api_or_none(method, &path, &headers, body).await;
                let text = answer.to_string();
                let is_event = |(kind, of): &(Kind, String)| *kind == Kind::Event && of == id;
                // A page of a run is for everybody before there is a broadcast, as the event is.
                let is_run =
                    *route == *"GET /api/streams/{id}/viewer" && things.ids.iter().any(is_event);
                if (is_run || matches!(about, Some(Shown))) && who == "nobody" {
                    assert!([200, 404].contains(&code), "{place}: {code} {text}");
                    continue;
                }
                assert_eq!(things.shown_in(&text), None, "{place}: {code} {text}");
                assert!(code < 500 && code != 429, "{place}: {code} {text}");
                let is_mixed = headers.len() == 2 && who != "key and user";
                let is_list = answer == json!([]);
                match about {
                    _ if is_mixed => assert_eq!(code, 401, "{place}: {text}"),
                    None => assert!([400, 401, 403].contains(&code), "{place}: {code} {text}"),
                    Some(Named(_)) => assert!([401, 404].contains(&code), "{place}: {code} {text}"),
                    Some(Listed(_)) => assert!(code == 401 || is_list, "{place}: {code} {text}"),
                    Some(Shown) => assert!(code == 404 || code == 200, "{place}: {code} {text}"),
                    Some(Caller | Everybody) => {}
                }
            }
        }
        unchanged(&before, &bench.store.every_row().await, &things, route);
    }
    // All of that is there for whose it is.
    let headers = [
        ("x-api-key", things.key.as_str()),
        ("authorization", things.token.as_str()),
    ];
    for (route, about, body, expected) in ROUTES {
        bench.clock.advance(std::time::Duration::from_secs(1));
        let id = match about {
            Named(kind) | Listed(kind) => things.id(kind),
            Shown => things.id(Kind::Event),
            Caller | Everybody => "-",
        };
        let path = filled(route, id);
        let method = route.split(' ').next().unwrap();
        let (code, answer) = bench.api_or_none(method, &path, &headers, body).await;
        assert_eq!(code, expected, "{route}: {answer}");
        if let Listed(_) = about {
            assert_ne!(answer, json!([]), "{route}");
        }
        if route == "POST /api/users/token" {
            break;
        }
    }
}

/// Whether each row of the first tenant is as it was, and no other is about it.
fn unchanged(before: &[String], after: &[String], things: &Things, route: &str) {
    let (before, after): (BTreeSet<_>, BTreeSet<_>) =
        (before.iter().collect(), after.iter().collect());
    for (what, mut lines) in [
        ("changed", before.difference(&after)),
        ("added", after.difference(&before)),
    ] {
        let line = lines.find(|line| things.shown_in(line).is_some());
        assert_eq!(line, None, "{route} {what}");
    }
}

#[tokio::test]
async fn what_is_public_of_another_tenant_is_shown_without_what_feeds_it() {
    let bench = clients().await;
    let made = bench.broadcast("open to all").await;
    let id = made["id"].as_str().unwrap();
    let status = format!("/api/broadcasts/{id}/status");
    bench
        .api("POST", &status, &KEY, json!({"status": "active"}))
        .await;
    let (code, listed) = bench.api("GET", "/api/broadcasts", &NOBODY, "").await;
    assert_eq!((code, &listed[0]["id"]), (200, &made["id"]));
    let (code, shown) = bench
        .api("GET", &format!("/api/broadcasts/{id}"), &NOBODY, "")
        .await;
    assert_eq!(code, 200);
    let key = made["streamKey"].as_str().unwrap();
    assert!(!listed.to_string().contains(key) && !shown.to_string().contains(key));
    // Who has a credential of a tenant sees that tenant's.
    let (code, listed) = bench.api("GET", "/api/broadcasts", &OTHER_KEY, "").await;
    assert_eq!((code, listed), (200, json!([])));
}
