//! Files of events (contract, broadcasts, section 7): a form whose file goes to the disk as it comes, and what
//! becomes of a file that is whole, whichever way it came.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use utoipa::ToSchema;

use super::view::{self, View};
use crate::base::id::Uuid;
use crate::control::api::answer::{Answer, ok};
use crate::control::api::docs::{Conflicting, Lookup, Sized, Usual};
use crate::control::api::error::Body as Refusal;
use crate::control::api::{ByUser, Call, Error, form, to_the_end};
use crate::control::{State, auth};
use crate::films::{self, Incoming, Medium, NewUpload};
use crate::store::{self, AssetKind, Event, EventStatus, NewAsset, Received, User};

/// Bytes of a file's name.
const MAX_NAME_BYTES: usize = 256;
/// What a file is called that has no name.
const NAMELESS: &str = "film";

/// A piece of a file.
#[derive(ToSchema)]
#[schema(as = UploadPiece, value_type = String, format = Binary)]
#[expect(dead_code, reason = "it describes bodies")]
pub(in crate::control) struct Piece(Vec<u8>);

/// A file that is sent as a form.
#[derive(ToSchema)]
#[schema(as = EventUpload)]
#[expect(dead_code, reason = "forms are read field by field")]
pub(in crate::control) struct Form {
    /// MP4, QuickTime, WebM, MP3, WAV, M4A or AAC; at most `FOREBAY_EVENT_MAX_BYTES`, which are 2^30.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

#[utoipa::path(
    post, path = "/api/events/{id}/upload", tag = "events", operation_id = "uploadEventContent",
    summary = "Send the file of an event, in the place of the one before",
    description = "What the file is, is found out by its content. It is prepared in the background, as \
        the event's `file` says. Files that may break off on their way: `POST /api/events/{id}/uploads`.",
    security(("userToken" = [])),
    params(("id" = String, Path, description = "Event id.")),
    request_body(content = inline(Form), content_type = "multipart/form-data"),
    responses((status = 200, description = "The event.", body = inline(View)), Usual, Lookup, Sized,
        Conflicting,
        (status = 415, description = "It is no file that can be shown; the answer says what was found.",
            body = inline(Refusal)),
        (status = 507, description = "There is no room for it.", body = inline(Refusal))),
)]
pub(in crate::control) async fn upload(mut sender: Sender) -> Answer {
    let event = sender.event().await?;
    let mut call = sender.call;
    let boundary = form::boundary(call.headers());
    let boundary = boundary.ok_or_else(|| {
        Error::Unsupported("the body is no multipart/form-data with a boundary".to_owned())
    })?;
    let films = &call.state.setup().films;
    let most = films.max_bytes();
    if form::is_too_long(call.headers(), most) {
        return Err(films::Error::TooLarge(most).into());
    }
    let declared = form::declared_bytes(call.headers()).unwrap_or(most);
    let mut incoming = films.begin(new_upload(&event, declared.min(most))).await?;
    let body = call.unread_body();
    let form = form::receive(body, boundary, &mut incoming).await?;
    let name = named(form.file_name.as_deref());
    let state = call.state.clone();
    let accepted = to_the_end(
        &call.state,
        async move { accept(&state, incoming, &name).await },
    );
    accepted.await?;
    let event = call.state.setup().store.event(event.id).await?;
    let event = event.ok_or(Error::NotFound("event"))?;
    Ok(ok(&view::one(&call, event).await?))
}

impl form::Sink for Incoming {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Ok(Incoming::write(self, bytes).await?)
    }
}

/// A call of who may send files: a user, or an operator where those are.
pub(in crate::control) struct Sender {
    pub(super) call: Call,
    /// `None`: an operator, who may change everybody's.
    user: Option<Arc<User>>,
}

impl FromRequest<State> for Sender {
    type Rejection = Error;

    async fn from_request(request: Request, state: &State) -> Result<Sender, Error> {
        let of_operators = request.uri().path().starts_with("/api/admin/");
        if !of_operators {
            let ByUser(call, user) = ByUser::from_request(request, state).await?;
            let user = Some(user);
            return Ok(Sender { call, user });
        }
        let call = Call::from_request(request, state).await?;
        match auth::is_operator(state, call.headers()) {
            true => Ok(Sender { call, user: None }),
            false => Err(Error::Unauthorized("the admin key is missing or wrong")),
        }
    }
}

