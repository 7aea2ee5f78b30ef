//! What an answer is made of, without a copy of any media byte.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};

/// What can go wrong while a body is sent.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The next bytes of something that grows.
pub(crate) type Growth = Pin<Box<dyn Future<Output = Result<Step, Error>> + Send>>;

/// What became of a growing segment.
pub(crate) enum Step {
    /// More bytes, and how to wait for what follows.
    More(Vec<Bytes>, Growth),
    /// Bytes, possibly none, and nothing after them.
    Last(Vec<Bytes>),
}

/// The body of an answer.
pub enum Body {
    /// Nothing, or nothing more.
    Empty,
    /// One piece.
    Full(Bytes),
    /// Pieces one after another: the parts of a segment.
    Pieces {
        /// What is left, in order.
        pieces: std::vec::IntoIter<Bytes>,
        /// Bytes left.
        left: u64,
    },
    /// A segment that is still made: chunked transfer coding, a chunk per part.
    Growing(Growing),
    /// An answer of the fallback router.
    Other(Other),
}

impl Body {
    /// Pieces one after another.
    pub fn pieces(pieces: Vec<Bytes>) -> Body {
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Body::Pieces {
            pieces: pieces.into_iter(),
            left,
        }
    }
}

/// An answer of the fallback router, which may trickle (server-sent events).
pub struct Other {
    pub(crate) body: axum::body::Body,
    /// Told of each frame, so that the connection counts as alive.
    pub(crate) noted: Box<dyn Fn() + Send + Sync>,
}

/// State of a body that grows.
pub struct Growing {
    ready: std::vec::IntoIter<Bytes>,
    next: Option<Growth>,
    /// Told of each chunk, for the stream's byte counter.
    sent: Box<dyn Fn(u64) + Send + Sync>,
}

impl Growing {
    pub(crate) fn new(
        ready: Vec<Bytes>,
        next: Growth,
        sent: Box<dyn Fn(u64) + Send + Sync>,
    ) -> Growing {
        Growing {
            ready: ready.into_iter(),
            next: Some(next),
            sent,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            if let Some(piece) = self.ready.next() {
                if piece.is_empty() {
                    continue;
                }
                (self.sent)(piece.len() as u64);
                return Poll::Ready(Some(Ok(piece)));
            }
            let Some(next) = &mut self.next else {
                return Poll::Ready(None);
            };
            match std::task::ready!(next.as_mut().poll(cx)) {
                Ok(Step::More(pieces, next)) => {
                    self.ready = pieces.into_iter();
                    self.next = Some(next);
                }
                Ok(Step::Last(pieces)) => {
                    self.ready = pieces.into_iter();
                    self.next = None;
                }
                Err(error) => {
                    self.next = None;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let body = self.get_mut();
        match body {
            Body::Empty => Poll::Ready(None),
            Body::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *body = Body::Empty;
                Poll::Ready(bytes.has_remaining().then(|| Ok(Frame::data(bytes))))
            }
            Body::Pieces { pieces, left } => {
                let piece = pieces.find(|piece| !piece.is_empty());
                *left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
                Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
            }
            Body::Growing(growing) => {
                let chunk = std::task::ready!(growing.poll(cx));
                Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data)))
            }
            Body::Other(other) => {
                let frame = std::task::ready!(Pin::new(&mut other.body).poll_frame(cx));
                (other.noted)();
                Poll::Ready(frame.map(|frame| frame.map_err(Error::from)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty => true,
            Body::Full(bytes) => bytes.is_empty(),
            Body::Pieces { left, .. } => *left == 0,
            Body::Growing(_) => false,
            Body::Other(other) => other.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty => SizeHint::with_exact(0),
            Body::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Pieces { left, .. } => SizeHint::with_exact(*left),
            Body::Growing(_) => SizeHint::default(),
            Body::Other(other) => other.body.size_hint(),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self {
            Body::Empty => "Empty",
            Body::Full(_) => "Full",
            Body::Pieces { .. } => "Pieces",
            Body::Growing(_) => "Growing",
            Body::Other(_) => "Other",
        };
        f.write_str(kind)
    }
}
