//! Channels: made, shown, listed, deleted (contract, channels, sections 2 to 5).

use std::borrow::Cow;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use http_body::Frame;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Answer, Done, OK, done, json, of_bytes};
use super::body::Fields;
use super::docs::{Conflicting, Limited, Lookup, Named, Usual};
use super::ingest::{self, IngestFields};

use super::{ByApplication, Call, Error};
use crate::base::rfc3339::Rfc3339;
use crate::control::State;
use crate::hub::Counted;
use crate::store::{Channel, Creation, IngestOptions};

/// Bytes of a description: some paragraphs.
const MAX_DESCRIPTION_BYTES: usize = 4096;
/// Channels that a list holds in memory at once.
const PAGE: usize = 100;

/// A channel.
#[derive(Serialize, ToSchema)]
#[schema(as = Channel)]
#[serde(rename_all = "camelCase")]
pub(super) struct View<'a> {
    /// `region#application#alias`, opaque; percent-encoded in paths.
    channel_id: &'a str,
    /// Unique within the application.
    alias: &'a str,
    /// Its owner.
    application_id: &'a str,
    /// Unique within the application.
    name: &'a str,
    /// For people.
    description: &'a str,
    /// Always `Channel`.
    #[serde(rename = "type")]
    #[schema(value_type = ChannelType)]
    kind: &'static str,
    /// Secret: whoever has it can publish.
    stream_key: &'a str,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created: String,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    last_update: String,
    /// Number of members; null in lists.
    #[schema(required = true)]
    estimated_size: Option<usize>,
    /// As they were given.
    #[schema(value_type = Vec<String>)]
    options: &'a [String],
    /// As they were given, credentials of `sourceUri` hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<IngestFields>)]
    ingest_options: Option<Cow<'a, IngestOptions>>,
}

/// What `type` can be.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes a word")]
enum ChannelType {
    Channel,
}

/// An answer with a channel.
#[derive(Serialize, ToSchema)]
#[schema(as = ChannelAnswer)]
pub(super) struct One<'a> {
    /// `ok`.
    status: &'static str,
    channel: View<'a>,
}

/// An answer with channels.
#[derive(ToSchema)]
#[schema(as = ChannelList)]
#[expect(dead_code, reason = "lists are written one by one")]
pub(super) struct Many<'a> {
    /// `ok`.
    status: &'static str,
    /// Oldest first.
    channels: Vec<View<'a>>,
}

/// What a channel is made of.
#[derive(ToSchema)]
#[schema(as = ChannelCreate)]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(super) struct Create {
    channel: CreateFields,
}

/// Fields of a new channel. Lengths are in bytes of UTF-8; alias and name are one line.
#[derive(ToSchema)]
#[schema(as = NewChannel)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct CreateFields {
    /// Unique within the application; empty asks for a random one.
    #[schema(max_length = 256)]
    alias: String,
    /// Unique within the application.
    #[schema(min_length = 1, max_length = 256)]
    name: String,
    /// For people.
    #[schema(max_length = 4096)]
    description: String,
    /// Any words of one line and at most 256 bytes; they are kept and shown.
    #[schema(max_items = 64)]
    options: Vec<String>,
    ingest_options: Option<IngestFields>,
}

#[utoipa::path(
    put, path = "/pcast/channel", tag = "channel", operation_id = "createChannel",
    summary = "Create a channel", request_body = inline(Create), security(("basicAuth" = [])),
    responses((status = 200, description = "It is there, and its stream key may be used.",
        body = inline(One<'_>)), Usual, Limited, Conflicting),
)]
pub(in crate::control) async fn create(ByApplication(mut call): ByApplication) -> Answer {
    let body = call.body().await?;
    let owner = call.application().expect("an application calls").id.clone();
    let mut fields = Fields::parse(&body)?;
    let channel = make(&call.state, owner, fields.need_object("channel")?).await?;
    one(&call.state, &channel)
}

/// Makes a channel of what a body says of it.
pub(in crate::control) async fn make(
    state: &State,
    application_id: String,
    mut fields: Fields,
) -> Result<Arc<Channel>, Error> {
    let alias = fields.need_line("alias")?;
    let name = fields.need_line("name")?;
    if name.is_empty() {
        return Err(Error::Bad(format!("{} is empty", fields.name("name"))));
    }
    let description = fields.need_text("description")?;
    if description.len() > MAX_DESCRIPTION_BYTES {
        let name = fields.name("description");
        return Err(Error::Bad(format!(
            "{name} is longer than {MAX_DESCRIPTION_BYTES} bytes"
        )));
    }
    let options = fields.need_words("options")?;
    let given = fields.object("ingestOptions")?;
    let ingest = given.map(ingest::parse).transpose()?;
    let then = state.clone();
    state
        .to_the_end(async move {
            let setup = then.setup();
            let creation = Creation {
                region: &setup.region,
                application_id: &application_id,
                alias: &alias,
                name: &name,
                description: &description,
                options: &options,
                ingest: ingest.as_ref(),
            };
            let channel = setup.store.create_channel(&creation, setup.max_channels);
            let channel = channel.await?;
            tracing::info!(channel = channel.id, "channel created");
            Ok(channel)
        })
        .await
}

#[utoipa::path(
    get, path = "/pcast/channel/{channelId}", tag = "channel", operation_id = "getChannel",
    summary = "Show a channel", security(("basicAuth" = [])),
    params(Named),
    responses((status = 200, description = "The channel.", body = inline(One<'_>)), Usual, Limited,
        Lookup),
)]
pub(in crate::control) async fn fetch(ByApplication(mut call): ByApplication) -> Answer {
    let channel = call.channel("channelId").await?;
    one(&call.state, &channel)
}

#[utoipa::path(
    delete, path = "/pcast/channel/{channelId}", tag = "channel", operation_id = "deleteChannel",
    summary = "Delete a channel with its messages; its publishers are disconnected, its key is void",
    security(("basicAuth" = [])),
    params(Named),
    responses((status = 200, description = "It is gone.", body = inline(Done)), Usual, Lookup,
        (status = 409, description = "The configuration file declares it: `conflict`.",
            body = inline(super::error::Body))),
)]
pub(in crate::control) async fn remove(ByApplication(call): ByApplication) -> Answer {
    answer_remove(call).await
}

