//! The task that sends webhooks what is due for them. In: deliveries of the store, and who publishes. Out: HTTP
//! requests, a bounded number at a time, and what came of them.
//!
//! Receivers choose where requests go, so that they are not trusted: an address is looked up and checked for
//! each attempt, the connection goes to what was checked, redirects are not followed, and of an answer little
//! more than its code is read. Those whose last attempt failed have places of their own: however many there
//! are and however long they take, they hold nobody else up.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsConnector;

use super::message;
use super::presence::Presence;
use crate::base::clock::{Clock, Wall};
use crate::base::destination::{self, Private, System};
use crate::base::shutdown::Tasks;
use crate::control::Live;
use crate::control::api::time::seconds;
use crate::control::outbound::{self, Target, failed};
use crate::store::{Attempt, Attempted, Error, Next, Notice, Store};

/// How often publishers are looked at, and the database, where others may have added something.
const LOOK: Duration = Duration::from_secs(1);
/// From the look-up of the name to the head of the answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// A connection to one of a name's addresses; past it the next one is tried.
const CONNECT_DEADLINE: Duration = Duration::from_secs(4);
/// What is read of an answer's body, in bytes, so that small ones end as their senders expect.
const MAX_BODY: usize = 1024;
/// How long that is read. What it says does not matter.
const BODY_DEADLINE: Duration = Duration::from_secs(1);
/// Attempts at a time of webhooks that answer, and as many of those that failed last. Bounds sockets and
/// memory: 64 x 16 KiB of head and a TLS session each.
const PARALLEL: usize = 32;
/// How often a delivery is tried: with the pauses below for some 22 hours.
const MAX_ATTEMPTS: u32 = 12;
/// Pause after the first failure. Each further one is four times as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(4 * 3600);
/// A webhook at which nothing arrived for so long is switched off, if it was tried as often as one delivery
/// is.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3 * 24 * 3600);
/// What running attempts have at a stop. Then they are made again by the next run.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Events that wait for the database, when it does not answer. More are dropped: they are old by then.
const MAX_UNTOLD: usize = 1000;

/// Sends webhooks what they are to be told.
pub struct Webhooks {
    courier: Arc<Courier>,
    live: Arc<dyn Live>,
    presence: Presence,
    untold: VecDeque<Notice>,
    /// Places of webhooks that answer, and of those that failed.
    places: [Arc<Semaphore>; 2],
}

/// What an attempt needs.
struct Courier {
    store: Store,
    clock: Clock,
    private: Private,
    /// `None`: no certificate is trusted.
    tls: Option<TlsConnector>,
}

/// The head of an answer.
struct Reply {
    code: StatusCode,
    retry_after: Option<Duration>,
}

impl Webhooks {
    /// For all applications of a database, whose publishers are looked at here. Reads the machine's
    /// certificates: blocks for some milliseconds.
    pub fn new(store: Store, live: Arc<dyn Live>, private: Private, clock: Clock) -> Webhooks {
        let roots = outbound::machine_roots();
        let roots = Some(roots).filter(|roots| !roots.is_empty());
        let tls = roots.and_then(|roots| outbound::connector(roots).ok());
        if tls.is_none() {
            tracing::warn!("no trusted certificates were found: webhooks cannot use https");
        }
        let courier = Courier {
            store,
            clock,
            private,
            tls,
        };
        Webhooks {
            courier: Arc::new(courier),
            live,
            presence: Presence::default(),
            untold: VecDeque::new(),
            places: [PARALLEL; 2].map(|places| Arc::new(Semaphore::new(places))),
        }
    }

    /// Sends until the tasks are stopped.
    pub async fn run(mut self, tasks: Tasks) {
        let courier = self.courier.clone();
        if let Err(err) = courier.store.release_own_leases().await {
            // They end by themselves.
            tracing::error!(%err, "webhooks of the last run are not free yet");
        }
        let mut attempts = JoinSet::new();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !tasks.is_stopped() {
            tokio::select! {
                () = tasks.stopped() => {}
                _ = look.tick() => self.tell().await,
                () = courier.store.deliveries_due() => {}
                Some(_) = attempts.join_next() => {}
            }
            if let Err(err) = self.send(&mut attempts, &tasks).await {
                tracing::error!(%err, "webhooks could not be looked after");
            }
        }
        // Encoders were let go before: the next run tells of those that come back.
        self.tell().await;
        while attempts.join_next().await.is_some() {}
    }

