//! A running server checks what it hands out against the conformance list: one text at a time, a whole
//! round over all streams taking as long as it takes. Texts are those of the caches, so a sample costs
//! no rendering that a player's request would not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::MissedTickBehavior;

use super::registry::{Registry, Served};
use super::{Origin, dash, hls};
use crate::base::clock::Clock;
use crate::base::conformance::{Conformance, Violation};
use crate::base::id::Uuid;
use crate::base::shutdown::Tasks;
use crate::manifest::check;
use crate::manifest::dash::Mode;

/// How often one text is checked, over all streams: some milliseconds of processor time.
const EVERY: Duration = Duration::from_secs(1);
/// Earlier texts are compared with for this long. With a sample a second it bounds them to as many.
const PREVIOUS: Duration = Duration::from_secs(30);
/// A rule that stays broken in a stream is logged again after this.
const LOG_AGAIN: Duration = Duration::from_secs(60);
/// The newest violations that are kept.
const NEWEST: usize = 32;
/// Characters of a violation's detail that are kept.
const DETAIL_CHARS: usize = 300;

/// Takes samples of `origin` until the tasks are stopped.
pub async fn run(origin: Arc<Origin>, tasks: Tasks) {
    let mut sampler = Sampler::default();
    let mut due = tokio::time::interval(EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = tasks.stopped() => break,
            _ = due.tick() => {}
        }
        let origin = origin.clone();
        let mut taken = std::mem::take(&mut sampler);
        // A panic in the checker costs a sample and what was remembered; the next one comes.
        let sample = tokio::task::spawn_blocking(move || {
            taken.sample(&origin.registry, &origin.clock, &origin.found);
            taken
        });
        sampler = sample.await.unwrap_or_default();
    }
}

/// One text of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Multivariant,
    Media(Arc<str>),
    Mpd(Mode),
}

impl Target {
    fn file(&self) -> String {
        match self {
            Target::Multivariant => "index.m3u8".to_owned(),
            Target::Media(rendition) => format!("{rendition}/index.m3u8"),
            Target::Mpd(Mode::Standard) => "manifest.mpd".to_owned(),
            Target::Mpd(Mode::LowLatency) => "ll.mpd".to_owned(),
        }
    }
}

struct Previous {
    stream: Uuid,
    target: Target,
    at: Duration,
    text: Bytes,
}

/// Takes samples, and remembers what it needs for the next one.
#[derive(Default)]
pub(super) struct Sampler {
    /// Stream and number of the text that is next.
    next: (Uuid, usize),
    previous: Vec<Previous>,
    logged: Vec<(Uuid, &'static str, Duration)>,
}

impl Sampler {
    /// Checks one text of one stream. Who reads what was `found` does not wait for that.
    pub(super) fn sample(
        &mut self,
        registry: &Registry,
        clock: &Clock,
        found: &Mutex<Conformance>,
    ) {
        let now = clock.monotonic();
        self.previous
            .retain(|previous| now.saturating_sub(previous.at) <= PREVIOUS);
        self.logged
            .retain(|(_, _, at)| now.saturating_sub(*at) < LOG_AGAIN);
        let Some((id, index, stream, target)) = self.pick(registry) else {
            return;
        };
        self.next = (id, index + 1);
        let Some(text) = text(&stream, &target) else {
            return;
        };
        let is_it = |previous: &Previous| previous.stream == id && previous.target == target;
        let known = self.previous.iter().position(is_it);
        let before = known.map(|at| self.previous.swap_remove(at).text);
        if before.is_none() && target != Target::Multivariant {
            // With many streams a round takes longer than texts are kept: the next sample is of the
            // same text, so that its changes are seen.
            self.next = (id, index);
        }
        let broken = broken(&stream, &target, &text, before.as_deref());
        let rules: Vec<&'static str> = broken.iter().map(|violation| violation.rule).collect();
        let mut told: Vec<Violation> = Vec::new();
        for violation in broken {
            // What is wrong with one segment is often wrong with all behind it.
            if !told.iter().any(|other| other.rule == violation.rule) {
                told.push(self.tell(id, &target, violation, clock));
            }
        }
        add(
            &mut found.lock().unwrap_or_else(PoisonError::into_inner),
            &rules,
            told,
        );
        self.previous.push(Previous {
            stream: id,
            target,
            at: now,
            text,
        });
    }

