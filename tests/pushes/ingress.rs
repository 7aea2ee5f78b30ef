//! By LiveKit's Ingress service, which plays our HLS.

use livekit_protocol as proto;
use proto::ingress_state::Status;

use super::*;
use crate::common::livekit::real::RealServer;
use crate::common::livekit::{KEY, LivekitServer, SECRET};

const ROOM: &str = "filled-by-ingress";

fn of_room(livekit: &LivekitServer) -> Option<proto::IngressInfo> {
    livekit.with(|state| {
        let mut all = state.ingress.iter();
        all.find(|info| info.room_name == ROOM).cloned()
    })
}

/// What the worker says.
fn report(livekit: &LivekitServer, status: Status, error: &str) {
    livekit.with(|state| {
        for info in &mut state.ingress {
            info.state = Some(proto::IngressState {
                status: status.into(),
                error: error.to_owned(),
                ..Default::default()
            });
        }
    });
}

/// A gateway that says where it is reached, and where that is.
async fn reached(livekit: &str) -> (Pushing, String) {
    let http = format!("127.0.0.1:{}", free_port());
    let public = format!("http://{http}");
    let pushing = Pushing::start(&[
        ("LIVEKIT_URL", livekit),
        ("LIVEKIT_API_KEY", KEY),
        ("LIVEKIT_API_SECRET", SECRET),
        ("FOREBAY_LIVEKIT_FORWARD", "off"),
        ("FOREBAY_HTTP", http.as_str()),
        ("FOREBAY_PUBLIC_URL", public.as_str()),
    ])
    .await;
    (pushing, public)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingress_plays_our_playlist_is_followed_and_goes_with_the_push() {
    let livekit = LivekitServer::start();
    let (pushing, public) = reached(&livekit.url()).await;
    let id = pushing.add(json!({"kind": "ingress", "room": ROOM})).await;
    let _encoder = pushing.publish(&Clip::long("flv").file());

    // Without a worker the server says so, and it is tried again.
    let told = pushing.until_state("retrying").await;
    let reason = "the LiveKit server says unavailable: no response from servers";
    assert_eq!(told["reason"], reason);
    livekit.with(|state| state.has_ingress_worker = true);
    let made = livekit.until("an ingress", of_room).await;
    assert_eq!(made.input_type, i32::from(proto::IngressInput::UrlInput));
    let stream = pushing.gateway.stream_id().await;
    assert_eq!(made.url, format!("{public}/hls/{stream}/index.m3u8"));
    let playlist = pushing.gateway.get(&made.url[public.len()..]).await;
    assert!(playlist.text().starts_with("#EXTM3U"), "{playlist:?}");
    assert!(made.participant_identity.starts_with("forebay"));

    // It is live when the worker says so, and no sooner.
    assert_eq!(pushing.told().await["state"], "connecting");
    report(&livekit, Status::EndpointPublishing, "");
    pushing.until_state("live").await;
    // One that fails is deleted and made again.
    report(&livekit, Status::EndpointError, "cannot decode");
    let told = pushing.until_state("retrying").await;
    assert_eq!(told["reason"], "the ingress failed: cannot decode");
    let anew = |livekit: &LivekitServer| {
        of_room(livekit).filter(|info| info.ingress_id != made.ingress_id)
    };
    livekit.until("another ingress", anew).await;
    let all = livekit.with(|state| state.ingress.len());
    assert_eq!(all, 1, "the first one is gone");
    pushing.remove(&id).await;
    let gone = |livekit: &LivekitServer| of_room(livekit).is_none().then_some(());
    livekit.until("no ingress", gone).await;
    pushing.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_livekit_server_without_a_worker_says_so() {
    let Some(livekit) = RealServer::with_redis("pushes::ingress").await else {
        return;
    };
    let (pushing, _) = reached(&livekit.url()).await;
    pushing.add(json!({"kind": "ingress", "room": ROOM})).await;
    let _encoder = pushing.publish(&Clip::long("flv").file());
    let told = pushing.until_state("retrying").await;
    let reason = told["reason"].as_str().expect("a reason");
    assert!(reason.ends_with("no response from servers"), "{reason}");
    pushing.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingress_needs_an_address_that_it_can_play() {
    let livekit = LivekitServer::start();
    livekit.with(|state| state.has_ingress_worker = true);
    let url = livekit.url();
    let pushing = Pushing::start(&[
        ("LIVEKIT_URL", url.as_str()),
        ("LIVEKIT_API_KEY", KEY),
        ("LIVEKIT_API_SECRET", SECRET),
        ("FOREBAY_LIVEKIT_FORWARD", "off"),
    ])
    .await;
    pushing.add(json!({"kind": "ingress", "room": ROOM})).await;
    let _encoder = pushing.publish(&Clip::long("flv").file());
    let told = pushing.until_state("refused").await;
    assert_eq!(
        told["reason"],
        "FOREBAY_PUBLIC_URL is not set: nobody knows where our HLS is"
    );
    assert!(of_room(&livekit).is_none());
    pushing.gateway.stop().await;
}
