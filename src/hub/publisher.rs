//! The handle through which an ingest session feeds a stream.

use std::sync::Arc;

use tokio::sync::watch;

use super::announcement::Announcement;
use super::link::Link;
use super::stream::{MemberId, Stream};
use crate::base::id::Uuid;
use crate::media::{AccessUnit, Track};

/// One publisher session of a stream. Dropping it is a lost connection; [`Publisher::finish`] a
/// clean end.
#[derive(Debug)]
pub struct Publisher {
    stream: Arc<Stream>,
    member: MemberId,
    eviction: watch::Receiver<Option<String>>,
}

impl Publisher {
    pub(super) fn new(
        stream: Arc<Stream>,
        member: MemberId,
        eviction: watch::Receiver<Option<String>>,
    ) -> Publisher {
        Publisher {
            stream,
            member,
            eviction,
        }
    }

    /// The stream that this session feeds.
    pub fn stream_id(&self) -> Uuid {
        self.stream.id()
    }

    /// What the encoder says will come.
    pub fn announce(&mut self, announcement: Announcement) {
        self.stream.announce(self.member, announcement);
    }

    /// What the transport measures of the line; about once a second.
    pub fn report_link(&mut self, link: Link) {
        self.stream.report_link(self.member, link);
    }

    /// A new codec configuration; the units that follow are of it.
    pub fn set_track(&mut self, track: Track) {
        self.stream.set_track(self.member, track);
    }

    /// One unit, times in its track's timescale. Never blocks.
    pub fn push(&mut self, unit: AccessUnit) {
        self.stream.push(self.member, unit);
    }

    /// Resolves, with a reason for the log, when the hub ends this session.
    pub fn evicted(&self) -> impl Future<Output = String> + Send + use<> {
        let mut eviction = self.eviction.clone();
        async move {
            match eviction.wait_for(Option::is_some).await {
                Ok(reason) => reason.clone().unwrap_or_default(),
                Err(_) => "the stream is over".to_owned(),
            }
        }
    }

    /// The encoder said goodbye.
    pub fn finish(self) {}
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stream.leave(self.member);
    }
}
