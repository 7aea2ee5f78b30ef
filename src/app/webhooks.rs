//! Webhooks, wired: who is told of broadcasts and publishers.

use std::sync::Arc;

use crate::base::clock::Clock;
use crate::base::shutdown::Tasks;
use crate::config::Config;
use crate::control::Webhooks;
use crate::hub::Hub;
use crate::store::Store;

/// Sends what is due, until the tasks are stopped.
pub(super) fn start(config: &Config, store: &Store, hub: &Hub, clock: &Clock, tasks: &Tasks) {
    let live = Arc::new(hub.clone());
    let private = config.webhooks.may_go_to();
    let webhooks = Webhooks::new(store.clone(), live, private, clock.clone());
    tasks.spawn(webhooks.run(tasks.clone()));
}