    /// The text that is next, of the first stream from there on that has one.
    fn pick(&self, registry: &Registry) -> Option<(Uuid, usize, Served, Target)> {
        let mut ids = registry.ids();
        ids.sort_unstable();
        let (from, index) = self.next;
        let split = ids.partition_point(|id| *id < from);
        ids.rotate_left(split);
        // The first stream once more: its texts before the one that is next come last.
        let first = ids.first().copied();
        ids.into_iter()
            .chain(first)
            .enumerate()
            .find_map(|(turn, id)| {
                let index = if turn == 0 && id == from { index } else { 0 };
                let stream = registry.stream(id)?;
                let target = targets(&stream).into_iter().nth(index)?;
                Some((id, index, stream, target))
            })
    }

    fn tell(
        &mut self,
        stream: Uuid,
        target: &Target,
        broken: check::Violation,
        clock: &Clock,
    ) -> Violation {
        let check::Violation { rule, detail } = broken;
        let file = target.file();
        let detail: String = detail.chars().take(DETAIL_CHARS).collect();
        let is_logged = |logged: &(Uuid, &str, Duration)| (logged.0, logged.1) == (stream, rule);
        if !self.logged.iter().any(is_logged) {
            tracing::warn!(%stream, file, rule, detail, "a playlist or manifest of ours breaks a rule");
            self.logged.push((stream, rule, clock.monotonic()));
        }
        Violation {
            at: clock.wall(),
            stream,
            file,
            rule,
            detail,
        }
    }
}

fn add(found: &mut Conformance, rules: &[&'static str], newest: Vec<Violation>) {
    found.samples += 1;
    for rule in rules {
        *found.rules.entry(rule).or_default() += 1;
    }
    found.newest.extend(newest);
    let old = found.newest.len().saturating_sub(NEWEST);
    found.newest.drain(..old);
}

/// All texts of a stream; none before its first multivariant playlist is decided.
fn targets(stream: &Served) -> Vec<Target> {
    let Some(description) = stream.timeline.description() else {
        return Vec::new();
    };
    let listed = description.video.iter().chain(&description.audio);
    let media = listed.map(|rendition| Target::Media(rendition.name.clone()));
    let fixed = [
        Target::Multivariant,
        Target::Mpd(Mode::Standard),
        Target::Mpd(Mode::LowLatency),
    ];
    fixed.into_iter().chain(media).collect()
}

fn text(stream: &Served, target: &Target) -> Option<Bytes> {
    let rendered = match target {
        Target::Multivariant => hls::rendered_multivariant(stream),
        Target::Media(rendition) => hls::rendered_media(stream, rendition, None),
        Target::Mpd(mode) => dash::rendered(stream, *mode),
    };
    rendered.map(|rendered| rendered.text().clone())
}

fn broken(
    stream: &Served,
    target: &Target,
    text: &Bytes,
    before: Option<&[u8]>,
) -> Vec<check::Violation> {
    let before = before.map(as_text);
    let text = as_text(text);
    match target {
        Target::Multivariant => with_media(stream, text),
        Target::Media(rendition) => {
            let mut broken = check::check_media_playlist(text, before);
            if let Some(mpd) = dash::rendered(stream, Mode::Standard) {
                let mpd = as_text(mpd.text());
                broken.extend(check::check_hls_against_mpd(mpd, rendition, text));
            }
            broken
        }
        Target::Mpd(_) => check::check_mpd(text, before),
    }
}

/// A multivariant playlist with the media playlists below it.
fn with_media(stream: &Served, text: &str) -> Vec<check::Violation> {
    let media = targets(stream).into_iter().filter_map(|target| {
        let Target::Media(rendition) = &target else {
            return None;
        };
        let rendered = hls::rendered_media(stream, rendition, None)?;
        Some((target.file(), rendered))
    });
    let media: Vec<_> = media.collect();
    let media: Vec<(&str, &str)> = media
        .iter()
        .map(|(file, rendered)| (file.as_str(), as_text(rendered.text())))
        .collect();
    check::check_multivariant(text, &media)
}

fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("playlists and manifests are made as text")
}

#[cfg(test)]
mod tests;
