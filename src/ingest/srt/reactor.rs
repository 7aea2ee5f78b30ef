//! One thread for all callers. In: what libsrt has put in order and in time. Out: batches of it, in a
//! queue per caller. Not here: what is in the batches.
//!
//! libsrt makes each packet ready at its own time, some 240 a second and caller, and its own wait wakes up
//! for each of them. This thread looks around a hundred times a second instead, for all callers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::Instrument;

use super::call::Connection;
use super::caller::Caller;
use super::door::Door;
use super::ffi::{Error, Handle, Id, Library, Listener, MAX_PAYLOAD_BYTES, Poll, Received};
use super::socket::{PEER_IDLE, Socket};
use super::{MAX_LATENCY, PROTO};
use crate::base::lanes;
use crate::base::shutdown::Tasks;
use crate::hub::Link;
use crate::ingest::port::Admit;

/// How often the thread looks around while there are callers: what a packet waits, at most.
const TICK: Duration = Duration::from_millis(10);
/// Callers that libsrt has let in and that are not accepted; a tick takes all of them.
const BACKLOG: i32 = 128;
/// Batches that wait for a caller's task. When it is full, packets wait in libsrt's receive buffer, which
/// is bounded too: a caller whose task is stuck loses packets and nobody else does.
pub(super) const QUEUE_BATCHES: usize = 16;
/// Batches are slices of blocks of this size; at 2.5 Mb/s one lasts 100 ms.
const BLOCK_BYTES: usize = 32 * 1024;
/// How often the line is measured.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// What may come late when a connection is over, beyond its latency.
const DRAIN_MARGIN: Duration = Duration::from_secs(1);
/// A connection that ends this long after a packet came was closed by the peer: when the line is lost,
/// nothing comes for [`PEER_IDLE`] before libsrt gives up. Measured with two reports' steps.
const CLOSED_WITHIN: Duration = Duration::from_millis(3500);
const _: () = assert!(CLOSED_WITHIN.as_millis() < PEER_IDLE.as_millis());
/// Callers have this long to end when the server stops.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// What a caller's task is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Payloads of packets, in order.
    Data(Bytes),
    /// The line, once a second.
    Link(Link),
    /// Nothing comes any more.
    End(Ending),
}

/// How a connection ended, as far as libsrt tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The caller closed it.
    Closed,
    /// The line was lost; or the caller closed it after a silence, which looks the same.
    Lost,
}

/// One caller's connection.
struct Line {
    socket: Socket,
    sender: mpsc::Sender<Message>,
    buffer: BytesMut,
    latency: Duration,
    next_report: Duration,
    /// Packets at the last report, and when their number last rose.
    packets: u64,
    last_arrival: Duration,
    /// When its connection was found to be over.
    over: Option<Duration>,
}

pub(super) struct Reactor<A: Admit> {
    library: Library,
    listeners: Vec<Listener>,
    door: Arc<Door<A>>,
    tasks: Tasks,
    poll: Poll,
    ready: Vec<Id>,
    lines: HashMap<Id, Line>,
}

impl<A: Admit> Reactor<A> {
    /// Begins to take callers.
    pub(super) fn new(
        library: Library,
        ports: Vec<Handle>,
        door: Arc<Door<A>>,
        tasks: Tasks,
    ) -> Result<Reactor<A>, Error> {
        let mut poll = Poll::new(&library)?;
        let mut listeners = Vec::new();
        for handle in ports {
            let door = door.clone();
            let decide =
                move |id: Id, peer: SocketAddr, stream_id: &[u8]| door.answer(id, peer, stream_id);
            let listener = Listener::new(handle, BACKLOG, Box::new(decide))?;
            poll.add(listener.id())?;
            listeners.push(listener);
        }
        Ok(Reactor {
            library,
            listeners,
            door,
            tasks,
            poll,
            ready: Vec::new(),
            lines: HashMap::new(),
        })
    }

