//! Egress: a participant's picture as it is and its sound as AAC, pushed to RTMP by ffmpeg. A room composite
//! composes nothing: it shows the first who publishes a picture.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use axum::response::Response;
use livekit_protocol as proto;
use proto::egress_info::Request;
use proto::stream_info::Status as StreamStatus;

use super::push::{Pusher, Source};
use super::record::Unit;
use super::room::Room;
use super::state::{Context, State};
use super::twirp::{Call, Error};

/// A participant with sound and picture brings both within that time; then what is there goes out alone.
const SOUND_PATIENCE: Duration = Duration::from_secs(2);

/// One egress.
struct Egress {
    info: proto::EgressInfo,
    /// Whose; nobody's means the first who publishes a picture.
    identity: Option<String>,
    pushers: Vec<Pusher>,
}

/// All egresses, ended ones too.
#[derive(Default)]
pub struct Egresses {
    all: Vec<Egress>,
}

impl Egress {
    fn is_over(&self) -> bool {
        self.info.status > proto::EgressStatus::EgressEnding as i32
    }

    /// Says how it stands, to webhooks.
    fn tell(&mut self, event: &str, context: &mut Context) {
        self.info.updated_at = context.unix_ms * 1_000_000;
        let info = self.info.clone();
        context.webhook(event, |event| event.egress_info = Some(info));
    }

    fn end(&mut self, status: proto::EgressStatus, error: &str, context: &mut Context) {
        let now = context.unix_ms * 1_000_000;
        for result in &mut self.info.stream_results {
            if result.status == StreamStatus::Active as i32 {
                result.status = StreamStatus::Finished as i32;
                result.ended_at = now;
                result.duration = now - result.started_at;
            }
        }
        self.pushers.clear();
        self.info.status = status as i32;
        self.info.ended_at = now;
        error.clone_into(&mut self.info.error);
        self.tell("egress_ended", context);
    }

    fn push_to(&mut self, url: &str, context: &Context) {
        self.pushers.push(Pusher::new(url, context.now));
        self.info.stream_results.push(proto::StreamInfo {
            url: url.to_owned(),
            started_at: context.unix_ms * 1_000_000,
            status: StreamStatus::Active as i32,
            ..Default::default()
        });
    }

    /// Which participant it takes.
    fn who(&self, room: &Room) -> Option<usize> {
        match &self.identity {
            Some(identity) => room.by_identity(identity),
            None => room.participants.iter().position(|one| {
                one.tracks
                    .iter()
                    .any(|track| track.is_video() && track.is_published && !track.is_gone)
            }),
        }
    }
}

impl Egresses {
    /// Hands on what came since the last call, and ends what is over.
    pub fn follow(&mut self, rooms: &mut BTreeMap<String, Room>, context: &mut Context) {
        let mut fresh: HashMap<(String, usize), Vec<Unit>> = HashMap::new();
        for egress in self.all.iter_mut().filter(|egress| !egress.is_over()) {
            let Some(room) = rooms.get_mut(&egress.info.room_name) else {
                egress.end(proto::EgressStatus::EgressComplete, "", context);
                continue;
            };
            let Some(index) = egress.who(room) else {
                if egress.info.status == proto::EgressStatus::EgressActive as i32 {
                    egress.end(proto::EgressStatus::EgressComplete, "", context);
                }
                continue;
            };
            let sources = Source::of(&mut room.participants[index], &mut fresh);
            let wants_key = egress.pushers.iter().any(Pusher::is_waiting);
            for pusher in &mut egress.pushers {
                pusher.take(&sources, context.now, SOUND_PATIENCE);
            }
            if let Some(source) = sources.iter().find(|source| source.is_video && wants_key) {
                room.ask_for_key_frame(&source.sid, source.layer, Duration::from_secs(1), context);
            }
            let has_begun = egress.pushers.iter().any(|pusher| !pusher.is_waiting());
            if has_begun && egress.info.status == proto::EgressStatus::EgressStarting as i32 {
                egress.info.status = proto::EgressStatus::EgressActive as i32;
                egress.tell("egress_updated", context);
            }
            let broken = egress.pushers.iter_mut().position(Pusher::has_ended);
            if let Some(broken) = broken {
                let url = egress.pushers.remove(broken).url().to_owned();
                let results = egress.info.stream_results.iter_mut();
                for result in results.filter(|result| result.url == url) {
                    result.status = StreamStatus::Failed as i32;
                    result.error = "the connection was lost".to_owned();
                }
                if egress.pushers.is_empty() {
                    let failed = proto::EgressStatus::EgressFailed;
                    egress.end(failed, "all streams failed", context);
                } else {
                    egress.tell("egress_updated", context);
                }
            }
        }
    }
}

