//! Events that a room takes over.

use livekit_protocol as lk;

use super::*;
use crate::control::livekit::tests::stand_in::StandIn;

#[tokio::test]
async fn a_takeover_has_the_room_sent_when_that_is_asked_for() {
    let livekit = StandIn::start().await;
    let server = livekit.server();
    let bench = clients_with(|setup| {
        setup.addresses.rtmp_port = Some(1935);
        setup.livekit = Some(server);
    });
    let show = Show::scheduled_at(bench.await, json!({})).await;
    show.upload().await;
    assert_eq!(show.after(60).await.status, EventStatus::Active);
    let what = format!("POST /api/events/{}/takeover", show.id);
    let take_over = async |body: Value| show.person.call(&show.bench, &what, body).await;
    for bad in [
        json!({"egress": "track"}),
        json!({"egress": true}),
        json!([]),
    ] {
        let (code, refusal) = take_over(bad).await;
        assert_eq!(code, 400, "{refusal}");
        assert!(!show.event().await.takeover);
    }
    livekit.answers("ListEgress", &lk::ListEgressResponse::default());
    let (code, door) = take_over(json!({"egress": "room"})).await;
    assert_eq!(code, 200, "{door}");
    let method = "StartRoomCompositeEgress";
    let asked: Vec<lk::RoomCompositeEgressRequest> = livekit.once_asked(method, 1).await;
    assert_eq!(asked[0].room_name, door["streamId"].as_str().unwrap());
    let (server, key) = (door["rtmpUrl"].as_str(), door["streamKey"].as_str());
    let expected = format!("{}/{}", server.unwrap(), key.unwrap());
    assert_eq!(asked[0].stream_outputs[0].urls, [expected]);
    // Without a word of it nothing is sent.
    assert_eq!(take_over(json!({})).await.0, 200);
    assert_eq!(
        livekit
            .asked::<lk::RoomCompositeEgressRequest>(method)
            .len(),
        1
    );
}

#[tokio::test]
async fn without_livekit_no_room_takes_over() {
    let show = Show::with_film(json!({})).await;
    let what = format!("POST /api/events/{}/takeover", show.id);
    let body = json!({"egress": "participant"});
    let (code, refusal) = show.person.call(&show.bench, &what, body).await;
    assert_eq!(code, 503);
    assert!(refusal["reason"].as_str().unwrap().contains("LIVEKIT_URL"));
}
