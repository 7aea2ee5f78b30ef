//! What the engine runs on: tokio, but its tasks are ours to end, it wakes when there is something to send,
//! and names are looked up within bounds.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::AbortHandle;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime,
    TokioRuntime, Transmit,
};

use super::shared::Shared;
use crate::base::shutdown::Tasks;
use crate::rtc::Event;

/// A STUN or TURN server's name is looked up for this long at most: the engine does nothing else meanwhile.
const LOOKUP: Duration = Duration::from_secs(2);
/// A connection over TCP is made within this.
const CONNECT: Duration = Duration::from_secs(5);
/// Datagrams that wait to be read, bytes: a key unit may come at once while this process has no processor. The
/// system takes less where its limit is lower.
const SOCKET_BYTES: usize = 1024 * 1024;
/// Packets that leave in one call. The engine puts fewer than this in calls of their own (where it may have 16 or
/// more, fewer than 16), and a picture of 2.5 Mb/s is nine.
const RUN: usize = 4;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The runtime of one connection.
#[derive(Debug)]
pub(super) struct Ours {
    pub(super) tasks: Tasks,
    pub(super) shared: Arc<Shared>,
}

/// Tells that the engine's task is over, however it ended.
struct Over(Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.tell(Event::Closed("connection is over".to_owned()));
    }
}

impl Runtime for Ours {
    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        let over = Over(Arc::clone(&self.shared));
        let tasks = self.tasks.clone();
        let task = async move {
            let _over = over;
            tokio::select! {
                () = tasks.stopped() => {}
                () = future => {}
            }
        };
        Box::new(Task(self.tasks.spawn(task).abort_handle()))
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let options = socket2::SockRef::from(&socket);
        let _ = options.set_recv_buffer_size(SOCKET_BYTES);
        let _ = options.set_send_buffer_size(SOCKET_BYTES);
        Ok(Arc::new(Socket(TokioRuntime.wrap_udp_socket(socket)?)))
    }

    fn wrap_tcp_listener(
        &self,
        listener: std::net::TcpListener,
    ) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        address: SocketAddr,
    ) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        let connect = TokioRuntime.connect_tcp(address);
        // The port has its own lifetime: the address is Copy.
        Box::pin(async move { within(CONNECT, connect).await })
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            within(
                LOOKUP,
                Box::pin(async move { Ok(tokio::net::lookup_host(host).await?.collect()) }),
            )
            .await
        })
    }

    /// Ends early when there is something to send: the engine looks for it after every wait.
    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            tokio::select! {
                () = tokio::time::sleep(duration) => {}
                () = shared.nudge.notified() => {}
            }
        })
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }
}

async fn within<T>(limit: Duration, future: Boxed<'_, io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(limit, future)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// A task of the engine, which does not wait for it by this handle.
struct Task(AbortHandle);

impl JoinHandle for Task {
    fn detach(&self) {}

    fn abort(&self) {
        self.0.abort();
    }

    fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

/// A socket of tokio that takes short runs of packets.
#[derive(Debug)]
struct Socket(Arc<dyn AsyncUdpSocket>);

impl AsyncUdpSocket for Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn max_gso_segments(&self) -> usize {
        self.0.max_gso_segments().min(RUN)
    }

    fn max_gro_segments(&self) -> usize {
        self.0.max_gro_segments()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.0.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_recv(cx, buffers, meta)
    }
}
