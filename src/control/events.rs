//! What changes in streams, told to consoles as it happens: server-sent events (HTML, 9.2). One producer
//! looks at all streams once a second, while anybody listens. It keeps one text for each stream; each
//! listener takes what it has not seen, whenever its connection takes more: a slow one misses what is
//! in between and holds nobody up.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use http_body::Frame;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::admin::{self, StreamView};
use super::{Error, State, auth};

/// How often streams are looked at. A person reads no faster.
const EVERY: Duration = Duration::from_secs(1);
/// After this long without news an `alive` is sent: a connection on which nothing moves is closed after
/// 20 s, a page knows by it that somebody is there, and a session that ended is found.
const SIGN_OF_LIFE: Duration = Duration::from_secs(8);
/// Who may listen at once. Each costs a text of all streams when it comes: further ones hear 503.
const MAX_LISTENERS: usize = 32;
/// What a browser waits before it connects again.
const RETRY_MS: u32 = 2000;
/// What one who is refused for room waits, seconds.
const RETRY_AFTER_S: u16 = 5;

/// The producer's end, while it runs, and the places of listeners.
pub(super) struct Events {
    running: Mutex<Option<watch::Sender<News>>>,
    places: Arc<Semaphore>,
}

impl Events {
    pub(super) fn new() -> Events {
        Events {
            running: Mutex::default(),
            places: Arc::new(Semaphore::new(MAX_LISTENERS)),
        }
    }

    /// The producer's end, while there is one.
    pub(super) fn running(&self) -> MutexGuard<'_, Option<watch::Sender<News>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of all streams. Rounds count from one.
#[derive(Debug, Default)]
pub(super) struct News {
    round: u64,
    streams: BTreeMap<String, Told>,
}

/// One stream. What happened is long and changes seldom: it is told apart.
#[derive(Debug)]
struct Told {
    now: Text,
    history: Text,
}

/// An event's data, and since which round they are so.
#[derive(Debug)]
struct Text {
    text: String,
    round: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HistoryView<'a, T> {
    stream_id: &'a str,
    history: T,
}

impl News {
    /// Takes what is so now; whether anything changed.
    fn update(&mut self, views: Vec<StreamView>) -> bool {
        let round = self.round + 1;
        let mut before = std::mem::take(&mut self.streams);
        let count = before.len();
        let mut kept = 0;
        let mut changed = false;
        for mut view in views {
            let id = view.stream_id.clone();
            let history = view.history.take();
            let now = json(&view);
            let history = json(&HistoryView {
                stream_id: &id,
                history,
            });
            let old = before.remove(&id);
            kept += usize::from(old.is_some());
            let (old_now, old_history) = old.map(|old| (old.now, old.history)).unzip();
            let mut text = |new: String, old: Option<Text>| match old {
                Some(old) if old.text == new => old,
                _ => {
                    changed = true;
                    Text { text: new, round }
                }
            };
            let now = text(now, old_now);
            let history = text(history, old_history);
            self.streams.insert(id, Told { now, history });
        }
        if kept == count && !changed {
            return false;
        }
        self.round = round;
        true
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("views are JSON")
}

/// One who listens.
struct Listener {
    state: State,
    headers: HeaderMap,
    news: watch::Receiver<News>,
    /// The newest round that was told; `None` before the first.
    seen: Option<u64>,
    /// Streams that it knows.
    known: BTreeSet<String>,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// The next piece of the answer; `None` when it ends.
    async fn next(mut self) -> Option<(Listener, Bytes)> {
        let tasks = self.state.setup().tasks.clone();
        loop {
            if tasks.is_stopped() || !auth::is_operator(&self.state, &self.headers) {
                return None;
            }
            let text = self.catch_up();
            if !text.is_empty() {
                return Some((self, Bytes::from(text)));
            }
            tokio::select! {
                changed = self.news.changed() => changed.ok()?,
                () = tokio::time::sleep(SIGN_OF_LIFE) => {
                    let alive = Bytes::from_static(b"event: alive\ndata: {}\n\n");
                    return auth::is_operator(&self.state, &self.headers).then_some((self, alive));
                }
                () = tasks.stopped() => return None,
            }
        }
    }

