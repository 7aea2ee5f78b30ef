use super::*;
use crate::format::flv::amf0::{Value, object};

const FFMPEG: &[u8] = include_bytes!("../../../../tests/data/rtmp/ffmpeg5-h264-aac.bin");
const LIBRTMP: &[u8] = include_bytes!("../../../../tests/data/rtmp/librtmp-h264-aac.bin");

/// A session past its handshake.
fn shaken() -> Session {
    let mut session = Session::new();
    let mut bytes = BytesMut::from(&FFMPEG[..HANDSHAKE_BYTES]);
    assert_eq!(session.poll_event(&mut bytes), Ok(None));
    assert!(session.is_past_handshake());
    session.take_output();
    session
}

/// A session past connect, createStream and an accepted publish on message stream 1.
fn publishing() -> Session {
    let mut session = shaken();
    connect(&mut session, &[]);
    assert_eq!(send(&mut session, 0, "createStream", 2.0, &[]), Ok(None));
    let event = send(
        &mut session,
        1,
        "publish",
        3.0,
        &["KEY".into(), "live".into()],
    );
    assert!(matches!(event, Ok(Some(Event::Publish { .. }))));
    session.accept();
    session.take_output();
    session
}

fn connect(session: &mut Session, more: &[(&str, Value)]) {
    let mut properties = vec![("app".to_owned(), "ingest?x=y".into())];
    properties.extend(more.iter().map(|(n, v)| ((*n).to_owned(), v.clone())));
    let body = amf0::encode(&["connect".into(), 1.0.into(), Value::Object(properties)]);
    assert_eq!(send_body(session, 20, 0, &body), Ok(None));
}

fn send(
    session: &mut Session,
    stream: u32,
    name: &str,
    transaction: f64,
    arguments: &[Value],
) -> Result<Option<Event>, Error> {
    let mut values = vec![name.into(), transaction.into(), Value::Null];
    values.extend_from_slice(arguments);
    send_body(session, 20, stream, &amf0::encode(&values))
}

fn send_body(
    session: &mut Session,
    type_id: u8,
    stream: u32,
    body: &[u8],
) -> Result<Option<Event>, Error> {
    let mut bytes = Vec::new();
    chunk::write(3, type_id, stream, body, 128, &mut bytes);
    session.poll_event(&mut BytesMut::from(&bytes[..]))
}

/// The messages that wait to be sent.
fn answers(session: &mut Session) -> Vec<Message> {
    let mut bytes = Vec::new();
    // The size that the session has announced by now.
    let size = u32::try_from(session.output_chunk).unwrap();
    chunk::write(2, 1, 0, &size.to_be_bytes(), 128, &mut bytes);
    bytes.extend(session.take_output());
    let mut buffer = BytesMut::from(&bytes[..]);
    let mut chunks = Dechunker::new(MAX_COMMAND_BYTES);
    std::iter::from_fn(|| chunks.next(&mut buffer).unwrap()).collect()
}

fn commands(session: &mut Session) -> Vec<Vec<Value>> {
    let answers = answers(session).into_iter().filter(|m| m.type_id == 20);
    answers.map(|m| amf0::decode(&m.payload).unwrap()).collect()
}

/// The status codes that wait to be sent.
fn codes(session: &mut Session) -> Vec<(String, String)> {
    let text = |value: &Value, name| value.get(name)?.as_str().map(str::to_owned);
    commands(session)
        .iter()
        .filter_map(|values| {
            Some((
                text(values.last()?, "level")?,
                text(values.last()?, "code")?,
            ))
        })
        .collect()
}

fn replay(capture: &[u8], piece: usize) -> Vec<Event> {
    let mut session = Session::new();
    let mut buffer = BytesMut::new();
    let mut events = Vec::new();
    for piece in capture.chunks(piece) {
        buffer.extend_from_slice(piece);
        session.handle_received(piece.len());
        while let Some(event) = session.poll_event(&mut buffer).unwrap() {
            if matches!(event, Event::Publish { .. }) {
                session.accept();
            }
            events.push(event);
        }
    }
    events
}

fn media(events: &[Event], wanted: MediaKind) -> Vec<(u32, usize)> {
    let media = events.iter().filter_map(|event| match event {
        Event::Media {
            kind,
            timestamp_ms,
            body,
        } if *kind == wanted => Some((*timestamp_ms, body.len())),
        _ => None,
    });
    media.collect()
}

