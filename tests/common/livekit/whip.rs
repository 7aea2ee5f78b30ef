//! livekit-server's own WHIP endpoint (RFC 9725): `POST /whip/v1` with an access token publishes picture and
//! sound of one offer; `PATCH` brings candidates, `DELETE` ends it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State as Shared_};
use axum::response::{IntoResponse, Response};
use axum::routing::{patch, post};
use http::{HeaderMap, StatusCode, header};
use livekit_protocol as proto;

use super::participant::Participant;
use super::peer::{Peer, sections};
use super::state::{Context, State};
use super::token::{Claims, Refusal};
use super::{Shared, signal};

/// The routes of this module.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/whip/v1", post(publish))
        .route("/whip/v1/{sid}", patch(trickle).delete(end))
}

/// Who asks, if its token may join a room.
fn check(shared: &Shared, headers: &HeaderMap) -> Result<(Claims, String), Refusal> {
    let state = shared.state();
    let claims = state.verify(&signal::token(&Default::default(), headers)?)?;
    let room = state.may_join(&claims)?;
    Ok((claims, room))
}

async fn publish(
    Shared_(shared): Shared_<Arc<Shared>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let refused = shared.state().context.faults.refuse_upgrade;
    if let Some(status) = refused {
        return signal::refuse(Refusal::new(status, "refused by order of a test"));
    }
    let (claims, room) = match check(&shared, &headers) {
        Ok(checked) => checked,
        Err(refusal) => return signal::refuse(refusal),
    };
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    if kind != Some("application/sdp") {
        return signal::refuse(Refusal::new(415, "application/sdp is wanted"));
    }
    let answer = enter(&mut shared.state(), &claims, &room, &body);
    shared.wake();
    let (sid, answer) = match answer {
        Ok(entered) => entered,
        Err(refusal) => return signal::refuse(refusal),
    };
    let headers = [
        (header::CONTENT_TYPE, "application/sdp".to_owned()),
        (header::LOCATION, format!("/whip/v1/{sid}")),
        (header::ETAG, format!("\"{sid}\"")),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "*".to_owned()),
    ];
    (StatusCode::CREATED, headers, answer).into_response()
}

/// Makes a participant of an offer.
fn enter(
    state: &mut State,
    claims: &Claims,
    name: &str,
    offer: &str,
) -> Result<(String, String), Refusal> {
    state.context.tick();
    state.room(&proto::CreateRoomRequest {
        name: name.to_owned(),
        ..Default::default()
    });
    let State { rooms, context, .. } = state;
    let room = rooms.get_mut(name).expect("it was made above");
    let sid = context.id("PA_");
    let publisher = Peer::new(context.now, context.udp);
    let mut participant = Participant::new(&sid, claims, context.unix_ms, publisher);
    participant.info.kind = proto::participant_info::Kind::Ingress as i32;
    participant.auto_subscribe = false;
    if !participant.permission().can_publish {
        return Err(Refusal::denied());
    }
    let answer = participant.publisher.offer(offer);
    let answer = answer.map_err(|error| Refusal::new(400, error))?;
    announce(&mut participant, offer, context);
    if let Some(old) = room.by_identity(&claims.sub) {
        let reason = proto::DisconnectReason::DuplicateIdentity;
        room.participants[old].leave(reason, proto::leave_request::Action::Disconnect);
        room.remove(old, reason, context);
    }
    room.enter(participant, context);
    Ok((sid, answer))
}

/// A track for each section that sends; their names are livekit-server's.
fn announce(participant: &mut Participant, offer: &str, context: &Context) {
    let sections = sections(offer);
    for section in sections.iter().filter(|section| section.sends) {
        let (kind, source, name) = match section.is_video {
            true => (
                proto::TrackType::Video,
                proto::TrackSource::Camera,
                "synthesized-camera",
            ),
            false => (
                proto::TrackType::Audio,
                proto::TrackSource::Microphone,
                "synthesized-microphone",
            ),
        };
        participant.expect_track(
            context.id("TR_"),
            &proto::AddTrackRequest {
                cid: section.track.clone(),
                name: name.to_owned(),
                r#type: kind as i32,
                source: source as i32,
                ..Default::default()
            },
        );
        let track = participant.tracks.last_mut().expect("it was put there");
        track.mid = Some(section.mid.as_str().into());
    }
    participant.bind(&sections);
}

/// Does something with a session whose token is right.
fn with(
    shared: &Shared,
    headers: &HeaderMap,
    sid: &str,
    act: impl FnOnce(&mut super::room::Room, usize, &mut Context),
) -> Response {
    let (_, name) = match check(shared, headers) {
        Ok(checked) => checked,
        Err(refusal) => return signal::refuse(refusal),
    };
    let mut state = shared.state();
    let State { rooms, context, .. } = &mut *state;
    context.tick();
    let found = rooms
        .get_mut(&name)
        .and_then(|room| Some((room.index(sid)?, room)));
    let Some((index, room)) = found else {
        return signal::refuse(Refusal::new(404, "participant does not exist"));
    };
    act(room, index, context);
    drop(state);
    shared.wake();
    StatusCode::OK.into_response()
}

async fn trickle(
    Shared_(shared): Shared_<Arc<Shared>>,
    Path(sid): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let answer = with(&shared, &headers, &sid, |room, index, _| {
        for line in body
            .lines()
            .filter_map(|line| line.strip_prefix("a=candidate:"))
        {
            let init = serde_json::json!({"candidate": format!("candidate:{line}")});
            room.participants[index]
                .publisher
                .candidate(&init.to_string());
        }
    });
    match answer.status() {
        StatusCode::OK => StatusCode::NO_CONTENT.into_response(),
        _ => answer,
    }
}

async fn end(
    Shared_(shared): Shared_<Arc<Shared>>,
    Path(sid): Path<String>,
    headers: HeaderMap,
) -> Response {
    with(&shared, &headers, &sid, |room, index, context| {
        room.remove(index, proto::DisconnectReason::ClientInitiated, context);
    })
}
