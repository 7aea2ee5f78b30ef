//! Files of users (contract, broadcasts, section 10): records of files that are elsewhere, as JSON, and files
//! whose bytes are sent here, as a form (B-10). Everybody may read bytes who knows where they are.

mod docs;
#[cfg(test)]
mod tests;
mod upload;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, put};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use utoipa::ToSchema;

use super::answer::{Answer, ok};
use super::call::Caller;
use super::docs::{Lookup, Sized, Usual};
use super::error::Body as Refusal;
use super::time::seconds;
use super::{ByUser, Call, Error, form, to_the_end};
use crate::base::id::Uuid;
use crate::base::range::Range;
use crate::control::pcast::Fields;
use crate::control::{Side, State};
use crate::files;
use crate::store::{File, FileLinks, FilePaths, FilesOf};
use docs::{Create, Update, Wanted};

/// Where bytes are read, as it stands in front of paths.
const UPLOADS: &str = "/uploads";
/// Bytes of a description.
const MAX_DESCRIPTION_BYTES: usize = 4096;
/// Bytes of a path that a client sends.
const MAX_PATH_BYTES: usize = 2048;
/// What is kept does not change, but it may be deleted.
const CACHED: &str = "public, max-age=3600";
/// Bytes that are read at a time.
const READ_BYTES: usize = 64 << 10;

/// Routes of files.
pub(super) fn routes() -> Vec<(&'static str, Side, MethodRouter<State>)> {
    let public = |path, method| (path, Side::Public, method);
    vec![
        public("/api/files", get(list).post(create)),
        public("/api/files/{id}", put(update).delete(remove)),
        public("/api/files/foruser/{userId}", get(of_user)),
        public(
            "/api/files/profileimage/foruser/{userId}",
            get(profile_image),
        ),
        public(
            "/api/files/contactimage/foruser/{userId}",
            get(contact_image),
        ),
        public("/api/files/forcontact/{contactId}", get(of_contact)),
        public("/api/files/formessage/{messageId}", get(of_message)),
        public("/api/files/forcall/{callId}", get(of_call)),
        public("/api/files/forbroadcast/{broadcastId}", get(of_broadcast)),
        // The console shows posters from its own origin.
        ("/uploads/{fileId}/{name}", Side::Both, get(read)),
    ]
}

/// A file. Fields that nothing is known of are left out.
#[derive(Serialize, ToSchema)]
#[schema(as = File)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct View {
    id: String,
    #[serde(rename = "userID")]
    user_id: String,
    #[serde(rename = "forContactID", skip_serializing_if = "Option::is_none")]
    for_contact_id: Option<String>,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// Of the bytes that were sent, whatever their name is.
    mime_type: String,
    /// To be put behind the base URL, when the bytes were sent here.
    file_path_original: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_path_thumbnail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_path_small: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_path_medium: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_path_large: Option<String>,
    file_size_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    category_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    for_message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    for_call_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    for_broadcast_id: Option<String>,
    created_at: String,
    updated_at: String,
}

#[utoipa::path(
    post, path = "/api/files", tag = "files", operation_id = "createFile",
    summary = "Keep a file: a record of it as JSON, or its bytes as a form",
    security(("userToken" = [])),
    request_body(content(
        (inline(Create) = "application/json"),
        (inline(upload::Form) = "multipart/form-data"),
    )),
    responses((status = 200, description = "The file.", body = inline(View)), Usual, Sized,
        (status = 415, description = "What was sent is of no known kind.", body = inline(Refusal))),
)]
pub(in crate::control) async fn create(ByUser(mut call, user): ByUser) -> Answer {
    if let Some(boundary) = form::boundary(call.headers()) {
        return upload::answer(call, &user, boundary).await;
    }
    let body = call.body().await?;
    let mut fields = Fields::parse(&body)?.without_nulls();
    let size = fields.need_integer("fileSizeBytes")?;
    let size_bytes =
        u64::try_from(size).map_err(|_| Error::Bad("fileSizeBytes is below 0".to_owned()))?;
    let mut file = described(&mut fields, user.id)?;
    file.mime_type = fields.need_line("mimeType")?;
    file.size_bytes = size_bytes;
    let original = path(&mut fields, "filePathOriginal")?;
    file.paths = FilePaths {
        original: original.ok_or_else(|| Error::Bad("filePathOriginal is missing".to_owned()))?,
        thumbnail: path(&mut fields, "filePathThumbnail")?,
        small: path(&mut fields, "filePathSmall")?,
        medium: path(&mut fields, "filePathMedium")?,
        large: path(&mut fields, "filePathLarge")?,
    };
    check_broadcast(&call.state, &call.caller, &file).await?;
    let made = call.state.setup().store.create_file(&file).await?;
    Ok(ok(&view(made)))
}

