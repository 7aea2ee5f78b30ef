//! Files of events in pieces: tus 1.0 (https://tus.io/protocols/resumable-upload), its core and the extensions
//! Creation, Creation With Upload, Termination, Expiration and Checksum. What was acknowledged is there after a
//! crash, and a client that lost the answer to the last piece is told that all of it came.
//!
//! An upload has the id of the asset that it becomes: when it is whole, the store knows it.

mod head;
pub(in crate::control) mod operators;

use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use utoipa::IntoResponses;

use super::upload::{Sender, accept, check_quiet, named, new_upload};
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::control::api::answer::Answer;
use crate::control::api::docs::{Conflicting, Lookup, Sized, Usual};
use crate::control::api::error::Body as Refusal;
use crate::control::api::form::{DEADLINE, SILENCE, declared_bytes};
use crate::control::api::{Call, Error, to_the_end};
use crate::control::{Side, State};
use crate::films::{self, Coming, Incoming, NewUpload};
use crate::store::AssetState;
pub(in crate::control::api) use head::fuzz;
use head::{Checksum, MAX_METADATA_BYTES, count, file_name, metadata};

/// The version of the protocol.
const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
/// What of it is spoken.
const EXTENSIONS: HeaderValue =
    HeaderValue::from_static("creation,creation-with-upload,termination,expiration,checksum");
/// How pieces may be checked.
const ALGORITHMS: HeaderValue = HeaderValue::from_static("sha1,sha256");
/// What pieces are.
const PIECE: &str = "application/offset+octet-stream";
/// Where one upload is.
const UPLOAD: &str = "/api/uploads/{uploadId}";

const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
const OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// What calls of tus may answer besides.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers")]
pub(in crate::control) enum Tus {
    /// It was not finished in time.
    #[response(status = 410)]
    Gone(Refusal),
    /// `Tus-Resumable` is not 1.0.0.
    #[response(status = 412)]
    Precondition(Refusal),
    /// It is no piece, or no file that can be shown; the answer says what was found.
    #[response(status = 415)]
    Unsupported(Refusal),
    /// Another request sends a piece of it.
    #[response(status = 423)]
    Locked(Refusal),
    /// The piece is not what `Upload-Checksum` says; nothing of it is kept.
    #[response(status = 460)]
    Checksum(Refusal),
    /// There is no room for it.
    #[response(status = 507)]
    Storage(Refusal),
}

/// Routes of uploads in pieces.
pub(super) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    let speaks = |method: MethodRouter<State>| {
        method
            .options(options)
            .layer(middleware::map_response(versioned))
    };
    let mut routes = vec![
        (
            "/api/events/{id}/uploads",
            Side::Public,
            speaks(post(create)),
        ),
        (
            UPLOAD,
            Side::Public,
            speaks(post(overridden).head(show).patch(append).delete(cancel)),
        ),
    ];
    let operators = operators::routes().into_iter();
    routes.extend(operators.map(|(path, method)| (path, Side::Operator, speaks(method))));
    routes
}

/// Every answer says the version.
async fn versioned(mut response: Response) -> Response {
    response.headers_mut().insert(RESUMABLE, VERSION);
    response
}

#[utoipa::path(
    options, path = "/api/uploads/{uploadId}", tag = "events", operation_id = "uploadOptions",
    summary = "What of tus is spoken here",
    params(("uploadId" = String, Path, description = "Upload id; any.")),
    responses((status = 204, description = "`Tus-Version`, `Tus-Extension`, `Tus-Max-Size` and \
        `Tus-Checksum-Algorithm` say it.")),
)]
pub(in crate::control) async fn options(
    axum::extract::State(state): axum::extract::State<State>,
) -> Response {
    let most = state.setup().films.max_bytes();
    let answer = [
        ("tus-version", VERSION),
        ("tus-extension", EXTENSIONS),
        ("tus-max-size", most.into()),
        ("tus-checksum-algorithm", ALGORITHMS),
    ];
    (StatusCode::NO_CONTENT, answer).into_response()
}

#[utoipa::path(
    post, path = "/api/events/{id}/uploads", tag = "events", operation_id = "createEventUpload",
    summary = "Begin to send the file of an event in pieces (tus 1.0)",
    description = "`Upload-Length` says how many bytes come, `Upload-Metadata` has the `filename`. A first \
        piece may come with it. What was not finished of the event before gives way.",
    security(("userToken" = [])),
    params(("id" = String, Path, description = "Event id.")),
    responses((status = 201, description = "`Location` says where the pieces go, `Upload-Expires` until when."),
        Usual, Lookup, Sized, Conflicting, Tus,
        (status = 507, description = "There is no room for it.", body = inline(Refusal))),
)]
pub(in crate::control) async fn create(sender: Sender) -> Answer {
    begin(sender, UPLOAD).await
}

