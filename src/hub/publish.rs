//! How publisher sessions are opened. In: requests of encoders, and what the gateway pulls itself. Out: a
//! [`Publisher`] on the channel's running stream, or on a new one.

use std::net::SocketAddr;

use super::{Admission, Hub, PublishRequest, Publisher, Refusal};

impl Hub {
    /// Asks the gate and opens a session, on the channel's running stream or on a new one.
    pub async fn publish(&self, request: PublishRequest) -> Result<Publisher, Refusal> {
        let admission = self.inner.gate.admit(&request).await?;
        self.open_session(admission, request.proto, request.peer)
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
        let admission = self.inner.gate.admit_pulled(channel_id).await?;
        self.open_session(admission, proto, peer).await
    }

    async fn open_session(
        &self,
        admission: Admission,
        proto: &'static str,
        peer: SocketAddr,
    ) -> Result<Publisher, Refusal> {
        self.check_capacity()?;
        let (stream, opened) = self.stream_of(admission);
        let (member, eviction) = stream.join(proto, peer)?;
        let sign = self.sign(&stream);
        let is_first = self.signs().handle_publish(&sign);
        match opened {
            Some(record) => self.inner.gate.stream_opened(&record).await,
            // Before any media: from now on the last run's signs are not the whole truth.
            None if is_first => self.inner.gate.streams_alive(&[sign]).await,
            None => {}
        }
        Ok(Publisher::new(stream, member, eviction))
    }
}