    /// Runs until the door is closed and the last caller has ended.
    pub(super) fn run(mut self) {
        self.door.set_reactor(std::thread::current());
        let mut stopping = None;
        loop {
            let now = self.library.now();
            if self.door.is_closed() && stopping.is_none() {
                stopping = Some(now);
                for listener in self.listeners.drain(..) {
                    self.poll.remove(listener.id());
                }
            }
            while let Some(connection) = self.door.handover.take() {
                self.adopt(connection, now);
            }
            self.read(now);
            self.look_after(now);
            self.door.sweep(now);
            if stopping.is_some_and(|since| self.lines.is_empty() || now > since + STOP_DEADLINE) {
                return;
            }
            if self.lines.is_empty() && self.door.is_quiet() {
                std::thread::park();
            } else {
                std::thread::park_timeout(TICK);
            }
        }
    }

    /// Takes all that is ready, a packet of each caller in turn.
    fn read(&mut self, now: Duration) {
        let mut packet = [0; MAX_PAYLOAD_BYTES];
        loop {
            let mut progress = false;
            let mut ready = std::mem::take(&mut self.ready);
            ready.extend(self.poll.ready());
            for id in ready.drain(..) {
                progress |= match self.lines.get_mut(&id) {
                    Some(line) => match line.receive(&mut packet) {
                        Step::Packet => true,
                        Step::Nothing => false,
                        Step::Over => {
                            line.over = Some(now);
                            self.poll.remove(id);
                            false
                        }
                    },
                    None => self.accept(id, now),
                };
            }
            self.ready = ready;
            if !progress {
                return;
            }
        }
    }

    /// Flushes, measures, and ends what is over.
    fn look_after(&mut self, now: Duration) {
        let mut packet = [0; MAX_PAYLOAD_BYTES];
        let mut ended = Vec::new();
        for (id, line) in &mut self.lines {
            line.flush();
            if now >= line.next_report && line.over.is_none() {
                line.report(now);
                if !line.socket.is_alive() {
                    // libsrt breaks a connection over a peer's wrong words without a word of its own.
                    self.poll.remove(*id);
                    line.over = Some(now);
                }
            }
            let is_over = line
                .over
                .is_some_and(|over| line.drain(over, now, &mut packet));
            if is_over || line.sender.is_closed() {
                ended.push(*id);
            }
        }
        for id in ended {
            // Closes the connection.
            if self
                .lines
                .remove(&id)
                .is_some_and(|line| line.over.is_none())
            {
                self.poll.remove(id);
            }
        }
    }

    /// Takes a connection that we made ourselves.
    fn adopt(&mut self, connection: Connection, now: Duration) {
        let id = connection.socket.id();
        if let Err(err) = self.poll.add(id) {
            // Its task hears of it when the sender goes.
            tracing::error!(%err, "cannot receive for a call");
            return;
        }
        let line = Line::new(
            connection.socket,
            connection.sender,
            connection.latency,
            now,
        );
        self.lines.insert(id, line);
    }

    /// Takes a caller that was let in; whether there was one.
    fn accept(&mut self, listener: Id, now: Duration) -> bool {
        let Some(listener) = self.listeners.iter().find(|l| l.id() == listener) else {
            return false;
        };
        let socket = match listener.accept() {
            Ok(handle) => Socket::accepted(handle),
            Err(err) => {
                // It went away between the event and now.
                tracing::debug!(%err, "no caller");
                return false;
            }
        };
        let Some(guest) = self.door.take(socket.id()) else {
            return true;
        };
        let latency = socket.latency();
        if latency > MAX_LATENCY {
            let request = &guest.request;
            let reason =
                format!("a latency of {latency:?} is asked for, at most {MAX_LATENCY:?} is given");
            self.door.config.stats.refused_total.add(1);
            self.door
                .tell(request.peer, Some(&request.key), None, &reason);
            return true;
        }
        if let Err(err) = self.poll.add(socket.id()) {
            tracing::error!(%err, "cannot serve a caller");
            return true;
        }
        let (sender, receiver) = mpsc::channel(QUEUE_BATCHES);
        let span = tracing::info_span!(
            "ingest",
            proto = PROTO,
            session = crate::ingest::next_session(),
            peer = %guest.request.peer,
            channel = format!("key:{}", guest.request.key.fingerprint()),
            stream = tracing::field::Empty,
        );
        let id = socket.id();
        let mut line = Line::new(socket, sender, latency, now);
        if !line.socket.is_alive() {
            // It was closed before it was watched, of which libsrt says nothing.
            self.poll.remove(id);
            line.over = Some(now);
        }
        self.lines.insert(id, line);
        let caller = Caller::new(self.door.clone(), receiver, self.tasks.clone());
        let on = self.door.config.lanes.clone();
        on.spawn(
            &self.tasks,
            lanes::COPIER,
            caller.run(guest).instrument(span),
        );
        true
    }
}