impl Sender {
    /// The event that the path names, if this sender may replace its file, and now.
    pub(super) async fn event(&mut self) -> Result<Event, Error> {
        let missing = || Error::NotFound("event");
        let id = self.call.parameter("id").await?;
        let id = Uuid::try_parse(&id).map_err(|_| missing())?;
        let event = self.call.state.setup().store.event(id).await?;
        let event = event.ok_or_else(missing)?;
        self.check(&event.application_id, event.user_id, missing)?;
        check_quiet(&event)?;
        Ok(event)
    }

    /// Whether it may change what is a user's; for other tenants that is missing.
    pub(super) fn check(
        &self,
        tenant: &str,
        owner: Uuid,
        missing: impl FnOnce() -> Error,
    ) -> Result<(), Error> {
        match &self.user {
            None => Ok(()),
            Some(user) if user.application_id != tenant => Err(missing()),
            Some(user) if user.id != owner => Err(Error::Forbidden),
            Some(_) => Ok(()),
        }
    }
}

/// Whether nobody watches the file that an event has.
pub(super) fn check_quiet(event: &Event) -> Result<(), Error> {
    match event.status {
        EventStatus::Active => Err(Error::Conflict(
            "the event is on: its file cannot be replaced".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// What is known of a file of so many bytes before it comes.
pub(super) fn new_upload(event: &Event, length: u64) -> NewUpload {
    NewUpload {
        event: event.id,
        user: event.user_id,
        tenant: event.application_id.clone(),
        name: NAMELESS.to_owned(),
        length,
        metadata: String::new(),
    }
}

/// What a file is called here: as its sender says, without folders, on one line, and not too long.
pub(super) fn named(name: Option<&str>) -> String {
    let name = name.map(form::last_part).unwrap_or_default();
    let mut name: String = name.chars().filter(|letter| !letter.is_control()).collect();
    name.truncate(name.floor_char_boundary(MAX_NAME_BYTES));
    match name.trim() {
        "" | "." | ".." => NAMELESS.to_owned(),
        name => name.to_owned(),
    }
}

/// All of a file came: looks what it is, and makes it its event's. The file before goes unless it is on.
pub(super) async fn accept(state: &State, mut incoming: Incoming, name: &str) -> Result<(), Error> {
    let sealed = incoming.seal().await?;
    if sealed.bytes == 0 {
        incoming.refuse();
        return Err(Error::Unsupported("the file is empty".to_owned()));
    }
    let found = match incoming.probe().await {
        Err(error @ films::Error::Unsupported(_)) => {
            incoming.refuse();
            return Err(error.into());
        }
        found => found?,
    };
    let upload = incoming.upload().clone();
    let placed = incoming.place().await?;
    let sha256 = sealed.sha256.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let micros = |length: std::time::Duration| i64::try_from(length.as_micros()).ok();
    let received = Received {
        kind: match found.medium {
            Medium::Video => AssetKind::Video,
            Medium::Audio => AssetKind::Audio,
        },
        bytes: sealed.bytes,
        sha256: &sha256,
        duration_us: found.duration.and_then(micros),
    };
    let new = NewAsset {
        id: upload.id,
        event_id: upload.event,
        name,
        bytes: sealed.bytes,
    };
    let store = &state.setup().store;
    let known = async {
        store.create_asset(&new).await?;
        store.asset_received(upload.id, &received).await
    };
    let unused = match known.await {
        Ok((_, unused)) => unused,
        Err(error) => {
            // Where it is not known what became of the row, the next sweep asks again.
            if !matches!(
                error,
                store::Error::Missing { .. } | store::Error::Full { .. }
            ) {
                placed.keep();
            }
            return Err(error.into());
        }
    };
    placed.keep();
    forget(state, &unused).await;
    Ok(())
}

/// Removes what is nobody's any more; what stays goes with the next sweep.
pub(super) async fn forget(state: &State, assets: &[Uuid]) {
    for asset in assets {
        if let Err(err) = state.setup().films.remove(*asset).await {
            tracing::error!(%err, %asset, "a film of nobody could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_folders_and_no_lines_and_are_not_long() {
        for (sent, expected) in [
            (Some("a.mp4"), "a.mp4"),
            (Some("../../etc/passwd"), "passwd"),
            (Some("C:\\films\\a.mov"), "a.mov"),
            (Some("a\r\nb\0.mp4"), "ab.mp4"),
            (Some(".."), "film"),
            (Some("x/"), "film"),
            (Some("   "), "film"),
            (None, "film"),
            (Some("Größe 🎬.webm"), "Größe 🎬.webm"),
        ] {
            assert_eq!(named(sent), expected, "{sent:?}");
        }
        let long = named(Some(&"ä".repeat(1000)));
        assert_eq!(long.len(), MAX_NAME_BYTES);
    }
}
