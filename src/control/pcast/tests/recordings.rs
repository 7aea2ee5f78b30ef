//! Recordings of an application's channels: whose are whose, pages, deletion. What the files hold is tested
//! with the real program.

use super::*;
use crate::record::{Config, Library, disk};

const LIST: &str = "/pcast/channel/live/recordings";

/// A bench with recordings that ended, one a second, of these channels.
async fn kept(channels: &[&str]) -> (Bench, Vec<Uuid>) {
    let ids: Vec<Uuid> = channels.iter().map(|_| Uuid::new_v4()).collect();
    let bench = bench(|setup| {
        let folder = setup.data.join("kept");
        for ((id, channel), at) in ids.iter().zip(channels).zip(1..) {
            let own = folder.join(id.to_string());
            std::fs::create_dir_all(&own).unwrap();
            let about = json!({
                "form": 1, "id": id.to_string(), "channelId": channel, "alias": "live", "name": "Live",
                "capabilities": ["on-demand"], "tags": ["t"], "epochUs": at * 1_000_000,
                "targetDurationS": 2, "segmentTargetUs": 2_000_000, "startedUs": at * 1_000_000,
            });
            std::fs::write(own.join("about.json"), about.to_string()).unwrap();
            let end = json!({
                "endedUs": (at + 10) * 1_000_000, "durationUs": 10_000_000, "bytes": 1234, "missed": 0,
                "reason": null,
            });
            std::fs::write(own.join("end.json"), end.to_string()).unwrap();
        }
        let config = Config {
            folder,
            keep: None,
            least_free_bytes: 0,
            make_room: false,
        };
        let disk = std::sync::Arc::new(disk::Local);
        setup.library = Library::open(config, disk, setup.clock.clone()).unwrap();
    })
    .await;
    (bench, ids)
}

fn ids_of(answer: &Answer) -> Vec<String> {
    let list = answer.json();
    let recordings = list["recordings"].as_array().expect("a list").iter();
    let ids = recordings.map(|one| one["recordingId"].as_str().unwrap().to_owned());
    ids.collect()
}

#[tokio::test]
async fn an_application_sees_the_recordings_of_its_channel_newest_first_in_pages() {
    let own = "local#app#live";
    let (bench, ids) = kept(&[own, "local#app#other", own, own]).await;
    let all = bench.call("GET", LIST, "").await;
    assert_eq!(all.word(), (200, "ok".to_owned()));
    let expected: Vec<String> = [ids[3], ids[2], ids[0]].map(|id| id.to_string()).into();
    assert_eq!(ids_of(&all), expected);
    assert_eq!(all.json()["next"], Value::Null);
    let named = "/pcast/channel/local%23app%23live/recordings?limit=2";
    let first = bench.call("GET", named, "").await;
    assert_eq!(ids_of(&first), expected[..2]);
    let next = first.json()["next"].as_str().unwrap().to_owned();
    let second = format!("{LIST}?limit=2&after={next}");
    let second = bench.call("GET", &second, "").await;
    assert_eq!(ids_of(&second), expected[2..]);
    assert_eq!(second.json()["next"], Value::Null);

    let path = format!("{LIST}/{}", ids[3]);
    let one = bench.call("GET", &path, "").await;
    assert_eq!(one.word(), (200, "ok".to_owned()));
    let (id, one) = (ids[3], one.json());
    assert_eq!(
        one["recording"],
        json!({
            "recordingId": id.to_string(), "streamId": id.to_string(), "channelId": own,
            "alias": "live", "name": "Live", "capabilities": ["on-demand"], "tags": ["t"],
            "startedUnixMs": 4_000, "endedUnixMs": 14_000, "durationMs": 10_000, "bytes": 1234,
            "missedSegments": 0, "state": "complete", "reason": null,
            "hls": format!("/hls/{id}/index.m3u8"), "dash": format!("/dash/{id}/manifest.mpd"),
            "download": format!("/pcast/channel/local%23app%23live/recordings/{id}.mp4"),
            "parts": 0,
        })
    );
    // In a list it is the same, but for what its index has to be read for.
    let mut listed = all.json()["recordings"][0].take();
    assert_eq!(listed["parts"].take(), Value::Null);
    listed["parts"] = json!(0);
    assert_eq!(one["recording"], listed);
}