    /// Has told what has changed with publishers.
    async fn tell(&mut self) {
        let store = &self.courier.store;
        let news = self.presence.look(&*self.live, store);
        let room = MAX_UNTOLD.saturating_sub(self.untold.len());
        self.untold.extend(news.into_iter().take(room));
        while let Some(event) = self.untold.front() {
            if let Err(err) = store.tell_webhooks(event).await {
                tracing::error!(%err, "webhooks could not be told of publishers");
                return;
            }
            self.untold.pop_front();
        }
    }

    /// Begins attempts at what is due, as far as there are places.
    async fn send(&self, attempts: &mut JoinSet<()>, tasks: &Tasks) -> Result<(), Error> {
        for (places, failing) in self.places.iter().zip([false, true]) {
            let free = places.available_permits();
            if free == 0 || tasks.is_stopped() {
                continue;
            }
            let store = &self.courier.store;
            for webhook in store.due_webhooks(failing, free).await? {
                let Ok(place) = places.clone().try_acquire_owned() else {
                    break;
                };
                if let Some(attempt) = store.lease_delivery(webhook).await? {
                    let run = self.courier.clone().attempt(attempt, place, tasks.clone());
                    attempts.spawn(run);
                }
            }
        }
        Ok(())
    }
}

impl Courier {
    /// Makes an attempt, and records what came of it.
    async fn attempt(
        self: Arc<Courier>,
        attempt: Attempt,
        _place: OwnedSemaphorePermit,
        tasks: Tasks,
    ) {
        let stopped = async {
            tasks.stopped().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        let recorded = tokio::select! {
            sent = self.deliver(&attempt) => {
                let attempted = judge(&attempt, sent, self.clock.wall());
                note(&attempt, &attempted);
                self.store.finish_attempt(&attempt, &attempted).await
            }
            () = stopped => self.store.release_attempt(&attempt).await,
        };
        if let Err(err) = recorded {
            // Its lease ends by itself, and it is made again.
            let webhook = attempt.webhook.id;
            tracing::error!(%webhook, %err, "what came of an attempt could not be recorded");
        }
    }

    async fn deliver(&self, attempt: &Attempt) -> Result<Reply, String> {
        let late = |_| format!("it did not answer within {} s", DEADLINE.as_secs());
        let sent = tokio::time::timeout(DEADLINE, self.exchange(attempt)).await;
        sent.map_err(late)?
    }

    async fn exchange(&self, attempt: &Attempt) -> Result<Reply, String> {
        let target = Target::of(&attempt.webhook.url)?;
        let place = (target.host.as_str(), target.port);
        let addresses = destination::addresses(place, &self.private, &mut System::default()).await;
        let mut failure = None;
        let mut connection = None;
        for address in addresses.map_err(|err| err.to_string())? {
            let connect = tokio::time::timeout(CONNECT_DEADLINE, TcpStream::connect(address)).await;
            match connect.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    connection = Some(stream);
                    break;
                }
                Err(err) => failure = Some(failed("it cannot be reached", err)),
            }
        }
        let stream = connection.ok_or_else(|| failure.unwrap_or_default())?;
        let delivery = &attempt.delivery;
        let body = message::body(delivery);
        let now = self.clock.wall();
        let signatures = message::signatures(&attempt.webhook, &delivery.id, now, &body);
        let mut request = target.post(Bytes::from(body));
        let value = |text: &str| {
            HeaderValue::from_str(text).map_err(|_| "its headers cannot be sent".to_owned())
        };
        let headers = request.headers_mut();
        headers.insert("webhook-id", value(&delivery.id)?);
        headers.insert("webhook-timestamp", HeaderValue::from(now.unix_seconds()));
        headers.insert("webhook-signature", value(&signatures)?);
        target
            .exchange(stream, self.tls.as_ref(), request, read)
            .await
            .map_err(|err| err.to_string())
    }
}

/// Takes the head of an answer, and lets a small body end.
async fn read(response: Response<Incoming>) -> Reply {
    let (head, body) = response.into_parts();
    let _ = tokio::time::timeout(BODY_DEADLINE, Limited::new(body, MAX_BODY).collect()).await;
    let wait = head.headers.get(header::RETRY_AFTER);
    let wait = wait.and_then(|wait| wait.to_str().ok()?.trim().parse().ok());
    Reply {
        code: head.status,
        retry_after: wait.map(Duration::from_secs),
    }
}

