//! What a stream's rooms need beside its ladder: the sound as Opus, a picture without B-frames. One task
//! per stream that sleeps until somebody taps the stream and says so, and a worker of its own as long as
//! somebody does: the bridge of a ladder, fed and watched over like that one, with other encodings and
//! with renditions that only taps see.

mod supply;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tracing::Instrument;

use self::supply::Supply;
use super::history::History;
use super::{Bridge, Config, Outlet, QUEUE_UNITS, Status, lock};
use crate::base::Kind;
use crate::base::lanes;
use crate::base::shutdown::Tasks;
use crate::hub::story::Happening;
use crate::hub::tap::{Needs, Tapped};
use crate::hub::{Event, NewRendition};
use crate::media::{AccessUnit, MediaKind, RenditionId};
use crate::transcode::Error;
use crate::transcode::ladder::{ROOM_PICTURE, ROOM_SOUND};
use crate::transcode::protocol::Setup;

/// How long workers that were given up are left alone, as long as somebody needs them.
const REST: Duration = Duration::from_secs(30);
/// Pictures by which the frame rate is counted, where the codec does not state it.
const COUNTED_PICTURES: u32 = 8;
/// Sound frames for which a picture is waited: two seconds.
const PATIENT_FRAMES: u32 = 100;

/// Makes what the taps of a stream need, in tasks on one of the lanes, until the stream ends.
pub fn attach_rooms(stream: Arc<dyn Tapped>, config: Arc<Config>, tasks: &Tasks) -> Arc<Status> {
    let status = Arc::new(Status::default());
    let channel = stream.channel_id();
    let span = tracing::info_span!(parent: None, "rooms", channel);
    let (on, has_rooms) = (config.lanes.clone(), config.rooms_at_once);
    let mut rooms = Rooms {
        stream: Arc::downgrade(&stream),
        needs: stream.needs(),
        keeps: config.rooms_at_once && !stream.has_ladder(),
        config,
        tasks: tasks.clone(),
        status: status.clone(),
    };
    let run = async move {
        rooms.tasks = rooms.tasks.here();
        rooms.run().await;
    };
    let places = lanes::COPIER * usize::from(has_rooms);
    on.spawn(tasks, places, run.instrument(span));
    status
}

/// One stream's rooms.
struct Rooms {
    /// Not held while nobody needs anything: the task ends with the stream.
    stream: Weak<dyn Tapped>,
    needs: watch::Receiver<Needs>,
    /// Pictures are remembered while nobody needs any.
    keeps: bool,
    config: Arc<Config>,
    tasks: Tasks,
    status: Arc<Status>,
}

impl Rooms {
    async fn run(mut self) {
        loop {
            let needs = *self.needs.borrow_and_update();
            if self.keeps || !needs.is_empty() {
                let Some(stream) = self.stream.upgrade() else {
                    return;
                };
                if stream.is_ended() || self.serve(stream).await || self.tasks.is_stopped() {
                    return;
                }
                continue;
            }
            tokio::select! {
                changed = self.needs.changed() => if changed.is_err() {
                    return;
                },
                () = self.tasks.stopped() => return,
            }
        }
    }

    /// Makes what is needed until nothing is. Whether the stream is over.
    async fn serve(&self, stream: Arc<dyn Tapped>) -> bool {
        let outlet = Arc::new(Private {
            stream: stream.clone(),
            ids: Mutex::default(),
        });
        let mut bridge = Bridge {
            inlet: Supply::new(
                stream.clone(),
                self.needs.clone(),
                self.keeps,
                outlet.clone(),
            ),
            outlet,
            capabilities: Vec::new(),
            placed: None,
            rooms: None,
            key_units: stream.key_units(),
            slate: None,
            stand_in: None,
            config: self.config.clone(),
            tasks: self.tasks.clone(),
            status: self.status.clone(),
        };
        drop(stream);
        let mut history = History::default();
        while !bridge.inlet.is_ended() && !self.tasks.is_stopped() {
            let needs = bridge.inlet.begin(&mut history);
            let encoded = bridge.inlet.encoded();
            for (name, needed, made) in [
                (ROOM_SOUND, needs.opus, encoded.opus),
                (ROOM_PICTURE, needs.picture, encoded.picture),
            ] {
                if !made {
                    self.status.leave(name);
                }
                if !needed {
                    bridge.outlet.drop_rendition(name);
                }
            }
            if needs.is_empty() && !self.keeps {
                tracing::info!("nobody needs anything any more");
                return false;
            }
            bridge.rooms = Some(encoded);
            if let Err(error) = bridge.make(&mut history).await {
                tracing::error!(err = %error, "nothing can be made for rooms");
                // What is not installed does not come by waiting.
                let rest = (error.kind() != Kind::NotFound).then_some(REST);
                bridge.rest(rest).await;
                history = History::default();
            }
        }
        bridge.inlet.is_ended()
    }
}

