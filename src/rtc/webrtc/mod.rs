//! The engine of the crate `webrtc`: ICE, DTLS, SRTP and SCTP are its own, and so are session descriptions.
//! Packets of media, reports and repeats are ours (`chain`), with times from the media.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use ::webrtc::peer_connection::{PeerConnection, RTCIceCandidateInit, RTCSessionDescription};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::transport::RTCDtlsTransportState;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};

use super::description::{DESCRIPTION_BYTES, refuse_unread, sections};
use super::{Candidate, Error, Event, IncomingId, Outgoing, Peer, Pending, Settings, Statistics};
use crate::base::shutdown::Tasks;
use crate::media::{AccessUnit, MediaKind, Track};
use outgoing::Start;
use setup::{Way, random};
use shared::{Media, Shared};

mod chain;
mod events;
mod incoming;
mod outgoing;
mod runtime;
mod setup;
mod shared;

/// A connection is there within this of both descriptions, or is over.
const CONNECT: Duration = Duration::from_secs(10);
/// The far side's end is looked for this often.
const LOOK: Duration = Duration::from_millis(500);
/// One step of the engine: it computes, and binds sockets.
const STEP: Duration = Duration::from_secs(10);
/// Saying goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
/// Candidates of the far side at most. Bounds the pairs that are checked, and what is kept before a description.
const CANDIDATES: usize = 64;

/// One connection.
pub(super) struct Connection {
    settings: Settings,
    shared: Arc<Shared>,
    tasks: Tasks,
    engine: Option<Arc<dyn PeerConnection>>,
    /// Whether both descriptions are there.
    described: bool,
    /// Candidates that came before a description.
    early: Vec<Candidate>,
    candidates: usize,
    awaited: bool,
}

impl Connection {
    pub(super) fn new(settings: Settings) -> Connection {
        let shared = Arc::new(Shared::new(settings.clock.clone()));
        Connection {
            settings,
            shared,
            tasks: Tasks::new(),
            engine: None,
            described: false,
            early: Vec::new(),
            candidates: 0,
            awaited: false,
        }
    }

    /// The engine, made when it is known which way media goes.
    fn engine(&mut self, way: Way) -> Pending<'_, Arc<dyn PeerConnection>> {
        Box::pin(async move {
            if self.shared.media().events.is_closed() {
                return Err(Error::Closed);
            }
            if let Some(engine) = &self.engine {
                return Ok(Arc::clone(engine));
            }
            let built = setup::connection(&self.settings, way, &self.shared, &self.tasks);
            let engine = self.step(built, Error::Setup).await?;
            self.engine = Some(Arc::clone(&engine));
            Ok(engine)
        })
    }

    /// Runs a step of the engine as a task: a panic in it ends the step only, and so does whoever stops waiting.
    fn step<T: Send + 'static>(
        &self,
        step: Pending<'static, T>,
        error: fn(String) -> Error,
    ) -> Pending<'static, T> {
        let tasks = self.tasks.clone();
        Box::pin(async move {
            match tokio::time::timeout(STEP, tasks.spawn(step)).await {
                Ok(Ok(done)) => done,
                Ok(Err(_)) => Err(error("the engine failed".to_owned())),
                Err(_) => Err(error("the engine takes too long".to_owned())),
            }
        })
    }

    /// What was offered and answered is received from now on.
    fn take(&self, offer: &str, answer: &str) {
        let mut media = self.shared.media();
        let Media {
            incoming, events, ..
        } = &mut *media;
        incoming.describe(&sections(offer), &sections(answer), events);
        self.shared.announce(&media);
    }

    /// Both descriptions are there: what was kept is handed over, and the connection has to come.
    async fn described(&mut self, engine: &Arc<dyn PeerConnection>) {
        self.described = true;
        for candidate in std::mem::take(&mut self.early) {
            // One that makes no sense does not keep the others off.
            let _ = self
                .step(hand_over(engine, &candidate), Error::Description)
                .await;
        }
        if std::mem::replace(&mut self.awaited, true) {
            return;
        }
        let watched = watch(Arc::clone(engine), Arc::clone(&self.shared));
        let tasks = self.tasks.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = tasks.stopped() => {}
                () = watched => {}
            }
        });
    }
}

impl Peer for Connection {
    fn offer<'a>(&'a mut self, tracks: &'a [Outgoing]) -> Pending<'a, String> {
        Box::pin(async move {
            if self.engine.is_some() {
                return Err(Error::Setup("an offer was made before".to_owned()));
            }
            let engine = self.engine(Way::Out).await?;
            let shared = Arc::clone(&self.shared);
            let step = offer(engine, shared, tracks.to_vec());
            self.step(step, Error::Setup).await
        })
    }

