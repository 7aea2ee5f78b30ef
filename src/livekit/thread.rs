//! Where LiveKit's library runs: one thread with a runtime of its own for each session.
//!
//! The library spawns tasks that it does not end in every case: one that reads a connection whose server took
//! it and never said a word goes on for as long as that server lives. What runs here ends with its runtime,
//! however the session ended. Nothing of a session's media comes here, so the thread sleeps.

use std::thread::JoinHandle;
use std::time::Duration;

use livekit_protocol::JoinResponse;
use livekit_protocol::signal_request::Message as Request;
use livekit_signaling::{SignalClient, SignalEvent, SignalEvents, SignalOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::error::{Error, Reason};
use super::event::{Event, read};
use crate::base::secret::Secret;
use crate::base::shutdown::Tasks;

/// From the first packet to the room: connecting, the question why it is refused, the answer.
const JOIN_WITHIN: Duration = Duration::from_secs(10);
/// Upgrade of the connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(4);
/// How long a message may take to the socket.
pub(super) const SAID_WITHIN: Duration = Duration::from_secs(4);
/// How long an event may wait to be read.
pub(super) const READ_WITHIN: Duration = Duration::from_secs(10);
/// How long a session may take to end once the gateway stops: a goodbye to a server that is there.
const JOINED_WITHIN: Duration = Duration::from_secs(5);
/// Stack of the thread: the library's futures are boxed by its tasks, the handshakes of TLS need most of it.
const STACK_BYTES: usize = 1 << 20;
/// Without packet trailers and pre-negotiated data channels, which come with 17 and 18 and which our WebRTC
/// engine knows nothing of.
const PROTOCOL_VERSION: u32 = 16;

/// Our ends of a session's queues.
type Ends = (mpsc::Sender<Event>, mpsc::Receiver<Request>);

/// Starts a session's thread. It ends with the session, or when both queues or `told` have nobody at them; and
/// `tasks` are not finished before it is joined, or takes too long for that.
pub(super) fn start(
    url: &str,
    token: Secret,
    told: oneshot::Sender<Result<JoinResponse, Error>>,
    ends: Ends,
    tasks: Option<&Tasks>,
) -> Result<(), Error> {
    let url = url.to_owned();
    let (runs, over) = oneshot::channel::<()>();
    let run = move || {
        // Gone when the runtime is.
        let _runs = runs;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(visit(&url, &token, told, ends)),
            Err(err) => {
                let _ = told.send(Err(Error::Unreachable(err.to_string())));
            }
        }
    };
    let thread = std::thread::Builder::new()
        .name("livekit".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(run);
    let thread = thread.map_err(|err| Error::Unreachable(err.to_string()))?;
    if let Some(tasks) = tasks {
        tasks.spawn(join(thread, over, tasks.clone()));
    }
    Ok(())
}

/// Joins a session's thread, or leaves it to the end of the process where the server keeps it.
async fn join(thread: JoinHandle<()>, over: oneshot::Receiver<()>, tasks: Tasks) {
    let too_late = async {
        tasks.stopped().await;
        tokio::time::sleep(JOINED_WITHIN).await;
    };
    tokio::select! {
        // It has nothing left to do: this waits for nothing. A panic in it was logged as one.
        _ = over => drop(thread.join()),
        () = too_late => tracing::info!("a session in a room takes too long to end"),
    }
}

fn options() -> SignalOptions {
    let mut options = SignalOptions::default();
    options.auto_subscribe = false;
    options.connect_timeout = CONNECT_WITHIN;
    options.region_failover = false;
    options.protocol_version = PROTOCOL_VERSION;
    options.client_capabilities = Vec::new();
    options
}

async fn visit(
    url: &str,
    token: &Secret,
    mut told: oneshot::Sender<Result<JoinResponse, Error>>,
    (events, requests): Ends,
) {
    let joining = timeout(
        JOIN_WITHIN,
        SignalClient::connect(url, token.expose(), options(), None),
    );
    let joined = tokio::select! {
        joined = joining => joined,
        () = told.closed() => return,
    };
    let outcome = match joined {
        Ok(Ok((client, join, heard))) => check(&join).map(|()| (client, join, heard)),
        Ok(Err(err)) => Err(Error::of_library(err, token)),
        Err(_) => Err(Error::Late(JOIN_WITHIN.as_secs())),
    };
    match outcome {
        Ok((client, join, heard)) => {
            if told.send(Ok(join)).is_ok() {
                let reason = talk(&client, heard, &events, requests).await;
                tracing::debug!(%reason, "session in a room ended");
                let _ = timeout(READ_WITHIN, events.send(Event::Left(reason))).await;
            }
            let _ = timeout(SAID_WITHIN, client.close()).await;
        }
        Err(err) => {
            let _ = told.send(Err(err));
        }
    }
}

/// What the library would not survive: it makes a timer of the interval.
fn check(join: &JoinResponse) -> Result<(), Error> {
    if join.ping_interval <= 0 || join.ping_timeout <= 0 {
        return Err(Error::Protocol("no interval of pings".to_owned()));
    }
    Ok(())
}

async fn talk(
    client: &SignalClient,
    mut heard: SignalEvents,
    events: &mpsc::Sender<Event>,
    mut requests: mpsc::Receiver<Request>,
) -> Reason {
    loop {
        tokio::select! {
            event = heard.recv() => {
                let message = match event {
                    Some(SignalEvent::Message(message)) => message,
                    Some(SignalEvent::Close(why)) => return Reason::Lost(why.into_owned()),
                    None => return Reason::Lost("it was closed".to_owned()),
                };
                match read(*message) {
                    Some(Event::Left(reason)) => return reason,
                    Some(event) => match timeout(READ_WITHIN, events.send(event)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => return Reason::Left,
                        Err(_) => return Reason::Lost("what it says is not read".to_owned()),
                    },
                    None => {}
                }
            }
            request = requests.recv() => {
                let Some(request) = request else {
                    return leave(client).await;
                };
                let is_last = matches!(request, Request::Leave(_));
                if timeout(SAID_WITHIN, client.send(request)).await.is_err() {
                    return Reason::Lost("it takes nothing any more".to_owned());
                }
                if is_last {
                    return Reason::Left;
                }
            }
        }
    }
}

/// Who has the session let it go without a word.
async fn leave(client: &SignalClient) -> Reason {
    let leave = livekit_protocol::LeaveRequest {
        reason: livekit_protocol::DisconnectReason::ClientInitiated.into(),
        action: livekit_protocol::leave_request::Action::Disconnect.into(),
        ..livekit_protocol::LeaveRequest::default()
    };
    let _ = timeout(SAID_WITHIN, client.send(Request::Leave(leave))).await;
    Reason::Left
}
