//! Ingest protocols, started. In: bound listeners, settings, the hub. Out: tasks that take publishers,
//! and those that pull.

use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;

use super::Tls;
use super::measure::Figures;
use super::pulls::Pulls;
use super::rooms::{Feeds, Rooms};
use crate::base::clock::Clock;
use crate::base::lanes::Lanes;
use crate::base::shutdown::Tasks;
use crate::cli::commands;
use crate::config::Config;
use crate::control::admission::{self, OnFailure};
use crate::hub::Hub;
use crate::ingest::{rtmp, srt};

/// Listeners of encoders.
pub(super) struct Ports {
    pub(super) rtmp: Vec<TcpListener>,
    pub(super) rtmps: Vec<TcpListener>,
    pub(super) srt: srt::Listeners,
}

/// The service that is asked before a publish is accepted, if the settings name one.
pub(super) fn admission(config: &Config) -> anyhow::Result<Option<admission::Service>> {
    let Some(url) = &config.publish.admission_url else {
        return Ok(None);
    };
    let on_failure = match config.publish.admission_on_failure.as_str() {
        "allow" => OnFailure::Allow,
        _ => OnFailure::Refuse,
    };
    let service = admission::Service::new(url.expose(), on_failure);
    Ok(Some(service.context("FOREBAY_ADMISSION_URL")?))
}

/// Serves them on `tasks`, until `ingest` is stopped. Publishers run on lanes. Gives sources of channels that are
/// pulled, and rooms that become channels.
pub(super) fn start(
    ports: Ports,
    config: &Config,
    tls: Option<&Tls>,
    hub: &Hub,
    figures: &Arc<Figures>,
    clock: &Clock,
    (lanes, tasks, ingest): (&Lanes, &Tasks, &Tasks),
) -> anyhow::Result<Arc<Feeds>> {
    let rtmp_config = rtmp::Config {
        publish_timeout: config.publish.publish_timeout,
        lanes: lanes.clone(),
        clock: clock.clone(),
        ..rtmp::Config::default()
    };
    figures.watch_listener("rtmp", rtmp_config.stats.clone());
    let plain = ports.rtmp.into_iter().map(|listener| (listener, None));
    let secure = ports.rtmps.into_iter();
    let secure = secure.map(|listener| (listener, tls.cloned()));
    for (listener, tls) in plain.chain(secure) {
        let run = rtmp::run(
            listener,
            tls,
            hub.clone(),
            rtmp_config.clone(),
            ingest.clone(),
        );
        tasks.spawn(run);
    }
    let srt_config = srt_config(config, lanes.clone());
    figures.watch_listener("srt", srt_config.stats.clone());
    // Channels with a source may be made at any time.
    let port = ports.srt.for_calls().context("cannot pull")?;
    let server = srt::Server::new(port, hub.clone(), srt_config, ingest.clone());
    let server = server.context("cannot pull: SRT does not start")?;
    let pulls = Pulls::new(config, server.dialer(), lanes.clone(), clock, ingest);
    tasks.spawn(server.run());
    let livekit = commands::livekit_signaller(config, tasks).context("LIVEKIT_URL")?;
    let rooms = Rooms::new(livekit, config, hub, figures, lanes.clone(), clock, ingest);
    Ok(Arc::new(Feeds {
        pulls,
        rooms: Arc::new(rooms),
    }))
}

fn srt_config(config: &Config, lanes: Lanes) -> srt::Config {
    let passphrases = config.channels.iter().filter_map(|channel| {
        let id = config.identity.channel_id(&channel.alias);
        Some((id, channel.srt_passphrase.clone()?))
    });
    srt::Config {
        publish_timeout: config.publish.publish_timeout,
        passphrase: config.listen.srt_passphrase.clone(),
        channel_passphrases: passphrases.collect(),
        lanes,
        ..srt::Config::default()
    }
}
