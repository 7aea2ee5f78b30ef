//! What is known of one connection while it lives: whether it gets on, and when it must end.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

/// What a connection is told to do. Rises only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Answer what is asked, then close.
    Finish = 1,
    /// Close now.
    Abort = 2,
}

/// Progress of one connection, and its orders.
pub(super) struct Activity {
    /// Answers begun and writes done.
    progress: AtomicU64,
    /// Requests whose answer waits for us: for media, or for the fallback router.
    busy: AtomicU32,
    order: AtomicU8,
    waker: Mutex<Option<Waker>>,
    swept: AtomicU64,
    /// The connection's place among all; upgraded connections keep it.
    _place: Place,
}

/// One of the connections that may be open at once.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    open: Arc<AtomicU64>,
}

impl Place {
    /// Fills a permitted place and counts it in `open` until it is left.
    pub(super) fn fill(permit: OwnedSemaphorePermit, open: Arc<AtomicU64>) -> Place {
        open.fetch_add(1, Ordering::Relaxed);
        Place {
            _permit: permit,
            open,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Activity {
    pub(super) fn new(place: Place) -> Activity {
        Activity {
            progress: AtomicU64::new(1),
            busy: AtomicU32::new(0),
            order: AtomicU8::new(0),
            waker: Mutex::new(None),
            swept: AtomicU64::new(0),
            _place: place,
        }
    }

    /// Something was asked, or handed over to be sent.
    pub(super) fn advanced(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends the connection if nothing has moved since the last sweep and nothing waits here.
    pub(super) fn sweep(&self) {
        let progress = self.progress.load(Ordering::Relaxed);
        let stands = self.swept.swap(progress, Ordering::Relaxed) == progress;
        if stands && self.busy.load(Ordering::Relaxed) == 0 {
            self.order(Order::Abort);
        }
    }

    pub(super) fn order(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::AcqRel);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = &*waker {
            waker.wake_by_ref();
        }
    }

    fn ordered(&self, order: Order) -> bool {
        self.order.load(Ordering::Acquire) >= order as u8
    }

    fn register(&self, waker: &Waker) {
        let mut current = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *current {
            Some(current) => current.clone_from(waker),
            None => *current = Some(waker.clone()),
        }
    }

    /// Runs `task`, unless the connection is told to end before it is done.
    pub(super) async fn unless_aborted<F: Future>(&self, task: F) -> Option<F::Output> {
        let mut task = pin!(task);
        poll_fn(|cx| {
            self.register(cx.waker());
            // Nothing was asked yet: there is nothing to finish.
            if self.ordered(Order::Finish) {
                return Poll::Ready(None);
            }
            task.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// Runs a connection until it ends or is told to; `finish` makes it end after its requests.
    pub(super) async fn drive<C: Future>(&self, connection: C, finish: impl Fn(Pin<&mut C>)) {
        let mut connection = pin!(connection);
        let mut finishing = false;
        poll_fn(|cx| {
            self.register(cx.waker());
            if self.ordered(Order::Abort) {
                return Poll::Ready(());
            }
            if !finishing && self.ordered(Order::Finish) {
                finishing = true;
                finish(connection.as_mut());
            }
            connection.as_mut().poll(cx).map(drop)
        })
        .await;
    }
}

/// Marks a connection as waiting for us.
pub(super) struct Busy(Arc<Activity>);

impl Busy {
    pub(super) fn new(activity: Arc<Activity>) -> Busy {
        activity.busy.fetch_add(1, Ordering::Relaxed);
        Busy(activity)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.progress.fetch_add(1, Ordering::Relaxed);
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A socket whose writes count as progress.
pub(super) struct Metered<S> {
    io: TokioIo<S>,
    activity: Arc<Activity>,
    least: usize,
}

impl<S> Metered<S> {
    /// Writes of fewer than `least` bytes do not count.
    pub(super) fn new(socket: S, activity: Arc<Activity>, least: usize) -> Metered<S> {
        Metered {
            io: TokioIo::new(socket),
            activity,
            least,
        }
    }

    fn wrote(&self, result: Poll<std::io::Result<usize>>) -> Poll<std::io::Result<usize>> {
        if matches!(result, Poll::Ready(Ok(size)) if size >= self.least) {
            self.activity.progress.fetch_add(1, Ordering::Relaxed);
        }
        result
    }
}

impl<S: AsyncRead + Unpin> Read for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> Write for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
