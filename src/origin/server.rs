//! Listeners and connections: HTTP/1.1 and HTTP/2, plain and TLS. No timer per connection: one sweep
//! per listener closes those that make no progress.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::answer::{self, Answering};
use super::body::Other;
use super::client::Client;
use super::connection::{Activity, Busy, Metered, Order, Place};
use super::{Body, Origin};
use crate::base::network::ClientAddress;
use crate::base::shutdown::Tasks;

/// TLS handshakes, and the first bytes of a plain connection, must come within this.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections are looked at so often. One that neither answered a request nor sent a byte since the
/// last look, and for which nothing waits here, is closed: idle ones and slow heads after 20 to
/// 40 s, readers that stall likewise. Players ask for something every few seconds.
const SWEEP: Duration = Duration::from_secs(20);
/// Requests in progress when the server stops may take this long.
const GRACE: Duration = Duration::from_secs(3);
/// Head of a request, and what is buffered for writing beyond one piece of media, in bytes.
const MAX_BUFFER: usize = 64 * 1024;
/// Requests at once on an HTTP/2 connection: three renditions' playlists, parts and hints, and room.
const MAX_H2_STREAMS: u32 = 100;
/// Head of an HTTP/2 request after decompression, in bytes.
const MAX_H2_HEAD: u32 = 32 * 1024;
/// A ping and the answer to one are 17 bytes each (RFC 9113 §6.7); playlists and media are more.
const MIN_H2_WRITE: usize = 64;
/// HTTP/2 connections that are silent are asked for a sign of life.
const H2_PING_INTERVAL: Duration = Duration::from_secs(15);
/// The sign of life must come within this.
const H2_PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failed accept, which mostly means that file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The settings a TLS listener uses for its next handshake. Storing new ones is the reload.
pub type Tls = Arc<ArcSwap<rustls::ServerConfig>>;

/// Serves a listener until `tasks` stop, then closes its connections gracefully.
pub async fn run(listener: TcpListener, tls: Option<Tls>, origin: Arc<Origin>, tasks: Tasks) {
    let open = Arc::new(Open::default());
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let accepted = async {
            let permits = origin.connections.clone();
            // Full: further connections wait in the backlog until one closes.
            let permit = permits.acquire_owned().await.ok()?;
            Some((listener.accept().await, permit))
        };
        tokio::select! {
            () = tasks.stopped() => break,
            _ = sweep.tick() => {
                open.sweep();
                origin.sweep();
            }
            accepted = accepted => match accepted {
                Some((Ok((socket, peer)), permit)) => {
                    let most = origin.most_of(peer.ip());
                    let Some(place) = Place::fill(permit, &origin.crowd, peer.ip(), most) else {
                        continue;
                    };
                    let activity = Arc::new(Activity::new(place));
                    let entry = Entry::new(open.clone(), activity.clone());
                    let tls = tls.as_ref().map(|tls| tls.load_full());
                    let service = Service {
                        origin: origin.clone(),
                        peer,
                        secure: tls.is_some(),
                        activity,
                        no_more_media: open.no_more_media.clone(),
                    };
                    let inner = tasks.clone();
                    tasks.spawn(async move {
                        let _entry = entry;
                        connection(socket, tls, service, &inner).await;
                    });
                }
                Some((Err(error), _)) => {
                    tracing::warn!(err = %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                None => break,
            }
        }
    }
    drop(listener);
    open.order(Order::Finish);
    // What ingest had is published: the rest is the next run's.
    open.no_more_media.cancel();
    if tokio::time::timeout(GRACE, open.emptied()).await.is_err() {
        open.order(Order::Abort);
        open.emptied().await;
    }
}

/// The connections of a listener.
#[derive(Default)]
struct Open {
    activities: Mutex<HashMap<u64, Arc<Activity>>>,
    next: AtomicU64,
    closed: tokio::sync::Notify,
    /// Who waits for media now waits in vain.
    no_more_media: CancellationToken,
}

impl Open {
    fn all(&self) -> Vec<Arc<Activity>> {
        let activities = self.activities.lock();
        let activities = activities.unwrap_or_else(PoisonError::into_inner);
        activities.values().cloned().collect()
    }

    fn sweep(&self) {
        for activity in self.all() {
            activity.sweep();
        }
    }

    fn order(&self, order: Order) {
        for activity in self.all() {
            activity.order(order);
        }
    }

    async fn emptied(&self) {
        loop {
            let mut closed = pin!(self.closed.notified());
            closed.as_mut().enable();
            if self.all().is_empty() {
                return;
            }
            closed.await;
        }
    }
}

/// A connection's line in the list, crossed out when dropped.
struct Entry {
    open: Arc<Open>,
    key: u64,
}

impl Entry {
    fn new(open: Arc<Open>, activity: Arc<Activity>) -> Entry {
        let key = open.next.fetch_add(1, Ordering::Relaxed);
        let activities = open.activities.lock();
        let mut activities = activities.unwrap_or_else(PoisonError::into_inner);
        activities.insert(key, activity);
        drop(activities);
        Entry { open, key }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let activities = self.open.activities.lock();
        let mut activities = activities.unwrap_or_else(PoisonError::into_inner);
        activities.remove(&self.key);
        drop(activities);
        self.open.closed.notify_waiters();
    }
}

/// Serves one connection to its end. What goes wrong on it is the peer's affair: players leave
/// without a word all the time.
async fn connection(
    socket: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    service: Service,
    tasks: &Tasks,
) {
    // Parts are small and late ones hurt: Nagle's algorithm would hold them back.
    let _ = socket.set_nodelay(true);
    let activity = service.activity.clone();
    let Some(tls) = tls else {
        let opening = tokio::time::timeout(HANDSHAKE_TIMEOUT, speaks_http2(&socket));
        let Some(Ok(http2)) = activity.unless_aborted(opening).await else {
            return;
        };
        let io = Metered::new(socket, activity.clone(), least_write(http2));
        return serve(io, http2, service, &activity, tasks).await;
    };
    let handshake = tokio_rustls::TlsAcceptor::from(tls).accept(socket);
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake);
    let Some(Ok(Ok(stream))) = activity.unless_aborted(handshake).await else {
        return;
    };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = Metered::new(stream, activity.clone(), least_write(http2));
    serve(io, http2, service, &activity, tasks).await;
}