#[test]
fn what_ffmpeg_and_librtmp_send_becomes_a_publish_metadata_and_media() {
    for (capture, videos, audios) in [(FFMPEG, 46, 77), (LIBRTMP, 19, 29)] {
        let events = replay(capture, capture.len());
        let publish = Event::Publish {
            application: "ingest".to_owned(),
            name: "KEY".to_owned(),
        };
        assert_eq!(events[0], publish);
        assert!(matches!(events[1], Event::Data(_)));
        let (video, audio) = (
            media(&events, MediaKind::Video),
            media(&events, MediaKind::Audio),
        );
        assert_eq!((video.len(), audio.len()), (videos, audios));
        for list in [video, audio] {
            assert!(list.is_sorted_by_key(|(time, _)| *time));
        }
        for piece in [1, 100, 1537, 4096] {
            assert_eq!(replay(capture, piece), events, "in pieces of {piece}");
        }
    }
}

#[test]
fn a_simple_handshake_is_echoed_and_a_digest_is_answered_with_one() {
    // C1 of ffmpeg has a digest; one of zeros has not.
    for (simple, c1) in [(false, &FFMPEG[1..1537]), (true, &[0; 1536][..])] {
        let mut session = Session::new();
        let mut bytes = BytesMut::from(&[&[3], c1].concat()[..]);
        assert_eq!(session.poll_event(&mut bytes), Ok(None));
        let output = session.take_output();
        assert_eq!((output.len(), output[0]), (3073, 3));
        assert_eq!(output[1537..] == *c1, simple);
        let mut bytes = BytesMut::from(&output[1..1537]);
        assert_eq!(session.poll_event(&mut bytes), Ok(None));
        assert!(session.is_past_handshake());
    }
}

#[test]
fn another_protocol_is_no_handshake() {
    let mut bytes = BytesMut::from(&b"GET / HTTP/1.1\r\n"[..]);
    let error = Session::new().poll_event(&mut bytes);
    assert!(matches!(error, Err(Error::Handshake(_))));
}

#[test]
fn connect_is_answered_with_window_bandwidth_chunk_size_and_success() {
    let mut session = shaken();
    connect(&mut session, &[]);
    let chunk_size = [2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 1, 0, 0];
    assert!(session.output.windows(16).any(|bytes| bytes == chunk_size));
    let answers = answers(&mut session);
    let types: Vec<_> = answers
        .iter()
        .map(|m| (m.type_id, m.payload.len()))
        .collect();
    assert_eq!(types[..2], [(5, 4), (6, 5)]);
    let result = amf0::decode(&answers[2].payload).unwrap();
    assert_eq!(result[..2], ["_result".into(), 1.0.into()]);
    let code = result[3].get("code").unwrap();
    assert_eq!(code.as_str(), Some("NetConnection.Connect.Success"));
    assert_eq!(result[2].get("fourCcList"), None, "it did not ask");
}

#[test]
fn an_enhanced_connect_is_told_what_is_taken() {
    let list = Value::StrictArray(vec!["hvc1".into()]);
    let map = object([("*", 7.0.into())]);
    for (name, value) in [
        ("fourCcList", list),
        ("videoFourCcInfoMap", map),
        ("capsEx", 1.0.into()),
    ] {
        let mut session = shaken();
        connect(&mut session, &[(name, value)]);
        let result = commands(&mut session).remove(0);
        let Some(Value::StrictArray(list)) = result[2].get("fourCcList") else {
            panic!("no list after {name}");
        };
        for four_cc in ["avc1", "hvc1", "av01", "Opus", "mp4a"] {
            assert!(list.contains(&four_cc.into()), "{four_cc}");
        }
        let video = result[2].get("videoFourCcInfoMap").unwrap();
        assert_eq!(video.get("hvc1"), Some(&4.0.into()));
        assert_eq!(result[2].get("capsEx"), Some(&4.0.into()));
    }
}

