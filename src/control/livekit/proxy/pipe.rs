//! Bytes in both directions between a client and the LiveKit server, as they come: frames, their compression and
//! what they mean are between the two. In: both connections. Out: their end.

use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::timeout;

use super::Held;
use crate::base::shutdown::Tasks;

/// What is read of one side before the other has taken it, in bytes.
const BUFFER: usize = 8 << 10;
/// A side that says nothing for so long, or takes nothing, is gone: pings come every 5 s, and their answers.
const IDLE: Duration = Duration::from_secs(60);
/// Until a client has its answer and hands its socket over.
const HANDOVER: Duration = Duration::from_secs(10);
/// What one side still has to say when the other has ended.
const LINGER: Duration = Duration::from_secs(5);

/// Carries bytes until one side ends, or the gateway stops.
pub(super) async fn carry(near: OnUpgrade, far: Upgraded, tasks: Tasks, held: Held) {
    let (_place, opening) = held;
    let near = tokio::select! {
        () = tasks.stopped() => return,
        near = timeout(HANDOVER, near) => near,
    };
    drop(opening);
    let Ok(Ok(near)) = near else {
        return;
    };
    tokio::select! {
        () = tasks.stopped() => {}
        () = between(TokioIo::new(near), TokioIo::new(far)) => {}
    }
}

async fn between<N, F>(near: N, far: F)
where
    N: AsyncRead + AsyncWrite,
    F: AsyncRead + AsyncWrite,
{
    let (near_reader, near_writer) = split(near);
    let (far_reader, far_writer) = split(far);
    let up = copy(near_reader, far_writer);
    let down = copy(far_reader, near_writer);
    tokio::pin!(up, down);
    // What is left of the other direction is its farewell, if it comes.
    tokio::select! {
        () = &mut up => drop(timeout(LINGER, down).await),
        () = &mut down => drop(timeout(LINGER, up).await),
    }
}

/// One direction, to its end: what was read is written before more is read.
async fn copy(mut reader: impl AsyncRead + Unpin, mut writer: impl AsyncWrite + Unpin) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let Ok(Ok(count)) = timeout(IDLE, reader.read(&mut buffer)).await else {
            break;
        };
        let written = async {
            writer.write_all(&buffer[..count]).await?;
            writer.flush().await
        };
        if count == 0 || !matches!(timeout(IDLE, written).await, Ok(Ok(()))) {
            break;
        }
    }
    let _ = timeout(LINGER, writer.shutdown()).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    #[tokio::test(start_paused = true)]
    async fn bytes_go_both_ways_and_the_end_of_one_side_is_that_of_the_other() {
        let (near, mut client) = duplex(64);
        let (far, mut server) = duplex(64);
        let carried = between(near, far);
        let talk = async {
            let mut text = [0; 5];
            for _ in 0..1000 {
                client.write_all(b"hello").await.unwrap();
                server.read_exact(&mut text).await.unwrap();
                server.write_all(&text).await.unwrap();
                client.read_exact(&mut text).await.unwrap();
                assert_eq!(&text, b"hello");
            }
            client.shutdown().await.unwrap();
            assert_eq!(server.read(&mut text).await.unwrap(), 0);
            server.write_all(b"adieu").await.unwrap();
            client.read_exact(&mut text).await.unwrap();
            assert_eq!(&text, b"adieu");
            drop(server);
        };
        tokio::join!(carried, talk);
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_for_a_minute_is_let_go() {
        let (near, client) = duplex(64);
        let (far, mut server) = duplex(64);
        let talk = async {
            // Half a minute, twice: that is talk enough.
            for _ in 0..4 {
                tokio::time::sleep(IDLE / 2).await;
                server.write_all(b"ping").await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = between(near, far) => {}
            () = talk => unreachable!("it never ends"),
        }
        drop(client);
    }
}
