//! Signalling of protocol version 0: a WebSocket at `/rtc` with one protobuf message a frame, and the question
//! why it was refused at `/rtc/validate`. Version 1 is not there, so that clients fall back.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State as Shared_};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};
use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_response::Message;
use tokio::sync::mpsc;

use super::Shared;
use super::participant::MAX_MESSAGES;
use super::state::Wishes;
use super::token::{Claims, Refusal};

/// The routes of this module.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/rtc", get(upgrade))
        .route("/rtc/validate", get(validate))
        // Pages fall back to version 0 only if they may read that version 1 is not there.
        .fallback(async || refuse(Refusal::new(404, "404 page not found\n")))
}

/// Status and text, readable for pages of any origin.
pub fn refuse(refusal: Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).expect("a status");
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
    ];
    (status, headers, refusal.text).into_response()
}

/// The token of a request: `Authorization: Bearer …`, or the query's `access_token`.
pub fn token(query: &HashMap<String, String>, headers: &HeaderMap) -> Result<String, Refusal> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        let token = query.get("access_token").cloned().unwrap_or_default();
        return match token.is_empty() {
            true => Err(Refusal::denied()),
            false => Ok(token),
        };
    };
    let value = value.to_str().unwrap_or("");
    let token = value.strip_prefix("Bearer ").map(str::to_owned);
    token.ok_or_else(|| {
        let text = "invalid authorization header. Must start with Bearer ";
        Refusal::new(401, text)
    })
}

fn check(
    shared: &Shared,
    query: &HashMap<String, String>,
    headers: &HeaderMap,
) -> Result<Claims, Refusal> {
    let state = shared.state();
    let claims = state.verify(&token(query, headers)?)?;
    state.may_join(&claims)?;
    Ok(claims)
}

async fn validate(
    Shared_(shared): Shared_<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    match check(&shared, &query, &headers) {
        Ok(_) => refuse(Refusal::new(200, "success")),
        Err(refusal) => refuse(refusal),
    }
}

async fn upgrade(
    Shared_(shared): Shared_<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    socket: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let refused = shared.state().context.faults.refuse_upgrade;
    if let Some(status) = refused {
        return refuse(Refusal::new(status, "refused by order of a test"));
    }
    let claims = match check(&shared, &query, &headers) {
        Ok(claims) => claims,
        Err(refusal) => return refuse(refusal),
    };
    let Ok(socket) = socket else {
        return refuse(Refusal::new(404, "404 page not found\n"));
    };
    let is_on = |name: &str, by_default: bool| {
        query
            .get(name)
            .map_or(by_default, |value| value == "1" || value == "true")
    };
    let wishes = Wishes {
        auto_subscribe: is_on("auto_subscribe", true),
        reconnects: is_on("reconnect", false),
        sid: query.get("sid").cloned().unwrap_or_default(),
    };
    if !wishes.reconnects && shared.state().is_full(&claims) {
        return refuse(Refusal::new(500, "room has exceeded its max participants"));
    }
    socket.on_upgrade(move |socket| session(shared, claims, wishes, socket))
}

/// One signal connection, until either side ends it.
async fn session(shared: Arc<Shared>, claims: Claims, wishes: Wishes, mut socket: WebSocket) {
    let (signal, mut messages) = mpsc::channel::<Vec<u8>>(MAX_MESSAGES);
    let joined = shared.state().join(&claims, &wishes, signal.clone());
    let (room, sid) = match joined {
        Ok(joined) => joined,
        Err(goodbye) => {
            let response = proto::SignalResponse {
                message: Some(Message::Leave(goodbye)),
            };
            let _ = socket
                .send(Frame::Binary(response.encode_to_vec().into()))
                .await;
            let _ = socket.send(Frame::Close(None)).await;
            return;
        }
    };
    let mine = signal.downgrade();
    drop(signal);
    shared.wake.notify_one();
    loop {
        tokio::select! {
            message = messages.recv() => {
                let Some(bytes) = message else {
                    let _ = socket.send(Frame::Close(None)).await;
                    return;
                };
                let faults = shared.state().context.faults.clone();
                if !faults.slow.is_zero() {
                    tokio::time::sleep(faults.slow).await;
                }
                if !faults.is_silent && socket.send(Frame::Binary(bytes.into())).await.is_err() {
                    break;
                }
            }
            frame = socket.recv() => {
                match frame {
                    Some(Ok(Frame::Binary(bytes))) => {
                        let goes_on = shared.state().handle(&room, &sid, &bytes);
                        shared.wake.notify_one();
                        if !goes_on {
                            let _ = socket.send(Frame::Close(None)).await;
                            return;
                        }
                    }
                    Some(Ok(Frame::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => {}
                }
            }
        }
    }
    if let Some(signal) = mine.upgrade() {
        shared.state().lose(&room, &sid, &signal);
    }
}
