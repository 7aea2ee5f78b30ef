//! Files as forms (RFC 7578): bytes go to the disk as they come, and what is not theirs is bounded.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header;
use http_body::Frame;
use multer::{Field, Multipart};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{Answer, UPLOADS, check_broadcast, described, ok, to_the_end, view};
use crate::base::id::Uuid;
use crate::control::api::{Call, Error};
use crate::control::pcast::Fields;
use crate::files::{Incoming, MAX_FILE_BYTES, Size};
use crate::store::{FilePaths, User};

/// Bytes of a form besides those of its file, as far as a declared length tells: fields and what is between.
const MAX_FORM_BYTES: u64 = 64 << 10;
/// Bytes of all fields but the file.
const MAX_FIELDS_BYTES: usize = 16 << 10;
/// Fields of a form. There are a dozen, and tags.
const MAX_FIELDS: usize = 100;
/// Bytes that may come without a field or a part of one ending in them: headers of a field are not longer.
const MAX_AHEAD_BYTES: usize = 256 << 10;
/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a form may take: the largest file at two megabits a second.
const DEADLINE: Duration = Duration::from_secs(4500);

/// A file that is sent as a form.
#[derive(ToSchema)]
#[schema(as = FileForm)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "forms are read field by field")]
pub(in crate::control) struct Form {
    /// The bytes, at most 2^30 of them.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// That of the file without it.
    name: Option<String>,
    description: Option<String>,
    category_name: Option<String>,
    /// One field for each, or a JSON array.
    tags: Option<Vec<String>>,
    location: Option<String>,
    #[serde(rename = "forContactID")]
    for_contact_id: Option<String>,
    for_message_id: Option<String>,
    for_call_id: Option<String>,
    for_broadcast_id: Option<String>,
}

/// Keeps the file of a form.
pub(super) async fn answer(mut call: Call, user: &User, boundary: String) -> Answer {
    let declared = call.headers().get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|bytes| bytes > MAX_FILE_BYTES + MAX_FORM_BYTES) {
        return Err(crate::files::Error::TooLarge(MAX_FILE_BYTES).into());
    }
    let id = Uuid::new_v4();
    let incoming = call.state.setup().files.begin(id).await?;
    let body = call.unread_body();
    let reading = tokio::time::timeout(DEADLINE, receive(body, boundary, incoming));
    let late = |_| Error::Bad(format!("the form did not come within {DEADLINE:?}"));
    let (mut fields, incoming) = Box::pin(reading).await.map_err(late)??;
    let mut file = described(&mut fields, user.id)?;
    check_broadcast(&call.state, &call.caller, &file).await?;
    file.id = id;
    file.stored = true;
    let state = call.state.clone();
    let work = async move {
        let setup = state.setup();
        let kept = incoming.keep().await?;
        let path = |name: &str| format!("{UPLOADS}/{id}/{name}");
        let of = |size| {
            let found = kept.pictures.iter().find(|(made, _)| *made == size);
            found.map(|(_, name)| path(name))
        };
        file.mime_type = kept.mime_type.to_owned();
        file.size_bytes = kept.bytes;
        file.paths = FilePaths {
            original: path(&kept.original),
            thumbnail: of(Size::Thumbnail),
            small: of(Size::Small),
            medium: of(Size::Medium),
            large: of(Size::Large),
        };
        match setup.store.create_file(&file).await {
            Ok(made) => Ok(ok(&view(made))),
            Err(error) => {
                setup.files.remove(id).await?;
                Err(error.into())
            }
        }
    };
    to_the_end(&call.state, work).await
}

