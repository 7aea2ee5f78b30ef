//! Webhooks as a LiveKit server sends them, and what follows.

use livekit_protocol as lk;
use serde_json::{Value, json};

use super::*;
use crate::control::Room;
use crate::control::api::tests::{KEY, NOBODY, clients_with};
use crate::control::livekit::keeper;
use crate::control::livekit::tests::API_SECRET;
use crate::control::livekit::tests::stand_in::{StandIn, person, room, signed};
use crate::control::tests::{Bench, NOW};

/// A broadcast that is live, its stream, and a server.
struct World {
    bench: Bench,
    livekit: StandIn,
    id: String,
    stream: Uuid,
}

impl World {
    async fn new() -> World {
        let livekit = StandIn::start().await;
        let server = livekit.server();
        let bench = clients_with(|setup| setup.livekit = Some(server)).await;
        let made = bench.broadcast("Talk").await;
        let id = made["id"].as_str().unwrap().to_owned();
        let stream = Uuid::parse_str(made["streamId"].as_str().unwrap()).unwrap();
        let world = World {
            bench,
            livekit,
            id,
            stream,
        };
        world.become_("active").await;
        world
    }

    async fn become_(&self, status: &str) {
        let path = format!("/api/broadcasts/{}/status", self.id);
        let body = json!({ "status": status });
        assert_eq!(self.bench.api("POST", &path, &KEY, body).await.0, 200);
    }

    async fn post(&self, body: &[u8], token: &str) -> u16 {
        let headers = [
            ("authorization", token),
            ("content-type", "application/webhook+json"),
        ];
        let path = "/api/livekit/webhook";
        let answer = self.bench.raw("POST", path, &headers, body.to_vec()).await;
        answer.0
    }

    /// Sends an event of the room as the server does.
    async fn say(&self, event: &str, id: u32, more: Value) {
        let mut said = json!({"event": event, "id": format!("EV_{id}"), "createdAt": "1790000000",
            "room": {"sid": "RM_1", "name": self.stream.to_string(), "creationTime": "1790000000",
                "enabledCodecs": [{"mime": "video/H264"}]}});
        let fields = more.as_object().unwrap().clone();
        said.as_object_mut().unwrap().extend(fields);
        let body = said.to_string();
        assert_eq!(
            self.post(body.as_bytes(), &token(body.as_bytes())).await,
            200
        );
    }

    fn told(&self) -> Vec<Room> {
        std::mem::take(&mut self.bench.world.rooms.lock().unwrap())
    }

    /// Makes somebody a co-host; its id.
    async fn join(&self, user: &str) -> String {
        let path = format!("/api/streaming/sessions/{}/join-cohost", self.id);
        let body = json!({"userName": "Guest", "userId": user});
        let (code, joined) = self.bench.api("POST", &path, &KEY, body).await;
        assert_eq!(code, 200, "{joined}");
        joined["coHost"]["id"].as_str().unwrap().to_owned()
    }

    async fn cohost(&self, method: &str, id: &str, body: &Value) {
        let path = format!("/api/streaming/sessions/{}/cohosts/{id}", self.id);
        let (code, answer) = self.bench.api(method, &path, &KEY, body).await;
        assert_eq!(code, 200, "{answer}");
    }

    async fn metrics(&self) -> Value {
        let path = format!("/api/streaming/sessions/{}/metrics", self.id);
        self.bench.api("GET", &path, &NOBODY, "").await.1
    }
}

fn token(body: &[u8]) -> String {
    let digest = STANDARD.encode(Sha256::digest(body));
    let now = NOW.unix_seconds();
    signed(&json!({"iss": "devkey", "nbf": now, "exp": now + 300, "sha256": digest}))
}

fn participant(identity: &str, role: &str) -> Value {
    json!({"sid": format!("PA_{identity}"), "identity": identity, "state": "ACTIVE",
        "metadata": json!({ "role": role }).to_string(), "joinedAt": "1790000000",
        "permission": {"canSubscribe": true, "canPublish": role != "subscriber"}})
}

fn track(identity: &str) -> Value {
    json!({"participant": {"sid": format!("PA_{identity}"), "identity": identity},
        "track": {"sid": format!("TR_{identity}"), "type": "VIDEO"}})
}

