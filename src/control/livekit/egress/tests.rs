//! Egresses as tenants ask for them, and as the server tells of them.

use lk::egress_info::Request as Sent;
use serde_json::{Value, json};

use super::*;
use crate::control::api::tests::{KEY, NOBODY, OTHER_KEY, clients_with};
use crate::control::livekit::tests::stand_in::{StandIn, person};
use crate::control::tests::Bench;

async fn world() -> (Bench, StandIn, Value) {
    let livekit = StandIn::start().await;
    let server = livekit.server();
    let bench = clients_with(|setup| setup.livekit = Some(server)).await;
    let made = bench.broadcast("Talk").await;
    livekit.answers("ListEgress", &lk::ListEgressResponse::default());
    (bench, livekit, made)
}

fn info(made: &Value, status: lk::EgressStatus) -> lk::EgressInfo {
    let key = made["streamKey"].as_str().unwrap();
    let url = format!("rtmp://media.example/live/{key}");
    lk::EgressInfo {
        egress_id: "EG_1".to_owned(),
        room_name: made["streamId"].as_str().unwrap().to_owned(),
        status: status as i32,
        started_at: 1_790_000_000_000_000_000,
        error: format!("could not connect to {url}"),
        stream_results: vec![lk::StreamInfo {
            url,
            retries: 2,
            ..lk::StreamInfo::default()
        }],
        request: Some(Sent::Participant(lk::ParticipantEgressRequest {
            identity: "host".to_owned(),
            ..lk::ParticipantEgressRequest::default()
        })),
        ..lk::EgressInfo::default()
    }
}

#[tokio::test]
async fn the_host_is_sent_with_the_broadcasts_key_which_nobody_is_told() {
    let (bench, livekit, made) = world().await;
    let path = format!("/api/broadcasts/{}/egress", made["id"].as_str().unwrap());
    let room = made["streamId"].as_str().unwrap();
    livekit.has_room(room, Vec::new());
    let (code, nobody) = bench.api("POST", &path, &KEY, "").await;
    assert_eq!(code, 409, "{nobody}");
    let people = vec![
        person("forebay", "publisher", 2),
        person("guest", "co_host", 2),
        person("host", "publisher", 2),
    ];
    livekit.has_room(room, people);
    let starting = info(&made, lk::EgressStatus::EgressStarting);
    livekit.answers("StartParticipantEgress", &starting);
    let (code, started) = bench.api("POST", &path, &KEY, "").await;
    let expected = json!({"id": "EG_1", "status": "starting", "source": "participant",
        "identity": "host", "startedAt": "2026-09-21T14:13:20Z", "retries": 2,
        "error": "could not connect to […]"});
    assert_eq!((code, &started), (200, &expected));
    let asked: Vec<lk::ParticipantEgressRequest> = livekit.asked("StartParticipantEgress");
    assert_eq!((&*asked[0].room_name, &*asked[0].identity), (room, "host"));
    let key = made["streamKey"].as_str().unwrap();
    let output = &asked[0].stream_outputs[0];
    assert_eq!(output.urls, [format!("rtmp://media.example/live/{key}")]);
    assert_eq!(output.protocol(), lk::StreamProtocol::Rtmp);
    // One at a time.
    let items = vec![info(&made, lk::EgressStatus::EgressActive)];
    livekit.answers(
        "ListEgress",
        &lk::ListEgressResponse {
            items,
            next_page_token: None,
        },
    );
    assert_eq!(bench.api("POST", &path, &KEY, "").await.0, 409);
    let (code, listed) = bench.api("GET", &path, &KEY, "").await;
    assert_eq!((code, &listed[0]["status"]), (200, &json!("active")));
    assert!(!listed.to_string().contains(key) && !started.to_string().contains(key));
    let ending = info(&made, lk::EgressStatus::EgressEnding);
    livekit.answers("StopEgress", &ending);
    let one = format!("{path}/EG_1");
    let (code, stopped) = bench.api("DELETE", &one, &KEY, "").await;
    assert_eq!((code, &stopped["status"]), (200, &json!("ending")));
    for (id, headers, expected) in [
        ("EG_2", &KEY[..], 404),
        ("EG_%2f1", &KEY[..], 404),
        ("EG_1", &OTHER_KEY[..], 404),
        ("EG_1", &NOBODY[..], 401),
    ] {
        let one = format!("{path}/{id}");
        assert_eq!(
            bench.api("DELETE", &one, headers, "").await.0,
            expected,
            "{id}"
        );
    }
}

