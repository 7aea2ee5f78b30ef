//! What is known of one connection while it lives: whether it gets on, and when it must end.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

use crate::base::network::site;

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

/// Connections that are open, by address of the other end. Cloning shares it.
#[derive(Clone, Default)]
pub(super) struct Crowd {
    open: Arc<AtomicU64>,
    sites: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Crowd {
    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    fn sites(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the connections that may be open at once.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    crowd: Crowd,
    site: IpAddr,
}

impl Place {
    /// Fills a permitted place and counts it until it is left; `None` if its address has `most` already.
    pub(super) fn fill(
        permit: OwnedSemaphorePermit,
        crowd: &Crowd,
        peer: IpAddr,
        most: usize,
    ) -> Option<Place> {
        let site = site(peer);
        let mut sites = crowd.sites();
        let of_site = sites.entry(site).or_default();
        if *of_site >= most {
            return None;
        }
        *of_site += 1;
        drop(sites);
        crowd.open.fetch_add(1, Ordering::Relaxed);
        Some(Place {
            _permit: permit,
            crowd: crowd.clone(),
            site,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.open.fetch_sub(1, Ordering::Relaxed);
        let mut sites = self.crowd.sites();
        if let Entry::Occupied(mut of_site) = sites.entry(self.site) {
            *of_site.get_mut() -= 1;
            if *of_site.get() == 0 {
                of_site.remove();
            }
        }
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

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn one_address_fills_its_share_of_the_places_and_gives_them_back() {
        let permits = Arc::new(Semaphore::new(4));
        let crowd = Crowd::default();
        let fill = |peer: &str| {
            let permit = permits.clone().try_acquire_owned().ok()?;
            Place::fill(permit, &crowd, peer.parse().unwrap(), 2)
        };
        let first = fill("2001:db8::1").unwrap();
        let second = fill("2001:db8::2").unwrap();
        assert!(fill("2001:db8::3").is_none(), "one network is one address");
        let other = fill("192.0.2.1").unwrap();
        assert_eq!(crowd.count(), 3);
        drop(first);
        let again = fill("2001:db8::3");
        assert!(again.is_some());
        drop((second, other, again));
        assert_eq!((crowd.count(), crowd.sites().len()), (0, 0));
        assert_eq!(permits.available_permits(), 4);
    }
}