#[test]
fn the_little_commands_of_encoders_are_answered_with_their_transaction() {
    let mut session = shaken();
    connect(&mut session, &[]);
    session.take_output();
    for (transaction, name) in [
        (2.0, "releaseStream"),
        (3.0, "FCPublish"),
        (4.0, "_checkbw"),
        (5.0, "getStreamLength"),
    ] {
        assert_eq!(
            send(&mut session, 0, name, transaction, &["KEY".into()]),
            Ok(None)
        );
        let answer = commands(&mut session).remove(0);
        assert_eq!(
            answer[..2],
            ["_result".into(), transaction.into()],
            "{name}"
        );
    }
    assert_eq!(send(&mut session, 0, "setPeerInfo", 9.0, &[]), Ok(None));
    assert_eq!(
        commands(&mut session)[0][..2],
        ["_error".into(), 9.0.into()]
    );
    assert_eq!(send(&mut session, 0, "setPeerInfo", 0.0, &[]), Ok(None));
    assert!(!session.has_output(), "nobody waits for it");
    assert_eq!(send(&mut session, 0, "createStream", 6.0, &[]), Ok(None));
    let answer = commands(&mut session).remove(0);
    assert_eq!(
        answer,
        ["_result".into(), 6.0.into(), Value::Null, 1.0.into()]
    );
    let event = send(&mut session, 1, "publish", 7.0, &["KEY".into()]);
    assert!(matches!(event, Ok(Some(Event::Publish { .. }))));
    session.accept();
    let names: Vec<_> = commands(&mut session)
        .iter()
        .map(|c| c[0].clone())
        .collect();
    assert_eq!(names, ["onFCPublish".into(), "onStatus".into()]);
}

#[test]
fn commands_of_type_17_have_a_byte_more() {
    let mut session = shaken();
    let object = object([("app", "x".into())]);
    let body = amf0::encode(&["connect".into(), 1.0.into(), object]);
    let body = [&[0][..], &body].concat();
    assert_eq!(send_body(&mut session, 17, 0, &body), Ok(None));
    assert_eq!(codes(&mut session)[0].1, "NetConnection.Connect.Success");
}

#[test]
fn a_refusal_is_a_status_on_the_publish_stream_and_nothing_is_read_after_it() {
    let mut session = shaken();
    connect(&mut session, &[]);
    let publish = send(&mut session, 1, "publish", 3.0, &["KEY".into()]);
    assert!(matches!(publish, Ok(Some(Event::Publish { .. }))));
    session.take_output();
    session.refuse(
        "NetStream.Publish.BadName",
        "no channel has this stream key",
    );
    let answer = answers(&mut session).remove(0);
    assert_eq!((answer.type_id, answer.stream_id), (20, 1));
    let values = amf0::decode(&answer.payload).unwrap();
    assert_eq!(values[..3], ["onStatus".into(), 0.0.into(), Value::Null]);
    assert_eq!(values[3].get("level"), Some(&"error".into()));
    assert_eq!(
        send(&mut session, 1, "publish", 4.0, &["KEY".into()]),
        Ok(None)
    );
    assert!(!session.has_output());
}

#[test]
fn a_second_publish_and_a_play_are_refused() {
    let mut session = publishing();
    let event = send(&mut session, 2, "publish", 4.0, &["OTHER".into()]);
    assert!(matches!(event, Ok(Some(Event::Refused(_)))));
    let error = |code: &str| vec![("error".to_owned(), code.to_owned())];
    assert_eq!(codes(&mut session), error("NetStream.Publish.BadName"));

    let mut session = shaken();
    connect(&mut session, &[]);
    session.take_output();
    let event = send(&mut session, 1, "play", 4.0, &["KEY".into()]);
    assert!(matches!(event, Ok(Some(Event::Refused(_)))));
    assert_eq!(codes(&mut session), error("NetStream.Play.Failed"));
}

#[test]
fn each_way_to_say_goodbye_ends_the_publish_once() {
    for (stream, name, arguments) in [
        (0, "FCUnpublish", vec!["KEY".into()]),
        (0, "deleteStream", vec![1.0.into()]),
        (1, "closeStream", vec![]),
    ] {
        let mut session = publishing();
        let event = send(&mut session, stream, name, 5.0, &arguments);
        assert_eq!(event, Ok(Some(Event::Finished)), "{name}");
        assert_eq!(codes(&mut session)[0].1, "NetStream.Unpublish.Success");
        assert_eq!(
            send(&mut session, 0, "deleteStream", 6.0, &[1.0.into()]),
            Ok(None)
        );
    }
    let mut session = publishing();
    let other = send(&mut session, 0, "deleteStream", 5.0, &[2.0.into()]);
    assert_eq!(other, Ok(None), "another message stream");
}