#[tokio::test]
async fn all_hosts_are_sent_in_one_picture_and_what_is_wrong_is_named() {
    let (bench, livekit, made) = world().await;
    let path = format!("/api/broadcasts/{}/egress", made["id"].as_str().unwrap());
    for bad in [
        json!({"source": "track"}),
        json!({"source": "room", "layout": "wall"}),
        json!({"identity": "forebay"}),
        json!({"identity": 7}),
    ] {
        let (code, refusal) = bench.api("POST", &path, &KEY, bad).await;
        assert_eq!(code, 400, "{refusal}");
    }
    assert_eq!(bench.api("POST", &path, &NOBODY, "{}").await.0, 401);
    let body = json!({"source": "room", "layout": "speaker"});
    livekit.refuses("StartRoomCompositeEgress", 503, "unavailable");
    let (code, refusal) = bench.api("POST", &path, &KEY, &body).await;
    assert_eq!(code, 503, "{refusal}");
    assert!(refusal["reason"].as_str().unwrap().contains("unavailable"));
    let method = "StartRoomCompositeEgress";
    livekit.answers(method, &info(&made, lk::EgressStatus::EgressStarting));
    assert_eq!(bench.api("POST", &path, &KEY, &body).await.0, 200);
    let asked: Vec<lk::RoomCompositeEgressRequest> = livekit.asked(method);
    assert_eq!(asked[1].layout, "speaker");
    let status = format!("/api/broadcasts/{}/status", made["id"].as_str().unwrap());
    let over = json!({"status": "completed"});
    assert_eq!(bench.api("POST", &status, &KEY, over).await.0, 200);
    assert_eq!(bench.api("POST", &path, &KEY, &body).await.0, 409);
}

#[test]
fn what_webhooks_say_is_kept_by_its_time_and_bounded() {
    let known = Known::default();
    let hear = |id: &str, status: &str, at: i64| {
        let said = json!({"egressId": id, "roomName": "r", "status": status, "error": "",
            "startedAt": "1790000000000000000", "roomComposite": {"layout": "grid"},
            "streamResults": [{"url": "rtmp://h/live/key", "retries": 3}]});
        known.hear(serde_json::from_value(said).unwrap(), at);
    };
    hear("EG_1", "EGRESS_ACTIVE", 10);
    hear("EG_1", "EGRESS_COMPLETE", 20);
    hear("EG_1", "EGRESS_ACTIVE", 20);
    hear("EG_1", "EGRESS_ACTIVE", 15);
    hear("EG_1", "EGRESS_UNHEARD_OF", 30);
    let egress = known.of("r").remove(0);
    assert_eq!(egress.status, Status::Complete);
    assert_eq!(egress.source, Some(Source::Room("grid".to_owned())));
    assert_eq!(egress.retries, 3);
    assert_eq!(known.of("another"), []);
    for number in 0..2000 {
        hear(&format!("EG_x{number}"), "EGRESS_ACTIVE", 100 + number);
    }
    assert_eq!(known.heard.lock().unwrap().len(), MAX_KNOWN);
    assert_eq!(known.of("r").len(), MAX_SHOWN);
    let one = known.starting(Uuid::from_u128(1));
    assert!(one.is_some() && known.starting(Uuid::from_u128(1)).is_none());
    drop(one);
    assert!(known.starting(Uuid::from_u128(1)).is_some());
}
