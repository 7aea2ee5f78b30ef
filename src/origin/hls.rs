//! HLS playlists: blocking reload (RFC 8216bis §6.2.5.2), delta updates, and the wait of a player
//! that came before the first part.

use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};

use super::answer::{self, Answering, Coding, Terms};
use super::body::Body;
use super::cache::{Form, Rendered};
use super::registry::{Served, Turn};
use crate::manifest::hls::{self, Skip};
use crate::media::timeline::{Progress, Rules};

const CONTENT_TYPE: &str = "application/vnd.apple.mpegurl";
/// How long a playlist is waited for that is not there yet: a player opens right after the publish,
/// and the source's key interval is known within 3 s (ARCHITECTURE decision 5); or the server has
/// started anew, encoders come back within seconds, and hls.js gives up on what has no first byte after
/// ten.
pub(super) const FIRST_WAIT: Duration = Duration::from_secs(8);
/// A blocked request is answered with 503 after so many target durations (CONFORMANCE L7).
const BLOCKING_TARGET_DURATIONS: u32 = 3;
/// Answers to blocking reloads may be cached so many target durations (RFC 8216bis, appendix B).
const BLOCKING_CACHE_TARGET_DURATIONS: u32 = 6;
/// A reload further ahead of the last segment than this is refused (RFC 8216bis §6.2.5.2).
const MAX_SEGMENTS_AHEAD: u64 = 2;
/// Pause after a wake-up that changed nothing, so that a timeline that is gone costs no CPU.
const IDLE_WAKE: Duration = Duration::from_millis(50);

/// `/hls/{id}/index.m3u8`
pub(super) fn multivariant(stream: Served, terms: Terms, coding: Coding) -> Answering {
    if let Some(response) = multivariant_now(&stream, &terms, coding) {
        return response.into();
    }
    Answering::later(async move {
        let Some(_turn) = Turn::take(&stream.state) else {
            return answer::overloaded();
        };
        described(&stream).await;
        multivariant_now(&stream, &terms, coding).unwrap_or_else(not_yet)
    })
}

/// Waits for the stream's description, at most [`FIRST_WAIT`].
pub(super) async fn described(stream: &Served) {
    let wait = async {
        while stream.timeline.description().is_none() {
            stream.timeline.changed("", 0).await;
            if stream.timeline.description().is_none() {
                tokio::time::sleep(IDLE_WAKE).await;
            }
        }
    };
    let _ = tokio::time::timeout(FIRST_WAIT, wait).await;
}

fn multivariant_now(stream: &Served, terms: &Terms, coding: Coding) -> Option<Response<Body>> {
    let (response, sent) = rendered_multivariant(stream)?.answer(coding, terms, false);
    stream.state.sent(sent);
    Some(response)
}

/// The multivariant playlist; `None` before it is decided.
pub(super) fn rendered_multivariant(stream: &Served) -> Option<Arc<Rendered>> {
    let description = stream.timeline.description()?;
    let version = (description.version, 0);
    stream.state.playlists.multivariant.get(version, || {
        let form = Form {
            content_type: CONTENT_TYPE,
            caching: match description.ended {
                true => answer::ENDED,
                false => answer::MULTIVARIANT,
            },
            blocking_s: 0,
        };
        Some(Rendered::new(
            version,
            hls::multivariant(&description, ""),
            form,
        ))
    })
}

/// `/hls/{id}/{rendition}/index.m3u8`
pub(super) fn media_playlist(
    stream: Served,
    rendition: &str,
    query: &str,
    terms: Terms,
    coding: Coding,
) -> Answering {
    let wanted = match Wanted::parse(query) {
        Ok(wanted) => wanted,
        Err(why) => return answer::bad_request(why).into(),
    };
    if let Some(progress) = begun(&stream, rendition) {
        match wanted.verdict(&progress, || stream.rules(rendition)) {
            Verdict::Now if stream.is_recording() => {}
            Verdict::Now => {
                if let Some(response) =
                    media_now(&stream, rendition, &progress, wanted, &terms, coding)
                {
                    return response.into();
                }
            }
            Verdict::Refuse(why) => return answer::bad_request(why).into(),
            Verdict::Wait => {}
        }
    } else if !stream.may_come(rendition) {
        return answer::not_found("this stream has no such rendition\n").into();
    }
    let rendition = rendition.to_owned();
    Answering::later(async move {
        let Some(_turn) = Turn::take(&stream.state) else {
            return answer::overloaded();
        };
        match wait(&stream, &rendition, wanted).await {
            Ok(progress) => rendered_aside(&stream, move |stream| {
                media_now(stream, &rendition, &progress, wanted, &terms, coding)
            })
            .await
            .unwrap_or_else(not_yet),
            Err(response) => *response,
        }
    })
}

