//! The rules of who is followed, one by one.

use super::*;

const PUBLISHER: &str = r#"{"role":"publisher"}"#;
const CO_HOST: &str = r#"{"role":"co_host"}"#;
const SUBSCRIBER: &str = r#"{"role":"subscriber"}"#;

fn track(sid: &str, source: Source, mime: &str) -> RoomTrack {
    let is_video = mime.starts_with("video/");
    RoomTrack {
        sid: sid.to_owned(),
        name: String::new(),
        kind: if is_video {
            MediaKind::Video
        } else {
            MediaKind::Audio
        },
        source,
        mime: mime.to_owned(),
        muted: false,
        size: (0, 0),
        simulcast: false,
    }
}

fn camera(of: &str) -> RoomTrack {
    track(&format!("{of}-camera"), Source::Camera, "video/h264")
}

fn microphone(of: &str) -> RoomTrack {
    track(&format!("{of}-mic"), Source::Microphone, "audio/opus")
}

fn participant(identity: &str, joined_at_ms: i64, metadata: &str) -> Participant {
    Participant {
        sid: format!("PA_{identity}{joined_at_ms}"),
        identity: identity.to_owned(),
        name: String::new(),
        metadata: metadata.to_owned(),
        is_here: true,
        joined_at_ms,
        tracks: vec![camera(identity), microphone(identity)],
    }
}

fn gone(mut participant: Participant) -> Participant {
    participant.is_here = false;
    participant
}

fn room_of(participants: &[Participant]) -> Room {
    let mut room = Room::default();
    for participant in participants {
        room.handle_participant(participant);
    }
    room
}

fn followed(room: &mut Room) -> Option<String> {
    Some(room.follow()?.identity)
}

#[test]
fn the_host_is_followed_with_camera_and_microphone() {
    let mut room = room_of(&[participant("anna", 1, PUBLISHER)]);
    let found = room.follow().unwrap();
    assert_eq!(found.identity, "anna");
    assert_eq!(found.participant, "PA_anna1");
    assert_eq!(found.video.unwrap().sid, "anna-camera");
    assert_eq!(found.audio.unwrap().sid, "anna-mic");
}

#[test]
fn nobody_is_followed_in_an_empty_room_or_among_viewers() {
    let mut room = room_of(&[]);
    assert_eq!(followed(&mut room), None);
    for metadata in [SUBSCRIBER, "", "publisher", "{}", r#"{"role":1}"#] {
        let mut room = room_of(&[participant("eve", 1, metadata)]);
        assert_eq!(followed(&mut room), None, "{metadata}");
        assert!(!room.has_candidates());
    }
}

#[test]
fn what_the_gateway_publishes_itself_is_never_followed() {
    for identity in ["forebay", "forebay-listener", "forebay-sd"] {
        let mut room = room_of(&[participant(identity, 1, PUBLISHER)]);
        assert_eq!(followed(&mut room), None, "{identity}");
    }
}

#[test]
fn of_two_publishers_the_first_with_a_picture_is_the_host() {
    let mut early = participant("early", 1, PUBLISHER);
    early.tracks.remove(0);
    let (late, later) = (
        participant("late", 2, PUBLISHER),
        participant("later", 3, PUBLISHER),
    );
    let mut room = room_of(&[later, late, early.clone()]);
    assert_eq!(followed(&mut room).as_deref(), Some("late"));
    early.tracks.insert(0, camera("early"));
    room.handle_participant(&early);
    assert_eq!(followed(&mut room).as_deref(), Some("late"), "it stays");
}

#[test]
fn a_publisher_goes_before_a_co_host_whoever_came_first() {
    let mut silent = participant("host", 9, PUBLISHER);
    silent.tracks.remove(0);
    let mut room = room_of(&[participant("co", 1, CO_HOST), silent]);
    assert_eq!(followed(&mut room).as_deref(), Some("host"));
}

#[test]
fn a_co_host_stands_in_for_the_host_who_has_its_place_again_when_it_is_back() {
    let mut room = room_of(&[
        participant("host", 1, PUBLISHER),
        participant("second", 2, PUBLISHER),
        participant("co", 3, CO_HOST),
    ]);
    assert_eq!(followed(&mut room).as_deref(), Some("host"));
    room.handle_participant(&gone(participant("host", 1, PUBLISHER)));
    assert_eq!(followed(&mut room).as_deref(), Some("second"));
    room.handle_participant(&gone(participant("second", 2, PUBLISHER)));
    assert_eq!(followed(&mut room).as_deref(), Some("co"));
    room.handle_participant(&participant("second", 4, PUBLISHER));
    assert_eq!(followed(&mut room).as_deref(), Some("second"));
    room.handle_participant(&participant("host", 5, PUBLISHER));
    assert_eq!(followed(&mut room).as_deref(), Some("host"));
}