pub fn call(call: &Call, method: &str) -> Result<Response, Error> {
    call.needs(|grant| grant.room_record)?;
    match method {
        "StartParticipantEgress" => {
            let request: proto::ParticipantEgressRequest = call.request()?;
            let urls = urls(&request.stream_outputs);
            let (room, identity) = (request.room_name.clone(), request.identity.clone());
            start(
                call,
                &room,
                Some(identity),
                &urls,
                Request::Participant(request),
            )
        }
        "StartRoomCompositeEgress" => {
            let request: proto::RoomCompositeEgressRequest = call.request()?;
            let mut urls = urls(&request.stream_outputs);
            if let Some(proto::room_composite_egress_request::Output::Stream(one)) = &request.output
            {
                urls.extend(one.urls.iter().cloned());
            }
            let room = request.room_name.clone();
            start(call, &room, None, &urls, Request::RoomComposite(request))
        }
        "ListEgress" => list(call),
        "StopEgress" => stop(call),
        "UpdateStream" => update(call),
        _ => Err(Error::new("bad_route", format!("no handler for {method}"))),
    }
}

fn urls(outputs: &[proto::StreamOutput]) -> Vec<String> {
    outputs
        .iter()
        .flat_map(|output| output.urls.iter().cloned())
        .collect()
}

fn start(
    call: &Call,
    room: &str,
    identity: Option<String>,
    urls: &[String],
    request: Request,
) -> Result<Response, Error> {
    let mut state = call.shared.state();
    if state.context.faults.no_workers {
        return Err(Error::new("unavailable", "no response from servers"));
    }
    let State {
        rooms,
        context,
        egress,
        ..
    } = &mut *state;
    context.tick();
    let room = rooms.get(room);
    let room = room.ok_or_else(|| Error::new("not_found", "requested room does not exist"))?;
    if urls.is_empty() {
        return Err(Error::new(
            "invalid_argument",
            "request has missing or invalid field: output",
        ));
    }
    if !urls
        .iter()
        .all(|url| url.starts_with("rtmp://") || url.starts_with("rtmps://"))
    {
        return Err(Error::new(
            "invalid_argument",
            "request has missing or invalid field: stream url",
        ));
    }
    let now = context.unix_ms * 1_000_000;
    let mut new = Egress {
        info: proto::EgressInfo {
            egress_id: context.id("EG_"),
            room_id: room.info.sid.clone(),
            room_name: room.info.name.clone(),
            status: proto::EgressStatus::EgressStarting as i32,
            started_at: now,
            updated_at: now,
            request: Some(request),
            ..Default::default()
        },
        identity,
        pushers: Vec::new(),
    };
    for url in urls {
        new.push_to(url, context);
    }
    new.tell("egress_started", context);
    let info = new.info.clone();
    egress.all.push(new);
    call.answer(&info)
}

fn list(call: &Call) -> Result<Response, Error> {
    let request: proto::ListEgressRequest = call.request()?;
    let state = call.shared.state();
    let fits = |egress: &&Egress| {
        let info = &egress.info;
        (request.room_name.is_empty() || request.room_name == info.room_name)
            && (request.egress_id.is_empty() || request.egress_id == info.egress_id)
            && (!request.active || !egress.is_over())
    };
    let items = state
        .egress
        .all
        .iter()
        .filter(fits)
        .map(|egress| egress.info.clone());
    call.answer(&proto::ListEgressResponse {
        items: items.collect(),
        ..Default::default()
    })
}

/// Does something with an egress that runs.
fn with(
    call: &Call,
    id: &str,
    act: impl FnOnce(&mut Egress, &mut Context),
) -> Result<Response, Error> {
    let mut state = call.shared.state();
    let State {
        context, egress, ..
    } = &mut *state;
    context.tick();
    let found = egress
        .all
        .iter_mut()
        .find(|egress| egress.info.egress_id == id);
    let egress = found.ok_or_else(|| Error::new("not_found", "egress does not exist"))?;
    if egress.is_over() {
        let text = format!(
            "egress with status {} cannot be changed",
            egress.info.status
        );
        return Err(Error::new("failed_precondition", text));
    }
    act(egress, context);
    call.answer(&egress.info)
}

fn stop(call: &Call) -> Result<Response, Error> {
    let request: proto::StopEgressRequest = call.request()?;
    with(call, &request.egress_id, |egress, context| {
        egress.end(proto::EgressStatus::EgressComplete, "", context);
    })
}

fn update(call: &Call) -> Result<Response, Error> {
    let request: proto::UpdateStreamRequest = call.request()?;
    with(call, &request.egress_id, |egress, context| {
        for url in &request.add_output_urls {
            egress.push_to(url, context);
        }
        let now = context.unix_ms * 1_000_000;
        for url in &request.remove_output_urls {
            egress.pushers.retain(|pusher| pusher.url() != url);
            let results = egress.info.stream_results.iter_mut();
            for result in results.filter(|result| result.url == *url) {
                result.status = StreamStatus::Finished as i32;
                result.ended_at = now;
            }
        }
        egress.tell("egress_updated", context);
    })
}
