//! Destinations of channels: those of the settings and those that operators added, as what runs. In: settings,
//! the database. Out: what is wanted of a stream, for those who run forwards (`app::forwards`), and how it
//! fares, for those who ask.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsConnector;

use super::forwards::{Forwards, Wanted};
use super::screens::Screens;
use crate::base::clock::Clock;
use crate::base::destination::Private;
use crate::base::id::Uuid;
use crate::base::lanes::Lanes;
use crate::base::outbound;
use crate::base::push::Push;
use crate::base::shutdown::Tasks;
use crate::cli::commands;
use crate::config::Config;
use crate::control::{self, Forwarded};
use crate::forward::{self, Board, Carrier, Status, ingress, rtmp, whip};
use crate::hub::Hub;
use crate::hub::tap::{Tap, Tapped};
use crate::livekit::Server;
use crate::rtc;
use crate::store::Store;

/// How often the database is read, for what other gateways added.
const LOOK: Duration = Duration::from_secs(10);

/// Destinations of a channel, with their ids.
type Destinations = HashMap<String, Vec<(String, Push)>>;

/// Destinations of all channels. Cloning shares them.
#[derive(Clone)]
pub(super) struct Pushes(Arc<Inner>);

struct Inner {
    declared: Destinations,
    stored: Mutex<Destinations>,
    changed: Notify,
    board: Board,
    rtmp: rtmp::Config,
    whip: whip::Config,
    /// `None`: there is no LiveKit server.
    ingress: Option<ingress::Config>,
}

/// Runs the forwards of all streams: into rooms, and to destinations of their channels.
pub(super) fn start(
    config: &Config,
    (hub, store): (&Hub, &Store),
    screens: Screens,
    clock: &Clock,
    (lanes, tasks): (&Lanes, &Tasks),
) -> anyhow::Result<Pushes> {
    let server = commands::livekit_signaller(config, tasks).context("LIVEKIT_URL")?;
    let board = Board::default();
    let pushes = Pushes::new(config, server.clone(), &board, clock, tasks);
    tasks.spawn(pushes.clone().follow(store.clone(), tasks.clone()));
    let wanted = pushes.clone();
    let forwards = Forwards::new(
        config,
        server,
        Arc::new(rtc::open),
        Box::new(move |channel_id| wanted.wanted(channel_id)),
        (hub, screens),
        (&board, lanes),
        clock,
    );
    tasks.spawn(forwards.run(tasks.clone()));
    Ok(pushes)
}

impl Pushes {
    /// Those of the settings; [`Pushes::follow`] adds the others. Reads the machine's certificates: blocks for
    /// some milliseconds. `server`: the LiveKit server, if there is one. How they fare stands on `board`.
    pub(super) fn new(
        config: &Config,
        server: Option<Server>,
        board: &Board,
        clock: &Clock,
        tasks: &Tasks,
    ) -> Pushes {
        let roots = Some(outbound::machine_roots()).filter(|roots| !roots.is_empty());
        let tls = |make: fn(rustls::RootCertStore) -> Result<TlsConnector, rustls::Error>| {
            roots.clone().and_then(|roots| make(roots).ok())
        };
        let http = tls(outbound::connector);
        let private = config.forward.may_go_to();
        let declared = config.channels.iter().map(|channel| {
            let pushes = channel.pushes.iter().enumerate();
            let pushes = pushes.map(|(at, push)| (format!("file-{}", at + 1), push.clone()));
            (config.identity.channel_id(&channel.alias), pushes.collect())
        });
        Pushes(Arc::new(Inner {
            declared: declared.collect(),
            stored: Mutex::default(),
            changed: Notify::new(),
            board: board.clone(),
            rtmp: rtmp::Config {
                private: private.clone(),
                tls: tls(outbound::plain_connector),
                clock: clock.clone(),
            },
            whip: whip::Config {
                loopback: may_go_here(&private),
                private,
                tls: http.clone(),
                open: Arc::new(rtc::open),
            },
            ingress: server.map(|server| ingress::Config {
                server,
                tls: http,
                address: address(config),
                clock: clock.clone(),
                tasks: tasks.clone(),
            }),
        }))
    }

    /// Where it stands how all forwards fare.
    pub(super) fn board(&self) -> Board {
        self.0.board.clone()
    }