/// Bytes of a write that counts as progress. On HTTP/2 pings and their answers do not.
fn least_write(http2: bool) -> usize {
    if http2 { MIN_H2_WRITE } else { 1 }
}

/// Whether a plain connection opens with the HTTP/2 preface (RFC 9113 §3.4). Its first three bytes
/// decide: no HTTP/1 method is or begins with `PRI`.
async fn speaks_http2(socket: &TcpStream) -> bool {
    let mut first = [0_u8; 3];
    matches!(socket.peek(&mut first).await, Ok(3)) && &first == b"PRI"
}

async fn serve<I>(io: I, http2: bool, service: Service, activity: &Activity, tasks: &Tasks)
where
    I: Read + Write + Unpin + Send + 'static,
{
    if http2 {
        let connection = http2::Builder::new(Spawner(tasks.clone()))
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_H2_STREAMS)
            .max_header_list_size(MAX_H2_HEAD)
            .keep_alive_interval(H2_PING_INTERVAL)
            .keep_alive_timeout(H2_PING_TIMEOUT)
            .serve_connection(io, service);
        let finish = |connection: Pin<&mut http2::Connection<_, _, _>>| {
            connection.graceful_shutdown();
        };
        activity.drive(connection, finish).await;
    } else {
        let connection = http1::Builder::new()
            .max_buf_size(MAX_BUFFER)
            .writev(true)
            .serve_connection(io, service)
            .with_upgrades();
        let finish = |connection: Pin<&mut http1::UpgradeableConnection<_, _>>| {
            connection.graceful_shutdown();
        };
        activity.drive(connection, finish).await;
    }
}

/// Runs the tasks of HTTP/2 streams where shutdown joins them.
#[derive(Clone)]
struct Spawner(Tasks);

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

/// Answers the requests of one connection.
struct Service {
    origin: Arc<Origin>,
    peer: SocketAddr,
    secure: bool,
    activity: Arc<Activity>,
    no_more_media: CancellationToken,
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Reply;

    fn call(&self, mut request: Request<Incoming>) -> Reply {
        self.activity.advanced();
        let trusted = &self.origin.config.trusted_proxies;
        let client = Client::of(request.headers(), self.peer, self.secure, trusted);
        let answering = self.origin.playback(
            request.method(),
            request.uri(),
            request.headers(),
            client.address,
        );
        match answering {
            Some(Answering::Ready(response)) => Reply::Ready(Some(response)),
            Some(Answering::Later(answer)) => Reply::Later {
                answer: Box::pin(unless_stopped(answer, self.no_more_media.clone())),
                _busy: Busy::new(self.activity.clone()),
            },
            None => {
                request.extensions_mut().insert(client);
                let address = ClientAddress(client.address);
                request.extensions_mut().insert(address);
                let connect_info = axum::extract::ConnectInfo(self.peer);
                request.extensions_mut().insert(connect_info);
                let mut router = self.origin.fallback.clone();
                let activity = self.activity.clone();
                let answer = Box::pin(async move {
                    let Ok(response) = router.call(request.map(axum::body::Body::new)).await;
                    response.map(|body| {
                        let noted = Box::new(move || activity.advanced());
                        Body::Other(Other { body, noted })
                    })
                });
                Reply::Later {
                    answer,
                    _busy: Busy::new(self.activity.clone()),
                }
            }
        }
    }
}

/// An answer that waits for media, as long as any can come.
async fn unless_stopped(
    answer: Pin<Box<dyn Future<Output = Response<Body>> + Send>>,
    no_more_media: CancellationToken,
) -> Response<Body> {
    no_more_media
        .run_until_cancelled_owned(answer)
        .await
        .unwrap_or_else(answer::restarting)
}

/// The future of an answer; no allocation when it is there at once.
enum Reply {
    Ready(Option<Response<Body>>),
    Later {
        answer: Pin<Box<dyn Future<Output = Response<Body>> + Send>>,
        _busy: Busy,
    },
}

impl Future for Reply {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Reply::Ready(response) => {
                let response = response.take();
                Poll::Ready(Ok(response.expect("a finished future is not polled again")))
            }
            Reply::Later { answer, .. } => answer.as_mut().poll(cx).map(Ok),
        }
    }
}
