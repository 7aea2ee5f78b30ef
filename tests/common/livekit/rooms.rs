//! What the API does: rooms and participants here; egress and ingress go on to their modules.

use axum::response::Response;
use livekit_protocol as proto;
use proto::signal_response::Message;

use super::participant::Participant;
use super::room::Room;
use super::state::{Context, REVOKED_AHEAD, State};
use super::twirp::{Call, Error};
use super::{egress, ingress};

/// Routes a call by the names of service and method.
pub fn call(call: &Call, service: &str, method: &str) -> Result<Response, Error> {
    match (service, method) {
        ("livekit.RoomService", "CreateRoom") => create(call),
        ("livekit.RoomService", "ListRooms") => list(call),
        ("livekit.RoomService", "DeleteRoom") => delete(call),
        ("livekit.RoomService", "ListParticipants") => participants(call),
        ("livekit.RoomService", "GetParticipant") => participant(call),
        ("livekit.RoomService", "RemoveParticipant") => remove(call),
        ("livekit.RoomService", "UpdateParticipant") => update(call),
        ("livekit.RoomService", "MutePublishedTrack") => mute(call),
        ("livekit.RoomService", "UpdateRoomMetadata") => metadata(call),
        ("livekit.RoomService", "UpdateSubscriptions") => subscriptions(call),
        ("livekit.RoomService", "SendData") => data(call),
        ("livekit.Egress", _) => egress::call(call, method),
        ("livekit.Ingress", _) => ingress::call(call, method),
        _ => Err(Error::new(
            "bad_route",
            format!("no handler for path /twirp/{service}/{method}"),
        )),
    }
}

fn no_room() -> Error {
    Error::new("not_found", "requested room does not exist")
}

/// Does something with a participant.
fn with<T>(
    call: &Call,
    room: &str,
    identity: &str,
    act: impl FnOnce(&mut Room, usize, &mut Context) -> T,
) -> Result<T, Error> {
    let mut state = call.shared.state();
    let State { rooms, context, .. } = &mut *state;
    context.tick();
    let unknown = || Error::new("not_found", "participant does not exist");
    let room = rooms.get_mut(room).ok_or_else(unknown)?;
    let index = room.by_identity(identity).ok_or_else(unknown)?;
    Ok(act(room, index, context))
}

fn create(call: &Call) -> Result<Response, Error> {
    let request: proto::CreateRoomRequest = call.request()?;
    call.needs(|grant| grant.room_create)?;
    if request.name.is_empty() {
        return Err(Error::new("invalid_argument", "room name cannot be empty"));
    }
    let mut state = call.shared.state();
    state.context.tick();
    let room = state.room(&request).public();
    call.answer(&room)
}

fn list(call: &Call) -> Result<Response, Error> {
    let request: proto::ListRoomsRequest = call.request()?;
    call.needs(|grant| grant.room_list)?;
    let state = call.shared.state();
    let names = &request.names;
    let rooms = state.rooms.values();
    let rooms = rooms.filter(|room| names.is_empty() || names.contains(&room.info.name));
    call.answer(&proto::ListRoomsResponse {
        rooms: rooms.map(Room::public).collect(),
    })
}

fn delete(call: &Call) -> Result<Response, Error> {
    let request: proto::DeleteRoomRequest = call.request()?;
    call.needs(|grant| grant.room_create)?;
    let reason = proto::DisconnectReason::RoomDeleted;
    match call.shared.state().end_room(&request.room, reason) {
        true => call.answer(&proto::DeleteRoomResponse::default()),
        false => Err(no_room()),
    }
}

fn participants(call: &Call) -> Result<Response, Error> {
    let request: proto::ListParticipantsRequest = call.request()?;
    call.administers(&request.room)?;
    let state = call.shared.state();
    let all = state
        .rooms
        .get(&request.room)
        .into_iter()
        .flat_map(|room| &room.participants);
    call.answer(&proto::ListParticipantsResponse {
        participants: all.map(Participant::public).collect(),
    })
}

fn participant(call: &Call) -> Result<Response, Error> {
    let request: proto::RoomParticipantIdentity = call.request()?;
    call.administers(&request.room)?;
    let found = with(call, &request.room, &request.identity, |room, index, _| {
        room.participants[index].public()
    })?;
    call.answer(&found)
}

