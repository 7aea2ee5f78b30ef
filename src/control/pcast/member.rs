//! Publishers of a channel: who they are and how many (contract, channels, sections 6 and 9).

use axum::extract::{FromRequestParts, Path, Request, State as Extract};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Answer, OK, escaped, json};
use super::call::Parameters;
use super::docs::{Limited, Lookup, Named, Public, Usual};
use super::{ByApplication, Call, Error};
use crate::control::State;
use crate::hub::{ChannelMember, Counted};

/// A publisher.
#[derive(Serialize, ToSchema)]
#[schema(as = Member)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct View {
    /// Opaque; the same in every channel that shows this publisher.
    session_id: String,
    /// Name for people.
    screen_name: String,
    #[schema(value_type = Role)]
    role: &'static str,
    streams: Vec<StreamView>,
    #[schema(value_type = MemberState)]
    state: &'static str,
    /// Unix milliseconds.
    last_update: i64,
}

/// What a publisher sends.
#[derive(Serialize, ToSchema)]
#[schema(as = MemberStream)]
#[serde(rename_all = "camelCase")]
struct StreamView {
    #[serde(rename = "type")]
    #[schema(value_type = StreamType)]
    kind: &'static str,
    /// `pcast://host/region#stream?capabilities=…`
    uri: String,
    #[schema(value_type = TrackWord)]
    audio_state: &'static str,
    #[schema(value_type = TrackWord)]
    video_state: &'static str,
}

/// Role of a member or a sender.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes words")]
pub(super) enum Role {
    Participant,
    Moderator,
    Presenter,
    Audience,
}

/// State of a member.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes words")]
enum MemberState {
    Active,
    Passive,
    HandRaised,
    Inactive,
    Offline,
}

/// Kind of a stream.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes words")]
enum StreamType {
    User,
    Presentation,
    Audio,
}

/// State of a track.
#[derive(ToSchema)]
#[schema(as = TrackState)]
#[expect(dead_code, reason = "it describes words")]
#[expect(clippy::enum_variant_names, reason = "the contract's words")]
enum TrackWord {
    TrackEnabled,
    TrackDisabled,
    TrackEnded,
}

/// An answer with members.
#[derive(Serialize, ToSchema)]
pub(in crate::control) struct Members {
    /// `ok`.
    pub(super) status: &'static str,
    pub(super) members: Vec<View>,
}

#[utoipa::path(
    get, path = "/pcast/channel/{channelId}/members", tag = "channel", operation_id = "listMembers",
    summary = "Publishers of a channel", security(("basicAuth" = [])),
    params(Named),
    responses((status = 200, description = "Those that send now.", body = inline(Members)), Usual,
        Limited, Lookup),
)]
pub(in crate::control) async fn members(ByApplication(call): ByApplication) -> Answer {
    answer_members(call).await
}

/// The members of a call's channel.
pub(in crate::control) async fn answer_members(mut call: Call) -> Answer {
    let channel = call.channel("channelId").await?;
    let members = call.state.setup().live.members(&channel.id);
    Ok(answer(&call, members))
}

/// An answer with these members.
pub(super) fn answer(call: &Call, members: Vec<ChannelMember>) -> axum::response::Response {
    let members = views(call, members);
    json(
        StatusCode::OK,
        &Members {
            status: OK,
            members,
        },
    )
}

/// Members as answers show them.
pub(in crate::control) fn views(call: &Call, members: Vec<ChannelMember>) -> Vec<View> {
    let place = format!("{}/{}", call.host(), call.state.setup().region);
    members
        .into_iter()
        .map(|member| view(&place, member))
        .collect()
}

fn view(place: &str, member: ChannelMember) -> View {
    let mut uri = format!("pcast://{place}#{}", member.stream);
    if !member.capabilities.is_empty() {
        uri.push_str("?capabilities=");
        uri.push_str(&escaped(&member.capabilities.join(",")));
    }
    View {
        session_id: member.session.to_string(),
        screen_name: member.screen_name.to_string(),
        role: "Presenter",
        streams: vec![StreamView {
            kind: "Presentation",
            uri,
            audio_state: member.audio.word(),
            video_state: member.video.word(),
        }],
        state: "Passive",
        last_update: member.changed.unix_millis(),
    }
}

#[utoipa::path(
    get, path = "/pcast/channel/{channelId}/publishers/count", tag = "channel",
    operation_id = "countPublishers", summary = "How many publishers a channel has",
    security(()),
    params(
        Named,
        ("failIfLess" = Option<u64>, Query, description = "With fewer publishers the answer is 412."),
        ("withStreams" = Option<u64>, Query,
            description = "Streams that a publisher must have to count; 1 without it."),
        ("withScreenName" = Option<String>, Query, description = "Only those of this name."),
    ),
    responses((status = 200, description = "The number.", body = u64),
        (status = 412, description = "The number, below `failIfLess`.", body = u64), Public),
)]
pub(in crate::control) async fn count(Extract(state): Extract<State>, request: Request) -> Answer {
    let (mut parts, _) = request.into_parts();
    let path = Path::<String>::from_request_parts(&mut parts, &state).await;
    let bad = |_| Error::Bad("the path is not percent-encoded UTF-8".to_owned());
    let Path(id) = path.map_err(bad)?;
    let channel = state.setup().store.known_public_channel(&id);
    let channel = channel.ok_or(Error::NotFound("channel"))?;
    let query = Parameters::of(&mut parts, &state).await?;
    let fail_if_less = query.count("failIfLess")?.unwrap_or(0);
    let counted = Counted {
        with_streams: query.count("withStreams")?,
        with_screen_name: query.text("withScreenName")?.map(str::to_owned),
    };
    let count = state.setup().live.count(&channel.id, &counted);
    let code = match (count as u64) < fail_if_less {
        true => StatusCode::PRECONDITION_FAILED,
        false => StatusCode::OK,
    };
    Ok(json(code, &count))
}