#[utoipa::path(
    put, path = "/api/files/{id}", tag = "files", operation_id = "updateFile",
    summary = "Change what is said about a file", security(("userToken" = [])),
    params(("id" = String, Path, description = "File id.")),
    request_body = inline(Update),
    responses((status = 200, description = "The file.", body = inline(View)), Usual, Lookup, Sized),
)]
pub(in crate::control) async fn update(ByUser(mut call, user): ByUser) -> Answer {
    let mut file = own(&mut call, user.id).await?;
    let body = call.body().await?;
    let mut fields = Fields::parse(&body)?.without_nulls();
    if let Some(name) = fields.line("name")? {
        file.name = named(name)?;
    }
    file.description = description(&mut fields)?.or(file.description);
    file.tags = fields.words("tags")?.or(file.tags);
    file.location = fields.line("location")?.or(file.location);
    file.category = fields.line("categoryName")?.or(file.category);
    let changed = call.state.setup().store.update_file(&file).await?;
    Ok(ok(&view(changed)))
}

#[utoipa::path(
    delete, path = "/api/files/{id}", tag = "files", operation_id = "deleteFile",
    summary = "Delete a file with its bytes", security(("userToken" = [])),
    params(("id" = String, Path, description = "File id.")),
    responses((status = 204, description = "It is gone."), Usual, Lookup),
)]
pub(in crate::control) async fn remove(ByUser(mut call, user): ByUser) -> Answer {
    let file = own(&mut call, user.id).await?;
    let state = call.state.clone();
    let work = async move {
        state.setup().store.delete_file(file.id).await?;
        if file.stored {
            state.setup().files.remove(file.id).await?;
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    to_the_end(&call.state, work).await
}

#[utoipa::path(
    get, path = "/api/files", tag = "files", operation_id = "listFiles",
    summary = "Files of the user, newest first", security(("userToken" = [])),
    responses((status = 200, description = "At most 1000.", body = inline(Vec<View>)), Usual),
)]
pub(in crate::control) async fn list(ByUser(call, user): ByUser) -> Answer {
    let of = FilesOf::User {
        id: user.id,
        category: None,
        tag: None,
    };
    many(&call.state, &call.caller.tenant.id, of).await
}

#[utoipa::path(
    get, path = "/api/files/foruser/{userId}", tag = "files", operation_id = "filesForUser",
    summary = "Files of a user of the tenant, newest first", security(("userToken" = [])),
    params(("userId" = String, Path, description = "User id."), Wanted),
    responses((status = 200, description = "At most 1000.", body = inline(Vec<View>)), Usual),
)]
pub(in crate::control) async fn of_user(ByUser(mut call, _): ByUser) -> Answer {
    let id = id(&mut call, "userId").await?;
    let query = call.query().await?;
    let of = FilesOf::User {
        id,
        category: query.line("category")?,
        tag: query.line("tag")?,
    };
    many(&call.state, &call.caller.tenant.id, of).await
}

#[utoipa::path(
    get, path = "/api/files/forcontact/{contactId}", tag = "files", operation_id = "filesForContact",
    summary = "The user's files for one of its contacts", security(("userToken" = [])),
    params(("contactId" = String, Path, description = "Contact id.")),
    responses((status = 200, description = "At most 1000.", body = inline(Vec<View>)), Usual),
)]
pub(in crate::control) async fn of_contact(ByUser(mut call, user): ByUser) -> Answer {
    let id = call.parameter("contactId").await?;
    many(
        &call.state,
        &call.caller.tenant.id,
        FilesOf::Contact(user.id, &id),
    )
    .await
}

#[utoipa::path(
    get, path = "/api/files/formessage/{messageId}", tag = "files", operation_id = "filesForMessage",
    summary = "Files for a message", security(("userToken" = [])),
    params(("messageId" = String, Path, description = "Message id.")),
    responses((status = 200, description = "At most 1000.", body = inline(Vec<View>)), Usual),
)]
pub(in crate::control) async fn of_message(ByUser(mut call, _): ByUser) -> Answer {
    let id = call.parameter("messageId").await?;
    many(&call.state, &call.caller.tenant.id, FilesOf::Message(&id)).await
}

#[utoipa::path(
    get, path = "/api/files/forcall/{callId}", tag = "files", operation_id = "filesForCall",
    summary = "Files for a call", security(("userToken" = [])),
    params(("callId" = String, Path, description = "Call id.")),
    responses((status = 200, description = "At most 1000.", body = inline(Vec<View>)), Usual),
)]
pub(in crate::control) async fn of_call(ByUser(mut call, _): ByUser) -> Answer {
    let id = call.parameter("callId").await?;
    many(&call.state, &call.caller.tenant.id, FilesOf::Call(&id)).await
}