#[test]
fn media_and_data_count_only_while_publishing() {
    for type_id in [8, 9, 18] {
        let mut session = shaken();
        connect(&mut session, &[]);
        assert_eq!(send_body(&mut session, type_id, 1, b"x"), Ok(None));
        let mut session = publishing();
        assert!(send_body(&mut session, type_id, 1, b"x").unwrap().is_some());
    }
    let mut session = publishing();
    let data = send_body(&mut session, 15, 1, b"\0x");
    assert_eq!(data, Ok(Some(Event::Data(Bytes::from_static(b"x")))));
}

#[test]
fn a_ping_comes_back_with_its_time() {
    let mut session = publishing();
    assert_eq!(send_body(&mut session, 4, 0, &[0, 6, 1, 2, 3, 4]), Ok(None));
    assert_eq!(answers(&mut session)[0].payload[..], [0, 7, 1, 2, 3, 4]);
    assert_eq!(
        send_body(&mut session, 4, 0, &[0, 3, 0, 0, 0, 1, 0, 0, 1, 0]),
        Ok(None)
    );
    assert!(!session.has_output());
}

#[test]
fn received_bytes_are_acknowledged_in_all_once_per_window() {
    let mut session = publishing();
    assert_eq!(
        send_body(&mut session, 5, 0, &100_000_u32.to_be_bytes()),
        Ok(None)
    );
    let mut acknowledged = Vec::new();
    for _ in 0..5 {
        session.handle_received(60_000);
        acknowledged.extend(
            answers(&mut session)
                .into_iter()
                .map(|m| (m.type_id, m.payload)),
        );
    }
    let total = |count: u32| (3, Bytes::copy_from_slice(&count.to_be_bytes()));
    assert_eq!(acknowledged, [total(120_000), total(240_000)]);
}

#[test]
fn a_window_of_one_byte_is_not_obeyed() {
    let mut session = publishing();
    assert_eq!(
        send_body(&mut session, 5, 0, &1_u32.to_be_bytes()),
        Ok(None)
    );
    session.handle_received(65_000);
    assert!(!session.has_output());
}

#[test]
fn who_asks_without_reading_is_cut_off() {
    let mut session = publishing();
    let mut bytes = Vec::new();
    for _ in 0..10_000 {
        chunk::write(2, 4, 0, &[0, 6, 0, 0, 0, 0], 128, &mut bytes);
    }
    let error = session.poll_event(&mut BytesMut::from(&bytes[..]));
    assert_eq!(error, Err(Error::Output));
    assert!(session.take_output().len() < 2 * MAX_OUTPUT_BYTES);
}

#[test]
fn commands_out_of_order_end_the_session() {
    let early = send(&mut shaken(), 0, "createStream", 1.0, &[]);
    assert_eq!(early, Err(Error::Command("before connect")));
    let mut session = shaken();
    connect(&mut session, &[]);
    let again = send(&mut session, 0, "connect", 1.0, &[]);
    assert_eq!(again, Err(Error::Command("connect (second)")));
    let nameless = send_body(&mut session, 20, 0, &[5]);
    assert_eq!(nameless, Err(Error::Command("without a name")));
    let mut last = Ok(None);
    for _ in 0..=MAX_MESSAGE_STREAMS {
        last = send(&mut session, 0, "createStream", 1.0, &[]);
    }
    assert_eq!(last, Err(Error::Command("createStream (too many)")));
}

#[test]
fn a_connect_that_nests_without_end_is_an_error() {
    let mut bomb = amf0::encode(&["connect".into(), 1.0.into()]);
    bomb.extend([3, 0, 1, b'a'].repeat(10_000));
    let error = send_body(&mut shaken(), 20, 0, &bomb);
    assert!(
        matches!(error, Err(Error::Amf(amf0::Error::Depth(_)))),
        "{error:?}"
    );
}

#[test]
fn before_a_publish_messages_are_short_and_then_they_may_be_long() {
    let mut long = Vec::new();
    chunk::write(4, 9, 1, &vec![0; MAX_COMMAND_BYTES + 1], 128, &mut long);
    let early = shaken().poll_event(&mut BytesMut::from(&long[..]));
    assert!(matches!(
        early,
        Err(Error::Chunk(chunk::Error::MessageSize { .. }))
    ));
    let accepted = publishing().poll_event(&mut BytesMut::from(&long[..]));
    assert!(matches!(accepted, Ok(Some(Event::Media { .. }))));
}