/// Its tokens of before are revoked with it: those whose nbf is before the time that the request names, and
/// before now and a minute when it names none.
fn remove(call: &Call) -> Result<Response, Error> {
    let request: proto::RoomParticipantIdentity = call.request()?;
    call.administers(&request.room)?;
    let removed = with(
        call,
        &request.room,
        &request.identity,
        |room, index, context| {
            let reason = proto::DisconnectReason::ParticipantRemoved;
            room.participants[index].leave(reason, proto::leave_request::Action::Disconnect);
            room.remove(index, reason, context);
        },
    );
    let mut state = call.shared.state();
    let from = match request.revoke_token_ts {
        0 => state.context.unix_ms / 1000 + REVOKED_AHEAD,
        from => from,
    };
    let who = (request.room, request.identity);
    if !state.context.faults.no_revocation {
        state.revoked.insert(who, from);
    }
    drop(state);
    removed?;
    call.answer(&proto::RemoveParticipantResponse::default())
}

fn update(call: &Call) -> Result<Response, Error> {
    let request: proto::UpdateParticipantRequest = call.request()?;
    call.administers(&request.room)?;
    let info = with(
        call,
        &request.room,
        &request.identity,
        |room, index, context| {
            let participant = &mut room.participants[index];
            let info = &mut participant.info;
            if !request.metadata.is_empty() {
                info.metadata.clone_from(&request.metadata);
            }
            if !request.name.is_empty() {
                info.name.clone_from(&request.name);
            }
            info.attributes.extend(request.attributes.clone());
            if let Some(permission) = &request.permission {
                info.permission = Some(permission.clone());
                let sources: Vec<(String, i32)> = participant
                    .tracks
                    .iter()
                    .map(|track| (track.info.sid.clone(), track.info.source))
                    .collect();
                for (sid, source) in sources {
                    if !room.participants[index].may_publish(source) {
                        room.unpublish(index, &sid, context);
                    }
                }
                if !permission.can_subscribe {
                    for down in &mut room.participants[index].downs {
                        down.is_gone = true;
                    }
                } else {
                    room.subscribe_to_all(index);
                }
                room.negotiate(index, context);
            }
            room.changed(index);
            room.participants[index].public()
        },
    )?;
    call.answer(&info)
}

fn mute(call: &Call) -> Result<Response, Error> {
    let request: proto::MuteRoomTrackRequest = call.request()?;
    call.administers(&request.room)?;
    let sid = &request.track_sid;
    let track = with(call, &request.room, &request.identity, |room, index, _| {
        let track = room.participants[index]
            .track(sid)
            .filter(|track| !track.is_gone);
        track.is_some().then(|| {
            room.participants[index].send(Message::Mute(proto::MuteTrackRequest {
                sid: sid.clone(),
                muted: request.muted,
            }));
            room.mute(index, sid, request.muted);
            room.participants[index]
                .track(sid)
                .map(|track| track.info.clone())
        })
    })?;
    let track = track.ok_or_else(|| Error::new("not_found", "track is not found"))?;
    call.answer(&proto::MuteRoomTrackResponse { track })
}

fn metadata(call: &Call) -> Result<Response, Error> {
    let request: proto::UpdateRoomMetadataRequest = call.request()?;
    call.administers(&request.room)?;
    let mut state = call.shared.state();
    let room = state.rooms.get_mut(&request.room).ok_or_else(no_room)?;
    room.info.metadata = request.metadata;
    let info = room.public();
    for participant in &mut room.participants {
        participant.send(Message::RoomUpdate(proto::RoomUpdate {
            room: Some(info.clone()),
        }));
    }
    call.answer(&info)
}

fn subscriptions(call: &Call) -> Result<Response, Error> {
    let request: proto::UpdateSubscriptionsRequest = call.request()?;
    call.administers(&request.room)?;
    with(
        call,
        &request.room,
        &request.identity,
        |room, index, context| {
            let listed = request
                .participant_tracks
                .iter()
                .flat_map(|one| &one.track_sids);
            for sid in request.track_sids.iter().chain(listed) {
                match request.subscribe {
                    true => room.subscribe(index, sid),
                    false => room.unsubscribe(index, sid),
                }
            }
            room.negotiate(index, context);
        },
    )?;
    call.answer(&proto::UpdateSubscriptionsResponse::default())
}

fn data(call: &Call) -> Result<Response, Error> {
    let request: proto::SendDataRequest = call.request()?;
    call.administers(&request.room)?;
    let mut state = call.shared.state();
    let room = state.rooms.get_mut(&request.room).ok_or_else(no_room)?;
    let label = match request.kind == proto::data_packet::Kind::Lossy as i32 {
        true => "_lossy",
        false => "_reliable",
    };
    let packet = proto::DataPacket {
        kind: request.kind,
        destination_identities: request.destination_identities.clone(),
        value: Some(proto::data_packet::Value::User(proto::UserPacket {
            payload: request.data,
            topic: request.topic,
            destination_sids: request.destination_sids,
            destination_identities: request.destination_identities,
            ..Default::default()
        })),
        ..Default::default()
    };
    room.send_data(None, label, packet);
    call.answer(&proto::SendDataResponse::default())
}
