use super::*;
use crate::base::push::Push;
use crate::format::flv::amf0::object;

fn target(key: &str) -> push::Rtmp {
    match Push::parse("rtmp", "rtmp://h:1936/app/inst", Some(key)).unwrap() {
        Push::Rtmp(target) => target,
        other => panic!("{other}"),
    }
}

/// A connection whose handshake is done, with its connect command.
fn connected(key: &str, four_ccs: Vec<&'static str>) -> (Session, Vec<Message>) {
    let mut random = [7; PACKET_BYTES];
    random[8] = 9;
    let mut session = Session::new(&target(key), four_ccs, &random);
    let hello = std::mem::take(session.output());
    assert_eq!(
        (hello.len(), &hello[..9]),
        (1 + PACKET_BYTES, &[3, 0, 0, 0, 0, 0, 0, 0, 0][..])
    );
    assert_eq!(hello[9], 9);
    let mut buffer = BytesMut::from(&[VERSION][..]);
    buffer.extend_from_slice(&[5; PACKET_BYTES]);
    assert_eq!(session.poll_said(&mut buffer), Ok(None));
    assert_eq!(
        std::mem::take(session.output()),
        [5; PACKET_BYTES],
        "S1 sent back"
    );
    buffer.extend_from_slice(&[6; PACKET_BYTES]);
    assert_eq!(session.poll_said(&mut buffer), Ok(None));
    let sent = sent(&mut session);
    (session, sent)
}

/// The messages that wait to be sent.
fn sent(session: &mut Session) -> Vec<Message> {
    let mut bytes = Vec::new();
    // A change of the size is among them only once.
    let size = u32::try_from(session.output_chunk).unwrap();
    if session.output().first() != Some(&2) {
        chunk::write(2, 1, 0, &size.to_be_bytes(), 128, &mut bytes);
    }
    bytes.append(session.output());
    let mut buffer = BytesMut::from(&bytes[..]);
    let mut chunks = Dechunker::new(MAX_COMMAND_BYTES);
    std::iter::from_fn(|| chunks.next(&mut buffer).unwrap()).collect()
}

fn commands(messages: &[Message]) -> Vec<Vec<Value>> {
    let commands = messages.iter().filter(|message| message.type_id == 20);
    commands
        .map(|message| amf0::decode(&message.payload).unwrap())
        .collect()
}

/// What the server says.
fn hear(session: &mut Session, type_id: u8, body: &[u8]) -> Result<Option<Said>, Error> {
    let mut bytes = Vec::new();
    chunk::write(3, type_id, 0, body, 128, &mut bytes);
    session.poll_said(&mut BytesMut::from(&bytes[..]))
}

fn answer(session: &mut Session, values: &[Value]) -> Result<Option<Said>, Error> {
    hear(session, 20, &amf0::encode(values))
}

fn status(level: &str, code: &str, description: &str) -> [Value; 4] {
    let info = object([
        ("level", level.into()),
        ("code", code.into()),
        ("description", description.into()),
    ]);
    ["onStatus".into(), 0.0.into(), Value::Null, info]
}

fn asking(key: &str) -> Session {
    let (mut session, _) = connected(key, Vec::new());
    let result = ["_result".into(), 1.0.into(), Value::Null, Value::Null];
    assert_eq!(answer(&mut session, &result), Ok(None));
    let names = commands(&sent(&mut session));
    let names: Vec<&str> = names
        .iter()
        .filter_map(|values| values[0].as_str())
        .collect();
    assert_eq!(names, ["releaseStream", "FCPublish", "createStream"]);
    // Many servers know none of the first two.
    for transaction in [2.0, 3.0] {
        let error = [
            "_error".into(),
            transaction.into(),
            Value::Null,
            Value::Null,
        ];
        assert_eq!(answer(&mut session, &error), Ok(None));
    }
    let result = ["_result".into(), 4.0.into(), Value::Null, 1.0.into()];
    assert_eq!(answer(&mut session, &result), Ok(None));
    let publish = &sent(&mut session);
    assert_eq!(publish.last().unwrap().stream_id, 1);
    assert_eq!(
        commands(publish),
        [vec![
            "publish".into(),
            5.0.into(),
            Value::Null,
            key.into(),
            "live".into()
        ]]
    );
    session
}

