//! Keeps a stream while it lives: once a second what became complete is written.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use super::Error;
use super::about::About;
use super::library::{Library, Outcome};
use super::recorder::Recorder;
use crate::base::shutdown::Tasks;
use crate::hub::Shown;
use crate::media::timeline::Timeline;

/// How often a stream is looked at: far more often than segments leave its window, and not for each part.
const ROUND: Duration = Duration::from_secs(1);

/// One stream and what is written of it.
pub(super) struct Follower {
    library: Library,
    /// Whose the recording is; what its playlists have in common is known later.
    about: About,
    timeline: Arc<dyn Timeline>,
    /// The segment with which it begins.
    first_sequence: u64,
    /// Whether the stream has ended.
    ended: Box<dyn Fn() -> bool + Send>,
    recorder: Option<Recorder>,
    /// Why nothing is written now.
    paused: Option<String>,
    told_missed: u64,
}

impl Library {
    /// Keeps a stream from its first segment to its end, in a task of its own. When the tasks stop what is
    /// complete is written, and the recording stays open for the next run.
    ///
    /// What a fork's source had in its window before is not the fork's: it is kept from the segment on
    /// in which it began.
    pub fn follow(&self, shown: Shown, tasks: &Tasks) {
        let admission = &shown.admission;
        let about = About {
            id: shown.id,
            channel_id: admission.channel_id.clone(),
            alias: admission.alias.clone(),
            name: admission.name.clone(),
            capabilities: admission.capabilities.clone(),
            tags: admission.tags.clone(),
            epoch: shown.epoch(),
            target_duration_s: 0,
            segment_target: Duration::ZERO,
            started: self.now(),
        };
        let timeline = shown.timeline.clone();
        let ended = Box::new(move || shown.is_ended());
        let mut follower = self.follower(about, timeline, ended);
        let stop = tasks.clone();
        tasks.spawn(async move {
            let mut tick = tokio::time::interval(ROUND);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let stopped = tokio::select! {
                    () = stop.stopped() => true,
                    _ = tick.tick() => false,
                };
                let round = tokio::task::spawn_blocking(move || {
                    let over = follower.round();
                    (follower, over)
                });
                let over = match round.await {
                    Ok((same, over)) => {
                        follower = same;
                        over
                    }
                    Err(err) => {
                        error!(%err, "a recording failed");
                        return;
                    }
                };
                if over || stopped {
                    return;
                }
            }
        });
    }

    /// The same by hand: each call of [`Follower::round`] is a round.
    pub(super) fn follower(
        &self,
        about: About,
        timeline: Arc<dyn Timeline>,
        ended: Box<dyn Fn() -> bool + Send>,
    ) -> Follower {
        self.reserve(about.id);
        Follower {
            library: self.clone(),
            about,
            first_sequence: first_sequence(&*timeline),
            timeline,
            ended,
            recorder: None,
            paused: None,
            told_missed: 0,
        }
    }
}

impl Follower {
    /// Writes what is there. True when nothing will follow. Blocks.
    pub(super) fn round(&mut self) -> bool {
        // Asked first: what was published before the end is there then.
        let over = (self.ended)();
        let written = self.write();
        self.tell(written);
        if over {
            if let Some(recorder) = &self.recorder
                && let Err(err) = recorder.sync()
            {
                warn!(%err, "recording may not outlive a power failure");
            }
            self.library.close(self.about.id, self.paused.clone());
        }
        over
    }

    fn write(&mut self) -> Result<(), Error> {
        let Some(description) = self.timeline.description() else {
            return Ok(());
        };
        self.library.check_room(self.paused.is_some())?;
        if self.recorder.is_none() {
            let rules = &description.rules;
            let about = About {
                target_duration_s: rules.target_duration_s,
                segment_target: rules.segment_target,
                ..self.about.clone()
            };
            let folder = self.library.folder_of(about.id);
            if !self.library.begin(about)? {
                return Ok(());
            }
            let (recorder, _) = Recorder::open(&folder, self.library.disk())?;
            info!(recording = %self.about.id, "recording");
            self.recorder = Some(recorder);
        }
        match &mut self.recorder {
            Some(recorder) => recorder.take(&*self.timeline, self.first_sequence),
            None => Ok(()),
        }
    }

    /// Says how it went, to people and in the list.
    fn tell(&mut self, written: Result<(), Error>) {
        let id = self.about.id;
        let paused = written.err().map(|err| err.to_string());
        match (&self.paused, &paused) {
            (None, Some(reason)) => warn!(recording = %id, reason, "recording paused"),
            (Some(_), None) => info!(recording = %id, "recording goes on"),
            _ => {}
        }
        let mut outcome = Outcome::Recording;
        if let Some(reason) = &paused {
            outcome = Outcome::Paused(reason.clone());
        }
        self.paused = paused;
        let Some(recorder) = &self.recorder else {
            return;
        };
        let missed = recorder.missed();
        if missed > self.told_missed {
            let now = missed - self.told_missed;
            warn!(recording = %id, missed_segments = now, "recording has a gap");
            self.told_missed = missed;
        }
        self.library.update(id, |summary| {
            summary.bytes = recorder.bytes();
            summary.duration = Duration::from_micros(recorder.duration_micros());
            summary.missed = missed;
            summary.outcome = outcome;
        });
    }
}

/// The first segment of a timeline that is not complete anywhere.
fn first_sequence(timeline: &dyn Timeline) -> u64 {
    let Some(description) = timeline.description() else {
        return 0;
    };
    let renditions = description.video.iter().chain(&description.audio);
    let snapshots = renditions.filter_map(|rendition| timeline.snapshot(&rendition.name));
    let next = snapshots.filter_map(|snapshot| {
        let mut newest = snapshot.segments.iter().rev();
        newest
            .find(|segment| segment.complete)
            .map(|it| it.sequence + 1)
    });
    next.max().unwrap_or(0)
}
