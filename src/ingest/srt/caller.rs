//! One caller, from being let in to its end: asks the hub, feeds it what the connection brings, and
//! keeps the deadlines.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::door::{Door, Guest};
use super::reactor::{Ending, Message};
use crate::base::shutdown::Tasks;
use crate::format::ts::{Demuxer, Event};
use crate::hub::{Announcement, Refusal};
use crate::ingest::port::{Admit, Sink, answer};
use crate::ingest::silence::Silence;

/// How a caller ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("closed by the far side")]
    Closed,
    #[error("connection lost, or closed after a silence")]
    Lost,
    #[error("refused: {0}")]
    Refused(Refusal),
    #[error("no access unit for {0:?}")]
    Silent(Duration),
    #[error("ended by the hub: {0}")]
    Evicted(String),
    #[error("shutting down")]
    Stopped,
    #[error("not supported: {0}")]
    Unsupported(String),
}

/// A connection's task. When it ends, the connection is closed.
pub(super) struct Caller<A: Admit> {
    door: Arc<Door<A>>,
    tasks: Tasks,
    inbox: Inbox<A>,
    delivered: bool,
}

/// What the connection brings. The reactor closes the connection when this is dropped, and is woken for it.
struct Inbox<A: Admit> {
    receiver: mpsc::Receiver<Message>,
    door: Arc<Door<A>>,
}

impl<A: Admit> Drop for Inbox<A> {
    fn drop(&mut self) {
        self.receiver.close();
        self.door.wake();
    }
}

impl<A: Admit> Caller<A> {
    pub(super) fn new(
        door: Arc<Door<A>>,
        receiver: mpsc::Receiver<Message>,
        tasks: Tasks,
    ) -> Caller<A> {
        let inbox = Inbox {
            receiver,
            door: door.clone(),
        };
        Caller {
            door,
            tasks,
            inbox,
            delivered: false,
        }
    }

    /// Whether the hub was given any media.
    pub(super) fn has_delivered(&self) -> bool {
        self.delivered
    }

    /// Serves the caller to its end.
    pub(super) async fn run(mut self, guest: Guest) {
        let asked = self.door.admit.admit(guest.request);
        let admitted = self.admit(asked).await;
        drop(guest.seat);
        match admitted {
            Ok(sink) => {
                self.publish(sink).await;
            }
            Err(end) => tracing::info!(reason = %end, "connection ended without a publish"),
        }
    }

    /// Asks the hub, which may know more than it did when the caller was let in.
    pub(super) async fn admit(
        &self,
        asked: impl Future<Output = Result<A::Sink, Refusal>>,
    ) -> Result<A::Sink, End> {
        let stats = &self.door.config.stats;
        let admitted = tokio::select! {
            () = self.tasks.stopped() => {
                stats.unpublished_total.add(1);
                return Err(End::Stopped);
            }
            admitted = answer(asked) => admitted,
        };
        match admitted {
            Ok(sink) => {
                tracing::Span::current().record("stream", sink.stream());
                stats.accepted_total.add(1);
                tracing::info!("publish accepted");
                Ok(sink)
            }
            Err(refusal) => {
                stats.refused_total.add(1);
                Err(End::Refused(refusal))
            }
        }
    }

    /// Feeds an admitted session to its end.
    pub(super) async fn publish(&mut self, mut sink: A::Sink) -> End {
        let mut demuxer = Demuxer::new();
        let end = self.feed(&mut sink, &mut demuxer).await;
        let counts = demuxer.counts();
        let stats = &self.door.config.stats;
        stats
            .dropped_units_total
            .add(counts.malformed_units + counts.unready_units);
        let outcome = match &end {
            End::Closed => &stats.finished_total,
            End::Silent(_) => &stats.silent_total,
            End::Evicted(_) | End::Stopped => &stats.evicted_total,
            End::Unsupported(_) | End::Refused(_) => &stats.rejected_total,
            End::Lost => &stats.lost_total,
        };
        outcome.add(1);
        tracing::info!(
            reason = %end,
            malformed_units = counts.malformed_units,
            unready_units = counts.unready_units,
            continuity_errors = counts.continuity_errors,
            unsynced_bytes = counts.unsynced_bytes,
            "publish ended"
        );
        match &end {
            End::Closed => sink.finish(),
            _ => drop(sink),
        }
        end
    }

    async fn feed(&mut self, sink: &mut A::Sink, demuxer: &mut Demuxer) -> End {
        let limit = self.door.config.publish_timeout;
        let tasks = self.tasks.clone();
        // Made once: each of them enters a list under a lock when it is made, which would be per batch.
        let mut stopped = pin!(tasks.stopped());
        let mut evicted = pin!(sink.evicted());
        let mut silence = Silence::new(limit).await;
        loop {
            let message = tokio::select! {
                biased;
                () = &mut stopped => return End::Stopped,
                reason = &mut evicted => return End::Evicted(reason),
                () = silence.too_long() => return End::Silent(limit),
                message = self.inbox.receiver.recv() => message,
            };
            match message {
                Some(Message::Data(data)) => match self.push(sink, demuxer, &data) {
                    Ok(true) => {
                        silence.handle_media();
                        self.delivered = true;
                    }
                    Ok(false) => {}
                    Err(end) => return end,
                },
                Some(Message::Link(link)) => sink.report_link(link),
                Some(Message::End(ending)) => {
                    demuxer.finish();
                    return match (drain(sink, demuxer), ending) {
                        (Err(end), _) => end,
                        (Ok(_), Ending::Closed) => End::Closed,
                        (Ok(_), Ending::Lost) => End::Lost,
                    };
                }
                // The reactor has ended.
                None => return End::Stopped,
            }
        }
    }

    /// Hands one batch to the hub; whether that gave it anything.
    fn push(&self, sink: &mut A::Sink, demuxer: &mut Demuxer, data: &Bytes) -> Result<bool, End> {
        let count = u64::try_from(data.len()).unwrap_or(0);
        self.door.config.stats.received_bytes_total.add(count);
        demuxer.push(&data[..]);
        drain(sink, demuxer)
    }
}

/// Hands all events to the hub; whether there was media among them.
fn drain<K: Sink>(sink: &mut K, demuxer: &mut Demuxer) -> Result<bool, End> {
    let mut progress = false;
    if let Some(taken) = demuxer.poll_taken() {
        sink.announce(Announcement {
            video: Some(taken.video),
            audio: Some(taken.audio),
            ..Announcement::default()
        });
    }
    while let Some(event) = demuxer.poll_event() {
        match event {
            Event::Track(track) => sink.set_track(track),
            Event::Unit(unit) => sink.push(unit),
            Event::Unsupported(text) => return Err(End::Unsupported(text)),
        }
        progress = true;
    }
    Ok(progress)
}