/// Renders. What a recording lists are hours: that takes milliseconds, which the runtime has not.
pub(super) async fn rendered_aside(
    stream: &Served,
    render: impl FnOnce(&Served) -> Option<Response<Body>> + Send + 'static,
) -> Option<Response<Body>> {
    if !stream.is_recording() {
        return render(stream);
    }
    let stream = stream.clone();
    let rendering = tokio::task::spawn_blocking(move || render(&stream));
    // A panic in there was logged as one.
    rendering.await.ok().flatten()
}

/// The stream is there, its media are not: whoever asks again will get them. Players take 404 for the
/// end.
pub(super) fn not_yet() -> Response<Body> {
    answer::retry(
        StatusCode::SERVICE_UNAVAILABLE,
        "nothing is published here yet\n",
    )
}

/// Waits until a playlist can be made that has what is wanted.
async fn wait(
    stream: &Served,
    rendition: &str,
    wanted: Wanted,
) -> Result<Progress, Box<Response<Body>>> {
    let first = tokio::time::timeout(FIRST_WAIT, first_progress(stream, rendition)).await;
    let Ok(Some(mut progress)) = first else {
        return Err(Box::new(not_yet()));
    };
    let Some(rules) = stream.rules(rendition) else {
        return Err(Box::new(not_yet()));
    };
    let seconds = rules.target_duration_s * BLOCKING_TARGET_DURATIONS;
    let satisfied = async {
        loop {
            match wanted.verdict(&progress, || Some(rules.clone())) {
                Verdict::Now => return Ok(progress),
                Verdict::Refuse(why) => return Err(Box::new(answer::bad_request(why))),
                Verdict::Wait => {}
            }
            progress = match next_progress(stream, rendition, progress.version).await {
                Some(progress) => progress,
                None => return Err(Box::new(not_yet())),
            };
        }
    };
    let limit = Duration::from_secs(u64::from(seconds));
    tokio::time::timeout(limit, satisfied)
        .await
        .unwrap_or_else(|_| {
            Err(Box::new(answer::retry(
                StatusCode::SERVICE_UNAVAILABLE,
                "no media came within three target durations\n",
            )))
        })
}

/// How far a rendition has got, if a playlist of it can be handed out. hls.js takes one that has parts
/// but no whole segment for an error, and for a fatal one when others came before it, as in a restart of
/// the server.
fn begun(stream: &Served, rendition: &str) -> Option<Progress> {
    let progress = stream.timeline.progress(rendition)?;
    (progress.begun || progress.ended).then_some(progress)
}

/// The rendition's progress as soon as it has begun; `None` when it will not come.
async fn first_progress(stream: &Served, rendition: &str) -> Option<Progress> {
    loop {
        if let Some(progress) = begun(stream, rendition) {
            return Some(progress);
        }
        if let Some(progress) = stream.timeline.progress(rendition) {
            next_progress(stream, rendition, progress.version).await?;
            continue;
        }
        if !stream.may_come(rendition) {
            return None;
        }
        let described = stream.timeline.description().map_or(0, |seen| seen.version);
        // Whether a listed rendition without parts counts as known to `changed` is the timeline's
        // affair: the pause bounds the cost either way.
        let changed = stream.timeline.changed(rendition, described);
        let _ = tokio::time::timeout(IDLE_WAKE * 4, changed).await;
        if stream.timeline.progress(rendition).is_none() {
            tokio::time::sleep(IDLE_WAKE).await;
        }
    }
}

