//! Ingress as a server has it: endpoints are made, listed and deleted. Where RTMP and WHIP of an ingress would
//! arrive nobody listens. Input from a URL needs a worker at once; there is none unless a test says that it is
//! one, and says then how that fares.

use axum::response::Response;
use livekit_protocol as proto;

use super::twirp::{Call, Error};

pub fn call(call: &Call, method: &str) -> Result<Response, Error> {
    call.needs(|grant| grant.ingress_admin)?;
    match method {
        "CreateIngress" => create(call),
        "ListIngress" => list(call),
        "DeleteIngress" => delete(call),
        _ => Err(Error::new("bad_route", format!("no handler for {method}"))),
    }
}

fn create(call: &Call) -> Result<Response, Error> {
    let request: proto::CreateIngressRequest = call.request()?;
    let input = proto::IngressInput::try_from(request.input_type);
    let mut state = call.shared.state();
    let key = state.context.id("");
    let url = match input {
        Ok(proto::IngressInput::RtmpInput) => state.ingress_urls.0.clone(),
        Ok(proto::IngressInput::WhipInput) => state.ingress_urls.1.clone(),
        Ok(proto::IngressInput::UrlInput) => {
            let scheme = request.url.split("://").next().unwrap_or("");
            if !matches!(scheme, "http" | "https" | "srt") {
                let text = format!("invalid url scheme {scheme}");
                return Err(Error::new("invalid_argument", text));
            }
            if !state.has_ingress_worker {
                return Err(Error::new("unavailable", "no response from servers"));
            }
            request.url.clone()
        }
        Err(_) => return Err(Error::new("invalid_argument", "invalid ingress type")),
    };
    if request.participant_identity.is_empty() {
        let text = "participant identity is required";
        return Err(Error::new("invalid_argument", text));
    }
    let is_whip = input == Ok(proto::IngressInput::WhipInput);
    let info = proto::IngressInfo {
        ingress_id: state.context.id("IN_"),
        name: request.name,
        stream_key: key,
        url,
        input_type: request.input_type,
        enable_transcoding: Some(request.enable_transcoding.unwrap_or(!is_whip)),
        audio: request.audio,
        video: request.video,
        room_name: request.room_name,
        participant_identity: request.participant_identity,
        participant_name: request.participant_name,
        participant_metadata: request.participant_metadata,
        reusable: true,
        state: Some(proto::IngressState {
            status: match input {
                Ok(proto::IngressInput::UrlInput) => {
                    proto::ingress_state::Status::EndpointBuffering
                }
                _ => proto::ingress_state::Status::EndpointInactive,
            }
            .into(),
            ..Default::default()
        }),
        enabled: request.enabled,
        ..Default::default()
    };
    state.ingress.push(info.clone());
    call.answer(&info)
}

fn list(call: &Call) -> Result<Response, Error> {
    let request: proto::ListIngressRequest = call.request()?;
    let state = call.shared.state();
    let fits = |info: &&proto::IngressInfo| {
        (request.room_name.is_empty() || info.room_name == request.room_name)
            && (request.ingress_id.is_empty() || info.ingress_id == request.ingress_id)
    };
    let items = state.ingress.iter().filter(fits).cloned().collect();
    call.answer(&proto::ListIngressResponse {
        items,
        ..Default::default()
    })
}

fn delete(call: &Call) -> Result<Response, Error> {
    let request: proto::DeleteIngressRequest = call.request()?;
    let mut state = call.shared.state();
    let found = state
        .ingress
        .iter()
        .position(|info| info.ingress_id == request.ingress_id);
    let unknown = || Error::new("not_found", "ingress does not exist");
    let info = state.ingress.remove(found.ok_or_else(unknown)?);
    call.answer(&info)
}