/// What follows on an attempt.
fn judge(attempt: &Attempt, sent: Result<Reply, String>, now: Wall) -> Attempted {
    let (code, retry_after, error) = match sent {
        Ok(reply) if reply.code.is_success() => {
            return Attempted {
                code: Some(reply.code.as_u16()),
                error: None,
                next: Next::Delivered,
            };
        }
        Ok(reply) => {
            let mut text = format!("it answered {}", reply.code.as_u16());
            if reply.code.is_redirection() {
                text.push_str(", and redirects are not followed");
            }
            (Some(reply.code), reply.retry_after, text)
        }
        Err(error) => (None, None, error),
    };
    let (webhook, attempts) = (&attempt.webhook, attempt.delivery.attempts + 1);
    let is_over = |since: &Wall| now.micros_since(*since) >= micros(GIVEN_UP_AFTER);
    let given_up = webhook.failing_since.filter(is_over);
    let given_up = given_up.filter(|_| webhook.failures + 1 >= MAX_ATTEMPTS);
    let next = match given_up {
        _ if code == Some(StatusCode::GONE) => Next::Off(error.clone()),
        Some(since) => Next::Off(format!(
            "nothing has arrived since {}, and at last {error}",
            seconds(since)
        )),
        None if attempts >= MAX_ATTEMPTS => Next::GivenUp,
        None => {
            let pause = pause(&attempt.delivery.id, attempts);
            let asked = retry_after.unwrap_or_default().min(LONGEST_PAUSE);
            Next::Again(now.plus_micros(micros(pause.max(asked))))
        }
    };
    Attempted {
        code: code.map(|code| code.as_u16()),
        error: Some(error),
        next,
    }
}

/// The pause after so many attempts, up to a fifth longer or shorter, so that what failed together does not come
/// again together. The delivery's id, which is random, decides by how much.
fn pause(id: &str, attempts: u32) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(4_u32.saturating_pow(attempts.saturating_sub(1)));
    let digest = Sha256::digest(format!("{id} {attempts}").as_bytes());
    let share = f64::from(u16::from_be_bytes([digest[0], digest[1]])) / 65_536.0;
    whole.min(LONGEST_PAUSE).mul_f64(0.8 + 0.4 * share)
}

/// Tells an operator of what does not arrive, without the address: it may be a secret of its tenant's.
fn note(attempt: &Attempt, attempted: &Attempted) {
    let (webhook, application) = (attempt.webhook.id, &*attempt.webhook.application_id);
    let delivery = &*attempt.delivery.id;
    let error = attempted.error.as_deref().unwrap_or_default();
    match &attempted.next {
        Next::Delivered => tracing::debug!(%webhook, delivery, "webhook told"),
        Next::Again(_) => tracing::debug!(%webhook, delivery, error, "webhook not told yet"),
        Next::GivenUp => {
            tracing::info!(%webhook, application, delivery, error, "webhook is not told any more");
        }
        Next::Off(reason) => {
            tracing::warn!(%webhook, application, reason, "webhook switched off");
        }
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_hours_and_end_after_about_a_day() {
        let mut least = Duration::ZERO;
        let mut most = Duration::ZERO;
        for attempts in 1..MAX_ATTEMPTS {
            let pauses = (0..200).map(|id| pause(&format!("msg_{id}"), attempts));
            let mut pauses: Vec<Duration> = pauses.collect();
            pauses.sort();
            pauses.dedup();
            assert!(pauses.len() > 190, "they differ");
            let wanted = FIRST_PAUSE * 4_u32.pow(attempts - 1);
            let wanted = wanted.min(LONGEST_PAUSE);
            let longest = pauses[pauses.len() - 1];
            assert!(pauses[0] >= wanted * 4 / 5 && longest <= wanted * 6 / 5);
            least += pauses[0];
            most += longest;
        }
        let hours = |span: Duration| span.as_secs() / 3600;
        assert!(
            hours(least) >= 17 && hours(most) <= 27,
            "{least:?} {most:?}"
        );
        assert_eq!(pause("msg_1", u32::MAX).as_secs() / 3600 / 5, 0);
    }
}
