//! Bodies, parameters and answers of files, for the API description.

use utoipa::{IntoParams, ToSchema};

/// A file that is made. As a form it has `file` with the bytes, and needs nothing else.
#[derive(ToSchema)]
#[schema(as = FileCreate)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct Create {
    /// At most 256 bytes.
    name: String,
    /// At most 4096 bytes.
    description: Option<String>,
    mime_type: String,
    /// Text; nothing is opened by it.
    file_path_original: String,
    file_path_thumbnail: Option<String>,
    file_path_small: Option<String>,
    file_path_medium: Option<String>,
    file_path_large: Option<String>,
    #[schema(minimum = 0)]
    file_size_bytes: i64,
    category_name: Option<String>,
    tags: Option<Vec<String>>,
    location: Option<String>,
    #[serde(rename = "forContactID")]
    for_contact_id: Option<String>,
    for_message_id: Option<String>,
    for_call_id: Option<String>,
    for_broadcast_id: Option<String>,
}

/// What of a file is changed.
#[derive(ToSchema)]
#[schema(as = FileUpdate)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct Update {
    name: Option<String>,
    description: Option<String>,
    tags: Option<Vec<String>>,
    location: Option<String>,
    category_name: Option<String>,
}

/// Which files of a user.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes parameters")]
pub(in crate::control) struct Wanted {
    /// Only those of this category.
    category: Option<String>,
    /// Only those with this tag.
    tag: Option<String>,
}