#[tokio::test]
async fn a_body_is_read_only_when_the_servers_token_says_exactly_this_one() {
    let world = World::new().await;
    let body = br#"{"event":"room_started","id":"EV_1","createdAt":"1790000000"}"#;
    let good = token(body);
    assert_eq!(world.post(body, &good).await, 200);
    assert_eq!(world.post(body, &format!("Bearer {good}")).await, 200);
    // The same JSON, another text.
    let spaced = br#"{"event": "room_started","id":"EV_1","createdAt":"1790000000"}"#;
    assert_eq!(world.post(spaced, &good).await, 401);
    let now = NOW.unix_seconds();
    let digest = STANDARD.encode(Sha256::digest(body));
    for bad in [
        String::new(),
        format!("{good}A"),
        signed(&json!({"iss": "devkey", "exp": now + 300})),
        signed(&json!({"iss": "devkey", "exp": now - 61, "sha256": digest})),
        signed(&json!({"iss": "another", "exp": now + 300, "sha256": digest})),
        signed(&json!({"iss": "devkey", "exp": now + 300, "sha256": "AAAA"})),
    ] {
        assert_eq!(world.post(body, &bad).await, 401, "{bad}");
    }
    let none: [(&str, &str); 0] = [];
    let path = "/api/livekit/webhook";
    let answer = world.bench.raw("POST", path, &none, body.to_vec()).await;
    assert_eq!(answer.0, 401);
    for (body, code) in [(&b"[]"[..], 400), (b"{\"event\":1}", 400), (b"{}", 200)] {
        assert_eq!(world.post(body, &token(body)).await, code);
    }
    let long = vec![b' '; MAX_BODY_BYTES + 1];
    assert_eq!(world.post(&long, &token(&long)).await, 413);
    assert!(!good.contains(API_SECRET));
}

#[tokio::test]
async fn who_follows_rooms_hears_who_publishes_each_time_that_changes() {
    let world = World::new().await;
    world.say("room_started", 1, json!({})).await;
    let host = participant("host", "publisher");
    world
        .say("participant_joined", 2, json!({ "participant": host }))
        .await;
    let viewer = participant("viewer", "subscriber");
    world
        .say("participant_joined", 3, json!({ "participant": viewer }))
        .await;
    let own = participant("forebay", "publisher");
    world
        .say("participant_joined", 4, json!({ "participant": own }))
        .await;
    world.say("track_published", 5, track("forebay")).await;
    assert_eq!(world.told(), []);
    world.say("track_published", 6, track("host")).await;
    let told = world.told();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].stream, world.stream);
    assert!(told[0].channel_id.starts_with("local#one#"), "{told:?}");
    let publisher = &told[0].publishers[0];
    assert_eq!(publisher.identity, "host");
    assert_eq!(publisher.role.as_deref(), Some("publisher"));
    let metrics = world.metrics().await;
    assert_eq!(metrics["roomParticipants"], 2);
    assert_eq!(metrics["roomPublishers"], 1);
    // Said again, and of nobody here.
    world.say("track_published", 6, track("another")).await;
    let foreign = json!({"room": {"sid": "RM_2", "name": Uuid::from_u128(9).to_string()}});
    let mut elsewhere = track("another");
    elsewhere
        .as_object_mut()
        .unwrap()
        .extend(foreign.as_object().unwrap().clone());
    world.say("track_published", 7, elsewhere).await;
    assert_eq!(world.told(), []);
    let gone = json!({"participant": participant("host", "publisher")});
    world.say("participant_left", 8, gone).await;
    assert_eq!(world.told()[0].publishers, []);
}