#[tokio::test]
async fn recordings_of_others_are_not_there() {
    let channels = ["local#app#live", "local#app#other", "local#guest#live"];
    let (bench, ids) = kept(&channels).await;
    bench.make("other").await;
    let secret = Secret::new("guest-secret-0123");
    bench
        .store
        .ensure_application("guest", &secret)
        .await
        .unwrap();
    let guest = basic("guest", "guest-secret-0123");
    let guest = [("authorization", guest.as_str())];
    for name in [
        String::new(),
        format!("/{}", ids[0]),
        format!("/{}.mp4", ids[0]),
    ] {
        let path = format!("/pcast/channel/local%23app%23live/recordings{name}");
        let answer = bench.call_with("GET", &path, &[], "").await;
        assert_eq!(answer.word(), (401, "unauthorized".to_owned()), "{path}");
        let answer = bench.call_with("GET", &path, &guest, "").await;
        assert_eq!(answer.word(), (404, "not-found".to_owned()), "{path}");
        let gone = path.replace("live", "gone");
        let answer = bench.call("GET", &gone, "").await;
        assert_eq!(answer.word(), (404, "not-found".to_owned()), "{gone}");
    }
    // Of another channel of the same application, of another application, of nobody, of no form.
    for id in [
        &*ids[1].to_string(),
        &ids[2].to_string(),
        &Uuid::nil().to_string(),
        "x",
    ] {
        for (method, ending) in [("GET", ""), ("GET", ".mp4"), ("DELETE", "")] {
            let path = format!("{LIST}/{id}{ending}");
            let answer = bench.call(method, &path, "").await;
            assert_eq!(
                answer.word(),
                (404, "not-found".to_owned()),
                "{method} {path}"
            );
        }
        let answer = bench.call("GET", &format!("{LIST}?after={id}"), "").await;
        assert_eq!(answer.word(), (400, "bad-request".to_owned()), "after {id}");
    }
    let path = format!("/pcast/channel/local%23app%23live/recordings/{}", ids[0]);
    for headers in [&[][..], &guest[..]] {
        let answer = bench.call_with("DELETE", &path, headers, "").await;
        assert!([401, 404].contains(&answer.code.as_u16()));
    }
    let all = bench.operate("GET", "/api/admin/recordings", "").await;
    assert_eq!(ids_of(&all).len(), 3, "nothing was deleted");
}

#[tokio::test]
async fn a_recording_is_deleted_once() {
    let (bench, ids) = kept(&["local#app#live", "local#app#live"]).await;
    let path = format!("{LIST}/{}", ids[0]);
    let deleted = bench.call("DELETE", &path, "").await;
    assert_eq!(deleted.text, "{\"status\":\"ok\"}");
    assert_eq!(bench.call("DELETE", &path, "").await.code, 404);
    assert_eq!(bench.call("GET", &path, "").await.code, 404);
    let left = bench.call("GET", LIST, "").await;
    assert_eq!(ids_of(&left), [ids[1].to_string()]);
    assert!(
        !bench
            .state
            .setup()
            .data
            .join("kept")
            .join(ids[0].to_string())
            .exists()
    );
}

#[tokio::test]
async fn numbers_of_a_list_or_a_movie_are_checked() {
    let (bench, ids) = kept(&["local#app#live"]).await;
    for (query, code, word) in [
        ("limit=1000", 200, "ok"),
        ("limit=1001", 413, "limit-too-large"),
        ("limit=99999999999999999999999", 413, "limit-too-large"),
        ("limit=0", 400, "bad-request"),
        ("limit=-1", 400, "bad-request"),
        ("limit=1&limit=2", 400, "bad-request"),
        ("after=", 400, "bad-request"),
        ("other=1", 200, "ok"),
    ] {
        let answer = bench.call("GET", &format!("{LIST}?{query}"), "").await;
        assert_eq!(answer.word(), (code, word.to_owned()), "{query}");
        let path = format!("/api/admin/recordings?{query}");
        let answer = bench.operate("GET", &path, "").await;
        assert_eq!(answer.word(), (code, word.to_owned()), "{query}");
    }
    for part in ["0", "x", "-1"] {
        let path = format!("{LIST}/{}.mp4?part={part}", ids[0]);
        let answer = bench.call("GET", &path, "").await;
        assert_eq!(answer.word(), (400, "bad-request".to_owned()), "{part}");
    }
}
