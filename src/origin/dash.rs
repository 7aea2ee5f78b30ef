//! DASH manifests: the standard and the low-latency one, rendered when any rendition has moved on.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http::Response;

use super::answer::{self, Answering, Coding, Terms};
use super::body::Body;
use super::cache::{Form, Rendered};
use super::hls::{FIRST_WAIT, described, not_yet, rendered_aside};
use super::registry::{Served, Turn};
use crate::manifest::dash::{self, Mode};
use crate::media::timeline::Description;

const CONTENT_TYPE: &str = "application/dash+xml";
/// How often a manifest that cannot be made yet is tried again: some rendition has no segment, and
/// which of them comes next is not known.
const RETRY: Duration = Duration::from_millis(200);

/// `/dash/{id}/manifest.mpd`, `/dash/{id}/ll.mpd`
pub(super) fn mpd(stream: Served, mode: Mode, terms: Terms, coding: Coding) -> Answering {
    if !stream.is_recording()
        && let Some(response) = mpd_now(&stream, mode, &terms, coding)
    {
        return response.into();
    }
    Answering::later(async move {
        let Some(_turn) = Turn::take(&stream.state) else {
            return answer::overloaded();
        };
        let made = async {
            described(&stream).await;
            loop {
                let terms = terms.clone();
                let render = move |stream: &Served| mpd_now(stream, mode, &terms, coding);
                if let Some(response) = rendered_aside(&stream, render).await {
                    return response;
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        let made = tokio::time::timeout(FIRST_WAIT, made).await;
        made.unwrap_or_else(|_| not_yet())
    })
}

fn mpd_now(stream: &Served, mode: Mode, terms: &Terms, coding: Coding) -> Option<Response<Body>> {
    let (response, sent) = rendered(stream, mode)?.answer(coding, terms, false);
    stream.state.sent(sent);
    Some(response)
}

/// The manifest; `None` while some rendition has nothing to list.
pub(super) fn rendered(stream: &Served, mode: Mode) -> Option<Arc<Rendered>> {
    let description = stream.timeline.description()?;
    let version = (description.version, media_version(stream, &description)?);
    let [standard, low_latency] = &stream.state.playlists.mpds;
    let cached = match mode {
        Mode::Standard => standard,
        Mode::LowLatency => low_latency,
    };
    cached.slot.get(version, || {
        let names = description.video.iter().chain(&description.audio);
        let snapshots = names.map(|listed| stream.timeline.snapshot(&listed.name));
        let snapshots: Vec<_> = snapshots.collect::<Option<_>>()?;
        let media_version = snapshots.iter().map(|snapshot| snapshot.version).sum();
        let mut periods = cached
            .periods
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let text = dash::mpd(
            &description,
            &snapshots,
            mode,
            &mut periods,
            answer::TIME_URL,
        )?;
        let form = Form {
            content_type: CONTENT_TYPE,
            caching: if description.ended {
                answer::ENDED
            } else {
                answer::LIVE
            },
            blocking_s: 0,
        };
        Some(Rendered::new(
            (description.version, media_version),
            text,
            form,
        ))
    })
}

/// Rises whenever a listed rendition does; `None` while one has nothing.
fn media_version(stream: &Served, description: &Description) -> Option<u64> {
    let names = description.video.iter().chain(&description.audio);
    let versions = names.map(|listed| stream.timeline.progress(&listed.name));
    versions.map(|progress| Some(progress?.version)).sum()
}