/// Begins an upload, which is at this path afterwards.
async fn begin(mut sender: Sender, place: &str) -> Answer {
    let event = sender.event().await?;
    let call = &mut sender.call;
    check_version(call.headers())?;
    let length = number(call.headers(), &LENGTH)?;
    let sent = text(call.headers(), &METADATA)?.unwrap_or_default();
    if sent.len() > MAX_METADATA_BYTES {
        let most = format!("Upload-Metadata is above {MAX_METADATA_BYTES} bytes");
        return Err(Error::TooLarge(most));
    }
    let pairs = metadata(sent);
    let pairs = pairs.ok_or_else(|| Error::Bad("Upload-Metadata cannot be read".to_owned()))?;
    let new = NewUpload {
        name: named(file_name(&pairs).as_deref()),
        metadata: sent.to_owned(),
        ..new_upload(&event, length)
    };
    if length == 0 {
        return Err(Error::Unsupported("the file is empty".to_owned()));
    }
    let checksum = checksum(call.headers())?;
    let has_piece = is_piece(call.headers());
    if has_piece {
        check_piece(call.headers(), 0, length)?;
    }
    let films = &call.state.setup().films;
    let mut coming = films.create(new).await?;
    if has_piece {
        let incoming = films.resume(coming.upload.id, 0).await?;
        coming.offset = receive(call, incoming, checksum).await?;
    }
    let mut response = told(StatusCode::CREATED, &coming);
    let place = place.replace("{uploadId}", &coming.upload.id.to_string());
    let place = HeaderValue::try_from(place).expect("it is ASCII");
    response.headers_mut().insert(header::LOCATION, place);
    Ok(response)
}

#[utoipa::path(
    head, path = "/api/uploads/{uploadId}", tag = "events", operation_id = "showUpload",
    summary = "How much of a file has come", security(("userToken" = [])),
    params(("uploadId" = String, Path, description = "Upload id.")),
    responses((status = 200, description = "`Upload-Offset` says how much, and with as much as `Upload-Length` \
        the file is the event's."), Usual, Lookup, Tus,
        (status = 410, description = "It was not finished in time."),
        (status = 415, description = "All of it is there, and it is no file that can be shown.")),
)]
pub(in crate::control) async fn show(mut sender: Sender) -> Answer {
    let own = own(&mut sender).await?;
    let call = sender.call;
    let coming = match own {
        Own::Whole(bytes) => {
            let answer = [OFFSET, LENGTH].map(|name| (name, HeaderValue::from(bytes)));
            return Ok((StatusCode::OK, [NOT_KEPT], answer).into_response());
        }
        Own::Coming(coming) => coming,
    };
    if coming.offset == coming.upload.length {
        // Nobody was told yet whether it is a file that can be shown.
        let incoming = call
            .state
            .setup()
            .films
            .resume(coming.upload.id, coming.offset);
        settle(&call.state, incoming.await?).await?;
    }
    let mut response = told(StatusCode::OK, &coming);
    let headers = response.headers_mut();
    headers.insert(LENGTH, coming.upload.length.into());
    if let Ok(sent) = HeaderValue::from_str(&coming.upload.metadata)
        && !sent.is_empty()
    {
        headers.insert(METADATA, sent);
    }
    headers.insert(NOT_KEPT.0, NOT_KEPT.1);
    Ok(response)
}

#[utoipa::path(
    patch, path = "/api/uploads/{uploadId}", tag = "events", operation_id = "appendToUpload",
    summary = "Send a piece of a file (tus 1.0)",
    description = "With the last one the file is the event's, or is refused and gone.",
    security(("userToken" = [])),
    params(("uploadId" = String, Path, description = "Upload id.")),
    request_body(content = inline(super::upload::Piece), content_type = "application/offset+octet-stream"),
    responses((status = 204, description = "`Upload-Offset` says how much is there now."),
        Usual, Lookup, Sized,
        (status = 409, description = "`Upload-Offset` is not where the piece before ended, or the event is on.",
            body = inline(Refusal)),
        (status = 410, description = "It was not finished in time.", body = inline(Refusal)),
        (status = 412, description = "`Tus-Resumable` is not 1.0.0.", body = inline(Refusal)),
        (status = 415, description = "The body is no piece, or the file is none that can be shown; the answer \
            says what was found.", body = inline(Refusal)),
        (status = 423, description = "Another request sends a piece of it.", body = inline(Refusal)),
        (status = 460, description = "The piece is not what `Upload-Checksum` says; nothing of it is kept.",
            body = inline(Refusal)),
        (status = 507, description = "There is no room for it.", body = inline(Refusal))),
)]
pub(in crate::control) async fn append(mut sender: Sender) -> Answer {
    let mut coming = unfinished(&mut sender).await?;
    let mut call = sender.call;
    if !is_piece(call.headers()) {
        return Err(Error::Unsupported(format!("the body is no {PIECE}")));
    }
    let offset = number(call.headers(), &OFFSET)?;
    let checksum = checksum(call.headers())?;
    check_piece(call.headers(), offset, coming.upload.length)?;
    let event = call.state.setup().store.event(coming.upload.event).await?;
    check_quiet(&event.ok_or(Error::NotFound("event"))?)?;
    let films = &call.state.setup().films;
    let incoming = films.resume(coming.upload.id, offset).await?;
    coming.offset = receive(&mut call, incoming, checksum).await?;
    Ok(told(StatusCode::NO_CONTENT, &coming))
}

