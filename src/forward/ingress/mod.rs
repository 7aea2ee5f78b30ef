//! A channel in a LiveKit room by LiveKit's own Ingress service, which plays our HLS. In: a stream, its public
//! address, a room. Out: an ingress of the kind "URL", made when the stream has something to play, watched, and
//! deleted when it is over. Not here: media, of which this sends none.
//!
//! It is some ten seconds behind and encodes anew; it is for servers that the gateway cannot reach with media.

mod service;

use std::sync::Arc;
use std::time::Duration;

use livekit_protocol as lk;
use livekit_protocol::ingress_state::Status as Reported;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use super::{Again, Carrier, Carrying, Ended, Told};
use crate::base::clock::Clock;
use crate::base::id::Uuid;
use crate::base::push;
use crate::base::shutdown::Tasks;
use crate::hub::tap::{Event, Tap, Tapped};
use crate::livekit::{OWN_IDENTITY, Server};
use service::{Client, Error};

/// From the stream's first rendition to the ingress: a player that finds an empty list gives up.
const SETTLES: Duration = Duration::from_secs(8);
/// How often the service is asked how it fares.
const LOOK: Duration = Duration::from_secs(5);
/// How many of these answers in a row may be missing.
const MAX_SILENCE: u32 = 6;
/// An ingress that does not publish within this will not: it buffers for some ten seconds.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(90);
/// What deleting may take at the end.
const GOODBYE_WITHIN: Duration = Duration::from_secs(3);

/// Says where a stream's HLS is for the world, or why it cannot be told.
pub type Address = Arc<dyn Fn(Uuid) -> Result<String, String> + Send + Sync>;

/// What all rooms have in common.
#[derive(Clone)]
pub struct Config {
    /// The LiveKit server.
    pub server: Server,
    /// For https; `None`: no certificate is trusted.
    pub tls: Option<TlsConnector>,
    /// Where our HLS is.
    pub address: Address,
    /// Tokens are made by it.
    pub clock: Clock,
    /// What is left to do when a forward is dropped is done here.
    pub tasks: Tasks,
}

/// A room that is filled by the Ingress service.
pub struct Room {
    target: push::Ingress,
    client: Client,
    address: Address,
    tasks: Tasks,
}

/// An ingress that is there, deleted when this is dropped.
struct Made {
    id: String,
    client: Client,
    tasks: Tasks,
}

impl Drop for Made {
    fn drop(&mut self) {
        let (id, client) = (std::mem::take(&mut self.id), self.client.clone());
        if id.is_empty() {
            return;
        }
        self.tasks.spawn(async move {
            match timeout(GOODBYE_WITHIN, client.delete(&id)).await {
                Ok(Ok(())) => {}
                Ok(Err(err)) => tracing::info!(ingress = id, %err, "ingress was not deleted"),
                Err(_) => tracing::info!(ingress = id, "ingress was not deleted in time"),
            }
        });
    }
}

impl Room {
    /// This room.
    pub fn new(target: push::Ingress, config: Config) -> Room {
        Room {
            target,
            client: Client {
                server: config.server,
                tls: config.tls,
                clock: config.clock,
            },
            address: config.address,
            tasks: config.tasks,
        }
    }

    async fn attempt(&self, stream: &dyn Tapped, tap: &mut Tap, told: &Told) -> Ended {
        told.waiting();
        if !has_media(tap).await || !lasts(tap, SETTLES).await {
            return Ended::over();
        }
        told.connecting();
        let url = match (self.address)(stream.id()) {
            Ok(url) => url,
            Err(reason) => return Ended::new(reason, Again::Refused),
        };
        let made = match self.make(stream.id(), url).await {
            Ok(made) => made,
            Err(err) => return failed(&err),
        };
        self.watch(&made, tap, told).await
    }

    /// Makes the ingress; one that an earlier run left behind goes first.
    async fn make(&self, stream: Uuid, url: String) -> Result<Made, Error> {
        let name = format!("{OWN_IDENTITY} {stream}");
        let room = &self.target.room;
        for old in self.client.of_room(room).await? {
            if old.name == name {
                self.client.delete(&old.ingress_id).await?;
            }
        }
        let new = lk::CreateIngressRequest {
            input_type: lk::IngressInput::UrlInput.into(),
            url,
            name,
            room_name: room.clone(),
            participant_identity: format!("{OWN_IDENTITY}-ingress-{stream}"),
            participant_name: "Forebay".to_owned(),
            ..lk::CreateIngressRequest::default()
        };
        let made = self.client.create(&new).await?;
        Ok(Made {
            id: made.ingress_id,
            client: self.client.clone(),
            tasks: self.tasks.clone(),
        })
    }

    /// Asks how it fares until it ends, or the stream does.
    async fn watch(&self, made: &Made, tap: &mut Tap, told: &Told) -> Ended {
        let mut silent = 0;
        let mut is_live = false;
        let mut waited = Duration::ZERO;
        loop {
            if !lasts(tap, LOOK).await {
                return Ended::over();
            }
            let found = match self.client.of_room(&self.target.room).await {
                Ok(all) => all.into_iter().find(|info| info.ingress_id == made.id),
                Err(err) if silent >= MAX_SILENCE => return failed(&err),
                Err(_) => {
                    silent += 1;
                    continue;
                }
            };
            silent = 0;
            let Some(info) = found else {
                return Ended::new("the ingress was deleted", Again::Later);
            };
            let state = info.state.unwrap_or_default();
            match state.status() {
                Reported::EndpointPublishing => {
                    if !is_live {
                        told.live();
                    }
                    is_live = true;
                }
                Reported::EndpointError => {
                    let text: String = state.error.chars().take(200).collect();
                    return Ended::new(format!("the ingress failed: {text}"), Again::Later);
                }
                Reported::EndpointComplete => {
                    return Ended::new("the ingress has ended", Again::Later);
                }
                Reported::EndpointInactive | Reported::EndpointBuffering => {
                    waited += LOOK;
                    if waited >= PUBLISHED_WITHIN {
                        let seconds = PUBLISHED_WITHIN.as_secs();
                        let text = format!("the ingress published nothing within {seconds} s");
                        return Ended::new(text, Again::Later);
                    }
                }
            }
        }
    }
}

impl Carrier for Room {
    fn carry<'a>(
        &'a mut self,
        stream: &'a dyn Tapped,
        tap: &'a mut Tap,
        told: &'a Told,
    ) -> Carrying<'a> {
        Box::pin(self.attempt(stream, tap, told))
    }
}

/// Waits for a rendition; false: the stream is over.
async fn has_media(tap: &mut Tap) -> bool {
    loop {
        match tap.recv().await {
            Some(Event::Rendition(_)) => return true,
            Some(Event::End) | None => return false,
            Some(_) => {}
        }
    }
}

/// Lets a time pass; false: the stream is over before.
async fn lasts(tap: &mut Tap, time: Duration) -> bool {
    let rest = sleep(time);
    tokio::pin!(rest);
    loop {
        tokio::select! {
            () = &mut rest => return true,
            event = tap.recv() => match event {
                Some(Event::End) | None => return false,
                Some(_) => {}
            },
        }
    }
}

fn failed(err: &Error) -> Ended {
    let again = match err {
        Error::Credentials => Again::Refused,
        Error::Refused { code, .. } if code == "invalid_argument" => Again::Refused,
        _ => Again::Later,
    };
    Ended::new(err, again)
}
