//! A transcoder made of arithmetic: one rung of the source's pictures, cut and held as the real
//! worker does it.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use forebay::hub::{Event, NewRendition, Stream, Subscriber};
use forebay::media::{AccessUnit, MediaKind, RenditionId, Ticks, Timescale};

use super::encoder::avc_track;

/// Frames of the rung: 30 a second, whatever the source has.
const FRAME: Ticks = Ticks(3000);
/// Pictures that a decoder holds to put them in order.
const REORDERED: usize = 2;
/// The folder name of the rung.
pub const RUNG: &str = "sd";

/// One stream's transcoder.
pub struct Worker {
    stream: Arc<Stream>,
    events: Subscriber,
    /// What came before it was known whether the source is listed: the ladder begins with it.
    history: Vec<Event>,
    rung: Option<RenditionId>,
    /// Decoded pictures by time of presentation.
    decoded: Vec<(Ticks, Bytes)>,
    /// Boundaries that wait for their picture.
    boundaries: VecDeque<Ticks>,
    shown: Option<(Ticks, Bytes)>,
}

impl Worker {
    pub fn new(stream: &Arc<Stream>) -> Worker {
        Worker {
            stream: stream.clone(),
            events: stream.subscribe(4096),
            history: Vec::new(),
            rung: None,
            decoded: Vec::new(),
            boundaries: VecDeque::new(),
            shown: None,
        }
    }

    /// Handles what came.
    pub fn poll(&mut self) {
        loop {
            let event = {
                let mut context = Context::from_waker(Waker::noop());
                pin!(self.events.recv()).poll(&mut context)
            };
            match event {
                Poll::Ready(Some(Event::Settled { .. })) if self.rung.is_none() => {
                    self.begin();
                }
                Poll::Ready(Some(event)) if self.rung.is_none() => self.history.push(event),
                Poll::Ready(Some(event)) => self.handle(event),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        assert_eq!(self.events.dropped_units(), 0, "the queue is read in time");
    }

    fn begin(&mut self) {
        self.stream.plan(vec![RUNG.into()], true);
        self.rung = self.stream.add_rendition(NewRendition {
            name: RUNG.into(),
            track: avc_track("avc_opengop.avcc", Timescale::CHANNEL),
            peak_bps: 900_000,
            average_bps: 800_000,
            frame_rate_millis: 30_000,
        });
        for event in std::mem::take(&mut self.history) {
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Unit { unit, boundary } => {
                self.boundaries
                    .extend(boundary.map(|boundary| boundary.time));
                if unit.kind == MediaKind::Video {
                    let at = self.decoded.partition_point(|(time, _)| *time < unit.pts);
                    self.decoded.insert(at, (unit.pts, unit.data));
                    self.show_all_but(REORDERED);
                }
            }
            Event::Hold {
                until, boundary, ..
            } => {
                self.boundaries
                    .extend(boundary.map(|boundary| boundary.time));
                self.show_all_but(0);
                while let Some((last, data)) = self.shown.clone() {
                    if last + FRAME >= until {
                        break;
                    }
                    self.show(last + FRAME, data);
                }
            }
            Event::Break | Event::End => self.show_all_but(0),
            Event::Track(_) | Event::Settled { .. } => {}
        }
    }

    fn show_all_but(&mut self, kept: usize) {
        while self.decoded.len() > kept {
            let (time, data) = self.decoded.remove(0);
            // Half a frame of margin: a slower source is passed on, of a faster one every second.
            if self
                .shown
                .as_ref()
                .is_none_or(|(last, _)| time.0 > last.0 + FRAME.0 / 2 + 100)
            {
                self.show(time, data);
            }
        }
    }

    fn show(&mut self, time: Ticks, data: Bytes) {
        let opens = |boundary: &Ticks| time.0 + FRAME.0 / 2 >= boundary.0;
        let mut key = self.shown.is_none();
        while self.boundaries.front().is_some_and(opens) {
            self.boundaries.pop_front();
            key = true;
        }
        self.shown = Some((time, data.clone()));
        let Some(rung) = self.rung else {
            return;
        };
        let unit = AccessUnit {
            kind: MediaKind::Video,
            dts: time,
            pts: time,
            duration: None,
            key,
            data,
        };
        self.stream.push_rendition(rung, unit);
    }
}