    fn accept<'a>(&'a mut self, answer: &'a str) -> Pending<'a, ()> {
        Box::pin(async move {
            let engine = self.engine.clone().ok_or(Error::Closed)?;
            check(answer)?;
            let description = RTCSessionDescription::answer(answer.to_owned()).map_err(refuse)?;
            let taker = Arc::clone(&engine);
            let step = Box::pin(async move {
                taker
                    .set_remote_description(description)
                    .await
                    .map_err(refuse)
            });
            self.step(step, Error::Description).await?;
            self.described(&engine).await;
            Ok(())
        })
    }

    fn answer<'a>(&'a mut self, offer: &'a str) -> Pending<'a, String> {
        Box::pin(async move {
            check(offer)?;
            let engine = self.engine(Way::In).await?;
            let step = answer(Arc::clone(&engine), offer.to_owned());
            let answer = self.step(step, Error::Description).await?;
            // The engine answers with formats of other sections where it knows none of those offered.
            let answer = refuse_unread(offer, &answer);
            self.take(offer, &answer);
            self.described(&engine).await;
            Ok(answer)
        })
    }

    fn add_candidate<'a>(&'a mut self, candidate: &'a Candidate) -> Pending<'a, ()> {
        Box::pin(async move {
            // The end of candidates changes nothing, and names of mDNS are not looked up (RFC 8828 §3.2).
            let empty = candidate.candidate.is_empty();
            if empty || candidate.candidate.contains(".local ") {
                return Ok(());
            }
            if self.candidates == CANDIDATES {
                return Ok(());
            }
            self.candidates += 1;
            match self.engine.as_ref().filter(|_| self.described) {
                Some(engine) => {
                    let step = hand_over(engine, candidate);
                    self.step(step, Error::Description).await
                }
                None => {
                    self.early.push(candidate.clone());
                    Ok(())
                }
            }
        })
    }

    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Event>> + Send + '_>> {
        Box::pin(async move {
            loop {
                {
                    let mut media = self.shared.media();
                    if let Some(event) = media.events.pop() {
                        return Some(event);
                    }
                    if media.events.is_ended() {
                        return None;
                    }
                }
                self.shared.arrived.notified().await;
            }
        })
    }

    fn send(
        &mut self,
        outgoing: usize,
        layer: usize,
        track: &Track,
        unit: &AccessUnit,
    ) -> Result<(), Error> {
        let wall = self.shared.clock.wall().0;
        let mut media = self.shared.media();
        if media.events.is_closed() {
            return Err(Error::Closed);
        }
        media.outgoing.send(outgoing, layer, track, unit, wall)?;
        drop(media);
        self.shared.nudge.notify_one();
        Ok(())
    }

    fn set_epoch(&mut self, unix_micros: i64) {
        self.shared.media().outgoing.set_epoch(unix_micros);
    }

    fn want_key_unit(&mut self, incoming: IncomingId) {
        self.shared.media().incoming.want_key_unit(incoming);
        self.shared.nudge.notify_one();
    }

    fn statistics(&self) -> Statistics {
        let media = self.shared.media();
        let mut statistics = media.outgoing.statistics;
        media.incoming.count(&mut statistics);
        statistics
    }

    fn close(&mut self) -> Pending<'_, ()> {
        Box::pin(async move {
            let engine = self.engine.take();
            self.shared
                .tell(Event::Closed("closed by this side".to_owned()));
            goodbye(engine).await;
            self.tasks.finish().await;
            Ok(())
        })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let engine = self.engine.take();
        let tasks = self.tasks.clone();
        if engine.is_none() || tokio::runtime::Handle::try_current().is_err() {
            tasks.stop();
            return;
        }
        self.tasks.spawn(async move {
            goodbye(engine).await;
            tasks.stop();
        });
    }
}

/// Ends a connection that does not come, or that the far side ends: the engine says of its DTLS only when it is
/// asked.
fn watch(
    engine: Arc<dyn PeerConnection>,
    shared: Arc<Shared>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let begun = shared.now();
        loop {
            tokio::time::sleep(LOOK).await;
            let connected = shared.media().connected;
            if connected && is_left(&engine).await {
                shared.tell(Event::Closed("the far side left".to_owned()));
                return;
            }
            if !connected && shared.now().saturating_sub(begun) >= CONNECT {
                let seconds = CONNECT.as_secs();
                shared.tell(Event::Closed(format!("no connection within {seconds} s")));
                return;
            }
        }
    })
}

