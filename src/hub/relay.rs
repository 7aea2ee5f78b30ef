//! Feeds a fork that has pictures of its own: takes its source's units and publishes them to the fork's
//! stream, as an encoder would. Nothing is decoded here.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;

use super::stream::{Joining, Stream};
use super::subscriber::{Event, Subscriber};
use super::{Publisher, Refusal, session};
use crate::base::shutdown::Tasks;

/// Units between a source and its fork: two seconds of video and audio at 60 fps. When it is full the
/// source drops up to the next key unit.
const QUEUE_UNITS: usize = 256;

/// Protocol of the session that feeds a fork.
const PROTO: &str = "fork";

/// Has `source` feed `fork` until one of them ends, in a task of `tasks`.
pub(super) fn start(
    source: Arc<Stream>,
    fork: &Arc<Stream>,
    region: &str,
    tasks: &Tasks,
) -> Result<(), Refusal> {
    let (member, eviction) = fork.join(Joining {
        proto: PROTO,
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        session: session::new_id(region),
        screen_name: Some(PROTO.to_owned()),
    })?;
    let mut publisher = Publisher::new(fork.clone(), member, eviction);
    publisher.announce(source.announcement());
    // Before the task: what comes from now on is the fork's.
    let units = source.subscribe(QUEUE_UNITS);
    let stopping = tasks.clone();
    tasks.spawn(run(source, units, publisher, stopping));
    Ok(())
}

async fn run(source: Arc<Stream>, mut units: Subscriber, mut publisher: Publisher, tasks: Tasks) {
    let mut evicted = pin!(publisher.evicted());
    let mut stopped = pin!(tasks.stopped());
    loop {
        let event = tokio::select! {
            () = &mut stopped => return,
            _ = &mut evicted => return,
            event = units.recv() => event,
        };
        match event {
            Some(Event::Track(track)) => publisher.set_track((*track).clone()),
            Some(Event::Unit { unit, .. }) => publisher.push(unit),
            // The fork finds its holes by itself, and lists what its own settings allow.
            Some(Event::Settled { .. } | Event::Hold { .. } | Event::Break) => {}
            Some(Event::End) => return,
            None if source.is_ended() => return,
            None => {
                tracing::warn!(fork = %publisher.stream_id(), "a fork was too slow, it is fed anew");
                units = source.subscribe(QUEUE_UNITS);
            }
        }
    }
}
