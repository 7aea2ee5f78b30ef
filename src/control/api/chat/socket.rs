//! One socket of a chat, from its greeting to its end. In: frames of the client, and of the room. Out: the
//! same. One task, which sleeps until there is something to say.

use std::pin::Pin;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::SinkExt;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval, sleep, timeout};

use super::crowd::Ticket;
use super::frame::{self, Frame, Said, What};
use super::proof::Proof;
use super::rooms::{Pace, Told};
use super::{Place, Who};
use crate::control::State;
use crate::control::api::Error;
use crate::control::api::time::seconds;
use crate::store::{self, NewChat};

/// Messages of the history that a newcomer is sent: what was said last, and fits the ring of a room.
const HISTORY: usize = 50;
/// How often a client is asked for a sign of life, and its credentials are looked at again. Proxies close what is
/// silent for a minute.
const PING: Duration = Duration::from_secs(30);
/// Pings without any frame of the client after which it is gone.
const MAX_UNANSWERED: u32 = 2;
/// Until the client has taken a frame, or the history. One that takes none for so long is gone, or reads nothing.
const SEND_DEADLINE: Duration = Duration::from_secs(10);
/// Until the client has taken the farewell.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);
/// From the end of a broadcast until its sockets are closed: they hear that it is over, and its history.
const LINGER: Duration = Duration::from_secs(5);
/// Frames of a client: two in a second, and ten at once. Nobody types faster.
const CLIENT: Pace = Pace::new(2.0, 10.0);
/// Frames that are refused in a row, after which the client is closed: it does not listen.
const MAX_REFUSED: u32 = 20;

