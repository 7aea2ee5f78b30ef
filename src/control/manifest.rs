//! Universal manifests: one URL per channel, which leads to its newest stream (contract, channels,
//! section 10).

use std::net::IpAddr;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State as Extract};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::token::{Target, path_form};
use super::{Error, State};
use crate::base::network::ClientAddress;

/// Capability without which a stream has no manifest.
const STREAMING: &str = "streaming";
/// Capability with which a stream opens for token holders only.
const TOKEN_AUTH: &str = "token-auth";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Params {
    stream_token: Option<String>,
}

pub(super) async fn redirect(
    Extract(state): Extract<State>,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<Params>, QueryRejection>,
    client: Option<Extension<ClientAddress>>,
) -> Response {
    let peer = client.map(|Extension(ClientAddress(address))| address);
    let location = async {
        let Path((channel, manifest)) = path.map_err(|_| Error::BadRequest)?;
        let Query(params) = query.map_err(|_| Error::BadRequest)?;
        find(&state, &channel, &manifest, params.stream_token, peer).await
    };
    let mut response = match location.await {
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

/// Order of checks: channel, manifest name, token, stream, `streaming`.
async fn find(
    state: &State,
    channel: &str,
    manifest: &str,
    token: Option<String>,
    peer: Option<IpAddr>,
) -> Result<String, Error> {
    let setup = state.setup();
    let channel = setup.store.find_channel(channel).await?;
    let channel = channel.ok_or(Error::NotFound)?;
    let (base, folder, file) = match manifest {
        "live.m3u8" => (&setup.hls_base, "/hls", "index.m3u8"),
        "live.mpd" => (&setup.dash_base, "/dash", "manifest.mpd"),
        _ => return Err(Error::NotFound),
    };
    let stream = setup.live.on_air(&channel.id);
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
            return Err(Error::Unauthorized);
        }
    }
    let streaming = has(STREAMING);
    let stream = stream.ok_or(Error::NotFound)?;
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
