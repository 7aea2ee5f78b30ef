//! The worker's way out: messages from GStreamer's threads through one bounded queue to the socket.

use std::io::{self, IoSlice, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::transcode::protocol::{Counters, Message};

/// Messages between the encoders and the socket. When it is full the encoders wait, and through
/// their own queues the decoder and the bridge.
const QUEUE_MESSAGES: usize = 64;

/// What the worker counts, from several threads.
#[derive(Debug, Default)]
pub(in crate::transcode) struct Tally {
    pub(super) frames: AtomicU64,
    pub(super) skipped_frames: AtomicU64,
    pub(super) late_boundaries: AtomicU64,
    pub(super) silence_samples: AtomicU64,
    pub(super) skipped_samples: AtomicU64,
}

impl Tally {
    pub(super) fn counters(&self) -> Counters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            frames: get(&self.frames),
            skipped_frames: get(&self.skipped_frames),
            late_boundaries: get(&self.late_boundaries),
            silence_samples: get(&self.silence_samples),
            skipped_samples: get(&self.skipped_samples),
        }
    }
}

/// Where messages to the bridge go. Cloning shares it.
#[derive(Clone, Debug)]
pub(in crate::transcode) struct Output {
    queue: SyncSender<Message>,
    pub(super) tally: Arc<Tally>,
}

impl Output {
    /// An output and the end that [`write_all`] empties.
    pub(in crate::transcode) fn new() -> (Output, Receiver<Message>) {
        let (queue, receiver) = sync_channel(QUEUE_MESSAGES);
        let tally = Arc::new(Tally::default());
        (Output { queue, tally }, receiver)
    }

    /// Waits for room and queues a message. False when the socket is gone.
    pub(in crate::transcode) fn send(&self, message: Message) -> bool {
        self.queue.send(message).is_ok()
    }

    /// Makes every error on a pipeline's bus a [`Message::Failed`], from the thread that posts it.
    pub(super) fn watch(&self, pipeline: &gst::Pipeline) {
        let output = self.clone();
        let bus = pipeline.bus().expect("a pipeline has a bus");
        bus.set_sync_handler(move |_, message| {
            if let gst::MessageView::Error(error) = message.view() {
                let element = error.src().map_or_else(String::new, |source| {
                    let factory = source
                        .downcast_ref::<gst::Element>()
                        .and_then(gst::Element::factory);
                    factory.map_or_else(|| source.name().to_string(), |f| f.name().to_string())
                });
                let detail = error.debug().unwrap_or_default();
                output.send(Message::Failed {
                    element,
                    package: None,
                    text: format!("{} ({detail})", error.error()),
                });
            }
            gst::BusSyncReply::Drop
        });
    }
}

/// Writes messages until the queue's last sender is gone, a final message was written, or the socket
/// fails. True after a final message.
pub(super) fn write_all(queue: &Receiver<Message>, mut socket: impl Write) -> io::Result<bool> {
    while let Ok(message) = queue.recv() {
        let frame = message.encode().map_err(io::Error::other)?;
        let last = Message::is_last(&frame);
        let mut slices = [IoSlice::new(&frame.head), IoSlice::new(&frame.payload)];
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            match socket.write_vectored(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            // An empty payload is not written, so it has to be stepped over.
            while rest.first().is_some_and(|slice| slice.is_empty()) {
                IoSlice::advance_slices(&mut rest, 0);
                if rest.first().is_some_and(|slice| slice.is_empty()) {
                    rest = &mut [];
                }
            }
        }
        if last {
            return Ok(true);
        }
    }
    Ok(false)
}
