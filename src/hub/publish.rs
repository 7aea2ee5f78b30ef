//! How publisher sessions are opened. In: requests of encoders, and what the gateway pulls itself. Out: a
//! [`Publisher`] on the channel's running stream, or on a new one.

use std::net::SocketAddr;

use super::barrier::Passage;
use super::stream::{Joining, MemberId};
use super::{Admission, Hub, PublishRequest, Publisher, Refusal, Stream, session};

impl Hub {
    /// Asks the gate and opens a session, on the channel's running stream or on a new one.
    pub async fn publish(&self, request: PublishRequest) -> Result<Publisher, Refusal> {
        let passage = self.inner.barrier.enter();
        let admission = self.inner.gate.admit(&request).await?;
        self.open_session(admission, passage, request.proto, request.peer)
            .await
    }

    /// The same for what the gateway pulls from `peer` for a channel: a publisher like any other, but
    /// without a key.
    pub async fn publish_pulled(
        &self,
        channel_id: &str,
        proto: &'static str,
        peer: SocketAddr,
    ) -> Result<Publisher, Refusal> {
        let passage = self.inner.barrier.enter();
        let admission = self.inner.gate.admit_pulled(channel_id).await?;
        self.open_session(admission, passage, proto, peer).await
    }

    async fn open_session(
        &self,
        admission: Admission,
        passage: Passage<'_>,
        proto: &'static str,
        peer: SocketAddr,
    ) -> Result<Publisher, Refusal> {
        self.check_capacity()?;
        let asked = admission.capabilities.clone();
        let joining = Joining {
            proto,
            peer,
            session: session::new_id(&self.inner.config.region),
            screen_name: admission.screen_name.clone(),
        };
        let (stream, opened) = self.stream_of(admission, &passage)?;
        drop(passage);
        let (member, eviction) = stream.join(joining)?;
        let publisher = Publisher::new(stream.clone(), member, eviction);
        if !self.is_bound(stream.id()) {
            let text = "the channel's publishers were ended just now";
            return Err(Refusal::NotAllowed(text.to_owned()));
        }
        note_ignored(&stream, member, asked);
        let sign = self.sign(&stream);
        let is_first = self.signs().handle_publish(&sign);
        match opened {
            Some(record) => {
                self.inner.gate.stream_opened(&record).await;
                // Who ended it meanwhile found nothing recorded.
                if !self.is_bound(record.id) {
                    self.inner.gate.streams_ended(&[record.id]).await;
                }
            }
            // Before any media: from now on the last run's signs are not the whole truth.
            None if is_first => self.inner.gate.streams_alive(&[sign]).await,
            None => {}
        }
        Ok(publisher)
    }
}

/// Capabilities are those of the publisher that opened the stream, and hold until it ends: what a later one
/// asks for is shown, and nothing else.
fn note_ignored(stream: &Stream, member: MemberId, asked: Vec<String>) {
    let held = &stream.admission().capabilities;
    let all_in = |some: &[String], others: &[String]| some.iter().all(|it| others.contains(it));
    if !all_in(&asked, held) || !all_in(held, &asked) {
        tracing::info!(capabilities = ?asked, ?held, "capabilities of a later publisher are ignored");
        stream.note_ignored(member, asked);
    }
}
