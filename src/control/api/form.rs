//! Forms (RFC 7578) with one file: its bytes go to the disk as they come, and what is not theirs is bounded.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::Frame;
use multer::{Field, Multipart};
use serde_json::{Map, Value};

use super::Error;

/// Bytes of a form besides those of its file, as far as a declared length tells: fields and what is between.
const MAX_FORM_BYTES: u64 = 64 << 10;
/// Bytes of all fields but the file.
const MAX_FIELDS_BYTES: usize = 16 << 10;
/// Fields of a form. There are a dozen, and tags.
const MAX_FIELDS: usize = 100;
/// Bytes that may come without a field or a part of one ending in them: headers of a field are not longer.
const MAX_AHEAD_BYTES: usize = 256 << 10;
/// How long nothing may come.
pub(super) const SILENCE: Duration = Duration::from_secs(30);
/// How long a form, or a piece of a file, may take: the largest file at two megabits a second.
pub(super) const DEADLINE: Duration = Duration::from_secs(4500);

/// Where the bytes of a form's file go.
pub(super) trait Sink: Send {
    /// Takes some, in order.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A form that was read.
pub(super) struct Form {
    /// Its fields as they would be in JSON, without the file.
    pub(super) fields: Map<String, Value>,
    /// What the file is called, as it says itself.
    pub(super) file_name: Option<String>,
}

/// The separator of a form, from its head; `None`: it is no form.
pub(super) fn boundary(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    multer::parse_boundary(kind).ok()
}

/// Bytes of a body, as its head declares them.
pub(super) fn declared_bytes(headers: &HeaderMap) -> Option<u64> {
    let declared = headers.get(header::CONTENT_LENGTH)?;
    declared.to_str().ok()?.parse().ok()
}

/// Whether a form is declared too long for a file of so many bytes.
pub(super) fn is_too_long(headers: &HeaderMap, most: u64) -> bool {
    declared_bytes(headers).is_some_and(|bytes| bytes > most.saturating_add(MAX_FORM_BYTES))
}

/// Reads a form: its fields, and its file into the sink.
pub(super) async fn receive(
    body: Body,
    boundary: String,
    sink: &mut impl Sink,
) -> Result<Form, Error> {
    let reading = tokio::time::timeout(DEADLINE, read(body, boundary, sink));
    let late = |_| Error::Bad(format!("the form did not come within {DEADLINE:?}"));
    Box::pin(reading).await.map_err(late)?
}

async fn read(body: Body, boundary: String, sink: &mut impl Sink) -> Result<Form, Error> {
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
                sink.write(&chunk).await?;
            }
            continue;
        }
        if field.file_name().is_some() {
            return Err(Error::Bad(format!(
                "there is a file in {name:?}, not in \"file\""
            )));
        }
        let text = text(&mut field, &name, &ahead, &mut bytes).await?;
        add(&mut fields, name, text)?;
    }
    let file_name = file_name.ok_or_else(|| Error::Bad("file is missing".to_owned()))?;
    Ok(Form { fields, file_name })
}

/// A name without the folders of whoever sends it (RFC 7578 §4.2).
pub(super) fn last_part(name: &str) -> String {
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
