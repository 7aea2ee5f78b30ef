//! The owner's encoder takes the place of the film for a while (contract, broadcasts, section 7). Here it is
//! called for and sent away; when it goes on air, and what is on when it ends, is decided where media come in.

use serde::Serialize;
use utoipa::ToSchema;

use super::view;
use crate::base::id::Uuid;
use crate::control::State;
use crate::control::api::address::Bases;
use crate::control::api::answer::{Answer, ok};
use crate::control::api::docs::{ById, Conflicting, Lookup, Sized, Usual};
use crate::control::api::streaming::NOT_CONFIGURED;
use crate::control::api::{ByUser, Call, Error, egress, to_the_end};
use crate::control::livekit::egress::Source;
use crate::control::pcast::Fields;
use crate::store::{Broadcast, Event, EventStatus, ShowRow};

/// An event that an encoder may take over.
#[derive(Serialize, ToSchema)]
#[schema(as = EventTakeover)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct Door {
    #[serde(flatten)]
    event: view::View,
    /// Secret: whoever has it can publish in the place of the film, until the event is over.
    stream_key: String,
    /// Server address; the key is the stream name.
    rtmp_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    srt_url: Option<String>,
}

/// What may be asked for with it.
#[derive(ToSchema)]
#[schema(as = EventTakeoverRequest)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct TakeoverFields {
    /// Has LiveKit's egress send the event's room, in the place of an encoder: `participant` its host, `room` all
    /// who publish, in a grid. How it goes is said at `/api/broadcasts/{id}/egress`.
    egress: Option<String>,
}

#[utoipa::path(
    post, path = "/api/events/{id}/takeover", tag = "events", operation_id = "takeoverEvent",
    summary = "Call for an encoder in the place of the film",
    description = "The film goes on until the encoder sends: it is made ready off air, goes on air at its next \
        aligned key picture, and viewers keep their player. When it ends, the film returns at the position that \
        the clock says; `start-video` sends it away.",
    request_body = Option<TakeoverFields>, security(("userToken" = [])), params(ById),
    responses((status = 200, description = "The event, and where to publish.", body = inline(Door)), Usual,
        Lookup, Sized, Conflicting),
)]
pub(in crate::control) async fn take_over(ByUser(mut call, user): ByUser) -> Answer {
    let event = call.event_of(&user).await?;
    let wanted = read(&mut call).await?;
    let (event, broadcast) = open(&call.state, event.id).await?;
    if let Some(wanted) = wanted {
        send_room(&call, &broadcast, wanted)?;
    }
    Ok(ok(&door(&call, event, &broadcast).await?))
}

/// What a body asks for besides: that LiveKit's egress sends the event's room.
async fn read(call: &mut Call) -> Result<Option<Option<Source>>, Error> {
    let body = call.body().await?;
    let mut fields = Fields::parse_optional(&body)?.without_nulls();
    let word = fields.line("egress")?;
    let wanted = word.as_deref().map(egress::source_of).transpose()?;
    if wanted.is_some() && call.state.setup().livekit.is_none() {
        return Err(Error::Unavailable(NOT_CONFIGURED));
    }
    Ok(wanted)
}

/// Has the room sent in the place of an encoder. Nobody waits for it: how it goes is among the broadcast's egresses.
fn send_room(call: &Call, broadcast: &Broadcast, wanted: Option<Source>) -> Result<(), Error> {
    let setup = call.state.setup();
    let Some(server) = setup.livekit.clone() else {
        return Ok(());
    };
    let to = egress::address(call, broadcast)?;
    let (state, broadcast) = (call.state.clone(), broadcast.clone());
    setup.tasks.spawn(async move {
        let room = broadcast.stream_id;
        if let Err(err) = egress::begin(&state, server, broadcast, wanted, to).await {
            tracing::warn!(%err, %room, "the room of an event is not sent");
        }
    });
    Ok(())
}

/// What who takes over is told.
pub(super) fn door<'a>(
    call: &Call,
    event: Event,
    broadcast: &'a Broadcast,
) -> impl Future<Output = Result<Door, Error>> + Send + use<'a> {
    let Bases { rtmp, srt, .. } = call.bases();
    let event = view::one(call, event);
    async move {
        let key = broadcast.key.expose();
        Ok(Door {
            event: event.await?,
            stream_key: key.to_owned(),
            rtmp_url: rtmp.unwrap_or_default(),
            srt_url: srt.map(|srt| format!("srt://{srt}?mode=caller&streamid={key}")),
        })
    }
}

/// Calls for an encoder, to the end.
pub(super) async fn open(state: &State, id: Uuid) -> Result<(Event, Broadcast), Error> {
    let then = state.clone();
    to_the_end(state, async move {
        let setup = then.setup();
        let change = |event: &mut Event, _: &mut ShowRow| {
            check_active(event)?;
            event.takeover = true;
            Ok::<(), Error>(())
        };
        let changed = setup.store.change_event(id, &|_, _| false, change).await?;
        let (event, _) = changed?;
        setup.playbill.catch_up().await;
        let broadcast = event.broadcast_id.ok_or(Error::Internal)?;
        let broadcast = setup.store.find_broadcast(&broadcast.to_string()).await?;
        let over = || Error::Conflict("the event's broadcast is over".to_owned());
        let broadcast = broadcast.filter(|found| !found.status.is_over());
        Ok((event, broadcast.ok_or_else(over)?))
    })
    .await
}

/// Gives the stream back to the film, to the end. Its encoder is disconnected when the film is on.
pub(super) async fn give_back(state: &State, id: Uuid) -> Result<Event, Error> {
    let then = state.clone();
    to_the_end(state, async move {
        let setup = then.setup();
        let change = |event: &mut Event, _: &mut ShowRow| {
            check_active(event)?;
            event.takeover = false;
            Ok::<(), Error>(())
        };
        let changed = setup.store.change_event(id, &|_, _| false, change).await?;
        let (event, run) = changed?;
        setup.playbill.catch_up().await;
        tracing::info!(event = %event.id, stream = %run.stream_id, "event given back to its film");
        Ok(event)
    })
    .await
}

fn check_active(event: &Event) -> Result<(), Error> {
    match event.status {
        EventStatus::Active => Ok(()),
        _ => Err(Error::Conflict("the event is not active".to_owned())),
    }
}