#[test]
fn a_publish_is_asked_for_step_by_step_and_begins_with_the_servers_word() {
    let (_, hello) = connected("key", vec!["hvc1"]);
    let connect = commands(&hello);
    let object = &connect[0][2];
    let text = |name| object.get(name).and_then(Value::as_str).unwrap();
    assert_eq!(connect[0][..2], ["connect".into(), 1.0.into()]);
    assert_eq!(
        (text("app"), text("tcUrl")),
        ("app/inst", "rtmp://h:1936/app/inst")
    );
    assert_eq!(
        object.get("fourCcList"),
        Some(&Value::StrictArray(vec!["hvc1".into()]))
    );
    let mut session = asking("key");
    assert!(!session.is_publishing());
    let start = status("status", "NetStream.Publish.Start", "");
    assert_eq!(answer(&mut session, &start), Ok(Some(Said::Ready)));
    assert!(session.is_publishing());
    assert!(session.send(9, 40, [b"head", b"data"]));
    let media = sent(&mut session);
    assert_eq!(
        (media[0].timestamp_ms, &media[0].payload[..]),
        (40, &b"headdata"[..])
    );
    session.finish();
    let names = commands(&sent(&mut session));
    assert_eq!(
        (&names[0][0], &names[1][0]),
        (&"FCUnpublish".into(), &"deleteStream".into())
    );
}

#[test]
fn a_refusal_is_told_in_the_servers_words_and_without_the_key() {
    let mut session = asking("tell-no-one?sign=tell-too");
    let bad = status(
        "error",
        "NetStream.Publish.BadName",
        "tell-no-one?sign=tell-too and tell-no-one\n!",
    );
    let Ok(Some(Said::Refused(text))) = answer(&mut session, &bad) else {
        panic!("not refused");
    };
    assert_eq!(text, "NetStream.Publish.BadName: (key) and (key)!");
    let (mut session, _) = connected("key", Vec::new());
    let info = object([("code", "NetConnection.Connect.Rejected".into())]);
    let error = ["_error".into(), 1.0.into(), Value::Null, info];
    let refused = Said::Refused("NetConnection.Connect.Rejected".to_owned());
    assert_eq!(answer(&mut session, &error), Ok(Some(refused)));
    let mut session = asking("key");
    answer(
        &mut session,
        &status("status", "NetStream.Publish.Start", ""),
    )
    .unwrap();
    let over = status("status", "NetStream.Unpublish.Success", "bye");
    let said = Said::Over("NetStream.Unpublish.Success: bye".to_owned());
    assert_eq!(answer(&mut session, &over), Ok(Some(said)));
}

#[test]
fn pings_windows_and_acknowledgements_are_answered() {
    let mut session = asking("key");
    assert_eq!(hear(&mut session, 4, &[0, 6, 1, 2, 3, 4]), Ok(None));
    assert_eq!(hear(&mut session, 6, &[0, 1, 0, 0, 2]), Ok(None));
    assert_eq!(hear(&mut session, 5, &1_u32.to_be_bytes()), Ok(None));
    session.handle_received(16 * 1024);
    let answers = sent(&mut session);
    let answers: Vec<(u8, &[u8])> = answers
        .iter()
        .map(|one| (one.type_id, &one.payload[..]))
        .collect();
    assert_eq!(
        answers,
        [
            (4, &[0, 7, 1, 2, 3, 4][..]),
            (5, &[0, 1, 0, 0][..]),
            (3, &[0, 0, 0x40, 0][..]),
        ]
    );
}

#[test]
fn what_is_no_rtmp_ends_with_an_error() {
    let mut session = Session::new(&target("key"), Vec::new(), &[0; PACKET_BYTES]);
    let mut buffer = BytesMut::from(&b"HTTP/1.1 400"[..]);
    assert_eq!(session.poll_said(&mut buffer), Err(Error::Version(b'H')));
    for id in [
        Value::Null,
        (-1.0).into(),
        0.5.into(),
        f64::NAN.into(),
        1e10.into(),
    ] {
        let (mut session, _) = connected("key", Vec::new());
        answer(&mut session, &["_result".into(), 1.0.into(), Value::Null]).unwrap();
        let result = ["_result".into(), 4.0.into(), Value::Null, id];
        assert_eq!(answer(&mut session, &result), Err(Error::NoStream));
    }
}

proptest::proptest! {
    #[test]
    fn whatever_a_server_sends_makes_no_panic(bytes: Vec<u8>) {
        fuzz_rtmp_server(&bytes);
    }
}