enum Step {
    Packet,
    Nothing,
    Over,
}

impl Line {
    fn new(
        socket: Socket,
        sender: mpsc::Sender<Message>,
        latency: Duration,
        now: Duration,
    ) -> Line {
        Line {
            socket,
            sender,
            buffer: BytesMut::with_capacity(BLOCK_BYTES),
            latency,
            next_report: now + REPORT_INTERVAL,
            packets: 0,
            last_arrival: now,
            over: None,
        }
    }

    /// Takes one packet, if there is room for it.
    fn receive(&mut self, packet: &mut [u8; MAX_PAYLOAD_BYTES]) -> Step {
        if self.room() < MAX_PAYLOAD_BYTES && !self.flush() {
            return Step::Nothing;
        }
        match self.socket.receive(packet) {
            Received::Bytes(count) => {
                self.buffer.extend_from_slice(&packet[..count]);
                Step::Packet
            }
            Received::Nothing => Step::Nothing,
            Received::Broken => Step::Over,
        }
    }

    fn room(&self) -> usize {
        self.buffer.capacity() - self.buffer.len()
    }

    /// Hands over what was taken, and makes room; whether there is some.
    fn flush(&mut self) -> bool {
        if !self.buffer.is_empty() {
            match self.sender.try_reserve() {
                Ok(place) => place.send(Message::Data(self.buffer.split().freeze())),
                Err(TrySendError::Full(())) => return self.room() >= MAX_PAYLOAD_BYTES,
                // The task has ended; so will the line.
                Err(TrySendError::Closed(())) => self.buffer.clear(),
            }
        }
        // The old block again if nothing of it lives any more, else a new one.
        if self.room() < MAX_PAYLOAD_BYTES && !self.buffer.try_reclaim(BLOCK_BYTES / 2) {
            self.buffer = BytesMut::with_capacity(BLOCK_BYTES);
        }
        true
    }

    fn report(&mut self, now: Duration) {
        self.next_report = now + REPORT_INTERVAL;
        let Some(link) = self.socket.link() else {
            return;
        };
        if link.packets != self.packets {
            self.packets = link.packets;
            self.last_arrival = now;
        }
        // A task that lags behind gets the next one.
        let _ = self.sender.try_send(Message::Link(link));
    }

    /// Takes what becomes due of a connection that is over since `over`; whether that was all of it.
    fn drain(
        &mut self,
        over: Duration,
        now: Duration,
        packet: &mut [u8; MAX_PAYLOAD_BYTES],
    ) -> bool {
        while matches!(self.receive(packet), Step::Packet) {}
        self.flush();
        let is_late = now.saturating_sub(over) > self.latency + DRAIN_MARGIN;
        if !self.buffer.is_empty() || (self.socket.has_waiting() && !is_late) {
            return false;
        }
        let ending = match over.saturating_sub(self.last_arrival) < CLOSED_WITHIN {
            true => Ending::Closed,
            false => Ending::Lost,
        };
        !matches!(
            self.sender.try_send(Message::End(ending)),
            Err(TrySendError::Full(_))
        )
    }
}