#[test]
fn a_host_who_is_in_the_room_and_publishes_nothing_has_no_place() {
    let mut host = participant("host", 1, PUBLISHER);
    let mut room = room_of(&[host.clone(), participant("co", 2, CO_HOST)]);
    assert_eq!(followed(&mut room).as_deref(), Some("host"));
    let tracks = std::mem::take(&mut host.tracks);
    room.handle_participant(&host.clone());
    assert_eq!(followed(&mut room).as_deref(), Some("co"));
    host.tracks = tracks;
    room.handle_participant(&host);
    assert_eq!(followed(&mut room).as_deref(), Some("host"));
}

#[test]
fn a_muted_host_stays_and_nothing_is_expected_of_it() {
    let mut host = participant("host", 1, PUBLISHER);
    for track in &mut host.tracks {
        track.muted = true;
    }
    let mut room = room_of(&[host, participant("co", 2, CO_HOST)]);
    let found = room.follow().unwrap();
    assert_eq!(found.identity, "host");
    assert!(found.video.unwrap().muted && found.audio.unwrap().muted);
}

#[test]
fn sound_alone_is_followed_too() {
    let mut host = participant("host", 1, PUBLISHER);
    host.tracks.remove(0);
    let found = room_of(&[host]).follow().unwrap();
    assert_eq!(found.video, None);
    assert_eq!(found.audio.unwrap().sid, "host-mic");
}

#[test]
fn screens_are_passed_over_and_a_picture_without_a_source_counts_as_a_camera() {
    let mut host = participant("host", 1, PUBLISHER);
    host.tracks = vec![
        track("screen", Source::Screen, "video/h264"),
        track("screen's", Source::ScreenSound, "audio/opus"),
        track("sound", Source::Unknown, "audio/red"),
        track("program", Source::Unknown, "video/h264"),
    ];
    let found = room_of(&[host.clone()]).follow().unwrap();
    assert_eq!(found.video.unwrap().sid, "program");
    assert_eq!(found.audio.unwrap().sid, "sound");
    host.tracks.push(camera("host"));
    let found = room_of(&[host]).follow().unwrap();
    assert_eq!(found.video.unwrap().sid, "host-camera");
}

#[test]
fn a_picture_that_is_no_h264_is_passed_over_and_it_is_said_whose() {
    for mime in ["video/vp8", "video/vp9", "video/av1", "video/h265"] {
        let mut host = participant("host", 1, PUBLISHER);
        host.tracks[0].mime = mime.to_owned();
        let mut room = room_of(&[host]);
        let found = room.follow().unwrap();
        assert_eq!((found.video, found.audio.is_some()), (None, true));
        assert_eq!(room.obstacle(), Some(("host", mime)));
    }
    let room = room_of(&[participant("host", 1, PUBLISHER)]);
    assert_eq!(room.obstacle(), None);
}

#[test]
fn who_loses_its_role_is_not_followed_any_more() {
    let mut host = participant("host", 1, PUBLISHER);
    let mut room = room_of(&[host.clone()]);
    assert!(followed(&mut room).is_some());
    host.metadata = SUBSCRIBER.to_owned();
    room.handle_participant(&host);
    assert_eq!(followed(&mut room), None);
}

#[test]
fn the_host_is_remembered_when_we_join_anew() {
    let mut room = room_of(&[participant("host", 1, PUBLISHER)]);
    assert!(followed(&mut room).is_some());
    room.handle_rejoin();
    assert_eq!(followed(&mut room), None);
    room.handle_participant(&participant("second", 2, PUBLISHER));
    room.handle_participant(&participant("host", 3, PUBLISHER));
    assert_eq!(followed(&mut room).as_deref(), Some("host"));
}

#[test]
fn a_crowd_with_roles_and_tracks_without_end_is_bounded() {
    let mut room = room_of(&[]);
    for number in 0..1000 {
        let mut one = participant("x", number, PUBLISHER);
        one.tracks = (0..1000).map(|_| camera("x")).collect();
        room.handle_participant(&one);
    }
    assert_eq!(room.candidates.len(), MAX_CANDIDATES);
    let mut candidates = room.candidates.values();
    assert!(candidates.all(|one| one.tracks.len() == MAX_TRACKS));
    let long = format!(r#"{{"role":"publisher","x":"{}"}}"#, "x".repeat(5000));
    assert_eq!(role(&long), None);
}
