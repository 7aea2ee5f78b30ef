//! Scheduled events in the running gateway: the stage that plays them, and who conducts them.

use anyhow::Context;

use super::rules::{film_rules, film_segment};
use crate::base::clock::{Clock, Wall};
use crate::base::shutdown::Tasks;
use crate::config::Config;
use crate::control::{self, Conductor, Planning, Playbill};
use crate::playout::{self, Stage};
use crate::store::{After, Store};

/// Folder of films in the data folder.
const FILMS: &str = "films";

/// What all events have in common.
pub(super) fn planning(config: &Config) -> Planning {
    Planning {
        segment: film_segment(config),
        slate_before: config.event.before == "slate",
        after: match config.event.after.as_str() {
            "end" => After::End,
            _ => After::Slate,
        },
    }
}

/// All events, and a stage on which their shows play. Who watched one before a restart goes on at once.
pub(super) async fn open(
    config: &Config,
    store: &Store,
    clock: &Clock,
) -> anyhow::Result<Playbill> {
    let settings = playout::Config {
        folder: config.storage.data.join(FILMS),
        // Each show has an epoch of its own.
        rules: film_rules(config, Wall::default()),
    };
    let stage = Stage::new(settings, clock.clone());
    let playbill = Playbill::new(store.clone(), stage);
    playbill.look().await.context("cannot read the events")?;
    Ok(playbill)
}

/// Has events begin and end until the tasks are stopped.
pub(super) fn conduct(state: &control::State, tasks: &Tasks) {
    tasks.spawn(Conductor::of(state).run(tasks.clone()));
}
