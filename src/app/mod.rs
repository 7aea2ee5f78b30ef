//! Wiring: the only place that knows everybody. In: settings. Out: a running gateway.

mod access;
mod chores;
mod console;
pub mod demo;
mod events;
pub mod film;
mod forwards;
mod keys;
mod listeners;
mod live;
mod measure;
mod preparation;
mod publishing;
mod pulls;
mod pushes;
mod recordings;
mod rooms;
mod rules;
mod screens;
mod takeover;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use axum::Router;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::base::clock::Clock;
use crate::base::id::Uuid;
use crate::base::lanes::{self, Lanes};
use crate::base::shutdown::Tasks;
use crate::cli::check::Finding;
use crate::cli::commands;
use crate::config::Config;
use crate::control::token::Tokens;
use crate::control::{self, Sources, StoreGate};
use crate::credentials::{Banner, Credentials};
use crate::files::Files;
use crate::hub::Hub;
use crate::origin::{self, Origin};
use crate::playout::Stage;
use crate::store::Store;
use crate::transcode;
use access::{NoPlayback, TokenAccess};
use listeners::{Listeners, reachable};
use measure::Figures;
use recordings::Recordings;

/// A stop takes no longer: what has not ended by then is left behind.
pub const STOP_DEADLINE: Duration = Duration::from_secs(9);
/// How long players have to fetch what was published last: shaka asks for ever for a part that was listed
/// and is gone.
const LAST_FETCH: Duration = Duration::from_millis(500);
/// Folder of users' files in the data folder.
const UPLOADS: &str = "uploads";

/// The TLS settings in force, replaced by a reload.
type Tls = Arc<ArcSwap<rustls::ServerConfig>>;

/// A running gateway.
pub struct App {
    /// Addresses of playback and the APIs, in the order of the settings.
    pub http: Vec<SocketAddr>,
    /// Addresses for operators.
    pub control: Vec<SocketAddr>,
    /// RTMP addresses.
    pub rtmp: Vec<SocketAddr>,
    /// RTMP over TLS.
    pub rtmps: Vec<SocketAddr>,
    /// SRT addresses, UDP.
    pub srt: Vec<SocketAddr>,
    /// Streams that live now.
    pub hub: Hub,
    /// The public HTTP side.
    pub origin: Arc<Origin>,
    /// Shows of scheduled events.
    pub stage: Stage,
    /// Keys of this installation.
    pub credentials: Credentials,
    config: Config,
    gate: StoreGate,
    store: Store,
    tls: Option<Tls>,
    tasks: Tasks,
    ingest: Tasks,
    housekeeping: JoinHandle<()>,
    /// Follows the store for as long as this is here.
    _watch: Arc<control::watch::Watch>,
    /// Threads of publishers, and of what is sent on.
    _lanes: lanes::Threads,
}

