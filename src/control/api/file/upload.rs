//! Files as forms.

use serde_json::Value;
use utoipa::ToSchema;

use super::{Answer, UPLOADS, check_broadcast, described, ok, to_the_end, view};
use crate::base::id::Uuid;
use crate::control::api::{Call, Error, form};
use crate::control::pcast::Fields;
use crate::files::{Incoming, MAX_FILE_BYTES, Size};
use crate::store::{FilePaths, User};

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
    if form::is_too_long(call.headers(), MAX_FILE_BYTES) {
        return Err(crate::files::Error::TooLarge(MAX_FILE_BYTES).into());
    }
    let id = Uuid::new_v4();
    let mut incoming = call.state.setup().files.begin(id).await?;
    let body = call.unread_body();
    let mut form = form::receive(body, boundary, &mut incoming).await?;
    if let Some(name) = form.file_name {
        // It is called as it says itself unless a field says it.
        form.fields.entry("name").or_insert(Value::String(name));
    }
    let mut fields = Fields::of(form.fields);
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

impl form::Sink for Incoming {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Ok(Incoming::write(self, bytes).await?)
    }
}