#[utoipa::path(
    delete, path = "/api/uploads/{uploadId}", tag = "events", operation_id = "cancelUpload",
    summary = "Give up an upload that is not finished", security(("userToken" = [])),
    params(("uploadId" = String, Path, description = "Upload id.")),
    responses((status = 204, description = "It is gone."), Usual, Lookup, Tus,
        (status = 409, description = "All of it is there, and the event's.", body = inline(Refusal)),
        (status = 412, description = "`Tus-Resumable` is not 1.0.0.", body = inline(Refusal)),
        (status = 423, description = "Another request sends a piece of it.", body = inline(Refusal))),
)]
pub(in crate::control) async fn cancel(mut sender: Sender) -> Answer {
    let coming = unfinished(&mut sender).await?;
    let call = sender.call;
    let state = call.state.clone();
    to_the_end(&call.state, async move {
        state.setup().films.cancel(coming.upload.id).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

#[utoipa::path(
    post, path = "/api/uploads/{uploadId}", tag = "events", operation_id = "overrideUploadMethod",
    summary = "What `X-HTTP-Method-Override` says, for clients that can send no PATCH or DELETE",
    security(("userToken" = [])),
    params(("uploadId" = String, Path, description = "Upload id.")),
    request_body(content = inline(super::upload::Piece), content_type = "application/offset+octet-stream"),
    responses((status = 204, description = "As for that method."), Usual, Lookup, Sized, Conflicting,
        Tus),
)]
pub(in crate::control) async fn overridden(mut sender: Sender) -> Answer {
    match text(sender.call.headers(), &OVERRIDE)? {
        Some("PATCH") => append(sender).await,
        Some("DELETE") => cancel(sender).await,
        Some("HEAD") => show(sender).await,
        // Others do not learn by it that there is such an upload.
        _ => match own(&mut sender).await {
            Ok(_) | Err(Error::Precondition(_)) => Err(Error::Method),
            Err(refusal) => Err(refusal),
        },
    }
}

/// What an upload has become.
enum Own {
    /// It may be gone on with.
    Coming(Coming),
    /// It is an asset of so many bytes.
    Whole(u64),
}

/// The upload that the path names, if this sender may change it.
async fn own(sender: &mut Sender) -> Result<Own, Error> {
    let id = sender.call.parameter("uploadId").await?;
    let missing = || Error::NotFound("upload");
    let id = Uuid::try_parse(&id).map_err(|_| missing())?;
    let setup = sender.call.state.setup();
    let (tenant, owner, own) = match setup.films.find(id) {
        Some(coming) => {
            let upload = coming.upload.clone();
            (upload.tenant.clone(), upload.user, Own::Coming(coming))
        }
        None => {
            let asset = setup.store.asset(id).await?;
            let asset = asset.filter(|asset| asset.state != AssetState::Uploading);
            let asset = asset.ok_or_else(missing)?;
            (asset.application_id, asset.user_id, Own::Whole(asset.bytes))
        }
    };
    sender.check(&tenant, owner, missing)?;
    check_version(sender.call.headers())?;
    match own {
        // Only its owner is told that its time is over.
        Own::Coming(_) => Ok(Own::Coming(sender.call.state.setup().films.upload(id)?)),
        whole => Ok(whole),
    }
}

/// The same, if it is not whole.
async fn unfinished(sender: &mut Sender) -> Result<Coming, Error> {
    match own(sender).await? {
        Own::Coming(coming) => Ok(coming),
        Own::Whole(_) => Err(Error::Conflict("all of the file is there".to_owned())),
    }
}

/// Takes a piece to its end, also when its sender does not wait; how much is there then. With all of it the file
/// is settled.
async fn receive(
    call: &mut Call,
    incoming: Incoming,
    checksum: Option<Checksum>,
) -> Result<u64, Error> {
    let body = call.unread_body();
    let state = call.state.clone();
    let work = async move { take(&state, incoming, body, checksum).await };
    to_the_end(&call.state, Box::pin(work)).await
}

async fn take(
    state: &State,
    mut incoming: Incoming,
    body: Body,
    mut checksum: Option<Checksum>,
) -> Result<u64, Error> {
    let came = pour(state, &mut incoming, body, &mut checksum).await;
    // What is not kept is cut off when the next piece comes. Part of a piece is as good as a piece, as long as
    // nobody said what all of it comes to.
    match checksum {
        Some(checksum) => {
            came?;
            if !checksum.fits() {
                return Err(Error::Checksum);
            }
            incoming.keep().await?;
        }
        None => {
            incoming.keep().await?;
            came?;
        }
    }
    let written = incoming.written();
    if written == incoming.upload().length {
        finish(state, incoming).await?;
    }
    Ok(written)
}

async fn pour(
    state: &State,
    incoming: &mut Incoming,
    mut body: Body,
    checksum: &mut Option<Checksum>,
) -> Result<(), Error> {
    let broken = |what: String| Error::Bad(format!("the piece broke off: {what}"));
    // Who sends a byte now and then would hold one of a few places for ever; what came is gone on with.
    let late = tokio::time::sleep(DEADLINE);
    tokio::pin!(late);
    loop {
        let frame = tokio::select! {
            () = state.setup().tasks.stopped() => {
                return Err(Error::Capacity("the gateway stops".to_owned()));
            }
            () = &mut late => {
                return Err(broken(format!("it did not come within {DEADLINE:?}")));
            }
            frame = tokio::time::timeout(SILENCE, body.frame()) => frame,
        };
        let frame = frame.map_err(|_| broken(format!("nothing came within {SILENCE:?}")))?;
        let Some(frame) = frame else {
            return Ok(());
        };
        let frame = frame.map_err(|error| broken(error.to_string()))?;
        let Some(bytes) = frame.data_ref() else {
            continue;
        };
        incoming.write(bytes).await?;
        match checksum {
            Some(checksum) => checksum.update(bytes),
            None if incoming.is_worth_keeping() => incoming.keep().await?,
            None => {}
        }
    }
}

/// All of it is there, and its sender does not wait for what becomes of it.
async fn settle(state: &State, incoming: Incoming) -> Result<(), Error> {
    let own = state.clone();
    to_the_end(state, async move { finish(&own, incoming).await }).await
}

async fn finish(state: &State, incoming: Incoming) -> Result<(), Error> {
    let name = incoming.upload().name.clone();
    accept(state, incoming, &name).await
}

/// Nothing between keeps it.
const NOT_KEPT: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// An answer about an upload.
fn told(code: StatusCode, coming: &Coming) -> Response {
    let until = httpdate::fmt_http_date(system_time(coming.upload.expires));
    let until = HeaderValue::try_from(until).expect("it is ASCII");
    let answer = [(OFFSET, coming.offset.into()), (EXPIRES, until)];
    (code, answer).into_response()
}

fn system_time(wall: Wall) -> SystemTime {
    let micros = u64::try_from(wall.0).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

/// Who speaks another version is told which one is spoken here.
fn check_version(headers: &HeaderMap) -> Result<(), Error> {
    match headers.get(&RESUMABLE) {
        Some(version) if version == VERSION => Ok(()),
        _ => Err(Error::Precondition("Tus-Resumable is not 1.0.0")),
    }
}

fn is_piece(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().eq_ignore_ascii_case(PIECE.as_bytes()))
}

/// What is declared too long is not read.
fn check_piece(headers: &HeaderMap, offset: u64, length: u64) -> Result<(), Error> {
    let bytes = declared_bytes(headers).unwrap_or_default();
    match offset.saturating_add(bytes) > length {
        true => Err(films::Error::TooLarge(length).into()),
        false => Ok(()),
    }
}

fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Error> {
    let Some(text) = text(headers, &CHECKSUM)? else {
        return Ok(None);
    };
    let unknown = || Error::Bad("Upload-Checksum is no sum of SHA-1 or SHA-256".to_owned());
    Checksum::parse(text).ok_or_else(unknown).map(Some)
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Result<u64, Error> {
    let value = text(headers, name)?.and_then(count);
    value.ok_or_else(|| Error::Bad(format!("{name} is not a number of bytes")))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Error> {
    let value = headers.get(name).map(HeaderValue::to_str).transpose();
    value.map_err(|_| Error::Bad(format!("{name} is not text")))
}