    /// Events for what it has not seen.
    fn catch_up(&mut self) -> String {
        let news = self.news.borrow_and_update();
        if self.seen == Some(news.round) {
            return String::new();
        }
        let mut text = String::new();
        let seen = self.seen.unwrap_or_default();
        if self.seen.is_none() {
            text.push_str(&format!("retry: {RETRY_MS}\n\n"));
        }
        for (id, told) in &news.streams {
            // One that a slow listener lost sight of begins anew.
            let is_new = self.known.insert(id.clone());
            for (event, part) in [("stream", &told.now), ("history", &told.history)] {
                if is_new || part.round > seen {
                    // JSON has no line breaks of its own.
                    text.push_str(&format!("event: {event}\ndata: {}\n\n", part.text));
                }
            }
        }
        self.known.retain(|id| {
            let stays = news.streams.contains_key(id);
            if !stays {
                text.push_str(&format!("event: gone\ndata: {{\"streamId\":\"{id}\"}}\n\n"));
            }
            stays
        });
        if self.seen.is_none() {
            text.push_str("event: ready\ndata: {}\n\n");
        }
        self.seen = Some(news.round);
        text
    }
}

/// The body of an answer that a listener makes up as its connection asks for more.
struct Answer(Option<Next>);

/// The next piece, and who makes up the one after it.
type Next = Pin<Box<dyn Future<Output = Option<(Listener, Bytes)>> + Send>>;

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(next) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let Poll::Ready(piece) = next.as_mut().poll(context) else {
            return Poll::Pending;
        };
        let (next, piece) = match piece {
            Some((listener, bytes)) => (Some(listener.next()), Some(Ok(Frame::data(bytes)))),
            None => (None, None),
        };
        self.0 = next.map(|next| Box::pin(next) as Next);
        Poll::Ready(piece)
    }
}

pub(super) async fn listen(Extract(state): Extract<State>, headers: HeaderMap) -> Response {
    if !auth::is_operator(&state, &headers) {
        return Error::Unauthorized.into_response();
    }
    let places = state.events().places.clone();
    let Ok(place) = places.try_acquire_owned() else {
        let mut response = Error::Capacity.into_response();
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        return response;
    };
    let listener = Listener {
        news: subscribe(&state),
        state,
        headers,
        seen: None,
        known: BTreeSet::new(),
        _place: place,
    };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let answer = Answer(Some(Box::pin(listener.next())));
    (headers, Body::new(answer)).into_response()
}

/// Joins the producer, or starts it.
fn subscribe(state: &State) -> watch::Receiver<News> {
    if let Some(sender) = &*state.events().running() {
        return sender.subscribe();
    }
    let mut news = News::default();
    news.update(admin::views(state));
    let mut running = state.events().running();
    // Somebody else may have been quicker.
    if let Some(sender) = &*running {
        return sender.subscribe();
    }
    let (sender, receiver) = watch::channel(news);
    *running = Some(sender);
    drop(running);
    let tasks = &state.setup().tasks;
    tasks.spawn(produce(state.clone()));
    receiver
}

/// Ends all listening when the producer panics: consoles ask again, and the first one starts another.
struct Producing(State);

impl Drop for Producing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            *self.0.events().running() = None;
        }
    }
}

/// Looks at all streams until nobody listens.
async fn produce(state: State) {
    let _producing = Producing(state.clone());
    let tasks = state.setup().tasks.clone();
    let mut again = tokio::time::interval(EVERY);
    again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first tick is at once, and what is so now was told.
    again.tick().await;
    loop {
        tokio::select! {
            () = tasks.stopped() => break,
            _ = again.tick() => {}
        }
        let views = admin::views(&state);
        let mut running = state.events().running();
        let Some(sender) = running
            .as_ref()
            .filter(|sender| sender.receiver_count() > 0)
        else {
            *running = None;
            return;
        };
        sender.send_if_modified(|news| news.update(views));
    }
    *state.events().running() = None;
}
