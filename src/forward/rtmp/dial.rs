//! A connection to a server, with TLS or without.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::session::Session;
use super::{Error, READ_BYTES};
use crate::base::outbound::unaccepted;

/// A connection to one of a name's addresses; past it the next one is tried.
const ONE_DEADLINE: Duration = Duration::from_secs(4);

/// Reads and writes.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection, and what was read of it and not understood yet.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    pub(super) input: BytesMut,
}

impl Connection {
    /// Waits for bytes of the server.
    pub(super) async fn read(&mut self, session: &mut Session) -> Result<(), Error> {
        self.input.reserve(READ_BYTES);
        let read = self.stream.read_buf(&mut self.input).await;
        let read = read.map_err(Error::Broken)?;
        if read == 0 {
            return Err(Error::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        session.handle_received(read);
        Ok(())
    }
}

/// Connects to the first address that answers.
pub(super) async fn dial(
    addresses: Vec<SocketAddr>,
    host: &str,
    tls: Option<&TlsConnector>,
) -> Result<Connection, Error> {
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match tokio::time::timeout(ONE_DEADLINE, connect(address, host, tls)).await {
            Ok(Ok(stream)) => {
                return Ok(Connection {
                    stream,
                    input: BytesMut::new(),
                });
            }
            Ok(Err(error)) => failure = error,
            Err(_) => failure = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(match unaccepted(&failure) {
        Some(refusal) => Error::Certificate(refusal),
        None => Error::Unreachable(failure),
    })
}

async fn connect(
    address: SocketAddr,
    host: &str,
    tls: Option<&TlsConnector>,
) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(address).await?;
    // A picture is written at once, and is to leave at once.
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        return Ok(Box::new(stream));
    };
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| io::Error::other("its name has no certificate"))?;
    Ok(Box::new(tls.connect(name, stream).await?))
}
