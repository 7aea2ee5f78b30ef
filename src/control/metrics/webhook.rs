//! Figures of webhooks.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;

use super::{alone, family};
use crate::store::Tally;

/// Writes them.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, tally: Tally) -> fmt::Result {
    let name = ("forebay_webhook_attempts", "Events sent to webhooks");
    let attempts = [("arrived", tally.arrived), ("failed", tally.failed)].map(|(result, count)| {
        let labels = vec![("result", result.to_owned())];
        (labels, ConstCounter::new(count))
    });
    family(encoder, name, attempts.into_iter())?;
    let name = (
        "forebay_webhook_dropped_events",
        "Events that webhooks were not told because too much was pending",
    );
    alone(encoder, name, ConstCounter::new(tally.dropped))
}
