//! Live streams in the running gateway: what the hub does with those who publish, and what is attached to each
//! stream.

use std::path::PathBuf;
use std::sync::Arc;

use super::measure::Figures;
use super::rules::{PASSTHROUGH_TARGET_S, film_rules, playlist_rules, target_duration};
use crate::base::clock::{Clock, Wall};
use crate::base::lanes::Lanes;
use crate::base::shutdown::Tasks;
use crate::config::Config;
use crate::hub::boundary::{OnLoss, Settings};
use crate::hub::{self, Admission, Hub, Stream};
use crate::media::timeline::Timeline;
use crate::media::{Ticks, Timescale};
use crate::package::Live;
use crate::transcode;

/// Capability that asks for a ladder.
const MULTI_BITRATE: &str = "multi-bitrate";

/// How ladders are made, and what else is encoded. `worker` is the program that does it.
pub(super) fn transcoder(
    config: &Config,
    clock: &Clock,
    worker: PathBuf,
    lanes: &Lanes,
) -> anyhow::Result<Arc<transcode::Config>> {
    let choice = transcode::ladder::Choice::from_setting(&config.media.ladder);
    let slates = config.channels.iter().filter_map(|channel| {
        let id = config.identity.channel_id(&channel.alias);
        Some((id, channel.slate.clone()?))
    });
    Ok(Arc::new(transcode::Config {
        executable: worker,
        slate: on_loss(config) == OnLoss::Slate,
        slates: slates.collect(),
        lanes: lanes.clone(),
        rooms_at_once: config.livekit.url.is_some() && config.livekit.forward != "off",
        ..transcode::Config::new(choice, clock.clone())?
    }))
}

/// What rungs show while nothing comes.
fn on_loss(config: &Config) -> OnLoss {
    match config.publish.on_loss.as_str() {
        "freeze" => OnLoss::Freeze,
        "gap" => OnLoss::Gap,
        _ => OnLoss::Slate,
    }
}

/// The hub, whose streams are packaged, and encoded with `transcoder`.
pub(super) fn hub(
    config: &Config,
    clock: &Clock,
    gate: impl hub::Gate + 'static,
    transcoder: &Arc<transcode::Config>,
    figures: &Arc<Figures>,
    tasks: &Tasks,
) -> Hub {
    let media = config.media.clone();
    let ladder_on = media.ladder != "off";
    let has_ladder = move |admission: &Admission| {
        ladder_on
            && admission
                .capabilities
                .iter()
                .any(|word| word == MULTI_BITRATE)
    };
    let target = target_duration(config, true);
    let segment_target = Ticks::from_duration(media.segment, Timescale::CHANNEL);
    let on_loss = on_loss(config);
    let rules = move |admission: &Admission| {
        let ladder = has_ladder(admission);
        let longest = if ladder {
            target
        } else {
            PASSTHROUGH_TARGET_S.max(target)
        };
        let longest_segment = Ticks(i64::from(longest) * 90_000);
        Settings {
            segment_target,
            longest_segment,
            ladder,
            on_loss,
        }
    };
    let rules_config = config.clone();
    let held = figures.clone();
    let media_bytes = move || held.media_bytes();
    let figures = figures.clone();
    let transcoder = transcoder.clone();
    let asked = transcoder.clone();
    let bridge_tasks = tasks.clone();
    let opener = move |stream: &Arc<Stream>, now: Wall| {
        let rules = match stream.admission().placed {
            Some(_) => film_rules(&rules_config, stream.epoch()),
            None => playlist_rules(&rules_config, stream.epoch(), stream.has_ladder()),
        };
        let live = Live::new(rules, now);
        stream.attach(live.outlet());
        figures.watch_timeline(stream.id(), live.clone());
        if stream.has_ladder() {
            let status = transcode::attach(stream, transcoder.clone(), &bridge_tasks);
            figures.watch_ladder(stream.id(), status);
        }
        transcode::attach_rooms(stream.clone(), transcoder.clone(), &bridge_tasks);
        live as Arc<dyn Timeline>
    };
    let hub_config = hub::Config {
        reconnect: config.publish.reconnect,
        silence: config.publish.silence,
        window: config.media.window,
        retention: config.media.window * 2,
        kill_holdoff: config.publish.kill_holdoff,
        region: config.identity.region.clone(),
        same_renditions: hub::SameRenditions::new(move |one, other| {
            asked.book.asks_for_the_same(&asked.choice, one, other)
        }),
        max_publishers: usize::try_from(config.limits.max_publishers).unwrap_or(usize::MAX),
        max_media_bytes: config.limits.max_memory_bytes(machine_memory()),
    };
    Hub::new(
        hub_config,
        clock.clone(),
        Arc::new(gate),
        Box::new(rules),
        Box::new(opener),
        Box::new(media_bytes),
        tasks.clone(),
    )
}

/// Bytes of memory of this machine; 2 GiB where the kernel does not tell.
fn machine_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map_or(2 << 30, |kib| kib * 1024)
}