/// Contract, broadcasts, N-13: also where its token goes past the proxy.
#[tokio::test]
async fn a_removed_co_host_is_sent_out_at_once_and_again_when_it_comes_back_to_publish() {
    let world = World::new().await;
    let id = world.join("guest").await;
    let guest = json!({"participant": participant("guest", "co_host")});
    world.cohost("DELETE", &id, &json!({})).await;
    let room = world.stream.to_string();
    let removals = |times| {
        let livekit = world.livekit.clone();
        async move {
            let method = "RemoveParticipant";
            livekit
                .once_asked::<lk::RoomParticipantIdentity>(method, times)
                .await
        }
    };
    let first = removals(1).await.remove(0);
    assert_eq!((&first.room, &*first.identity), (&room, "guest"));
    assert_eq!(first.revoke_token_ts, NOW.unix_seconds() + 1);
    world.say("participant_joined", 2, guest).await;
    assert_eq!(removals(2).await[1], first);
    // As a viewer it may be there.
    let viewer = json!({"participant": participant("guest", "subscriber")});
    world.say("participant_joined", 3, viewer).await;
    let other = json!({"participant": participant("other", "co_host")});
    world.say("participant_joined", 4, other).await;
    // And where no webhook is heard, the next look finds it.
    world.livekit.has_room(
        &room,
        vec![
            person("guest", "co_host", 1),
            person("host", "publisher", 1),
        ],
    );
    let server = world.livekit.server();
    keeper::sweep(&world.bench.state, &server).await.unwrap();
    assert_eq!(removals(3).await.len(), 3);
    let told = world.told();
    assert_eq!(told.last().unwrap().publishers.len(), 1);
}

#[tokio::test]
async fn a_room_is_told_what_a_co_host_may_do_and_who_leaves_may_come_again() {
    let world = World::new().await;
    let id = world.join("guest").await;
    let body = json!({"permissions": {"canModerateChat": true}, "userName": "Jo"});
    world.cohost("PATCH", &id, &body).await;
    let method = "UpdateParticipant";
    let updated: Vec<lk::UpdateParticipantRequest> = world.livekit.once_asked(method, 1).await;
    assert_eq!((&*updated[0].identity, &*updated[0].name), ("guest", "Jo"));
    let metadata: Value = serde_json::from_str(&updated[0].metadata).unwrap();
    assert_eq!(metadata["role"], "co_host");
    assert_eq!(metadata["permissions"]["canModerateChat"], true);
    assert_eq!(metadata["permissions"]["canRemoveOthers"], false);
    // What it may send stays as its token says.
    assert_eq!(updated[0].permission, None);
    let state = &world.bench.state;
    state.send_out_of_room(world.stream, "guest".to_owned(), false);
    let method = "RemoveParticipant";
    let left: Vec<lk::RoomParticipantIdentity> = world.livekit.once_asked(method, 1).await;
    assert_eq!(left[0].revoke_token_ts, 1);
}

#[tokio::test]
async fn an_identity_of_the_gateways_own_is_for_nobody_else() {
    let world = World::new().await;
    let session = format!("/api/streaming/sessions/{}", world.id);
    for (path, body) in [
        ("token", json!({"userId": "forebay"})),
        (
            "token",
            json!({"userId": "forebay-listener", "role": "publisher"}),
        ),
        ("join-cohost", json!({"userId": "forebay", "userName": "n"})),
    ] {
        let path = format!("{session}/{path}");
        let (code, refusal) = world.bench.api("POST", &path, &KEY, body).await;
        assert_eq!(code, 400, "{refusal}");
        assert!(refusal["reason"].as_str().unwrap().contains("userId"));
    }
}

#[tokio::test]
async fn a_room_is_made_once_with_its_limit_and_closed_with_its_broadcast() {
    let world = World::new().await;
    let new = json!({"title": "t", "maxParticipants": 10});
    let (_, made) = world.bench.api("POST", "/api/broadcasts", &KEY, new).await;
    let id = made["id"].as_str().unwrap();
    let path = format!("/api/streaming/sessions/{id}/token");
    for _ in 0..3 {
        let (code, token) = world
            .bench
            .api("POST", &path, &KEY, json!({"userId": "u"}))
            .await;
        assert_eq!(code, 200, "{token}");
    }
    let created: Vec<lk::CreateRoomRequest> = world.livekit.once_asked("CreateRoom", 1).await;
    assert_eq!(created.len(), 1);
    assert_eq!(created[0].name, made["streamId"].as_str().unwrap());
    assert_eq!(created[0].max_participants, 12);
    let path = format!("/api/broadcasts/{id}/status");
    let over = json!({"status": "completed"});
    assert_eq!(world.bench.api("POST", &path, &KEY, over).await.0, 200);
    let closed: Vec<lk::DeleteRoomRequest> = world.livekit.once_asked("DeleteRoom", 1).await;
    assert_eq!(closed[0].room, created[0].name);
}

