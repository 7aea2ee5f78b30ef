//! Recordings: what is known of them, beyond the life of their channels.

use super::*;

fn recording(channel: &Channel, started: Wall) -> Recording {
    let id = Uuid::new_v4();
    Recording {
        id,
        application_id: channel.application_id.clone(),
        channel_id: channel.id.clone(),
        stream_id: Uuid::new_v4(),
        started,
        ended: None,
        duration: Duration::ZERO,
        bytes: 0,
        outcome: Outcome::Recording,
        path: format!("recordings/{id}"),
    }
}

pub(super) async fn a_recording_is_known_from_its_beginning_to_its_end(bench: Bench) {
    let store = bench.store().await;
    let channel = store.create_channel(&creation("a"), 9).await.unwrap();
    let mut recording = recording(&channel, Wall(17));
    store.recording_started(&recording).await.unwrap();
    let twice = store.recording_started(&recording).await.unwrap_err();
    assert!(matches!(twice, Error::Exists(_)), "{twice}");
    let id = recording.id;
    assert_eq!(
        store.recording(id).await.unwrap().as_ref(),
        Some(&recording)
    );
    // A killed server finds it at its next start.
    let open = bench.store().await.open_recordings().await.unwrap();
    assert_eq!(open, [recording.clone()]);
    let reason = Outcome::Failed("the disk is full".to_owned());
    for outcome in [Outcome::Recording, reason, Outcome::Complete] {
        recording.ended = (outcome != Outcome::Recording).then_some(Wall(99));
        recording.duration += Duration::from_micros(1_500_001);
        recording.bytes += 5_000_000_000;
        recording.outcome = outcome;
        store.recording_changed(&recording).await.unwrap();
        assert_eq!(
            store.recording(id).await.unwrap().as_ref(),
            Some(&recording)
        );
    }
    assert_eq!(store.open_recordings().await.unwrap(), []);
    store.delete_channel(&channel.id).await.unwrap();
    let left = store.recordings_of(&channel.id, None, 9).await.unwrap();
    assert_eq!(left, [recording.clone()]);
    assert_eq!(store.recorded_bytes().await.unwrap(), 15_000_000_000);
    store.delete_recording(id).await.unwrap();
    assert_eq!(store.recording(id).await.unwrap(), None);
    assert_eq!(store.recorded_bytes().await.unwrap(), 0);
    for missing in [
        store.delete_recording(id).await,
        store.recording_changed(&recording).await,
    ] {
        assert_eq!(missing.unwrap_err().kind(), Kind::NotFound);
    }
}

pub(super) async fn recordings_are_listed_newest_first_and_swept_oldest_first(bench: Bench) {
    let store = bench.store().await;
    let a = store.create_channel(&creation("a"), 9).await.unwrap();
    let b = store.create_channel(&creation("b"), 9).await.unwrap();
    let mut all = Vec::new();
    // Two begin at the same time.
    for (channel, started) in [(&a, 1), (&b, 2), (&a, 3), (&a, 3), (&a, 4)] {
        let mut recording = recording(channel, Wall(started));
        recording.ended = (started != 4).then_some(Wall(started + 9));
        store.recording_started(&recording).await.unwrap();
        all.push(recording);
    }
    all.sort_by_key(|recording| (recording.started, recording.id.to_string()));
    let mut of_a: Vec<_> = all
        .iter()
        .filter(|r| r.channel_id == a.id)
        .cloned()
        .collect();
    of_a.reverse();
    let mut paged: Vec<Recording> = Vec::new();
    loop {
        let page = store.recordings_of(&a.id, paged.last(), 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, of_a);
    assert_eq!(store.oldest_recordings(9).await.unwrap(), all[..4]);
    assert_eq!(store.oldest_recordings(2).await.unwrap(), all[..2]);
}