/// Reads a form: its fields and its file, which is called as it says itself unless a field says it.
async fn receive(
    body: Body,
    boundary: String,
    mut incoming: Incoming,
) -> Result<(Fields, Incoming), Error> {
    let ahead = Arc::new(AtomicUsize::new(0));
    let body = Measured {
        body,
        ahead: ahead.clone(),
        has_waited: false,
    };
    let mut form = Multipart::new(Body::new(body).into_data_stream(), boundary);
    let mut fields = Map::new();
    let mut bytes = 0;
    let mut file_name = None;
    let mut count = 0;
    while let Some(mut field) = timely(form.next_field()).await? {
        ahead.store(0, Ordering::Relaxed);
        count += 1;
        if count > MAX_FIELDS {
            return Err(Error::TooLarge(format!(
                "the form has more than {MAX_FIELDS} fields"
            )));
        }
        let name = field.name().unwrap_or_default().to_owned();
        if name == "file" {
            if file_name.is_some() {
                return Err(Error::Bad("file is there twice".to_owned()));
            }
            file_name = Some(field.file_name().map(last_part));
            while let Some(chunk) = timely(field.chunk()).await? {
                ahead.store(0, Ordering::Relaxed);
                incoming.write(&chunk).await?;
            }
            continue;
        }
        let text = text(&mut field, &name, &ahead, &mut bytes).await?;
        add(&mut fields, name, text)?;
    }
    let file_name = file_name.ok_or_else(|| Error::Bad("file is missing".to_owned()))?;
    if let Some(name) = file_name {
        fields.entry("name").or_insert(Value::String(name));
    }
    Ok((Fields::of(fields), incoming))
}

/// A name without the folders of whoever sends it (RFC 7578 §4.2).
fn last_part(name: &str) -> String {
    let part = name.rsplit(['/', '\\']).next();
    part.unwrap_or_default().to_owned()
}

async fn text(
    field: &mut Field<'_>,
    name: &str,
    ahead: &AtomicUsize,
    bytes: &mut usize,
) -> Result<String, Error> {
    let mut text = Vec::new();
    while let Some(chunk) = timely(field.chunk()).await? {
        ahead.store(0, Ordering::Relaxed);
        *bytes += chunk.len();
        if *bytes > MAX_FIELDS_BYTES {
            return Err(Error::TooLarge(format!(
                "the fields of the form are above {MAX_FIELDS_BYTES} bytes"
            )));
        }
        text.extend_from_slice(&chunk);
    }
    String::from_utf8(text).map_err(|_| Error::Bad(format!("{name} is not UTF-8")))
}

/// A field of a form, as it would be in JSON. Tags are one field each, or a JSON array.
fn add(fields: &mut Map<String, Value>, name: String, text: String) -> Result<(), Error> {
    if name == "tags" || name == "tags[]" {
        let tags = fields
            .entry("tags")
            .or_insert_with(|| Value::Array(Vec::new()));
        let Value::Array(tags) = tags else {
            unreachable!("nothing else is put there");
        };
        match serde_json::from_str::<Vec<String>>(&text) {
            Ok(words) => tags.extend(words.into_iter().map(Value::String)),
            Err(_) => tags.push(Value::String(text)),
        }
        return Ok(());
    }
    match fields.insert(name.clone(), Value::String(text)) {
        Some(_) => Err(Error::Bad(format!("{name} is there twice"))),
        None => Ok(()),
    }
}

/// The next piece of a form, if it comes.
async fn timely<T>(piece: impl Future<Output = multer::Result<T>>) -> Result<T, Error> {
    match tokio::time::timeout(SILENCE, piece).await {
        Ok(piece) => piece.map_err(|error| Error::Bad(format!("the form cannot be read: {error}"))),
        Err(_) => Err(Error::Bad(format!(
            "nothing of the form came within {SILENCE:?}"
        ))),
    }
}

/// A body that does not run ahead of who reads it: a form's reader takes all that it gets.
struct Measured {
    body: Body,
    /// Bytes that came since a field, or a part of one, was read.
    ahead: Arc<AtomicUsize>,
    /// Whether the reader had its turn since there were too many.
    has_waited: bool,
}

impl http_body::Body for Measured {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.ahead.load(Ordering::Relaxed) >= MAX_AHEAD_BYTES {
            if self.has_waited {
                let error = std::io::Error::other("a part of it has no end");
                return Poll::Ready(Some(Err(axum::Error::new(error))));
            }
            self.has_waited = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.has_waited = false;
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.ahead.fetch_add(data.len(), Ordering::Relaxed);
        }
        frame
    }
}
