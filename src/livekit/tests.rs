use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::media::MediaKind;
use crate::rtc::Candidate;

const NOW: Wall = Wall(1_790_000_000_000_000);
const SECRET: &str = "a-livekit-secret";
const PATIENCE: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<TcpStream>;

fn server(url: &str) -> Server {
    Server::new(url, "devkey", &Secret::new(SECRET)).unwrap()
}

const ENTRY: Entry<'static> = Entry {
    room: "stage",
    identity: OWN_IDENTITY,
    name: Some("Stage"),
    metadata: Some("{}"),
    publishes: true,
    listens: false,
    hidden: false,
};

async fn listen() -> (TcpListener, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/prefix/", listener.local_addr().unwrap());
    (listener, server(&url))
}

/// The upgraded connection of the next client, and the target of its request.
async fn accept(listener: &TcpListener) -> (Socket, String) {
    let (stream, _) = listener.accept().await.unwrap();
    let target = Arc::new(Mutex::new(String::new()));
    let seen = target.clone();
    #[expect(clippy::result_large_err, reason = "the library's own type")]
    let look = move |request: &http::Request<()>, response| {
        *seen.lock().unwrap() = request.uri().to_string();
        assert!(
            request.headers()["authorization"]
                .to_str()
                .unwrap()
                .starts_with("Bearer ey")
        );
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, look)
        .await
        .unwrap();
    let target = target.lock().unwrap().clone();
    (socket, target)
}

async fn say(socket: &mut Socket, message: Response) {
    let response = proto::SignalResponse {
        message: Some(message),
    };
    socket
        .send(Message::Binary(response.encode_to_vec().into()))
        .await
        .unwrap();
}

/// The next message that is no ping.
async fn hear(socket: &mut Socket) -> Option<Request> {
    while let Some(Ok(message)) = socket.next().await {
        let Message::Binary(bytes) = message else {
            continue;
        };
        match proto::SignalRequest::decode(bytes)
            .unwrap()
            .message
            .unwrap()
        {
            Request::PingReq(_) | Request::Ping(_) => {}
            message => return Some(message),
        }
    }
    None
}

fn joined() -> proto::JoinResponse {
    let track = proto::TrackInfo {
        sid: "TR_a".to_owned(),
        r#type: proto::TrackType::Video.into(),
        source: proto::TrackSource::Camera.into(),
        mime_type: "video/H264".to_owned(),
        ..proto::TrackInfo::default()
    };
    let other = proto::ParticipantInfo {
        identity: "host".to_owned(),
        state: proto::participant_info::State::Active.into(),
        tracks: vec![track],
        ..proto::ParticipantInfo::default()
    };
    proto::JoinResponse {
        ping_interval: 5,
        ping_timeout: 15,
        other_participants: vec![other],
        ice_servers: vec![proto::IceServer {
            urls: vec!["turn:turn.example.org".to_owned()],
            username: "u".to_owned(),
            credential: "c".to_owned(),
        }],
        ..proto::JoinResponse::default()
    }
}

/// A session, and the other end of it.
async fn session() -> (Session, Socket, String) {
    let (listener, server) = listen().await;
    let serving = async {
        let (mut socket, target) = accept(&listener).await;
        say(&mut socket, Response::Join(joined())).await;
        (socket, target)
    };
    let (session, (socket, target)) = tokio::join!(Session::connect(&server, &ENTRY, NOW), serving);
    (session.unwrap(), socket, target)
}

async fn next(session: &mut Session) -> Option<Event> {
    tokio::time::timeout(PATIENCE, session.next())
        .await
        .expect("an event")
}