/// Why a socket is closed.
type End = (u16, &'static str);

const STOPPED: End = (close_code::AWAY, "the server stops");
const SILENT: End = (close_code::POLICY, "no sign of life");
const REVOKED: End = (close_code::POLICY, "the credential is no longer good");
const SLOW: End = (
    close_code::AGAIN,
    "too slow: come again for what you missed",
);
const FLOOD: End = (close_code::POLICY, "too many frames were refused");
const FAULT: End = (close_code::ERROR, "the history cannot be read");
const TOO_LARGE: End = (
    close_code::SIZE,
    "the frame cannot be read, or is too large",
);
const OVER: End = (close_code::NORMAL, "the broadcast is over");
const GONE: End = (close_code::NORMAL, "");

/// What a socket needs to know.
pub(super) struct Session {
    pub(super) state: State,
    pub(super) place: Place,
    pub(super) who: Who,
    pub(super) proof: Proof,
    pub(super) ticket: Ticket,
}

/// Serves a socket to its end, or to that of the server.
pub(super) async fn run(mut socket: WebSocket, session: Session) {
    let tasks = session.state.setup().tasks.clone();
    let end = tokio::select! {
        () = tasks.stopped() => STOPPED,
        // What it was doing may be given up anywhere: a change is made whole or not at all.
        Err(end) = session.converse(&mut socket) => end,
    };
    let (code, reason) = end;
    let close = CloseFrame {
        code,
        reason: reason.into(),
    };
    // It may be gone already.
    let _ = timeout(CLOSE_DEADLINE, socket.send(Message::Close(Some(close)))).await;
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), End> {
    within_deadline(SinkExt::send(socket, message)).await
}

async fn within_deadline(
    sending: impl Future<Output = Result<(), axum::Error>>,
) -> Result<(), End> {
    match timeout(SEND_DEADLINE, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(GONE),
        Err(_) => Err(SLOW),
    }
}

/// Waits for the time after a broadcast's end; for ever while it goes on.
async fn passed(linger: &mut Option<Pin<Box<Sleep>>>) {
    match linger {
        Some(linger) => linger.await,
        None => std::future::pending().await,
    }
}

/// Those who came together, as after a restart, are not asked together: neighbours are far from each other, and
/// all of them are spread evenly.
fn pings(number: u64) -> Interval {
    // The golden ratio's fraction, of 2^64 (Knuth, volume 3, 6.4).
    let place = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let nanos = (PING.as_nanos() * u128::from(place)) >> 32;
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick would be at once.
    pings.reset_after(PING - Duration::from_nanos(u64::try_from(nanos).unwrap_or_default()));
    pings
}

impl Session {
    /// Goes on until there is a reason to end.
    async fn converse(&self, socket: &mut WebSocket) -> Result<std::convert::Infallible, End> {
        // In this order, so that nothing is missed between them.
        let Place {
            broadcast, status, ..
        } = self.place;
        let mut seat = self.state.chats().enter(broadcast, status);
        // What is rare is on the heap while it lasts, so that those who only listen take little.
        let seen = Box::pin(self.greet(socket)).await?;
        let mut pings = pings(self.ticket.number);
        let linger = || Box::pin(sleep(LINGER));
        let mut over = status.is_over().then(linger);
        let mut unanswered = 0;
        let mut pace = CLIENT;
        let mut refused = 0;
        loop {
            tokio::select! {
                told = seat.frames.recv() => match told {
                    Ok(Told { sequence, .. }) if sequence.is_some_and(|number| number <= seen) => {}
                    Ok(told) => {
                        if told.is_last && over.is_none() {
                            over = Some(linger());
                        }
                        send(socket, Message::Text(told.text)).await?;
                    }
                    Err(RecvError::Lagged(_) | RecvError::Closed) => return Err(SLOW),
                },
                heard = socket.recv() => {
                    unanswered = 0;
                    let outcome = match heard {
                        None | Some(Ok(Message::Close(_))) => return Err(GONE),
                        Some(Err(_)) => return Err(TOO_LARGE),
                        Some(Ok(message)) => match pace.take(self.now()) {
                            Ok(()) => Box::pin(self.hear(message)).await,
                            refused => refused,
                        },
                    };
                    match outcome {
                        Ok(()) => refused = 0,
                        Err(error) => {
                            refused += 1;
                            send(socket, Message::Text(frame::refusal(&error).text())).await?;
                        }
                    }
                    if refused >= MAX_REFUSED {
                        return Err(FLOOD);
                    }
                }
                () = passed(&mut over) => return Err(OVER),
                _ = pings.tick() => {
                    if unanswered >= MAX_UNANSWERED {
                        return Err(SILENT);
                    }
                    unanswered += 1;
                    let store = &self.state.setup().store;
                    if !Box::pin(self.proof.is_good(store)).await {
                        return Err(REVOKED);
                    }
                    send(socket, Message::Ping(bytes::Bytes::new())).await?;
                }
            }
        }
    }

    fn now(&self) -> Duration {
        self.state.setup().clock.monotonic()
    }

    /// Sends what was said last; the number of the newest.
    async fn greet(&self, socket: &mut WebSocket) -> Result<i64, End> {
        let store = &self.state.setup().store;
        let history = store.newest_chats(self.place.broadcast, HISTORY).await;
        let history = history.map_err(|error| {
            // The log says why.
            let _ = Error::from(error);
            FAULT
        })?;
        let texts = history
            .iter()
            .map(|chat| frame::message(self.place.stream, chat).text());
        let all = async {
            for text in texts {
                socket.feed(Message::Text(text)).await?;
            }
            socket.flush().await
        };
        within_deadline(all).await?;
        Ok(history.last().map_or(0, |chat| chat.sequence))
    }

    async fn hear(&self, message: Message) -> Result<(), Error> {
        match message {
            Message::Text(text) => {
                if !self.who.may_speak {
                    return Err(Error::Unauthorized("a credential is needed to speak"));
                }
                // Who has a key may speak for all of a tenant's users from one address.
                if !self.who.is_client {
                    self.ticket.admit(self.now())?;
                }
                let said = frame::read(&text)?;
                say(&self.state, &self.place, &self.who, said).await
            }
            Message::Binary(_) => Err(Error::Bad("the frame is not text".to_owned())),
            // The library answers pings; the caller reads closes.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Ok(()),
        }
    }
}

/// Tells a room what somebody says; a message is kept first.
pub(super) async fn say(state: &State, place: &Place, who: &Who, said: Said) -> Result<(), Error> {
    let setup = state.setup();
    let chats = state.chats();
    chats.admit(place.broadcast, setup.clock.monotonic())?;
    let (user_id, user_name) = who.named(said.user_id, said.user_name);
    let told = match said.what {
        What::Message(message) => {
            let content = NewChat {
                user_id,
                user_name,
                message,
            };
            let kept = setup.store.send_chat(place.broadcast, content).await;
            let chat = kept.map_err(|error| match error {
                store::Error::Missing { .. } => Error::Conflict("the broadcast is over".to_owned()),
                error => error.into(),
            })?;
            Told {
                sequence: Some(chat.sequence),
                is_last: false,
                text: frame::message(place.stream, &chat).text(),
            }
        }
        What::Reaction(reaction) => {
            let told = Frame::Reaction {
                stream_id: place.stream.to_string(),
                user_id: user_id.as_deref().unwrap_or_default(),
                user_name: &user_name,
                reaction: &reaction,
                timestamp: seconds(setup.clock.wall()),
            };
            Told {
                sequence: None,
                is_last: false,
                text: told.text(),
            }
        }
    };
    chats.tell(place.broadcast, told);
    Ok(())
}