/// The rendition's progress after version `seen`; `None` when the rendition is gone.
pub(super) async fn next_progress(stream: &Served, rendition: &str, seen: u64) -> Option<Progress> {
    loop {
        stream.timeline.changed(rendition, seen).await;
        let progress = stream.timeline.progress(rendition)?;
        if progress.version != seen {
            return Some(progress);
        }
        tokio::time::sleep(IDLE_WAKE).await;
    }
}

fn media_now(
    stream: &Served,
    rendition: &str,
    progress: &Progress,
    wanted: Wanted,
    terms: &Terms,
    coding: Coding,
) -> Option<Response<Body>> {
    let rendered = rendered_media(stream, rendition, wanted.skip)?;
    let blocking = wanted.sequence.is_some() && !progress.ended;
    let (response, sent) = rendered.answer(coding, terms, blocking);
    stream.state.sent(sent);
    Some(response)
}

/// A media playlist, whole or as a delta update; `None` before the rendition has anything.
pub(super) fn rendered_media(
    stream: &Served,
    rendition: &str,
    skip: Option<Skip>,
) -> Option<Arc<Rendered>> {
    let progress = stream.timeline.progress(rendition)?;
    let slots = stream.state.playlists.media(rendition);
    let slot = &slots[usize::from(skip.is_some())];
    slot.get((progress.version, 0), || {
        let snapshot = stream.timeline.snapshot(rendition)?;
        let form = Form {
            content_type: CONTENT_TYPE,
            caching: if snapshot.ended {
                answer::ENDED
            } else {
                answer::LIVE
            },
            blocking_s: snapshot.rules.target_duration_s * BLOCKING_CACHE_TARGET_DURATIONS,
        };
        let text = hls::media(&snapshot, skip);
        Some(Rendered::new((snapshot.version, 0), text, form))
    })
}

/// Delivery directives of a media playlist request. Other parameters (CMCD) play no part.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    sequence: Option<u64>,
    part: Option<u32>,
    skip: Option<Skip>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Now,
    Wait,
    Refuse(&'static str),
}

impl Wanted {
    pub(super) fn parse(query: &str) -> Result<Wanted, &'static str> {
        let mut wanted = Wanted::default();
        if !query.contains("_HLS_") {
            return Ok(wanted);
        }
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "_HLS_msn" => {
                    let sequence = value.parse().map_err(|_| "_HLS_msn is not a number\n")?;
                    wanted.sequence = Some(sequence);
                }
                "_HLS_part" => {
                    let part = value.parse().map_err(|_| "_HLS_part is not a number\n")?;
                    wanted.part = Some(part);
                }
                "_HLS_skip" if value == "YES" => wanted.skip = Some(Skip::Yes),
                "_HLS_skip" if value == "v2" => wanted.skip = Some(Skip::V2),
                _ => {}
            }
        }
        if wanted.part.is_some() && wanted.sequence.is_none() {
            return Err("_HLS_part needs _HLS_msn\n");
        }
        Ok(wanted)
    }

    /// RFC 8216bis §6.2.5.2.
    fn verdict(&self, progress: &Progress, rules: impl FnOnce() -> Option<Rules>) -> Verdict {
        let Some(sequence) = self.sequence else {
            return Verdict::Now;
        };
        if progress.ended || progress.contains(sequence, self.part) {
            return Verdict::Now;
        }
        let ahead = sequence.saturating_sub(progress.last_sequence);
        if ahead > MAX_SEGMENTS_AHEAD {
            return Verdict::Refuse("_HLS_msn is more than two segments ahead\n");
        }
        if let (Some(part), Some(rules)) = (self.part, rules()) {
            // Parts beyond the last one that is listed: those of a later segment count from none.
            let listed = if ahead == 0 { progress.last_parts } else { 0 };
            if part.saturating_sub(listed) >= advance_part_limit(rules.part_target) {
                return Verdict::Refuse("_HLS_part is too far ahead\n");
            }
        }
        Verdict::Wait
    }
}

/// Advance Part Limit: three divided by the part target below a second, else three.
fn advance_part_limit(part_target: Duration) -> u32 {
    let millis = u32::try_from(part_target.as_millis()).unwrap_or(u32::MAX);
    match millis {
        0..1000 => 3000_u32.div_ceil(millis.max(1)),
        _ => 3,
    }
}
