//! Our engine against itself.

use super::*;

/// Sends units of both tracks in the order of their times.
fn send_all(peer: &mut dyn Peer, pictures: &[AccessUnit], sounds: &[AccessUnit]) {
    let (picture, sound) = (picture(), sound());
    let mut sounds = sounds.iter().peekable();
    for unit in pictures {
        while let Some(next) = sounds.next_if(|next| next.pts.0 * 90 <= unit.pts.0 * 48) {
            peer.send(1, 0, &sound, next).unwrap();
        }
        peer.send(0, 0, &picture, unit).unwrap();
    }
    for rest in sounds {
        peer.send(1, 0, &sound, rest).unwrap();
    }
}

fn both() -> [Outgoing; 2] {
    [
        outgoing(MediaKind::Video, &[]),
        outgoing(MediaKind::Audio, &[]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_arrive_whole_and_on_one_clock() {
    let mut pair = Pair::connect(&both(), None).await;
    pair.sender.set_epoch(1_700_000_000_000_000);
    // Media time runs an hour before, and the sound begins 70 ms after the picture.
    let pictures = pictures(460, 324_000_000, 3);
    let sounds = sounds(495, 172_800_000 + 3360);
    send_all(pair.sender.as_mut(), &pictures[..60], &sounds[..95]);
    pair.until_with(&pictures[60..], &sounds[95..], |pair| {
        pair.received(MediaKind::Video).0.len() >= 60
            && pair.received(MediaKind::Audio).0.len() >= 95
    })
    .await;
    let (video, lost) = pair.received(MediaKind::Video);
    assert_eq!(lost, 0);
    for (sent, came) in pictures.iter().zip(&video) {
        assert_eq!((&came.data, came.key), (&with_sets(sent), sent.key));
        assert_eq!(came.pts - video[0].pts, sent.pts - pictures[0].pts);
    }
    let (audio, lost) = pair.received(MediaKind::Audio);
    assert_eq!(lost, 0);
    for (sent, came) in sounds.iter().zip(&audio) {
        assert_eq!((&came.data, came.duration), (&sent.data, Some(Ticks(960))));
    }
    let seconds = |ticks: Ticks, scale| ticks.seconds(Timescale::of(scale));
    let apart = seconds(audio[0].pts, 48_000) - seconds(video[0].pts, 90_000);
    assert!(
        (apart - 0.07).abs() < 0.001,
        "sound begins {apart} s after the picture"
    );
    let track = pair.heard.iter().find_map(|event| match event {
        Event::Track(_, track) if track.kind() == MediaKind::Video => Some(track.config.clone()),
        _ => None,
    });
    assert_eq!(track, Some(picture().config));
    let (sent, came) = (pair.sender.statistics(), pair.receiver.statistics());
    assert!(came.packets_received > 400 && sent.packets_sent >= 400);
    assert_eq!((sent.units_dropped, came.packets_lost), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_packets_are_repeated() {
    let mut pair = Pair::connect(&both(), Some(50)).await;
    let (pictures, sounds) = (pictures(640, 0, 2), sounds(800, 0));
    // Four times as fast as it is.
    let pieces = pictures[..240].chunks(6).zip(sounds[..400].chunks(10));
    for (pictures, sounds) in pieces {
        send_all(pair.sender.as_mut(), pictures, sounds);
        let pause = tokio::time::sleep(Duration::from_millis(50));
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                () = pair.step() => {}
            }
        }
    }
    pair.until_with(&pictures[240..], &sounds[400..], |pair| {
        pair.received(MediaKind::Video).0.len() >= 240
            && pair.received(MediaKind::Audio).0.len() >= 400
    })
    .await;
    let (video, lost) = pair.received(MediaKind::Video);
    assert_eq!(lost, 0, "{:?}", pair.receiver.statistics());
    for (sent, came) in pictures.iter().zip(&video) {
        assert_eq!(came.data, with_sets(sent));
    }
    let (audio, lost) = pair.received(MediaKind::Audio);
    assert_eq!(lost, 0);
    for (sent, came) in sounds.iter().zip(&audio) {
        assert_eq!(came.data, sent.data);
    }
    let statistics = pair.sender.statistics();
    assert!(statistics.packets_repeated > 20, "{statistics:?}");
    assert!(statistics.round_trip_micros > 0 && statistics.round_trip_micros < 2_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_unit_that_the_receiver_wants_reaches_the_sender() {
    let mut pair = Pair::connect(&both()[..1], None).await;
    send_all(pair.sender.as_mut(), &pictures(3, 0, 1), &[]);
    pair.until(|pair| pair.received(MediaKind::Video).0.len() == 3)
        .await;
    assert_eq!(pair.sender.statistics().key_units_wanted, 0);
    let id = pair.incoming(MediaKind::Video);
    pair.receiver.want_key_unit(id);
    let wanted = |event: &Event| {
        matches!(
            event,
            Event::KeyUnitWanted {
                outgoing: 0,
                layer: 0
            }
        )
    };
    pair.until(|pair| pair.told.iter().any(wanted)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_begins_with_a_key_unit_and_refuses_other_codecs() {
    let mut pair = Pair::connect(&both(), None).await;
    let units = pictures(20, 0, 1);
    send_all(pair.sender.as_mut(), &units[1..], &[]);
    pair.until(|pair| pair.received(MediaKind::Video).0.len() == 5)
        .await;
    assert_eq!(
        pair.received(MediaKind::Video).0[0].data,
        with_sets(&units[15])
    );
    assert_eq!(pair.sender.statistics().units_dropped, 14);
    let error = pair.sender.send(0, 0, &sound(), &units[0]).unwrap_err();
    assert!(matches!(error, rtc::Error::Codec(codec) if codec == "opus"));
    assert!(pair.sender.send(7, 0, &picture(), &units[0]).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_is_not_taken_from_drops_and_never_waits() {
    let mut pair = Pair::connect(&both(), None).await;
    let picture = picture();
    let large = nals(1, &[(0x65, 1_000_000)]);
    let mut unit = pictures(1, 0, 1).remove(0);
    unit.data = large;
    for time in 0..40 {
        (unit.dts, unit.pts) = (Ticks(time * 3000), Ticks(time * 3000));
        pair.sender.send(0, 0, &picture, &unit).unwrap();
    }
    assert!(pair.sender.statistics().units_dropped > 30);
    // What was taken arrives, at the pace of the line, and so does a key unit afterwards.
    pair.until(|pair| !pair.received(MediaKind::Video).0.is_empty())
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_one_side_is_the_end_of_the_other() {
    let mut pair = Pair::connect(&both(), None).await;
    send_all(pair.sender.as_mut(), &pictures(3, 0, 1), &[]);
    pair.until(|pair| pair.received(MediaKind::Video).0.len() == 3)
        .await;
    pair.sender.close().await.unwrap();
    let unit = &pictures(1, 0, 1)[0];
    assert!(matches!(
        pair.sender.send(0, 0, &picture(), unit),
        Err(rtc::Error::Closed)
    ));
    let closed = |event: &Event| matches!(event, Event::Closed(_));
    while pair.sender.next().await.is_some() {}
    loop {
        let event = tokio::time::timeout(WAIT, pair.receiver.next())
            .await
            .unwrap();
        if event.as_ref().is_some_and(closed) {
            break;
        }
        assert!(event.is_some());
    }
    assert!(pair.receiver.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_a_connection_closes_it() {
    let Pair {
        mut sender,
        receiver,
        ..
    } = Pair::connect(&both(), None).await;
    drop(receiver);
    while let Some(_event) = tokio::time::timeout(WAIT, sender.next()).await.unwrap() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_the_sockets_changes_nothing() {
    let tracks = both();
    let (mut sender, mut receiver) = (open().await, open().await);
    let offer = sender.offer(&tracks).await.unwrap();
    let answer = receiver.answer(&offer).await.unwrap();
    sender.accept(&answer).await.unwrap();
    let mut pair = Pair {
        sender,
        receiver,
        told: Vec::new(),
        heard: Vec::new(),
        relay: None,
    };
    // Their addresses, before the candidates are passed on.
    let mut targets = Vec::new();
    let mut kept = Vec::new();
    while kept.len() < 2 {
        let (from_sender, event) = tokio::select! {
            event = pair.sender.next() => (true, event),
            event = pair.receiver.next() => (false, event),
        };
        let Some(Event::Candidate(candidate)) = event else {
            let events = if from_sender {
                &mut pair.told
            } else {
                &mut pair.heard
            };
            events.extend(event);
            continue;
        };
        if let Some(address) = address(&candidate.candidate)
            && address.ip().is_loopback()
        {
            targets.push(address);
            kept.push((from_sender, candidate));
        }
    }
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let noise = crate::common::noise::noise(7, 40_000);
    for (index, chunk) in noise.chunks_exact(90).enumerate() {
        // Beginnings of STUN, DTLS, RTP and RTCP (RFC 7983 §7).
        let mut packet = chunk.to_vec();
        packet[0] = [0, 1, 22, 23, 128, 144, 129, 255][index % 8];
        packet[1] = [0, 1, 254, 253, 125, 111, 200, 206][index % 8];
        let size = if index % 3 == 0 { index % 90 } else { 90 };
        for target in &targets {
            socket
                .send_to(&packet[..size.max(1)], target)
                .await
                .unwrap();
        }
        if index == 200 {
            for (from_sender, candidate) in kept.drain(..) {
                pair.pass(from_sender, candidate).await;
            }
        }
    }
    let connected = |events: &[Event]| events.iter().any(|event| matches!(event, Event::Connected));
    pair.until(|pair| connected(&pair.told) && connected(&pair.heard))
        .await;
    send_all(pair.sender.as_mut(), &pictures(10, 0, 1), &[]);
    pair.until(|pair| pair.received(MediaKind::Video).0.len() == 10)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn descriptions_and_candidates_that_make_no_sense_are_refused() {
    let mut peer = open().await;
    let long = "a".repeat(600 * 1024);
    let bad = [
        "",
        "hello",
        "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n",
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n",
        &long,
    ];
    for text in bad {
        assert!(
            matches!(peer.answer(text).await, Err(rtc::Error::Description(_))),
            "{text:.40}"
        );
    }
    for index in 0..200 {
        let candidate = Candidate {
            candidate: format!("candidate:{index} nonsense"),
            ..Candidate::default()
        };
        // Kept, or passed over.
        peer.add_candidate(&candidate).await.unwrap();
    }
    let mut sender = open().await;
    assert!(sender.accept("v=0").await.is_err());
    let offer = sender.offer(&both()).await.unwrap();
    assert!(sender.accept("nonsense").await.is_err());
    assert!(sender.offer(&both()).await.is_err());
    let mut receiver = open().await;
    let answer = receiver.answer(&offer).await.unwrap();
    sender.accept(&answer).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_names_what_is_sent() {
    let mut peer = open().await;
    let offer = peer
        .offer(&[
            outgoing(MediaKind::Video, &["h", "m", "l"]),
            outgoing(MediaKind::Audio, &[]),
        ])
        .await
        .unwrap();
    for line in [
        "a=msid:stream picture",
        "a=msid:stream sound",
        "a=rtpmap:125 H264/90000",
        "a=rtcp-fb:125 nack",
        "a=rtcp-fb:125 nack pli",
        "a=rtcp-fb:125 ccm fir",
        "a=rtpmap:111 opus/48000/2",
        "a=rid:h send",
        "a=rid:m send",
        "a=rid:l send",
        "a=simulcast:send h;m;l",
        "a=sendonly",
    ] {
        assert!(
            offer.lines().any(|found| found == line),
            "{line} in\n{offer}"
        );
    }
    // Nothing is made of it here.
    assert!(!offer.contains("transport-cc"), "{offer}");
    let format = offer
        .lines()
        .find(|line| line.starts_with("a=fmtp:125 "))
        .unwrap();
    assert!(format.contains("packetization-mode=1") && format.contains("profile-level-id=42e01f"));
    assert_eq!(offer.matches("a=rtpmap:").count(), 2, "{offer}");
}