#[test]
fn a_server_is_named_as_its_settings_do() {
    for (given, url, http, is_local) in [
        (
            "ws://127.0.0.1:7880",
            "ws://127.0.0.1:7880",
            "http://127.0.0.1:7880",
            true,
        ),
        (
            "http://[::1]:7880/",
            "ws://[::1]:7880",
            "http://[::1]:7880",
            true,
        ),
        (
            "https://live.example.org/rooms/",
            "wss://live.example.org/rooms",
            "https://live.example.org/rooms",
            false,
        ),
    ] {
        let server = server(given);
        assert_eq!((server.url(), server.http_url().as_str()), (url, http));
        assert_eq!(server.is_local(), is_local);
        assert!(!format!("{server:?}").contains(SECRET));
    }
    for url in [
        "",
        "live",
        "ws://",
        "rtmp://h",
        "ws://user:pass@h",
        "ws://h/?a=b",
        "ws://h h",
        "ws://:80",
    ] {
        assert!(
            Server::new(url, "devkey", &Secret::new(SECRET)).is_err(),
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_room_is_joined_as_a_publisher_that_receives_nothing() {
    let (mut session, mut socket, target) = session().await;
    assert!(target.starts_with("/prefix/rtc?"), "{target}");
    for part in ["protocol=16", "auto_subscribe=0"] {
        assert!(target.contains(part), "{target}");
    }
    assert!(!target.contains("capabilities"), "{target}");
    let host = &session.joined().participants[0];
    assert_eq!((host.identity.as_str(), host.is_here), ("host", true));
    let track = &host.tracks[0];
    assert_eq!(
        (track.kind, track.mime.as_str()),
        (MediaKind::Video, "video/h264")
    );
    assert_eq!(session.joined().ice_servers[0].credential.expose(), "c");

    session
        .add_track(Publication::Camera {
            cid: "picture".to_owned(),
            size: (1280, 720),
            layers: vec![
                Layer {
                    quality: Quality::Low,
                    size: (640, 360),
                    bitrate_bps: 500_000,
                },
                Layer {
                    quality: Quality::Medium,
                    size: (1280, 720),
                    bitrate_bps: 2_500_000,
                },
            ],
        })
        .unwrap();
    session
        .add_track(Publication::Microphone {
            cid: "sound".to_owned(),
            stereo: true,
        })
        .unwrap();
    session.offer(1, "v=0".to_owned()).unwrap();
    let candidate = Candidate {
        candidate: "candidate:1 1 udp 1 127.0.0.1 9 typ host".to_owned(),
        sdp_mid: Some("0".to_owned()),
        sdp_m_line_index: Some(0),
    };
    session
        .candidate(Target::Publisher, candidate.clone())
        .unwrap();
    let Some(Request::AddTrack(camera)) = hear(&mut socket).await else {
        panic!("a track comes first");
    };
    let rids: Vec<&str> = camera
        .layers
        .iter()
        .map(|layer| layer.rid.as_str())
        .collect();
    assert_eq!((camera.width, rids), (1280, vec!["q", "h"]));
    assert!(matches!(
        hear(&mut socket).await,
        Some(Request::AddTrack(_))
    ));
    assert!(matches!(hear(&mut socket).await, Some(Request::Offer(offer)) if offer.sdp == "v=0"));
    let Some(Request::Trickle(trickle)) = hear(&mut socket).await else {
        panic!("a candidate comes last");
    };
    let json: serde_json::Value = serde_json::from_str(&trickle.candidate_init).unwrap();
    assert_eq!(
        (&json["sdpMid"], &json["sdpMLineIndex"]),
        (&"0".into(), &0.into())
    );

    let answer = proto::SessionDescription {
        id: 1,
        sdp: "v=1".to_owned(),
        ..Default::default()
    };
    say(&mut socket, Response::Answer(answer)).await;
    let init =
        r#"{"candidate":"candidate:2 1 udp 1 127.0.0.1 9 typ host","sdpMid":"","sdpMLineIndex":0}"#;
    let trickle = proto::TrickleRequest {
        candidate_init: init.to_owned(),
        ..Default::default()
    };
    say(&mut socket, Response::Trickle(trickle)).await;
    assert!(matches!(next(&mut session).await, Some(Event::Answer { id: 1, sdp }) if sdp == "v=1"));
    assert!(matches!(
        next(&mut session).await,
        Some(Event::Candidate(Target::Publisher, _))
    ));

    // A goodbye is said before the connection ends.
    let leaving = session.leave();
    let serving = async {
        assert!(matches!(hear(&mut socket).await, Some(Request::Leave(_))));
        assert!(hear(&mut socket).await.is_none());
    };
    tokio::join!(leaving, serving);
}

#[tokio::test]
async fn who_drops_a_session_leaves_the_room() {
    let (session, mut socket, _) = session().await;
    drop(session);
    assert!(matches!(hear(&mut socket).await, Some(Request::Leave(_))));
    assert!(hear(&mut socket).await.is_none());
}

#[tokio::test]
async fn being_sent_away_says_whether_to_come_back() {
    use proto::DisconnectReason as Why;
    for (why, reason, may_return) in [
        (Why::ParticipantRemoved, Reason::Removed, false),
        (Why::DuplicateIdentity, Reason::Duplicate, false),
        (Why::RoomDeleted, Reason::RoomClosed, false),
        (Why::ServerShutdown, Reason::Shutdown, true),
    ] {
        let (mut session, mut socket, _) = session().await;
        let leave = proto::LeaveRequest {
            reason: why.into(),
            ..Default::default()
        };
        say(&mut socket, Response::Leave(leave)).await;
        let Some(Event::Left(left)) = next(&mut session).await else {
            panic!("it is over");
        };
        assert_eq!((&left, left.may_return()), (&reason, may_return));
        assert!(next(&mut session).await.is_none());
    }
    let (mut session, socket, _) = session().await;
    drop(socket);
    let Some(Event::Left(lost)) = next(&mut session).await else {
        panic!("it is over");
    };
    assert!(matches!(lost, Reason::Lost(_)) && lost.may_return());
}

/// What comes of joining a server that answers every request so, and the text of it.
async fn refused(answer: impl Fn(&str) -> String + Send + 'static) -> Error {
    let (listener, server) = listen().await;
    let serving = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let request = String::from_utf8(request).unwrap();
            let token = request.split("Bearer ").nth(1).unwrap_or_default();
            let token = token.lines().next().unwrap_or_default();
            let _ = stream.write_all(answer(token).as_bytes()).await;
        }
    };
    tokio::select! {
        joined = Session::connect(&server, &ENTRY, NOW) => joined.unwrap_err(),
        () = serving => unreachable!(),
    }
}

#[tokio::test]
async fn a_refused_token_is_not_in_what_is_said_of_it() {
    // As LiveKit answers: with the token in the text.
    let err = refused(|token| {
        let body = format!("invalid token: {token}, error: go-jose: error in cryptographic primitive");
        let length = body.len();
        format!("HTTP/1.1 401 Unauthorized\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    })
    .await;
    assert_eq!((&err, err.may_return()), (&Error::Token, false));
    for text in [err.to_string(), format!("{err:?}")] {
        assert!(!text.contains("eyJ"), "{text}");
    }
    let missing = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    assert_eq!(refused(|_| missing.to_owned()).await, Error::Refused(404));
    let busy = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let busy = refused(|_| busy.to_owned()).await;
    assert!(busy.may_return() && busy == Error::Refused(503));
    assert!(
        refused(|token| format!("SSH-2.0 {token}\r\n"))
            .await
            .may_return()
    );
}

#[tokio::test]
async fn a_server_that_closes_the_door_is_told_from_one_that_is_not_there() {
    let (listener, server) = listen().await;
    let serving = async {
        let (mut socket, _) = accept(&listener).await;
        let leave = proto::LeaveRequest {
            reason: proto::DisconnectReason::JoinFailure.into(),
            ..Default::default()
        };
        say(&mut socket, Response::Leave(leave)).await;
        let _ = socket.close(None).await;
    };
    let (joined, ()) = tokio::join!(Session::connect(&server, &ENTRY, NOW), serving);
    assert_eq!(joined.unwrap_err(), Error::NotLetIn);
    drop(listener);
    let gone = Session::connect(&server, &ENTRY, NOW).await.unwrap_err();
    assert!(matches!(gone, Error::Unreachable(_)) && gone.may_return());
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_and_left_alone() {
    let (listener, server) = listen().await;
    let serving = async {
        let (mut socket, _) = accept(&listener).await;
        // The connection ends with the attempt, though nobody closed it here.
        assert!(hear(&mut socket).await.is_none());
    };
    let (joined, ()) = tokio::join!(Session::connect(&server, &ENTRY, NOW), serving);
    assert_eq!(joined.unwrap_err(), Error::Late(5));
}

#[tokio::test]
async fn pings_without_an_interval_are_no_reason_to_fall() {
    let (listener, server) = listen().await;
    let serving = async {
        let (mut socket, _) = accept(&listener).await;
        let join = proto::JoinResponse {
            ping_interval: -1,
            ..joined()
        };
        say(&mut socket, Response::Join(join)).await;
        hear(&mut socket).await
    };
    let (joined, _) = tokio::join!(Session::connect(&server, &ENTRY, NOW), serving);
    assert!(matches!(joined.unwrap_err(), Error::Protocol(_)));
}

#[tokio::test]
async fn events_that_nobody_reads_end_the_session_and_not_the_memory() {
    let (mut session, mut socket, _) = session().await;
    let flood = async {
        for _ in 0..3 * super::signal::QUEUE_EVENTS {
            let update = proto::ParticipantUpdate {
                participants: Vec::new(),
            };
            let response = proto::SignalResponse {
                message: Some(Response::Update(update)),
            };
            if socket
                .send(Message::Binary(response.encode_to_vec().into()))
                .await
                .is_err()
            {
                return;
            }
        }
        while socket.next().await.is_some_and(|message| message.is_ok()) {}
    };
    tokio::time::timeout(PATIENCE, flood)
        .await
        .expect("it is given up");
    let mut events = 0;
    while !matches!(next(&mut session).await, Some(Event::Left(_))) {
        events += 1;
    }
    assert!(events <= super::signal::QUEUE_EVENTS);
}

/// Threads of sessions in this process.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim_end() == "livekit").count()
}

#[tokio::test]
async fn finished_tasks_leave_no_thread_of_a_session_behind() {
    let (listener, server) = listen().await;
    let tasks = crate::base::shutdown::Tasks::new();
    let server = server.ending_with(&tasks);
    let serving = async {
        let (mut socket, _) = accept(&listener).await;
        say(&mut socket, Response::Join(joined())).await;
        socket
    };
    let (session, mut socket) = tokio::join!(Session::connect(&server, &ENTRY, NOW), serving);
    let session = session.unwrap();
    let before = threads();
    assert!(before > 0);
    let mut finishing = Box::pin(tasks.finish());
    assert!(
        futures_util::poll!(&mut finishing).is_pending(),
        "it waits for the session"
    );
    drop(session);
    let heard = async { while hear(&mut socket).await.is_some() {} };
    let both = async { tokio::join!(finishing, heard) };
    tokio::time::timeout(PATIENCE, both)
        .await
        .expect("both ends let go");
    assert_eq!(threads(), before - 1);
}
