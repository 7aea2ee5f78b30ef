//! Bodies of calls about events, for the API description.

use utoipa::ToSchema;

/// What an event is made of.
#[derive(ToSchema)]
#[schema(as = NewEvent)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct EventFields {
    /// One line.
    #[schema(min_length = 1, max_length = 512)]
    title: String,
    #[schema(max_length = 4096)]
    description: Option<String>,
    /// When it begins, with any offset. Fractions of seconds are left out.
    #[schema(format = DateTime, example = "2030-01-01T10:00:00Z")]
    scheduled_start_time: String,
    /// When it is over at the latest, behind its start and behind now; without it, when its file is. Needed with
    /// `until_end` and with a channel.
    #[schema(format = DateTime, example = "2030-01-01T10:30:00Z")]
    scheduled_end_time: Option<String>,
    /// `none`, `daily`, `weekly`, `monthly` or `until_end`; `none` without it.
    repeat_mode: Option<String>,
    /// With `until_end`: whether the file begins anew until the event's end.
    repeat_until_end: Option<bool>,
    /// IANA name of the zone in which repeats are counted; `UTC` without it.
    #[schema(example = "Europe/Berlin")]
    time_zone: Option<String>,
    /// Id or alias of a channel of the tenant, whose name leads to the event while it is on. Needs the tenant's
    /// key beside the user's token.
    channel_id: Option<String>,
}

/// What is changed; what is not named stays.
#[derive(ToSchema)]
#[schema(as = EventChange)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct EventChange {
    #[schema(min_length = 1, max_length = 512)]
    title: Option<String>,
    #[schema(max_length = 4096)]
    description: Option<String>,
    /// Not of an event that is on.
    #[schema(format = DateTime, example = "2030-01-01T10:00:00Z")]
    scheduled_start_time: Option<String>,
    /// Of an event that is on, a time that has passed or is nearer than a second and a half ends it as
    /// soon as all gateways know.
    #[schema(format = DateTime, example = "2030-01-01T10:30:00Z")]
    scheduled_end_time: Option<String>,
    /// `none`, `daily`, `weekly`, `monthly` or `until_end`; of an event that is on, for what comes after it.
    repeat_mode: Option<String>,
    repeat_until_end: Option<bool>,
    /// IANA name.
    #[schema(example = "Europe/Berlin")]
    time_zone: Option<String>,
    /// Id or alias of a channel of the tenant; empty: none.
    channel_id: Option<String>,
}