    /// Reads the database now, and until the tasks are stopped.
    pub(super) async fn follow(self, store: Store, tasks: Tasks) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_down = false;
        loop {
            tokio::select! {
                () = tasks.stopped() => return,
                _ = look.tick() => {}
                () = self.0.changed.notified() => {}
            }
            match store.forwards().await {
                Ok(forwards) => {
                    let mut stored = Destinations::new();
                    for forward in forwards {
                        let of_channel = stored.entry(forward.channel_id).or_default();
                        of_channel.push((forward.id.to_string(), forward.push));
                    }
                    *self.stored() = stored;
                    is_down = false;
                }
                Err(err) if !is_down => {
                    tracing::error!(%err, "destinations could not be read, the last known hold");
                    is_down = true;
                }
                Err(_) => {}
            }
        }
    }

    fn stored(&self) -> MutexGuard<'_, Destinations> {
        self.0.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wanted of a channel's stream.
    pub(super) fn wanted(&self, channel_id: &str) -> Vec<Wanted> {
        let mut all = control::Forwards::declared(self, channel_id);
        all.extend(self.stored().get(channel_id).cloned().unwrap_or_default());
        all.into_iter()
            .map(|(id, push)| self.want(id, push))
            .collect()
    }

    fn want(&self, id: String, push: Push) -> Wanted {
        let (kind, destination) = (push.kind(), push.to_string());
        let inner = self.0.clone();
        Wanted {
            id,
            kind,
            destination,
            make: Arc::new(move || inner.carrier(&push)),
        }
    }
}

impl Inner {
    fn carrier(&self, push: &Push) -> Box<dyn Carrier> {
        match push {
            Push::Rtmp(target) => Box::new(rtmp::Restream::new(target.clone(), self.rtmp.clone())),
            Push::Whip(target) => Box::new(whip::Endpoint::new(target.clone(), self.whip.clone())),
            Push::Ingress(target) => match &self.ingress {
                Some(config) => Box::new(ingress::Room::new(target.clone(), config.clone())),
                None => Box::new(NoServer),
            },
        }
    }
}

impl control::Forwards for Pushes {
    fn of_channel(&self, channel_id: &str) -> Vec<Forwarded> {
        let all = self.0.board.of_channel(channel_id).into_iter();
        all.map(forwarded).collect()
    }

    fn declared(&self, channel_id: &str) -> Vec<(String, Push)> {
        self.0.declared.get(channel_id).cloned().unwrap_or_default()
    }

    fn changed(&self) {
        self.0.changed.notify_one();
    }
}

/// Stands for an ingress without a server.
struct NoServer;

impl Carrier for NoServer {
    fn carry<'a>(
        &'a mut self,
        _stream: &'a dyn Tapped,
        _tap: &'a mut Tap,
        _told: &'a forward::Told,
    ) -> forward::Carrying<'a> {
        let reason = "there is no LiveKit server: LIVEKIT_URL, its key and its secret are not set";
        Box::pin(async move { forward::Ended::new(reason, forward::Again::Refused) })
    }
}

fn forwarded(status: Status) -> Forwarded {
    // On the board each stands with its stream before its id.
    let id = status.id.rsplit_once('/').map_or(&*status.id, |(_, id)| id);
    Forwarded {
        id: id.to_owned(),
        kind: status.kind,
        destination: status.destination,
        state: match status.state {
            forward::State::Over => forward::State::Waiting.word(),
            state => state.word(),
        },
        since_unix_ms: status.since,
        reason: status.reason,
        next_attempt_unix_ms: status.next_attempt,
        note: status.note,
        attempts: status.attempts,
        connected: status.connected,
        packets: status.packets,
        bytes: status.bytes,
        dropped_units: status.dropped_units,
    }
}

/// Whether destinations on this machine are allowed.
fn may_go_here(private: &Private) -> bool {
    let here = [
        std::net::IpAddr::from(std::net::Ipv4Addr::LOCALHOST),
        std::net::IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
    ];
    let mut networks = private.networks.iter();
    networks.any(|network| here.iter().any(|address| network.contains(*address)))
}

/// Where the world finds a stream's HLS.
fn address(config: &Config) -> ingress::Address {
    let trimmed = |url: &String| url.trim_end_matches('/').to_owned();
    let base = config.urls.playback_hls_base.as_ref().map(trimmed);
    let public = config.urls.public_url.as_ref();
    let base = base.or_else(|| public.map(|url| format!("{}/hls", trimmed(url))));
    Arc::new(move |stream: Uuid| match &base {
        Some(base) => Ok(format!("{base}/{stream}/index.m3u8")),
        None => Err("FOREBAY_PUBLIC_URL is not set: nobody knows where our HLS is".to_owned()),
    })
}