#[utoipa::path(
    get, path = "/api/files/forbroadcast/{broadcastId}", tag = "files",
    operation_id = "filesForBroadcast",
    summary = "Files for a broadcast; its poster has the tag or the category `poster`",
    security(("userToken" = [])),
    params(("broadcastId" = String, Path, description = "Broadcast id, as the files have it.")),
    responses((status = 200, description = "At most 1000.", body = inline(Vec<View>)), Usual),
)]
pub(in crate::control) async fn of_broadcast(ByUser(mut call, _): ByUser) -> Answer {
    let id = call.parameter("broadcastId").await?;
    many(&call.state, &call.caller.tenant.id, FilesOf::Broadcast(&id)).await
}

#[utoipa::path(
    get, path = "/api/files/profileimage/foruser/{userId}", tag = "files", operation_id = "profileImage",
    summary = "The newest picture of a user", security(("userToken" = [])),
    params(("userId" = String, Path, description = "User id.")),
    responses((status = 200, description = "The file.", body = inline(View)), Usual, Lookup),
)]
pub(in crate::control) async fn profile_image(ByUser(mut call, _): ByUser) -> Answer {
    let id = id(&mut call, "userId").await?;
    let tenant = &call.caller.tenant.id;
    one(call.state.setup().store.profile_image(tenant, id).await?)
}

#[utoipa::path(
    get, path = "/api/files/contactimage/foruser/{userId}", tag = "files", operation_id = "contactImage",
    summary = "The newest picture that a user has of a contact", security(("userToken" = [])),
    params(("userId" = String, Path, description = "User id.")),
    responses((status = 200, description = "The file.", body = inline(View)), Usual, Lookup),
)]
pub(in crate::control) async fn contact_image(ByUser(mut call, _): ByUser) -> Answer {
    let id = id(&mut call, "userId").await?;
    let tenant = &call.caller.tenant.id;
    one(call.state.setup().store.contact_image(tenant, id).await?)
}

#[utoipa::path(
    get, path = "/uploads/{fileId}/{name}", tag = "files", operation_id = "readFile",
    summary = "Bytes of a file, whole or a range, for everybody who knows where they are",
    description = "A second slash in front is tolerated: clients put one between their base URL and a path.",
    params(("fileId" = String, Path, description = "File id."),
        ("name" = String, Path, example = "original.jpg",
            description = "As the paths of the file have it.")),
    responses((status = 200, description = "The bytes."), (status = 206, description = "The range."),
        (status = 416, description = "The range lies behind the end."), Lookup,
        (status = 500, description = "Our own fault.", body = inline(Refusal)),
        (status = 503, description = "The database does not answer.", body = inline(Refusal))),
)]
pub(in crate::control) async fn read(
    Shared(state): Shared<State>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Answer {
    let missing = || Error::NotFound("file");
    let Path((id, name)) = path.map_err(|_| missing())?;
    let id = Uuid::parse_str(&id).map_err(|_| missing())?;
    // Of a user that is gone nothing is shown, whatever is on the disk.
    if !state.setup().store.is_file_stored(id).await? {
        return Err(missing());
    }
    let opened = state.setup().files.read(id, &name).await?;
    let mut opened = opened.ok_or_else(missing)?;
    let range = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok());
    let range = range.map_or(Range::All, |text| Range::parse(text, opened.bytes));
    let mut response = Response::new(Body::empty());
    let (first, length) = match range {
        Range::All => (0, opened.bytes),
        Range::Some(first, last) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let text = format!("bytes {first}-{last}/{}", opened.bytes);
            set(&mut response, header::CONTENT_RANGE, &text);
            (first, last - first + 1)
        }
        Range::Unsatisfiable => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            let text = format!("bytes */{}", opened.bytes);
            set(&mut response, header::CONTENT_RANGE, &text);
            return Ok(response);
        }
    };
    let seek = opened.file.seek(std::io::SeekFrom::Start(first)).await;
    seek.map_err(files::Error::from)?;
    let bytes = ReaderStream::with_capacity(opened.file.take(length), READ_BYTES);
    *response.body_mut() = Body::from_stream(bytes);
    for (name, value) in [
        (header::CONTENT_TYPE, opened.mime_type),
        (header::CONTENT_LENGTH, &length.to_string()),
        (header::ACCEPT_RANGES, "bytes"),
        (header::CACHE_CONTROL, CACHED),
        // Users chose these bytes: they are shown as what they are, and run nothing.
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; sandbox",
        ),
    ] {
        set(&mut response, name, value);
    }
    Ok(response)
}