/// Whether the far side ended DTLS (close_notify, RFC 8446 §6.1).
async fn is_left(engine: &Arc<dyn PeerConnection>) -> bool {
    let mut transport = None;
    if let Some(sender) = engine.get_senders().await.first() {
        transport = sender.transport().await.ok().flatten();
    }
    if transport.is_none()
        && let Some(receiver) = engine.get_receivers().await.first()
    {
        transport = receiver.transport().await.ok().flatten();
    }
    match transport {
        Some(transport) => matches!(transport.state().await, Ok(RTCDtlsTransportState::Closed)),
        None => false,
    }
}

/// Tells the far side that this is the end.
fn goodbye(engine: Option<Arc<dyn PeerConnection>>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if let Some(engine) = engine {
            let _ = tokio::time::timeout(GOODBYE, engine.close()).await;
        }
    })
}

/// Describes tracks of ours.
fn offer(
    engine: Arc<dyn PeerConnection>,
    shared: Arc<Shared>,
    tracks: Vec<Outgoing>,
) -> Pending<'static, String> {
    Box::pin(async move {
        for track in &tracks {
            let starts = starts(track);
            let added = MediaStreamTrack::new(
                track.stream_id.clone(),
                track.track_id.clone(),
                track.track_id.clone(),
                kind(track.kind),
                starts
                    .iter()
                    .map(|start| encoding(track.kind, start))
                    .collect(),
            );
            let name = Arc::from(track.stream_id.as_str());
            shared
                .media()
                .outgoing
                .add(track.kind, name, random(), starts);
            let init = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Sendonly,
                streams: vec![track.stream_id.clone()],
                send_encodings: Vec::new(),
            };
            engine
                .add_transceiver_from_track(Arc::new(TrackLocalStaticRTP::new(added)), Some(init))
                .await
                .map_err(setup::setup)?;
        }
        let description = engine.create_offer(None).await.map_err(setup::setup)?;
        let text = description.sdp.clone();
        for section in sections(&text) {
            let outgoing = tracks.iter().position(|track| {
                let ids = section.msid.as_ref().map(|(_, track)| track);
                ids == Some(&track.track_id)
            });
            if let Some(outgoing) = outgoing {
                shared.media().outgoing.set_mid(outgoing, &section.mid);
            }
        }
        engine
            .set_local_description(description)
            .await
            .map_err(setup::setup)?;
        Ok(text)
    })
}

/// Answers what the far side offers.
fn answer(engine: Arc<dyn PeerConnection>, offer: String) -> Pending<'static, String> {
    Box::pin(async move {
        let description = RTCSessionDescription::offer(offer).map_err(refuse)?;
        engine
            .set_remote_description(description)
            .await
            .map_err(refuse)?;
        let answer = engine.create_answer(None).await.map_err(refuse)?;
        let text = answer.sdp.clone();
        engine.set_local_description(answer).await.map_err(refuse)?;
        Ok(text)
    })
}

fn hand_over(engine: &Arc<dyn PeerConnection>, candidate: &Candidate) -> Pending<'static, ()> {
    let engine = Arc::clone(engine);
    let candidate = RTCIceCandidateInit {
        candidate: candidate.candidate.clone(),
        sdp_mid: candidate.sdp_mid.clone(),
        sdp_mline_index: candidate.sdp_m_line_index,
        ..RTCIceCandidateInit::default()
    };
    Box::pin(async move { engine.add_ice_candidate(candidate).await.map_err(refuse) })
}

/// A stream for each layer.
fn starts(track: &Outgoing) -> Vec<Start> {
    let rids: Vec<_> = match track.layers.len() {
        0 | 1 => vec![None],
        _ => track.layers.iter().cloned().map(Some).collect(),
    };
    let start = |rid| Start {
        ssrc: random().max(1),
        rid,
        sequence: u16::try_from(random() >> 16).expect("16 bits"),
    };
    rids.into_iter().map(start).collect()
}

fn encoding(media: MediaKind, start: &Start) -> RTCRtpEncodingParameters {
    RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            rid: start.rid.as_deref().unwrap_or_default().to_owned(),
            ssrc: Some(start.ssrc),
            ..RTCRtpCodingParameters::default()
        },
        active: true,
        codec: setup::codec(media),
        ..RTCRtpEncodingParameters::default()
    }
}

fn kind(kind: MediaKind) -> RtpCodecKind {
    match kind {
        MediaKind::Video => RtpCodecKind::Video,
        MediaKind::Audio => RtpCodecKind::Audio,
    }
}

/// A description that is not too long to be looked at.
fn check(description: &str) -> Result<(), Error> {
    if description.len() > DESCRIPTION_BYTES {
        let bytes = description.len();
        return Err(Error::Description(format!(
            "{bytes} bytes, above limit {DESCRIPTION_BYTES}"
        )));
    }
    Ok(())
}

fn refuse(error: impl std::fmt::Display) -> Error {
    Error::Description(error.to_string())
}