/// Deletes the channel of a call.
pub(in crate::control) async fn answer_remove(mut call: Call) -> Answer {
    let channel = call.channel("channelId").await?;
    let state = call.state.clone();
    call.state
        .to_the_end(async move {
            // What it has on air ends with that.
            Ok(state.setup().store.delete_channel(&channel.id).await?)
        })
        .await?;
    Ok(done())
}

#[utoipa::path(
    get, path = "/pcast/channels", tag = "channel", operation_id = "listChannels",
    summary = "All channels of the application, oldest first", security(("basicAuth" = [])),
    responses((status = 200, description = "All of them; `estimatedSize` is null here.",
        body = inline(Many<'_>)), Usual, Limited),
)]
pub(in crate::control) async fn list(ByApplication(call): ByApplication) -> Answer {
    let owner = call.application().expect("an application calls").id.clone();
    let store = call.state.setup().store.clone();
    let mut last: Option<Arc<Channel>> = None;
    Ok(listed(
        "channels",
        move || {
            let page = store.known_channels(&owner, last.as_deref(), PAGE);
            last = page.last().cloned();
            page
        },
        |channel, json| write_one(json, &view(channel, None)),
    ))
}

/// Adds a value to a list.
pub(in crate::control) fn write_one(json: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(json, value).expect("texts and numbers are JSON");
}

/// An answer that lists channels without ever holding all of them: `page` gives the next ones, none when
/// there are no more, `write` adds the JSON of one.
pub(in crate::control) fn listed(
    name: &str,
    page: impl FnMut() -> Vec<Arc<Channel>> + Send + 'static,
    write: impl FnMut(&Channel, &mut Vec<u8>) + Send + 'static,
) -> axum::response::Response {
    let pages = Pages {
        page: Box::new(page),
        write: Box::new(write),
        open: Some(format!("{{\"status\":\"ok\",\"{name}\":[").into_bytes()),
        is_first: true,
        is_over: false,
    };
    of_bytes(StatusCode::OK, axum::body::Body::new(pages))
}

/// Gives the next channels.
type NextPage = dyn FnMut() -> Vec<Arc<Channel>> + Send;
/// Adds the JSON of a channel.
type WriteOne = dyn FnMut(&Channel, &mut Vec<u8>) + Send;

/// A list on its way out, page by page, as fast as it is read.
struct Pages {
    page: Box<NextPage>,
    write: Box<WriteOne>,
    open: Option<Vec<u8>>,
    is_first: bool,
    is_over: bool,
}

impl http_body::Body for Pages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let mut json = this.open.take().unwrap_or_default();
        let channels = (this.page)();
        this.is_over = channels.is_empty();
        for channel in channels {
            if !std::mem::take(&mut this.is_first) {
                json.push(b',');
            }
            (this.write)(&channel, &mut json);
        }
        if this.is_over {
            json.extend_from_slice(b"]}");
        }
        Poll::Ready(Some(Ok(Frame::data(json.into()))))
    }
}

fn one(state: &State, channel: &Channel) -> Answer {
    let size = state.setup().live.count(&channel.id, &Counted::default());
    let answer = One {
        status: OK,
        channel: view(channel, Some(size)),
    };
    Ok(json(StatusCode::OK, &answer))
}

fn view(channel: &Channel, estimated_size: Option<usize>) -> View<'_> {
    View {
        channel_id: &channel.id,
        alias: &channel.alias,
        application_id: &channel.application_id,
        name: &channel.name,
        description: &channel.description,
        kind: "Channel",
        stream_key: channel.key.expose(),
        created: Rfc3339(channel.created).to_string(),
        last_update: Rfc3339(channel.updated).to_string(),
        estimated_size,
        options: &channel.options,
        ingest_options: ingest_options(channel),
    }
}

/// Of a declared channel, what the configuration file says of its ingest.
fn ingest_options(channel: &Channel) -> Option<Cow<'_, IngestOptions>> {
    let declared = || {
        let capabilities = channel.capabilities.clone().filter(|_| channel.declared)?;
        Some(Cow::Owned(IngestOptions {
            capabilities: Some(capabilities),
            ..IngestOptions::default()
        }))
    };
    channel.ingest.as_ref().map(Cow::Borrowed).or_else(declared)
}
