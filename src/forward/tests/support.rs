//! A hub with one stream, for the tests of this folder.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::clock::{Clock, Wall};
use crate::base::id::Uuid;
use crate::base::secret::Secret;
use crate::base::shutdown::Tasks;
use crate::hub::boundary::{OnLoss, Settings};
use crate::hub::gate::Pending;
use crate::hub::tap::Tapped as _;
use crate::hub::{
    Admission, Config, Gate, Hub, NewRendition, PublishRequest, Publisher, Record, Refusal,
    SameRenditions, Sign, Stream,
};
use crate::media::timeline::{Description, Found, Progress, Resource, Snapshot, Timeline, Wait};
use crate::media::{AccessUnit, MediaKind, RenditionId, Ticks, Track};

/// Everybody may publish.
struct OpenGate;

fn admission(channel_id: String) -> Admission {
    Admission {
        alias: channel_id.clone(),
        name: channel_id.clone(),
        channel_id,
        capabilities: Vec::new(),
        tags: Vec::new(),
        screen_name: None,
        lasting: None,
        placed: None,
    }
}

impl Gate for OpenGate {
    fn preview(&self, request: &PublishRequest) -> Result<String, Refusal> {
        Ok(request.key.expose().to_owned())
    }
    fn admit<'a>(&'a self, request: &'a PublishRequest) -> Pending<'a, Result<Admission, Refusal>> {
        let admission = admission(request.key.expose().to_owned());
        Box::pin(async { Ok(admission) })
    }
    fn admit_pulled<'a>(&'a self, channel_id: &'a str) -> Pending<'a, Result<Admission, Refusal>> {
        let admission = admission(channel_id.to_owned());
        Box::pin(async { Ok(admission) })
    }
    fn stream_opened<'a>(&'a self, _record: &'a Record) -> Pending<'a, ()> {
        Box::pin(async {})
    }
    fn streams_alive<'a>(&'a self, _signs: &'a [Sign]) -> Pending<'a, ()> {
        Box::pin(async {})
    }
    fn streams_ended<'a>(&'a self, _ids: &'a [Uuid]) -> Pending<'a, ()> {
        Box::pin(async {})
    }
    fn open_streams<'a>(&'a self, _region: &'a str) -> Pending<'a, Vec<Record>> {
        Box::pin(async { Vec::new() })
    }
}

/// Nobody plays it.
struct Unplayed;

impl Timeline for Unplayed {
    fn description(&self) -> Option<Arc<Description>> {
        None
    }
    fn snapshot(&self, _rendition: &str) -> Option<Arc<Snapshot>> {
        None
    }
    fn progress(&self, _rendition: &str) -> Option<Progress> {
        None
    }
    fn find(&self, _rendition: &str, _resource: Resource<'_>) -> Found {
        Found::Missing
    }
    fn changed<'a>(&'a self, _rendition: &'a str, _seen: u64) -> Wait<'a> {
        Box::pin(std::future::pending())
    }
}

/// A stream with its publisher.
pub(crate) struct Bench {
    pub(crate) hub: Hub,
    pub(crate) stream: Arc<Stream>,
    _publisher: Publisher,
}

impl Bench {
    pub(crate) async fn new(clock: &Clock) -> Bench {
        let config = Config {
            reconnect: Duration::from_secs(30),
            silence: Duration::from_secs(1),
            retention: Duration::from_secs(120),
            kill_holdoff: Duration::ZERO,
            region: "local".to_owned(),
            same_renditions: SameRenditions::new(|_, _| true),
            window: Duration::from_secs(60),
            max_publishers: 10,
            max_media_bytes: 1 << 30,
        };
        let rules = |_: &Admission| Settings {
            segment_target: Ticks(180_000),
            longest_segment: Ticks(900_000),
            ladder: false,
            on_loss: OnLoss::Gap,
        };
        let opener = |_: &Arc<Stream>, _: Wall| Arc::new(Unplayed) as Arc<dyn Timeline>;
        let hub = Hub::new(
            config,
            clock.clone(),
            Arc::new(OpenGate),
            Box::new(rules),
            Box::new(opener),
            Box::new(|| 0),
            Tasks::new(),
        );
        let request = PublishRequest {
            proto: "rtmp",
            peer: ([127, 0, 0, 1], 1).into(),
            key: Secret::new("channel"),
            capabilities: None,
            tags: Vec::new(),
        };
        let publisher = hub.publish(request).await.unwrap();
        let stream = hub.stream(publisher.stream_id()).unwrap();
        Bench {
            hub,
            stream,
            _publisher: publisher,
        }
    }

    /// Something that is made for taps.
    pub(crate) fn make(&self, name: &str, track: Track) -> RenditionId {
        let new = NewRendition {
            name: name.into(),
            track,
            peak_bps: 1_100_000,
            average_bps: 1_000_000,
            frame_rate_millis: 30_000,
        };
        self.stream.add_private(new).unwrap()
    }

    /// A unit of it.
    pub(crate) fn push(&self, id: RenditionId, kind: MediaKind, time: Ticks, key: bool) {
        let unit = AccessUnit {
            kind,
            dts: time,
            pts: time,
            duration: None,
            key,
            data: Bytes::from_static(&[0, 0, 0, 1, 0x65]),
        };
        self.stream.push_private(id, unit);
    }

    /// The stream is over.
    pub(crate) async fn end(self) {
        let channel = self.stream.admission().channel_id.clone();
        self.hub.kill(&channel, "over", false).await;
    }
}
