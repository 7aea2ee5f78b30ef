//! What a session needs of the hub, so that the socket loop is tested without one.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;

use crate::hub::{Announcement, Hub, Link, PublishRequest, Publisher, Refusal};
use crate::media::{AccessUnit, Track};

/// The hub's answer to a publish; its own limit on a remote admission is shorter.
const ADMISSION_DEADLINE: Duration = Duration::from_secs(5);

/// What the hub answers in time.
pub(super) async fn answer<S>(
    asked: impl Future<Output = Result<S, Refusal>>,
) -> Result<S, Refusal> {
    let busy = || Refusal::Undecided("the server does not answer".to_owned());
    let answer = timeout(ADMISSION_DEADLINE, asked).await;
    answer.unwrap_or_else(|_| Err(busy()))
}

/// Where publishes are admitted.
pub(super) trait Admit: Clone + Send + Sync + 'static {
    /// What an admitted session feeds.
    type Sink: Sink;
    /// See [`Hub::preview`].
    fn preview(&self, request: &PublishRequest) -> Result<String, Refusal>;
    /// See [`Hub::publish`].
    fn admit(
        &self,
        request: PublishRequest,
    ) -> impl Future<Output = Result<Self::Sink, Refusal>> + Send;
}

/// An admitted session. Dropping it is a lost connection.
pub(super) trait Sink: Send + 'static {
    /// The stream, for the log.
    fn stream(&self) -> String;
    /// See [`Publisher::announce`].
    fn announce(&mut self, announcement: Announcement);
    /// See [`Publisher::report_link`].
    fn report_link(&mut self, link: Link);
    /// See [`Publisher::set_track`].
    fn set_track(&mut self, track: Track);
    /// See [`Publisher::push`].
    fn push(&mut self, unit: AccessUnit);
    /// See [`Publisher::evicted`].
    fn evicted(&self) -> impl Future<Output = String> + Send + use<Self>;
    /// See [`Publisher::finish`].
    fn finish(self);
}

impl Admit for Hub {
    type Sink = Publisher;

    fn preview(&self, request: &PublishRequest) -> Result<String, Refusal> {
        Hub::preview(self, request)
    }

    async fn admit(&self, request: PublishRequest) -> Result<Publisher, Refusal> {
        self.publish(request).await
    }
}

impl Sink for Publisher {
    fn stream(&self) -> String {
        self.stream_id().to_string()
    }

    fn announce(&mut self, announcement: Announcement) {
        Publisher::announce(self, announcement);
    }

    fn report_link(&mut self, link: Link) {
        Publisher::report_link(self, link);
    }

    fn set_track(&mut self, track: Track) {
        Publisher::set_track(self, track);
    }

    fn push(&mut self, unit: AccessUnit) {
        Publisher::push(self, unit);
    }

    fn evicted(&self) -> impl Future<Output = String> + Send + use<> {
        Publisher::evicted(self)
    }

    fn finish(self) {
        Publisher::finish(self);
    }
}
