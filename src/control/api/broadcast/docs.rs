//! Bodies of calls about broadcasts, for the API description.

use utoipa::ToSchema;

/// What a broadcast is made of.
#[derive(ToSchema)]
#[schema(as = NewBroadcast)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct BroadcastFields {
    /// One line.
    #[schema(min_length = 1, max_length = 512)]
    title: String,
    #[schema(max_length = 4096)]
    description: Option<String>,
    /// `public`, `private` or `unlisted`; `public` without it.
    visibility: Option<String>,
    #[schema(max_items = 64)]
    tags: Option<Vec<String>>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<()>,
    /// People in its room.
    #[schema(minimum = 1)]
    max_participants: Option<u32>,
}

/// What is changed; what is not named stays.
#[derive(ToSchema)]
#[schema(as = BroadcastChange)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct BroadcastChange {
    /// `created` (or `pending`), `active`, `completed` or `error`.
    status: Option<String>,
    #[schema(min_length = 1, max_length = 512)]
    title: Option<String>,
    #[schema(max_length = 4096)]
    description: Option<String>,
    /// `public`, `private` or `unlisted`.
    visibility: Option<String>,
    #[schema(max_items = 64)]
    tags: Option<Vec<String>>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<()>,
}

/// Where a broadcast goes.
#[derive(ToSchema)]
#[schema(as = BroadcastStatus)]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct StatusFields {
    /// `active`, `completed` or `error`.
    status: String,
}

/// What the app says of its room.
#[derive(ToSchema)]
#[schema(as = ViewerCount)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct ViewerFields {
    viewer_count: u32,
}
