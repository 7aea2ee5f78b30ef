//! Co-hosts as they are shown and asked for.

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::control::api::time::seconds;
use crate::store::{CoHost, Grid, Permissions};

/// What a co-host may do.
#[derive(ToSchema)]
#[schema(as = CoHostPermissions)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what the store has")]
pub(in crate::control) struct PermissionsView {
    can_invite_others: bool,
    can_remove_others: bool,
    can_control_layout: bool,
    can_moderate_chat: bool,
    can_trigger_ads: bool,
    can_access_analytics: bool,
}

/// How hosts are laid out.
#[derive(ToSchema)]
#[schema(as = GridLayout)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what the store has")]
pub(in crate::control) struct GridView {
    /// Hosts at once, the main one included.
    #[schema(minimum = 1, maximum = 100)]
    max_hosts: u32,
    #[schema(minimum = 1, maximum = 10)]
    grid_columns: u32,
    #[schema(minimum = 1, maximum = 10)]
    grid_rows: u32,
    #[schema(example = "16:9")]
    aspect_ratio: String,
    show_names: bool,
    show_controls: bool,
}

/// A co-host.
#[derive(Serialize, ToSchema)]
#[schema(as = CoHost)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct View<'a> {
    id: String,
    /// Its identity in the room.
    user_id: &'a str,
    user_name: &'a str,
    /// Always `co_host`.
    role: &'static str,
    #[schema(value_type = PermissionsView, inline)]
    permissions: Permissions,
    #[schema(value_type = String, format = DateTime)]
    joined_at: String,
}

impl<'a> From<&'a CoHost> for View<'a> {
    fn from(cohost: &'a CoHost) -> View<'a> {
        View {
            id: cohost.id.to_string(),
            user_id: &cohost.user_id,
            user_name: &cohost.user_name,
            role: "co_host",
            permissions: cohost.permissions,
            joined_at: seconds(cohost.joined),
        }
    }
}

/// What was done to a co-host.
#[derive(Serialize, ToSchema)]
#[schema(as = CoHostResponse)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct Response<'a> {
    /// Always true.
    pub(super) success: bool,
    pub(super) message: &'static str,
    #[schema(inline)]
    pub(super) co_host: View<'a>,
    /// Shows at the token call, for six hours, that the caller is this co-host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) invite_token: Option<String>,
}

/// Why nobody joined: what every refusal says, in the shape of what was wanted.
#[derive(ToSchema)]
#[schema(as = CoHostRefusal)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes a refusal")]
pub(in crate::control) struct Refused<'a> {
    /// Always true.
    error: bool,
    /// A sentence.
    reason: String,
    /// Always false.
    success: bool,
    /// The same sentence.
    message: String,
    /// Never there.
    #[schema(inline)]
    co_host: Option<View<'a>>,
    /// Never there.
    invite_token: Option<String>,
}

/// The hosts of a session.
#[derive(Serialize, ToSchema)]
#[schema(as = MultiHost)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct Hosts<'a> {
    pub(super) session_id: String,
    pub(super) stream_id: String,
    /// Whether co-hosts may join.
    pub(super) is_enabled: bool,
    #[schema(inline)]
    pub(super) host: Host,
    /// In the order in which they came.
    #[schema(inline)]
    pub(super) co_hosts: Vec<View<'a>>,
    #[schema(value_type = GridView, inline)]
    pub(super) grid_layout: &'a Grid,
}

/// The main host.
#[derive(Serialize, ToSchema)]
#[schema(as = MainHost)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct Host {
    /// Always `publisher`.
    pub(super) role: &'static str,
    /// The user who made the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_name: Option<String>,
}

/// Figures of a session with several hosts.
#[derive(Serialize, ToSchema)]
#[schema(as = HostMetrics)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct Metrics {
    pub(super) session_id: String,
    /// The main host included.
    pub(super) host_count: u64,
    pub(super) co_host_count: u64,
    /// What the app says of its room now.
    pub(super) viewer_count: u32,
    /// The most that the app said.
    pub(super) peak_viewer_count: u32,
    /// Who are in the LiveKit room, as the server said last; left out while it is not known to be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) room_participants: Option<u64>,
    /// Those of them who publish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) room_publishers: Option<u64>,
    /// Who play HLS and DASH now.
    pub(super) measured_viewers: u64,
    /// Since it became active, until it ended or until now.
    pub(super) duration_seconds: i64,
}

/// Who wants to join.
#[derive(ToSchema)]
#[schema(as = JoinCoHost)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct JoinFields {
    /// Name for people.
    #[schema(min_length = 1, max_length = 256)]
    user_name: String,
    /// Identity in the room; of a signed-in user its id. Without it the co-host gets one.
    #[schema(max_length = 256)]
    user_id: Option<String>,
    /// Granted to who made the session; anybody else gets none.
    #[schema(value_type = Option<PermissionsView>, inline)]
    permissions: Option<()>,
}

/// What is changed of a co-host; what is not named stays.
#[derive(ToSchema)]
#[schema(as = CoHostUpdate)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct UpdateFields {
    #[schema(value_type = PermissionsView, inline)]
    permissions: (),
    #[schema(min_length = 1, max_length = 256)]
    user_name: Option<String>,
}

/// What is changed of the hosts; what is not named stays.
#[derive(ToSchema)]
#[schema(as = MultiHostUpdate)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct HostsFields {
    is_enabled: Option<bool>,
    #[schema(value_type = Option<GridView>, inline)]
    grid_layout: Option<()>,
}

/// The co-host that a path names.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes parameters")]
pub(in crate::control) struct NamedCoHost {
    /// Id of the broadcast or of its stream, or its short id.
    #[param(example = "r5")]
    id: String,
    /// UUID.
    #[param(rename = "coHostId")]
    cohost_id: String,
}