impl Bridge<Supply> {
    /// Encodes what is needed until that changes or the stream ends.
    async fn make(&mut self, history: &mut History) -> Result<(), Error> {
        let Some(mut setup) = self.gather(history).await else {
            return Ok(());
        };
        self.inlet.set_started();
        let names = names(&setup);
        for (name, kind) in &names {
            if self.status.place(name).is_none() {
                self.status.join(name, *kind);
            }
        }
        tracing::info!(renditions = ?names, "made for rooms");
        let made = self.supervise(history, &mut setup, None).await;
        if made.is_err() {
            for (name, _) in &names {
                self.status.leave(name);
                self.outlet.drop_rendition(name);
            }
        }
        made
    }

    /// Waits until enough is known of the source; `None` when something else is to be made.
    async fn gather(&mut self, history: &mut History) -> Option<Setup> {
        let encoded = self.rooms.unwrap_or_default();
        let mut frames = 0;
        loop {
            let video = history.video();
            let rate = video.is_some_and(|track| track.frame_rate_millis().is_some());
            let picture = video.is_some()
                && self.inlet.pictures() > 0
                && (rate || self.inlet.pictures() >= COUNTED_PICTURES);
            let sound = encoded.opus && history.audio().is_some();
            let alone = !encoded.picture || (video.is_none() && frames >= PATIENT_FRAMES);
            if (encoded.picture && picture) || (sound && alone) {
                let plan = self.decide(history, true);
                return Some(self.setup(history, plan));
            }
            let event = tokio::select! {
                event = super::Inlet::recv(&mut self.inlet) => event?,
                () = self.tasks.stopped() => return None,
            };
            match &event {
                Event::End => return None,
                Event::Unit { unit, .. } if unit.kind == MediaKind::Audio => frames += 1,
                _ => {}
            }
            self.remember(event, history);
            // Nobody waits for what is behind.
            if encoded.is_empty() {
                history.pass_over();
                history.release_all();
            }
        }
    }

    /// Lets the stream go on without a worker, for a while or until something else is needed.
    async fn rest(&mut self, rest: Option<Duration>) {
        let pause = async {
            match rest {
                Some(rest) => tokio::time::sleep(rest).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(pause);
        loop {
            tokio::select! {
                event = super::Inlet::recv(&mut self.inlet) => match event {
                    None | Some(Event::End) => break,
                    Some(_) => {}
                },
                () = &mut pause => break,
                () = self.tasks.stopped() => break,
            }
        }
        self.inlet.start_over();
    }
}

/// The encodings of a setup.
fn names(setup: &Setup) -> Vec<(String, MediaKind)> {
    let video = setup.video.iter();
    let video = video.map(|rung| (rung.name.clone(), MediaKind::Video));
    let audio = setup.audio.iter();
    let audio = audio.map(|rung| (rung.name.clone(), MediaKind::Audio));
    video.chain(audio).collect()
}

/// Renditions that only taps see.
struct Private {
    stream: Arc<dyn Tapped>,
    ids: Mutex<BTreeMap<Arc<str>, RenditionId>>,
}

impl Outlet for Private {
    fn plan(&self, _names: Vec<Arc<str>>, _keeps_source: bool) {}

    fn add_rendition(&self, rendition: NewRendition) -> Option<RenditionId> {
        let name = rendition.name.clone();
        let id = self.stream.add_private(rendition)?;
        lock(&self.ids).insert(name, id);
        Some(id)
    }

    fn push_rendition(&self, id: RenditionId, unit: AccessUnit) {
        self.stream.push_private(id, unit);
    }

    fn drop_rendition(&self, name: &str) {
        let known = lock(&self.ids).remove(name);
        if let Some(id) = known {
            self.stream.drop_private(id);
        }
    }

    // The story of a stream is that of what its players see.
    fn note(&self, _what: &Happening) {}

    fn set_thumbnail(&self, _jpeg: Bytes) {}
}