impl App {
    /// Opens the store, binds every listener and serves. `worker` is the program that runs ladders.
    pub async fn start(config: Config, clock: Clock, worker: PathBuf) -> anyhow::Result<App> {
        let tasks = Tasks::new();
        // Ingest stops first, so that what encoders sent is published before players are let go.
        let ingest = tasks.child();
        let tls = load_tls(&config)?.map(|config| Arc::new(ArcSwap::new(config)));
        let listeners = Listeners::bind(&config, tls.is_some()).await?;
        let mut credentials = Credentials::load_or_make(&config.storage.data, &config.identity)?;
        let store = commands::open(&config, clock.clone()).await?;
        let (default, declared) = commands::prepare(&store, &config, &credentials).await?;
        credentials.stream_key = default.key;
        for alias in declared.added {
            info!(alias, "channel declared by the configuration file");
        }
        for channel in declared.removed {
            info!(channel, "channel no longer declared, deleted");
        }
        let tokens = Tokens::new(store.clone(), clock.clone());
        tasks.spawn(store.clone().keep_swept(tasks.clone()));
        let playbill = events::open(&config, &store, &clock).await?;
        let gate = StoreGate::new(
            store.clone(),
            tokens.clone(),
            config.media.default_capabilities.clone(),
        )
        .beside(playbill.clone())
        .asking(publishing::admission(&config)?);

        let figures = Arc::new(Figures::new());
        let files = Files::open(&config.storage.data.join(UPLOADS))
            .context("cannot use the folder of uploads")?;
        let films = preparation::start(&config, &store, &worker, &clock, &tasks).await?;
        let recordings = Recordings::open(&config, &clock, &tasks).await?;
        let terms = takeover::Terms::new(&config, playbill.stage(), &clock);
        let admitting = takeover::Beside::new(gate.clone(), terms.clone());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (lanes, threads) = Lanes::start(cores).context("cannot start threads")?;
        let transcoder = live::transcoder(&config, &clock, worker, &lanes)?;
        let hub = live::hub(&config, &clock, admitting, &transcoder, &figures, &ingest);
        let takeovers = takeover::Takeovers::new(terms, hub.clone(), store.clone());
        recordings.keep(&hub);
        figures.watch(hub.clone());
        hub.resume().await;
        recordings.settle().await?;
        let housekeeper = hub.clone();
        let housekeeping = tasks.spawn(async move { housekeeper.run().await });

        let addresses = listeners.addresses()?;
        addresses.log();
        let ports = publishing::Ports {
            rtmp: listeners.rtmp,
            rtmps: listeners.rtmps,
            srt: listeners.srt,
        };
        let runs = (&lanes, &tasks, &ingest);
        let feeds = publishing::start(ports, &config, tls.as_ref(), &hub, &figures, &clock, runs)?;
        for job in pulls::jobs(&config) {
            feeds.start(&job.channel_id, job.source);
        }
        let watch = Arc::new(control::watch::Watch {
            region: config.identity.region.clone(),
            live: Arc::new(hub.clone()),
            sources: feeds.clone(),
        });
        // Since the memory was read nothing was followed, so that nothing that came or went is missed.
        store.watch(&watch).await?;
        tasks.spawn(store.clone().follow(tasks.clone()));

        chores::start(&config, &store, &hub, (&files, &films), &clock, &tasks);
        tasks.spawn(takeovers.run(tasks.clone()));
        let screens = screens::Screens::new(&playbill, &hub, &store, &transcoder, &clock);
        let pushes = pushes::start(&config, (&hub, &store), screens, &clock, (&lanes, &tasks))?;
        figures.watch_forwards(pushes.board());
        let own_address = !config.listen.control.is_empty();
        let state = control::State::new(control::Setup {
            store: store.clone(),
            library: recordings.library.clone(),
            files,
            films,
            live: Arc::new(hub.clone()),
            playbill: playbill.clone(),
            planning: events::planning(&config),
            measurements: figures.clone(),
            forwards: Arc::new(pushes),
            probes: figures.clone(),
            keys: Arc::new(keys::Keys(config.clone())),
            tasks: tasks.clone(),
            tokens: tokens.clone(),
            region: config.identity.region.clone(),
            first_application: config.identity.application_id.clone(),
            max_channels: config.limits.max_channels,
            open_registration: config.publish.open_registration,
            anonymous_broadcasts: config.publish.anonymous_broadcasts,
            requests_per_second: control::REQUESTS_PER_SECOND,
            webhooks_private: config.webhooks.may_go_to(),
            public_url: config.urls.public_url.clone(),
            admin_key: credentials.admin_key.clone(),
            own_address,
            data: config.storage.data.clone(),
            hls_base: config.urls.playback_hls_base.clone(),
            dash_base: config.urls.playback_dash_base.clone(),
            addresses: console::addresses(&config, &addresses),
            livekit: commands::livekit_server(&config).context("LIVEKIT_URL")?,
            rooms: feeds.rooms.clone(),
            clock: clock.clone(),
        });
        events::conduct(&state, &tasks);
        tasks.spawn(control::tell_chats(state.clone()));
        tasks.spawn(control::livekit::keep_rooms(state.clone()));
        let (public, operators) = console::routers(state, own_address);
        let access = Arc::new(TokenAccess {
            hub: hub.clone(),
            tokens: tokens.clone(),
        });
        let access = recordings.access((&playbill, &hub), &tokens, access);
        let streams = recordings.streams(&playbill, &hub, &store);
        let origin = make_origin(&config, streams.clone(), &clock, access, public);
        figures.watch_origin(origin.clone());
        tasks.spawn(origin::conformance::run(origin.clone(), tasks.clone()));
        for listener in listeners.http {
            tasks.spawn(origin::server::run(
                listener,
                tls.clone(),
                origin.clone(),
                tasks.clone(),
            ));
        }
        if let Some(router) = operators {
            let operator = make_origin(&config, streams, &clock, Arc::new(NoPlayback), router);
            for listener in listeners.control {
                let run =
                    origin::server::run(listener, tls.clone(), operator.clone(), tasks.clone());
                tasks.spawn(run);
            }
        }
        Ok(App {
            http: addresses.http,
            control: addresses.control,
            rtmp: addresses.rtmp,
            rtmps: addresses.rtmps,
            srt: addresses.srt,
            hub,
            stage: playbill.stage().clone(),
            origin,
            credentials,
            config,
            gate,
            store,
            tls,
            tasks,
            ingest,
            housekeeping,
            _watch: watch,
            _lanes: threads,
        })
    }

