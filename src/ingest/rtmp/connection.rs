//! One connection: reads, feeds the session, acts on its events, writes its answers, keeps the
//! deadlines.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::Context;
use super::lobby::Seat;
use super::publish::{Output, Publication, announcement};
use super::session::{self, Event, Session};
use crate::format::flv::tags::Tags;
use crate::hub::{Announcement, PublishRequest, Refusal};
use crate::ingest::key::StreamKey;
use crate::ingest::port::{Admit, Sink, answer};
use crate::ingest::silence::Silence;
use crate::media::MediaKind;

/// A peer that does not take our few bytes for this long is gone.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);
/// Time for the peer to read a last answer and to close. Closing with unread input would reset the
/// connection and could take the answer with it; ffmpeg looks for answers only when it writes, and
/// x264 keeps its first frames back for up to two seconds.
const LINGER: Duration = Duration::from_secs(3);
/// Input thrown away while lingering.
const LINGER_BYTES: usize = 1024 * 1024;
/// Read buffer before a publish, when the peer is not known: commands are below 1 KiB.
const WAITING_READ_BYTES: usize = 4 * 1024;
/// Read buffer of a publish. Messages are slices of it, so it is not used again while they live; at
/// 2.5 Mb/s it lasts 200 ms.
const PUBLISH_READ_BYTES: usize = 64 * 1024;
/// A read into less space than this is not worth the call.
const MIN_READ_BYTES: usize = 4 * 1024;

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the publisher said goodbye")]
    Finished,
    #[error("closed by the peer")]
    Closed,
    #[error("connection lost: {0}")]
    Io(#[from] std::io::Error),
    #[error("the peer takes no answers")]
    WriteTimeout,
    #[error("no publish in time")]
    WaitedTooLong,
    #[error("newer connections needed the place")]
    Dismissed,
    #[error("refused: {0}")]
    Refused(String),
    #[error("no access unit for {0:?}")]
    Silent(Duration),
    #[error("ended by the hub: {0}")]
    Evicted(String),
    #[error("shutting down")]
    Stopped,
    #[error("not supported: {0}")]
    Unsupported(String),
    #[error("protocol: {0}")]
    Session(#[from] session::Error),
}

pub(super) struct Connection<S, A> {
    stream: S,
    peer: SocketAddr,
    proto: &'static str,
    context: Context<A>,
    session: Session,
    buffer: BytesMut,
    publishing: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Admit> Connection<S, A> {
    pub(super) fn new(
        stream: S,
        peer: SocketAddr,
        proto: &'static str,
        context: Context<A>,
    ) -> Connection<S, A> {
        Connection {
            stream,
            peer,
            proto,
            context,
            session: Session::new(),
            buffer: BytesMut::new(),
            publishing: false,
        }
    }

    /// Serves the connection to its end.
    pub(super) async fn run(mut self, seat: Seat, waiting: Duration) {
        let asked = tokio::select! {
            () = seat.dismissed() => Err(End::Dismissed),
            asked = timeout(waiting, self.wait_for_publish(&seat)) => {
                asked.unwrap_or(Err(End::WaitedTooLong))
            }
        };
        let admitted = match asked {
            Ok(name) => {
                seat.being_admitted();
                self.admit(&name).await
            }
            Err(end) => {
                self.context.config.stats.unpublished_total.add(1);
                Err(end)
            }
        };
        match admitted {
            Ok(sink) => {
                drop(seat);
                self.publish(sink).await;
            }
            Err(end) => {
                if self
                    .context
                    .told
                    .admits(self.context.config.clock.monotonic())
                {
                    tracing::info!(reason = %end, "connection ended without a publish");
                }
                if let End::Refused(_) = end {
                    // Still in the lobby, so that these are bounded too.
                    seat.past_handshake();
                    tokio::select! {
                        () = seat.dismissed() => {}
                        () = self.linger(true) => {}
                    }
                }
            }
        }
    }

    /// Handshake, connect, createStream, up to the publish command: the stream name. The
    /// application may be any; it is not logged either, since people paste keys there.
    async fn wait_for_publish(&mut self, seat: &Seat) -> Result<String, End> {
        let mut handshake = true;
        loop {
            let event = self.session.poll_event(&mut self.buffer)?;
            self.flush().await?;
            if handshake && self.session.is_past_handshake() {
                handshake = false;
                seat.past_handshake();
            }
            match event {
                Some(Event::Publish { name, .. }) => return Ok(name),
                Some(Event::Refused(reason)) => return Err(End::Refused(reason.to_owned())),
                Some(_) => {}
                None => self.read_or_stop().await?,
            }
        }
    }

    async fn read_or_stop(&mut self) -> Result<(), End> {
        let tasks = self.context.tasks.clone();
        tokio::select! {
            () = tasks.stopped() => Err(End::Stopped),
            read = self.read() => read,
        }
    }

    /// Asks the hub, and tells the encoder its answer.
    async fn admit(&mut self, name: &str) -> Result<A::Sink, End> {
        let Some(key) = StreamKey::parse(name) else {
            return Err(self.refuse("NetStream.Publish.BadName", "no stream key"));
        };
        let fingerprint = key.key.fingerprint();
        tracing::Span::current().record("channel", format!("key:{fingerprint}"));
        let request = PublishRequest {
            proto: self.proto,
            peer: self.peer,
            key: key.key,
            capabilities: key.capabilities,
            tags: key.tags,
        };
        match answer(self.context.admit.admit(request)).await {
            Ok(sink) => {
                tracing::Span::current().record("stream", sink.stream());
                self.session.accept();
                self.publishing = true;
                self.flush().await?;
                self.context.config.stats.accepted_total.add(1);
                tracing::info!("publish accepted");
                Ok(sink)
            }
            Err(refusal) => {
                self.context.config.stats.refused_total.add(1);
                let code = match refusal {
                    Refusal::UnknownKey => "NetStream.Publish.BadName",
                    Refusal::NotAllowed(_) | Refusal::Full(_) | Refusal::Undecided(_) => {
                        "NetStream.Publish.Denied"
                    }
                };
                Err(self.refuse(code, &refusal.to_string()))
            }
        }
    }

    fn refuse(&mut self, code: &'static str, description: &str) -> End {
        self.session.refuse(code, description);
        End::Refused(description.to_owned())
    }

    /// Feeds an admitted session to its end.
    async fn publish(mut self, mut sink: A::Sink) {
        let mut publication = Publication::new();
        let end = self.feed(&mut sink, &mut publication).await;
        let dropped = publication.dropped();
        let stats = &self.context.config.stats;
        stats
            .dropped_units_total
            .add(dropped.malformed_units + dropped.unready_units);
        let outcome = match &end {
            End::Finished => &stats.finished_total,
            End::Silent(_) => &stats.silent_total,
            End::Evicted(_) | End::Stopped => &stats.evicted_total,
            End::Session(_) | End::Unsupported(_) | End::Refused(_) => &stats.rejected_total,
            _ => &stats.lost_total,
        };
        outcome.add(1);
        tracing::info!(
            reason = %end,
            malformed_units = dropped.malformed_units,
            unready_units = dropped.unready_units,
            "publish ended"
        );
        // The hub first: a viewer must not wait for an encoder that lingers.
        match &end {
            End::Finished => sink.finish(),
            _ => drop(sink),
        }
        match &end {
            End::Unsupported(text) => self.session.refuse("NetStream.Publish.Rejected", text),
            End::Silent(_) => {
                let text = "no media arrived in time";
                self.session.refuse("NetStream.Publish.Idle", text);
            }
            End::Evicted(_) | End::Stopped => {
                let text = "the server ended this publish";
                self.session.refuse("NetStream.Publish.Denied", text);
            }
            End::Finished | End::Refused(_) => {}
            _ => return,
        }
        // Who said goodbye may have more to say (deleteStream after FCUnpublish) and closes by itself.
        let close_first = !matches!(end, End::Finished);
        self.linger(close_first).await;
    }

    async fn feed(&mut self, sink: &mut A::Sink, publication: &mut Publication) -> End {
        let limit = self.context.config.publish_timeout;
        let tasks = self.context.tasks.clone();
        // Made once: each of them enters a list under a lock when it is made, which would be per read.
        let mut stopped = pin!(tasks.stopped());
        let mut evicted = pin!(sink.evicted());
        let mut silence = Silence::new(limit).await;
        let mut announced = Announcement::default();
        loop {
            // What came together with the publish command is there already.
            match self.drain(sink, publication, &mut announced) {
                Ok(true) => silence.handle_media(),
                Ok(false) => {}
                Err(end) => return end,
            }
            if let Err(end) = self.flush().await {
                return end;
            }
            tokio::select! {
                biased;
                () = &mut stopped => return End::Stopped,
                reason = &mut evicted => return End::Evicted(reason),
                () = silence.too_long() => return End::Silent(limit),
                read = self.read() => if let Err(end) = read {
                    return end;
                }
            }
        }
    }

    /// Acts on everything that lies in the buffer; whether the hub was given anything.
    fn drain(
        &mut self,
        sink: &mut A::Sink,
        publication: &mut Publication,
        announced: &mut Announcement,
    ) -> Result<bool, End> {
        let mut progress = false;
        while let Some(event) = self.session.poll_event(&mut self.buffer)? {
            match event {
                Event::Media {
                    kind,
                    timestamp_ms,
                    body,
                } => progress |= feed_media(sink, publication, kind, timestamp_ms, &body)?,
                Event::Aggregate { timestamp_ms, body } => {
                    let mut first = None;
                    for tag in Tags::new(body) {
                        // §7.1.6: the message's time replaces that of its first tag.
                        let offset =
                            timestamp_ms.wrapping_sub(*first.get_or_insert(tag.timestamp_ms));
                        let kind = match tag.kind {
                            8 => MediaKind::Audio,
                            9 => MediaKind::Video,
                            _ => continue,
                        };
                        let time = tag.timestamp_ms.wrapping_add(offset);
                        progress |= feed_media(sink, publication, kind, time, &tag.body)?;
                    }
                }
                Event::Data(body) => {
                    // Some encoders repeat their metadata with every key frame.
                    if let Some(new) = announcement(&body).filter(|new| new != announced) {
                        sink.announce(new.clone());
                        *announced = new;
                    }
                }
                Event::Finished => return Err(End::Finished),
                Event::Refused(reason) => return Err(End::Refused(reason.to_owned())),
                Event::Publish { .. } => unreachable!("a second publish is refused by the session"),
            }
        }
        Ok(progress)
    }

    /// One read, into a buffer that has space. Cancel-safe.
    async fn read(&mut self) -> Result<(), End> {
        match self.publishing {
            true => make_space(&mut self.buffer, PUBLISH_READ_BYTES, MIN_READ_BYTES),
            false => make_space(&mut self.buffer, WAITING_READ_BYTES, WAITING_READ_BYTES / 4),
        }
        let count = self.stream.read_buf(&mut self.buffer).await?;
        if count == 0 {
            return Err(End::Closed);
        }
        self.session.handle_received(count);
        let count = u64::try_from(count).unwrap_or(0);
        self.context.config.stats.received_bytes_total.add(count);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), End> {
        if !self.session.has_output() {
            return Ok(());
        }
        let output = self.session.take_output();
        let write = async {
            self.stream.write_all(&output).await?;
            self.stream.flush().await
        };
        match timeout(WRITE_DEADLINE, write).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(End::WriteTimeout),
        }
    }

    /// Sends the last answer, then waits a little for the peer to close. `close_first`: our direction
    /// is closed before.
    async fn linger(mut self, close_first: bool) {
        if self.flush().await.is_err() {
            return;
        }
        let goodbye = async {
            if close_first {
                self.stream.shutdown().await?;
            }
            let mut left = LINGER_BYTES;
            let mut discard = vec![0_u8; MIN_READ_BYTES];
            while left > 0 {
                match self.stream.read(&mut discard).await? {
                    0 => break,
                    count => left = left.saturating_sub(count),
                }
            }
            Ok::<(), std::io::Error>(())
        };
        let _ = timeout(LINGER, goodbye).await;
    }
}

/// Hands one tag body to the hub; whether it was something.
fn feed_media<K: Sink>(
    sink: &mut K,
    publication: &mut Publication,
    kind: MediaKind,
    timestamp_ms: u32,
    body: &Bytes,
) -> Result<bool, End> {
    let output = publication.handle_media(kind, timestamp_ms, body);
    match output.map_err(|err| End::Unsupported(err.to_string()))? {
        Some(Output::Track(track)) => sink.set_track(track),
        Some(Output::Unit(unit)) => sink.push(unit),
        None => return Ok(false),
    }
    Ok(true)
}

/// Space for at least `least` bytes: what is there, else the old block again if nothing lives in it,
/// else a new one. Not `reserve`, which doubles: the block's size is a bound.
fn make_space(buffer: &mut BytesMut, block: usize, least: usize) {
    if buffer.capacity() - buffer.len() >= least || buffer.try_reclaim(block / 2) {
        return;
    }
    // What is left of the old block is the beginning of one message.
    let mut fresh = BytesMut::with_capacity(block.max(buffer.len() + least));
    fresh.extend_from_slice(buffer);
    *buffer = fresh;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_read_buffer_stays_a_block_whatever_passes_through_it() {
        for kept_units in [0, 1, 20] {
            let mut buffer = BytesMut::new();
            let mut kept = std::collections::VecDeque::new();
            for round in 0..2000 {
                make_space(&mut buffer, PUBLISH_READ_BYTES, MIN_READ_BYTES);
                let space = buffer.capacity() - buffer.len();
                assert!(space >= MIN_READ_BYTES);
                assert!(buffer.capacity() <= PUBLISH_READ_BYTES + MIN_READ_BYTES);
                buffer.resize(buffer.len() + space.min(round * 7 % 9000), 0);
                // Units are slices that live for a while; the beginning of the next one stays.
                let unit = buffer.split_to(buffer.len().saturating_sub(round % 3000));
                kept.push_back(unit.freeze());
                if kept.len() > kept_units {
                    kept.pop_front();
                }
            }
        }
    }
}
