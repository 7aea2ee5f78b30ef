//! What a watch page needs to know of a broadcast, and what it may show of it (contract, broadcasts, section
//! 4.6). In: an id, and from whom. Out: title, status, counts, addresses, and a pass for the chat. Not here:
//! secrets, media. A run of a scheduled event (`run.rs`) has its page before it is a broadcast. Into its room
//! pages come by `realtime.rs`.

pub(in crate::control) mod pass;
pub(in crate::control) mod realtime;
pub(in crate::control) mod run;
#[cfg(test)]
mod tests;

use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Answer, ok};
use super::docs::{Lookup, Usual};
use super::time::seconds;
use super::{Call, Error};
use crate::control::State;
use crate::control::metrics::Measurements;
use crate::store::{Broadcast, FilePaths, Visibility};
use pass::Pass;

/// A broadcast, or a run of a scheduled event that is to become one, for those who watch it.
#[derive(Serialize, ToSchema)]
#[schema(as = BroadcastForViewers)]
#[serde(rename_all = "camelCase")]
pub(in crate::control) struct View<'a> {
    /// There is none before it is a broadcast.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    stream_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "r5")]
    short_id: Option<String>,
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    /// `created`, `active`, `completed` or `error`.
    status: &'static str,
    /// Whether there is something to play.
    on_air: bool,
    /// Who watch, in the app's room or by HLS and DASH.
    viewers: u64,
    /// Path of its picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/uploads/6d5c2b1e-0000-4000-8000-000000000000/large.jpg")]
    poster: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<String>,
    hls_url: String,
    dash_url: String,
    watch_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    chat: Option<Chat>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    event: Option<run::EventView>,
}

/// The way into the chat of a broadcast.
#[derive(Serialize, ToSchema)]
#[schema(as = ChatForViewers)]
#[serde(rename_all = "camelCase")]
struct Chat {
    /// Path of the socket.
    path: String,
    /// Goes behind it as `?token=`. It is good for this chat alone, and for a few minutes: to join.
    token: String,
    /// Id under which its holder speaks.
    guest_id: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: String,
}

#[utoipa::path(
    get, path = "/api/streams/{id}/viewer", tag = "broadcast", operation_id = "viewBroadcast",
    summary = "Show a broadcast to who watches it, with a pass for its chat",
    description = "Private broadcasts are there for their tenant, and for who has a pass already.",
    security((), ("apiKey" = []), ("userToken" = [])),
    params(
        ("id" = String, Path, description = "Id of broadcast or stream, short id, or that of its channel; or of a scheduled event."),
        ("token" = Option<String>, Query, description = "Pass, API key or user token, where no header can be sent."),
    ),
    responses((status = 200, description = "What a page shows.", body = inline(View<'_>)), Usual, Lookup),
)]
pub(in crate::control) async fn show(mut call: Call) -> Answer {
    let found = match call.watched().await {
        Ok((found, _)) => found,
        Err(Error::NotFound(what)) => {
            let run = call.coming().await?.ok_or(Error::NotFound(what))?;
            return Ok(ok(&run::view(&call.state, &call.bases(), &run).await?));
        }
        Err(err) => return Err(err),
    };
    let setup = call.state.setup();
    let tenant = setup.store.known_application(&found.application_id);
    let tenant = tenant.ok_or(Error::NotFound("broadcast"))?;
    let now = setup.clock.wall();
    let (token, pass) = pass::issue(&tenant.secret, found.id, now);
    let bases = call.bases();
    let stream = found.stream_id;
    let run = run::known(&call.state, stream);
    let is_playing = match &run {
        Some(run) => run.is_playing(&setup.store, now).await?,
        None => false,
    };
    Ok(ok(&View {
        id: Some(found.id.to_string()),
        stream_id: stream.to_string(),
        short_id: Some(found.short_id()),
        title: &found.title,
        description: found.description.as_deref(),
        status: found.status.word(),
        on_air: is_playing || setup.live.on_air(&found.channel_id).is_some(),
        viewers: viewers(&*setup.measurements, stream, found.reported_viewers),
        poster: poster(&call.state, &found).await?,
        started_at: found.started.map(seconds),
        ended_at: found.ended.map(seconds),
        hls_url: bases.hls_url(stream),
        dash_url: bases.dash_url(stream),
        watch_url: bases.watch_url(stream),
        chat: Some(Chat {
            path: format!("/ws/streams/{stream}/chat"),
            token,
            guest_id: pass.guest,
            expires_at: seconds(pass.expires),
        }),
        event: run.map(|run| run.view(now)),
    }))
}

/// Who watch a broadcast. The app may count those who play HLS too (decision B-19), so that a sum would count
/// them twice.
pub(in crate::control) fn viewers(
    measurements: &dyn Measurements,
    stream: crate::base::id::Uuid,
    reported: u32,
) -> u64 {
    measurements.viewers(stream).max(reported.into())
}

/// Path of the picture that stands for a broadcast, of a size for a page.
pub(in crate::control) async fn poster(
    state: &State,
    broadcast: &Broadcast,
) -> Result<Option<String>, Error> {
    let posters = state.setup().store.posters(std::slice::from_ref(broadcast));
    let found = posters.await?.remove(&broadcast.id);
    Ok(found.map(for_page))
}

/// The size for a page.
pub(in crate::control) fn for_page(paths: FilePaths) -> String {
    let smaller = paths.large.or(paths.medium).or(paths.small);
    smaller.unwrap_or(paths.original)
}

impl State {
    /// The broadcast of an id: its own, its stream's, or that of the event of which it is the run that is on.
    async fn broadcast_of(&self, id: &str) -> Result<Option<Broadcast>, Error> {
        let store = &self.setup().store;
        if let Some(found) = store.find_broadcast(id).await? {
            return Ok(Some(found));
        }
        match run::find(self, id).await? {
            Some(run) => Ok(store.find_broadcast(&run.stream.to_string()).await?),
            None => Ok(None),
        }
    }
}

impl Call {
    /// Whether it shows a pass in the place of other credentials.
    pub(super) async fn has_pass(&mut self) -> Result<bool, Error> {
        let query = self.query().await?;
        Ok(query.text("token")?.is_some_and(pass::is_pass))
    }

    /// The broadcast that the path names, for who may watch it, and the pass that was shown. Another tenant's
    /// broadcast is not there, and a private one only for its tenant and with a pass.
    pub(super) async fn watched(&mut self) -> Result<(Broadcast, Option<Pass>), Error> {
        let query = self.query().await?;
        let token = query.text("token")?;
        if let Some(credential) = token.filter(|token| !pass::is_pass(token)) {
            self.show(credential).await?;
        }
        let missing = Error::NotFound("broadcast");
        let id = self.parameter("id").await?;
        let setup = self.state.setup();
        let Some(found) = self.state.broadcast_of(&id).await? else {
            return Err(missing);
        };
        let shown = token.filter(|token| pass::is_pass(token));
        let tenant = setup.store.known_application(&found.application_id);
        let now = setup.clock.wall();
        let pass = shown.and_then(|text| pass::read(text, &tenant?.secret, found.id, now));
        let caller = &self.caller;
        let may_watch = match caller.is_anonymous() {
            true => found.visibility != Visibility::Private || pass.is_some(),
            false => caller.is_operator || found.application_id == caller.tenant.id,
        };
        match may_watch {
            false => Err(missing),
            true if shown.is_some() && pass.is_none() => {
                Err(Error::Unauthorized("the pass is not, or no longer, good"))
            }
            true => Ok((found, pass)),
        }
    }
}