    /// The newest stream of a channel, by its id or alias.
    pub fn on_air(&self, channel: &str) -> Option<Uuid> {
        let channel = self.store.known_public_channel(channel)?;
        self.hub.newest(&channel.id)
    }

    /// The lines printed at start.
    pub fn banner(&self, is_terminal: bool) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let base = |address: Option<&SocketAddr>| match (&self.config.urls.public_url, address) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Some(address)) => format!("{scheme}://{}", reachable(*address)),
            (None, None) => String::new(),
        };
        let http = base(self.http.first());
        let console = match self.control.first() {
            Some(address) => format!("{scheme}://{}", reachable(*address)),
            None => http.clone(),
        };
        let rtmp = self.config.urls.ingest_rtmp.clone();
        let rtmp = rtmp.or_else(|| {
            self.rtmp
                .first()
                .map(|address| format!("rtmp://{}/ingest", reachable(*address)))
        });
        let srt = self
            .srt
            .first()
            .map(|address| reachable(*address).to_string());
        self.credentials.banner(&Banner {
            http: &http,
            console: &console,
            rtmp: rtmp.as_deref(),
            srt: srt.as_deref(),
            application_id: &self.config.identity.application_id,
            is_terminal,
        })
    }

    /// Takes what may change in a running gateway from new settings, and says what may not.
    pub fn reload(&mut self, new: Config) {
        for setting in self.config.changes(&new).restart {
            warn!(setting, "changed, but takes effect at the next start only");
        }
        self.gate
            .set_default_capabilities(new.media.default_capabilities.clone());
        match (load_tls(&new), &self.tls) {
            (Ok(Some(fresh)), Some(tls)) => {
                tls.store(fresh);
                info!("certificate reloaded");
            }
            (Err(err), _) => warn!(%err, "certificate not reloaded, the old one stays"),
            _ => {}
        }
        self.config.media.default_capabilities = new.media.default_capabilities;
    }

    /// Stops taking publishers, publishes what they sent, lets players finish, closes the store.
    pub async fn stop(self) {
        self.ingest.stop();
        // Players are served until everything is published and recorded for the next run. A panic in
        // there was logged as one, and does not keep the rest from its end.
        let _ = self.housekeeping.await;
        if self.origin.stats().connections > 0 {
            tokio::time::sleep(LAST_FETCH).await;
        }
        self.tasks.finish().await;
        self.store.close().await;
    }
}

fn make_origin(
    config: &Config,
    streams: Arc<dyn origin::Streams>,
    clock: &Clock,
    access: Arc<dyn origin::Access>,
    fallback: Router,
) -> Arc<Origin> {
    let base = |set: &Option<String>, default: &str| {
        set.as_deref()
            .unwrap_or(default)
            .trim_end_matches('/')
            .to_owned()
    };
    let origin_config = origin::Config {
        trusted_proxies: config.urls.trusted_proxies.clone(),
        hls_base: base(&config.urls.playback_hls_base, "/hls"),
        dash_base: base(&config.urls.playback_dash_base, "/dash"),
        max_connections: origin::Config::default()
            .max_connections
            .min(for_connections(descriptors())),
    };
    Origin::new(origin_config, streams, clock.clone(), access, fallback)
}

/// The certificate and key of the settings, if any.
fn load_tls(config: &Config) -> anyhow::Result<Option<Arc<rustls::ServerConfig>>> {
    let (Some(cert), Some(key)) = (&config.listen.tls_cert, &config.listen.tls_key) else {
        return Ok(None);
    };
    let read = |path: &PathBuf| {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
    };
    Ok(Some(origin::tls::config(&read(cert)?, &read(key)?)?))
}

/// Files that viewers may have open of those that the process may: encoders, recordings and the database need
/// theirs, however many connections somebody opens. They get half, or 5,000: ten for each publisher.
fn for_connections(descriptors: usize) -> usize {
    descriptors - (descriptors / 2).min(5000)
}

/// Files that this process may have open.
fn descriptors() -> usize {
    let limit = rlimit::Resource::NOFILE.get_soft();
    limit.map_or(1024, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// What `forebay check` says of the transcoder.
pub fn transcoder_findings() -> Vec<Finding> {
    let finding = |found: transcode::Finding| {
        let what = format!("gstreamer element {} ({})", found.element, found.purpose);
        let mend = format!("install the Debian package {}", found.package);
        match (found.present, found.required) {
            (true, _) => Finding::good(what),
            (false, true) => Finding::failed(format!("{what} is missing"), mend),
            (false, false) => Finding::warning(format!("{what} is missing"), mend),
        }
    };
    transcode::check(&transcode::ladder::Book::built_in())
        .into_iter()
        .map(finding)
        .collect()
}