fn set(response: &mut Response, name: http::HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("it is ASCII");
    response.headers_mut().insert(name, value);
}

/// What a user says about a file, without what is known of its bytes.
fn described(fields: &mut Fields, user_id: Uuid) -> Result<File, Error> {
    let name = named(fields.need_line("name")?)?;
    Ok(File {
        id: Uuid::new_v4(),
        user_id,
        name,
        description: description(fields)?,
        category: fields.line("categoryName")?,
        tags: fields.words("tags")?,
        location: fields.line("location")?,
        links: FileLinks {
            contact: fields.line("forContactID")?,
            message: fields.line("forMessageId")?,
            call: fields.line("forCallId")?,
            broadcast: fields.line("forBroadcastId")?,
        },
        ..File::default()
    })
}

/// A file is made for a broadcast by who may change that, since a poster is shown to all who watch. An id that
/// names no broadcast of the tenant is a text like the others: no poster is found by it.
async fn check_broadcast(state: &State, caller: &Caller, file: &File) -> Result<(), Error> {
    let Some(id) = &file.links.broadcast else {
        return Ok(());
    };
    let found = state.setup().store.find_broadcast(id).await?;
    let found = found.filter(|found| found.application_id == caller.tenant.id);
    match found.is_none_or(|found| caller.may_change(&found)) {
        true => Ok(()),
        false => Err(Error::Forbidden),
    }
}

fn named(name: String) -> Result<String, Error> {
    match name.trim().is_empty() {
        true => Err(Error::Bad("name is empty".to_owned())),
        false => Ok(name),
    }
}

fn description(fields: &mut Fields) -> Result<Option<String>, Error> {
    bounded(fields, "description", MAX_DESCRIPTION_BYTES)
}

fn path(fields: &mut Fields, name: &str) -> Result<Option<String>, Error> {
    bounded(fields, name, MAX_PATH_BYTES)
}

fn bounded(fields: &mut Fields, name: &str, most: usize) -> Result<Option<String>, Error> {
    let text = fields.text(name)?;
    match text.as_ref().is_some_and(|text| text.len() > most) {
        true => Err(Error::Bad(format!("{name} is longer than {most} bytes"))),
        false => Ok(text),
    }
}

/// The file that a call names, if the user may change it.
async fn own(call: &mut Call, user: Uuid) -> Result<File, Error> {
    let id = id(call, "id").await?;
    let tenant = &call.caller.tenant.id;
    let file = call.state.setup().store.file(tenant, id).await?;
    match file.ok_or(Error::NotFound("file"))? {
        file if file.user_id == user => Ok(file),
        _ => Err(Error::Forbidden),
    }
}

/// A UUID of the path. What is none is nobody's, as the nil one.
async fn id(call: &mut Call, name: &str) -> Result<Uuid, Error> {
    let text = call.parameter(name).await?;
    Ok(Uuid::parse_str(&text).unwrap_or_default())
}

async fn many(state: &State, tenant: &str, of: FilesOf<'_>) -> Answer {
    let found = state.setup().store.files(tenant, of);
    let views: Vec<View> = found.await?.into_iter().map(view).collect();
    Ok(ok(&views))
}

fn one(file: Option<File>) -> Answer {
    let file = file.ok_or(Error::NotFound("image"))?;
    Ok(ok(&view(file)))
}

fn view(file: File) -> View {
    View {
        id: file.id.to_string(),
        user_id: file.user_id.to_string(),
        for_contact_id: file.links.contact,
        name: file.name,
        description: file.description,
        mime_type: file.mime_type,
        file_path_original: file.paths.original,
        file_path_thumbnail: file.paths.thumbnail,
        file_path_small: file.paths.small,
        file_path_medium: file.paths.medium,
        file_path_large: file.paths.large,
        file_size_bytes: file.size_bytes,
        category_name: file.category,
        tags: file.tags,
        location: file.location,
        for_message_id: file.links.message,
        for_call_id: file.links.call,
        for_broadcast_id: file.links.broadcast,
        created_at: seconds(file.created),
        updated_at: seconds(file.updated),
    }
}

impl From<files::Error> for Error {
    fn from(error: files::Error) -> Error {
        match &error {
            files::Error::TooLarge(_) | files::Error::TooManyPixels(_) => {
                Error::TooLarge(error.to_string())
            }
            files::Error::Unknown | files::Error::Damaged => Error::Unsupported(error.to_string()),
            files::Error::Full | files::Error::Busy => Error::Capacity(error.to_string()),
            files::Error::Disk(err) => {
                tracing::error!(%err, "a file cannot be kept or read");
                Error::Internal
            }
        }
    }
}
