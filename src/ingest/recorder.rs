//! A hub that writes down what it is given, for the tests of every protocol.

use std::future::Future;

use tokio::sync::{mpsc, watch};

use super::port::{Admit, Sink};
use crate::hub::{Announcement, Link, PublishRequest, Refusal};
use crate::media::{AccessUnit, Track};

/// What it saw.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    /// Key, capabilities, tags, protocol.
    Request(String, Option<Vec<String>>, Vec<String>, &'static str),
    Announced(Announcement),
    Link(Link),
    Track(Track),
    Unit(AccessUnit),
    Finished,
    Lost,
}

/// Accepts the keys `KEY` and `STAGE`, of two channels, refuses `LATER` and `FULL` at once and `SOON` when
/// it has thought about it, never answers `HANG`, and knows no other.
#[derive(Clone, Debug)]
pub(super) struct Recorder {
    seen: mpsc::Sender<Seen>,
    evict: watch::Receiver<Option<String>>,
}

/// An admitted session.
#[derive(Debug)]
pub(super) struct Recording {
    recorder: Recorder,
    proto: &'static str,
    finished: bool,
}

impl Recorder {
    /// With what it saw, and what ends its sessions: the reason.
    pub(super) fn new() -> (
        Recorder,
        mpsc::Receiver<Seen>,
        watch::Sender<Option<String>>,
    ) {
        let (sender, seen) = mpsc::channel(10_000);
        let (evict, evicted) = watch::channel(None);
        let recorder = Recorder {
            seen: sender,
            evict: evicted,
        };
        (recorder, seen, evict)
    }

    fn see(&self, seen: Seen) {
        self.seen.try_send(seen).expect("the test reads in time");
    }
}

/// The channel of a key.
fn channel(key: &str) -> Result<&'static str, Refusal> {
    match key {
        "KEY" | "SOON" | "HANG" => Ok("live"),
        "STAGE" => Ok("stage"),
        "LATER" => Err(Refusal::NotAllowed("the event begins at noon".to_owned())),
        "FULL" => Err(Refusal::Full("500 publishers".to_owned())),
        "DARK" => Err(Refusal::Undecided("no database".to_owned())),
        "PANIC" => panic!("in the hub"),
        _ => Err(Refusal::UnknownKey),
    }
}

impl Admit for Recorder {
    type Sink = Recording;

    fn preview(&self, request: &PublishRequest) -> Result<String, Refusal> {
        assert_eq!(request.proto, "srt", "the others ask when they may wait");
        channel(request.key.expose()).map(str::to_owned)
    }

    async fn admit(&self, request: PublishRequest) -> Result<Recording, Refusal> {
        let proto = request.proto;
        let key = request.key.expose().to_owned();
        self.see(Seen::Request(
            key.clone(),
            request.capabilities,
            request.tags,
            proto,
        ));
        channel(&key)?;
        match key.as_str() {
            "SOON" => Err(Refusal::NotAllowed("somebody else was quicker".to_owned())),
            "HANG" => std::future::pending().await,
            _ => Ok(Recording {
                recorder: self.clone(),
                proto,
                finished: false,
            }),
        }
    }
}

impl Sink for Recording {
    fn stream(&self) -> String {
        "stream".to_owned()
    }

    fn announce(&mut self, announcement: Announcement) {
        self.recorder.see(Seen::Announced(announcement));
    }

    fn report_link(&mut self, link: Link) {
        assert_eq!(self.proto, "srt", "TCP measures no line");
        self.recorder.see(Seen::Link(link));
    }

    fn set_track(&mut self, track: Track) {
        self.recorder.see(Seen::Track(track));
    }

    fn push(&mut self, unit: AccessUnit) {
        self.recorder.see(Seen::Unit(unit));
    }

    fn evicted(&self) -> impl Future<Output = String> + Send + use<> {
        let mut evict = self.recorder.evict.clone();
        async move {
            let evicted = evict.wait_for(Option::is_some).await;
            evicted.unwrap().clone().unwrap()
        }
    }

    fn finish(mut self) {
        self.finished = true;
        self.recorder.see(Seen::Finished);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if !self.finished {
            self.recorder.see(Seen::Lost);
        }
    }
}
