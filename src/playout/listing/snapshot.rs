//! A snapshot of a rendition's window, and what the manifests say of all renditions.

use std::sync::Arc;

use super::{Newest, State, View, count};
use crate::media::time::rescale;
use crate::media::timeline::{Description, Progress, Report, Rules, Scheduled, Snapshot};
use crate::media::{MediaKind, Rendition, Ticks, Timescale};
use crate::playout::Kind;
use crate::playout::shelf::Loaded;

impl View<'_> {
    /// What the playlist lists. Segments that an earlier one listed as whole stay what they were.
    pub(in crate::playout) fn snapshot(
        &self,
        name: &str,
        newest: &Newest,
        known: Option<&Snapshot>,
        others: &[Arc<Rendition>],
    ) -> Option<Snapshot> {
        let rendition = self.rendition(name)?.clone();
        let scale = rendition.track.timescale;
        let known = known.map_or(&[][..], |known| &known.segments);
        let window = Ticks::from_duration(self.rules.window, Timescale::CHANNEL);
        let mut segments = vec![Arc::new(newest.segment.clone())];
        let mut length = match newest.segment.complete {
            true => self.length(newest.segment.sequence),
            false => Ticks::ZERO,
        };
        let mut sequence = newest.segment.sequence;
        while length < window {
            let Some(before) = sequence
                .checked_sub(1)
                .filter(|before| self.runs.place(*before).is_some())
            else {
                break;
            };
            sequence = before;
            let at = known.binary_search_by_key(&sequence, |segment| segment.sequence);
            let same = at
                .ok()
                .map(|at| &known[at])
                .filter(|segment| segment.complete);
            let segment = match same {
                Some(segment) => segment.clone(),
                None => match self.state(name, sequence) {
                    Some(State::Listed { segment, .. }) => Arc::new(segment),
                    _ => break,
                },
            };
            segments.push(segment);
            length += self.length(sequence);
        }
        segments.reverse();
        let independent_segments = segments.iter().all(|segment| segment.independent);
        let reports = others
            .iter()
            .filter(|other| *other.name != *name)
            .filter_map(|other| {
                let newest = self.newest(&other.name)?;
                Some(Report {
                    name: other.name.clone(),
                    last_sequence: newest.segment.sequence,
                    last_part: count(&newest.segment).checked_sub(1),
                })
            });
        let opened = self.opened(name, segments.first()?.sequence, scale)?;
        Some(Snapshot {
            version: newest.version(),
            rendition,
            rules: Rules {
                independent_segments,
                ..self.rules.clone()
            },
            reports: reports.collect(),
            next_part: newest.next_part(),
            ended: newest.ended,
            stopped: self.is_blind(newest),
            scheduled: Some(Scheduled {
                running: (!newest.segment.complete)
                    .then(|| self.running(name, newest))
                    .flatten(),
                opened,
            }),
            segments,
        })
    }

    /// Whether what comes next is an encoder's of which nothing is known: its first part may never come, and
    /// so is not announced.
    fn is_blind(&self, newest: &Newest) -> bool {
        let next = newest.segment.sequence + u64::from(newest.segment.complete);
        let place = self.runs.place(next);
        self.leg.is_none() && place.is_some_and(|place| place.run.kind == Kind::Live)
    }

    fn length(&self, sequence: u64) -> Ticks {
        self.runs
            .place(sequence)
            .map_or(Ticks::ZERO, |place| place.end - place.start)
    }

    /// Length that the growing segment will have.
    fn running(&self, name: &str, newest: &Newest) -> Option<Ticks> {
        let place = self.runs.place(newest.segment.sequence)?;
        let scale = self.rendition(name)?.track.timescale;
        match self.located(name, &place) {
            Some(located) => Some(self.end(&place, &located, scale) - located.start),
            None => {
                let end = rescale(place.end, Timescale::CHANNEL, scale);
                Some(end - newest.segment.start)
            }
        }
    }

    /// Where the run of a segment began.
    fn opened(&self, name: &str, sequence: u64, scale: Timescale) -> Option<(u64, Ticks)> {
        let run = self.runs.place(sequence)?.run;
        let first = self.runs.place(run.sequence)?;
        let located = self
            .located(name, &first)
            .filter(|located| located.parts > 0);
        let start = located.map(|located| located.start);
        let start = start.unwrap_or_else(|| rescale(first.start, Timescale::CHANNEL, scale));
        Some((run.sequence, start))
    }
}

/// How far the rendition of a snapshot has got.
pub(in crate::playout) fn progress(snapshot: &Snapshot) -> Option<Progress> {
    let last = snapshot.segments.last()?;
    Some(Progress {
        version: snapshot.version,
        last_sequence: last.sequence,
        last_complete: last.complete,
        last_parts: count(last),
        next_part: snapshot.next_part,
        begun: snapshot
            .segments
            .iter()
            .any(|segment| segment.complete && !segment.gap),
        ended: snapshot.ended,
    })
}

/// What the multivariant playlist and the manifests list.
pub(in crate::playout) fn description(
    loaded: &Loaded,
    rules: &Rules,
    version: u64,
    ended: bool,
) -> Option<Description> {
    let reader = loaded.film.as_ref().or(loaded.slate.as_ref())?;
    let of_kind = |kind| {
        let renditions = reader.facts().renditions.iter();
        let renditions = renditions.filter(|rendition| rendition.kind() == kind);
        renditions
            .map(|rendition| raised(loaded, rendition))
            .collect::<Vec<_>>()
    };
    Some(Description {
        version,
        rules: rules.clone(),
        video: of_kind(MediaKind::Video),
        audio: of_kind(MediaKind::Audio),
        leaving: Vec::new(),
        ended,
    })
}

/// A rendition of the film, whose rates the slate does not exceed either.
fn raised(loaded: &Loaded, rendition: &Arc<Rendition>) -> Arc<Rendition> {
    let slate = loaded.slate.as_ref();
    let slate = slate.and_then(|slate| Some(slate.rendition(slate.slot(&rendition.name)?)));
    match slate.filter(|slate| slate.peak_bps > rendition.peak_bps) {
        Some(slate) => Arc::new(Rendition {
            peak_bps: slate.peak_bps,
            ..(**rendition).clone()
        }),
        None => rendition.clone(),
    }
}