#[tokio::test]
async fn a_room_of_a_broadcast_that_is_over_is_closed_however_it_ended_and_whenever_that_is_seen() {
    let world = World::new().await;
    let (state, server) = (&world.bench.state, world.livekit.server());
    world.say("room_started", 1, json!({})).await;
    keeper::close_over(state, &server).await;
    assert_eq!(
        world.livekit.asked::<lk::DeleteRoomRequest>("DeleteRoom"),
        []
    );
    // By silence, or at another gateway: nobody tells.
    let update = crate::store::BroadcastUpdate {
        status: Some(crate::store::Status::Error),
        ..crate::store::BroadcastUpdate::default()
    };
    let id = Uuid::parse_str(&world.id).unwrap();
    world
        .bench
        .store
        .update_broadcast(id, &update)
        .await
        .unwrap();
    world.livekit.refuses("DeleteRoom", 503, "unavailable");
    keeper::close_over(state, &server).await;
    keeper::close_over(state, &server).await;
    let asked = |times: usize| {
        let asked = world.livekit.asked::<lk::DeleteRoomRequest>("DeleteRoom");
        assert_eq!(asked.len(), times);
    };
    // In vain, and not at once again.
    asked(1);
    world
        .livekit
        .answers("DeleteRoom", &lk::DeleteRoomResponse::default());
    world
        .bench
        .clock
        .advance(std::time::Duration::from_secs(15));
    keeper::close_over(state, &server).await;
    asked(2);
    keeper::close_over(state, &server).await;
    asked(2);
    // Somebody opens it again, past the proxy; and another gateway left one behind.
    let guest = json!({"participant": participant("guest", "co_host")});
    world.say("participant_joined", 2, guest).await;
    let _: Vec<lk::DeleteRoomRequest> = world.livekit.once_asked("DeleteRoom", 3).await;
    world
        .livekit
        .has_room(&world.stream.to_string(), Vec::new());
    keeper::sweep(state, &server).await.unwrap();
    asked(4);
}

#[tokio::test]
async fn who_publishes_in_a_room_is_a_sign_of_life_also_without_webhooks() {
    let world = World::new().await;
    let (state, server) = (&world.bench.state, world.livekit.server());
    let name = world.stream.to_string();
    let own = person("forebay", "publisher", 2);
    world
        .livekit
        .has_room(&name, vec![own.clone(), person("host", "publisher", 2)]);
    let lives = async |seconds| {
        world
            .bench
            .clock
            .advance(std::time::Duration::from_secs(seconds));
        let silence = crate::store::Silence {
            active: world.bench.clock.wall().plus_micros(-90_000_000),
            anonymous: NOW,
        };
        let ended = world.bench.store.end_silent_broadcasts("local", silence);
        ended.await.unwrap().is_empty()
    };
    for _ in 0..3 {
        keeper::sweep(state, &server).await.unwrap();
        let told = world.told();
        assert_eq!(told.last().unwrap().publishers.len(), 1);
        assert!(lives(60).await);
    }
    // The gateway's own publisher is none, and a room that is gone has nobody.
    world.livekit.has_room(&name, vec![own]);
    keeper::sweep(state, &server).await.unwrap();
    assert_eq!(world.told().last().unwrap().publishers, []);
    assert_eq!(world.metrics().await["roomParticipants"], 0);
    world.livekit.answers(
        "ListRooms",
        &lk::ListRoomsResponse {
            rooms: vec![room("another")],
        },
    );
    keeper::sweep(state, &server).await.unwrap();
    assert_eq!(world.metrics().await.get("roomParticipants"), None);
    assert!(!lives(90).await);
}

#[tokio::test]
async fn a_server_that_refuses_is_asked_no_further() {
    let world = World::new().await;
    world.livekit.refuses("ListRooms", 401, "unauthenticated");
    let server = world.livekit.server();
    let swept = keeper::sweep(&world.bench.state, &server).await;
    assert_eq!(swept, Err(crate::control::livekit::Unwell::Credentials));
    world.livekit.refuses("ListRooms", 500, "internal");
    let swept = keeper::sweep(&world.bench.state, &server).await;
    // What it says may hold addresses with keys.
    let said = swept.unwrap_err().to_string();
    assert_eq!(said, "the LiveKit server says internal: no […] for you");
}
