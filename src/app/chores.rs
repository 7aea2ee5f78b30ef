//! What the control side does by the clock, wired: broadcasts that end by silence, bytes that nobody owns any
//! more, and those who are told of broadcasts and publishers.

use std::sync::Arc;

use crate::base::clock::Clock;
use crate::base::shutdown::Tasks;
use crate::config::Config;
use crate::control::{Leftovers, Lifecycle, Webhooks};
use crate::files::Files;
use crate::films::Films;
use crate::hub::Hub;
use crate::store::Store;

/// Does it until the tasks are stopped.
pub(super) fn start(
    config: &Config,
    store: &Store,
    hub: &Hub,
    (files, films): (&Files, &Films),
    clock: &Clock,
    tasks: &Tasks,
) {
    let live = Arc::new(hub.clone());
    let region = config.identity.region.clone();
    let lifecycle = Lifecycle::new(store.clone(), live.clone(), region, clock.clone());
    tasks.spawn(lifecycle.run(tasks.clone()));
    let leftovers = Leftovers::new(store.clone(), files.clone(), films.clone());
    tasks.spawn(leftovers.run(tasks.clone()));
    let private = config.webhooks.may_go_to();
    let webhooks = Webhooks::new(store.clone(), live, private, clock.clone());
    tasks.spawn(webhooks.run(tasks.clone()));
}
