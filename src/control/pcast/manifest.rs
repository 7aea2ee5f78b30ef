//! Universal manifests: one URL per channel, which leads to its newest stream (contract, channels,
//! section 10).

use std::net::IpAddr;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State as Extract};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::Error;
use super::docs::Public;
use crate::base::network::ClientAddress;
use crate::control::token::{Target, path_form};
use crate::control::{OnAir, State};

/// Capability without which a stream has no manifest.
const STREAMING: &str = "streaming";
/// Capability with which a stream opens for token holders only.
const TOKEN_AUTH: &str = "token-auth";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct Params {
    stream_token: Option<String>,
}

/// Where a manifest is.
#[derive(Clone, Copy)]
enum Manifest {
    Hls,
    Dash,
}

type Asked = (
    Result<Path<String>, PathRejection>,
    Result<Query<Params>, QueryRejection>,
    Option<Extension<ClientAddress>>,
);

#[utoipa::path(
    get, path = "/pcast/channel/{channelId}/live.m3u8", tag = "channel",
    operation_id = "hlsManifest",
    summary = "Universal HLS manifest: leads to the channel's newest stream", security(()),
    params(("channelId" = String, Path, example = "live",
            description = "Channel id, percent-encoded, or alias."),
        ("streamToken" = Option<String>, Query,
            description = "Playback token, needed when the stream is protected by `token-auth`.")),
    responses((status = 302, description = "The stream's manifest.",
            headers(("Location" = String, description = "Where it is."))),
        (status = 401, description = "Protected, and the token is missing, expired or for something else.",
            body = inline(super::error::Body)),
        (status = 415, description = "The stream has no `streaming` capability.",
            body = inline(super::error::Body)), Public),
)]
pub(in crate::control) async fn hls(
    Extract(state): Extract<State>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Params>, QueryRejection>,
    peer: Option<Extension<ClientAddress>>,
) -> Response {
    redirect(&state, Manifest::Hls, (path, query, peer))
}

#[utoipa::path(
    get, path = "/pcast/channel/{channelId}/live.mpd", tag = "channel",
    operation_id = "dashManifest",
    summary = "Universal DASH manifest: leads to the channel's newest stream", security(()),
    params(("channelId" = String, Path, example = "live",
            description = "Channel id, percent-encoded, or alias."),
        ("streamToken" = Option<String>, Query,
            description = "Playback token, needed when the stream is protected by `token-auth`.")),
    responses((status = 302, description = "The stream's manifest.",
            headers(("Location" = String, description = "Where it is."))),
        (status = 401, description = "Protected, and the token is missing, expired or for something else.",
            body = inline(super::error::Body)),
        (status = 415, description = "The stream has no `streaming` capability.",
            body = inline(super::error::Body)), Public),
)]
pub(in crate::control) async fn dash(
    Extract(state): Extract<State>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Params>, QueryRejection>,
    peer: Option<Extension<ClientAddress>>,
) -> Response {
    redirect(&state, Manifest::Dash, (path, query, peer))
}

fn redirect(state: &State, manifest: Manifest, (path, query, peer): Asked) -> Response {
    let peer = peer.map(|Extension(ClientAddress(address))| address);
    let bad = |what| Error::Bad(format!("the {what} cannot be read"));
    let location = path.map_err(|_| bad("path")).and_then(|Path(channel)| {
        let token = query.map(|Query(params)| params.stream_token);
        find(
            state,
            &channel,
            manifest,
            token.map_err(|_| bad("query")),
            peer,
        )
    });
    let mut response = match location {
        Ok(location) => (StatusCode::FOUND, [(header::LOCATION, location)]).into_response(),
        Err(error) => error.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    response
}

/// Order of checks: channel, token, stream, `streaming`. Other names of manifests have no route. All of it
/// from memory: every viewer comes by here, and none of them has credentials.
fn find(
    state: &State,
    channel: &str,
    manifest: Manifest,
    token: Result<Option<String>, Error>,
    peer: Option<IpAddr>,
) -> Result<String, Error> {
    let setup = state.setup();
    let channel = setup.store.known_public_channel(channel);
    let channel = channel.ok_or(Error::NotFound("channel"))?;
    let token = token?;
    let (base, folder, file) = match manifest {
        Manifest::Hls => (&setup.hls_base, "/hls", "index.m3u8"),
        Manifest::Dash => (&setup.dash_base, "/dash", "manifest.mpd"),
    };
    // An event that is on has the channel's name.
    let show = setup.playbill.on_channel(&channel.id).map(|id| OnAir {
        id,
        capabilities: vec![STREAMING.to_owned()],
        tags: Vec::new(),
    });
    let stream = show.or_else(|| setup.live.on_air(&channel.id));
    // What a stream was opened with holds until it ends; without one the channel's own word counts.
    let capabilities = match &stream {
        Some(stream) => &stream.capabilities[..],
        None => channel.capabilities.as_deref().unwrap_or_default(),
    };
    let has = |word: &str| capabilities.iter().any(|capability| capability == word);
    let protected = has(TOKEN_AUTH);
    let token = token.filter(|_| protected);
    if protected {
        let id = stream.as_ref().map(|stream| stream.id);
        let target = Target {
            stream_id: id,
            origin_id: id.map(|id| setup.live.origin(id)),
            channel_id: &channel.id,
            alias: &channel.alias,
            capabilities,
            tags: match &stream {
                Some(stream) => &stream.tags,
                None => &channel.tags,
            },
            has_session: &|session| id.is_some_and(|id| setup.live.has_session(id, session)),
            peer,
        };
        let checked = token.as_deref().map(|t| setup.tokens.playback(t, &target));
        if checked != Some(Ok(())) {
            return Err(Error::NoToken);
        }
    }
    let streaming = has(STREAMING);
    let stream = stream.ok_or(Error::NotFound("stream: nothing is on air"))?;
    if !streaming {
        return Err(Error::Unsupported);
    }
    let base = base.as_deref().unwrap_or(folder);
    let id = stream.id;
    Ok(match token {
        Some(token) => format!("{base}/{id}/~{}/{file}", path_form(&token)),
        None => format!("{base}/{id}/{file}"),
    })
}
