//! Scheduled events from their upload to their end, read as players do: N-9, N-10, N-11 and N-14.

use std::path::Path;

use forebay::base::clock::{Clock, Wall};
use forebay::base::rfc3339::Rfc3339;
use forebay::manifest::parse::{Media, Multivariant};
use serde_json::{Value, json};

use super::{Stage, beside};
use crate::common::gateway::Gateway;
use crate::common::http;
use crate::common::media::{Clip, pictures};

/// 25 frames a second, so many of them: the last segment of a loop has 1.2 s.
const FRAMES: u32 = 130;
const RATE: f64 = 25.0;
/// What a position and a picture may differ by: a frame, and what rounding makes of it.
const NEAR: f64 = 1.5 / RATE;

/// An event of somebody's.
struct Event {
    token: String,
    id: String,
    hls: String,
}

fn now() -> Wall {
    Clock::system().wall()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    let text = value[name].as_str();
    text.unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// A whole second from now on.
fn in_seconds(seconds: i64) -> String {
    Rfc3339(now().plus_micros(seconds * 1_000_000)).seconds()
}

async fn ask(gateway: &Gateway, token: &str, what: &str, body: Value) -> Value {
    let (method, path) = what.split_once(' ').expect("method and path");
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("Content-Type", "application/json")];
    if !token.is_empty() {
        headers.push(("Authorization", bearer.as_str()));
    }
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let answer = http::send(gateway.http(), method, path, &headers, body).await;
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    serde_json::from_slice(&answer.body).expect("it answers in JSON")
}

impl Event {
    /// Schedules an event and uploads its file, of which all is prepared when this returns.
    async fn schedule(gateway: &Gateway, mut fields: Value, file: &Path) -> Event {
        let user = json!({"username": "ann", "email": "ann@example.org", "password": "s3cretpass"});
        let user = ask(gateway, "", "POST /api/users/signup", user).await;
        let token = text(&user, "token").to_owned();
        fields["title"] = json!("Film");
        let made = ask(gateway, &token, "POST /api/events/schedule", fields).await;
        let event = Event {
            id: text(&made, "id").to_owned(),
            hls: path_of(text(&made, "hlsUrl")).to_owned(),
            token,
        };
        let name = file.file_name().and_then(|name| name.to_str());
        let mut form = format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\r\n",
            name.expect("a name")
        )
        .into_bytes();
        form.extend(std::fs::read(file).expect("the clip is there"));
        form.extend_from_slice(b"\r\n--b--\r\n");
        let bearer = format!("Bearer {}", event.token);
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "multipart/form-data; boundary=b"),
        ];
        let path = format!("/api/events/{}/upload", event.id);
        let answer = http::send(gateway.http(), "POST", &path, &headers, form).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        gateway
            .until("a prepared film", async || {
                let event = event.fetch(gateway).await;
                assert_ne!(event["file"]["state"], "failed", "{event}");
                (event["file"]["state"] == "prepared").then_some(())
            })
            .await;
        event
    }

    async fn fetch(&self, gateway: &Gateway) -> Value {
        let what = format!("GET /api/events/{}", self.id);
        ask(gateway, "", &what, Value::Null).await
    }

    async fn sync(&self, gateway: &Gateway) -> Value {
        let what = format!("GET /api/events/{}/sync", self.id);
        ask(gateway, "", &what, Value::Null).await
    }

    async fn until_status(&self, gateway: &Gateway, status: &str) -> Value {
        gateway
            .until(status, async || {
                let event = self.fetch(gateway).await;
                (event["status"] == status).then_some(event)
            })
            .await
    }

    /// Path and text of the first rendition's playlist.
    async fn playlist(&self, gateway: &Gateway) -> (String, Media) {
        let answer = gateway.get(&self.hls).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let all = Multivariant::parse(answer.text()).expect("a multivariant playlist");
        let path = beside(&self.hls, &all.variants[0].1);
        let answer = gateway.get(&path).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        (path, Media::parse(answer.text()).expect("a playlist"))
    }

    /// Numbers in the pictures of all segments that are listed since the film began, with the seconds since
    /// then.
    async fn seen(&self, stage: &Stage, gateway: &Gateway, since: Wall) -> Vec<(f64, u32)> {
        let (path, media) = self.playlist(gateway).await;
        let file = stage.folder.file("seen.mp4");
        let mut seen = Vec::new();
        let mut map = None;
        for segment in media.segments.iter().filter(|one| !one.uri.is_empty()) {
            // It holds until another one stands there.
            map = segment.map.as_ref().or(map);
            let date = segment.date.expect("every segment has a date");
            let at = date.micros_since(since) as f64 / 1e6;
            if at < 0.0 {
                continue;
            }
            let map = map.expect("an initialisation segment");
            let mut bytes = gateway.get(&beside(&path, map)).await.body;
            bytes.extend(gateway.get(&beside(&path, &segment.uri)).await.body);
            std::fs::write(&file, bytes).expect("the folder can be written");
            let pictures = pictures(&file);
            let first = pictures.first().expect("pictures").time;
            for picture in &pictures {
                let number = picture.number.expect("a number that can be read");
                seen.push((at + picture.time - first, number));
            }
        }
        seen
    }
}

fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").expect("an address").1;
    &rest[rest.find('/').expect("a path")..]
}

/// The second of a time in an answer.
fn wall(text: &str) -> Wall {
    let all = (now().unix_seconds() - 3600..now().unix_seconds() + 3600)
        .map(|second| Wall(second * 1_000_000));
    let mut found = all.filter(|wall| Rfc3339(*wall).seconds() == text);
    found.next().expect("a time of now")
}

fn film() -> std::path::PathBuf {
    let clip = Clip {
        container: "mp4",
        ..Clip::small("25", FRAMES as usize)
    };
    clip.file()
}

#[tokio::test]
async fn a_looping_film_begins_by_itself_is_where_the_clock_says_and_outlives_the_process() {
    let stage = Stage::set(&[]).await;
    let gateway = &stage.gateway;
    let fields = json!({"scheduledStartTime": in_seconds(60), "scheduledEndTime": in_seconds(600),
        "repeatMode": "until_end", "repeatUntilEnd": true});
    let event = Event::schedule(gateway, fields, &film()).await;
    // As soon as it can: N-9 without waiting for a minute.
    let what = format!("PUT /api/events/{}", event.id);
    let starts = in_seconds(3);
    let moved = json!({ "scheduledStartTime": starts });
    ask(gateway, &event.token, &what, moved).await;
    let active = event.until_status(gateway, "active").await;
    assert_eq!(text(&active, "playbackStartedAt"), starts);
    let since = wall(&starts);
    assert!(now().micros_since(since) < 5_000_000);
    assert_eq!(path_of(text(&active, "hlsUrl")), event.hls);
    let live = ask(gateway, "", "GET /api/broadcasts", Value::Null).await;
    assert_eq!(live[0]["streamId"], active["streamId"]);
    // N-10: over the seam, pictures and position agree.
    let seen = gateway
        .until("two turns of the film", async || {
            let seen = event.seen(&stage, gateway, since).await;
            (seen.len() > FRAMES as usize + 50).then_some(seen)
        })
        .await;
    let period = f64::from(FRAMES) / RATE;
    for (at, number) in &seen {
        let off = (at % period - f64::from(*number) / RATE).abs();
        assert!(off < NEAR || (period - off) < NEAR, "{at} {number}");
    }
    let (_, media) = event.playlist(gateway).await;
    let breaks = media.segments.iter().filter(|one| one.discontinuity);
    assert!(breaks.count() <= 1, "none but where the film begins");
    let sync = event.sync(gateway).await;
    assert_eq!(sync["isPlaying"], true);
    assert!((sync["duration"].as_f64().expect("seconds") - period).abs() < 1e-6);
    let said = sync["currentPosition"].as_f64().expect("seconds");
    let real = now().micros_since(since) as f64 / 1e6 % period;
    let off = (real - said).rem_euclid(period);
    assert!(off < 1.0, "{said} is not {real}");
    // N-14: after a kill the same address gives the same bytes, and the film is where it would be.
    let (path, media) = event.playlist(gateway).await;
    let kept = media.segments.iter().rev().find(|one| !one.uri.is_empty());
    let kept = beside(&path, &kept.expect("a segment").uri);
    let before = gateway.get(&kept).await.body;
    let Stage { gateway, folder } = stage;
    gateway.kill().await;
    let gateway = folder.serve(&[]).await;
    let after = gateway.get(&kept).await;
    assert_eq!((after.status, after.body == before), (200, true));
    let sync = event.sync(&gateway).await;
    assert_eq!(text(&sync, "playbackStartedAt"), starts);
    let said = sync["currentPosition"].as_f64().expect("seconds");
    let real = now().micros_since(since) as f64 / 1e6 % period;
    assert!(
        (real - said).rem_euclid(period) < 1.0,
        "{said} is not {real}"
    );
    // It ends at its end.
    let end = json!({ "scheduledEndTime": in_seconds(2) });
    ask(&gateway, &event.token, &what, end).await;
    event.until_status(&gateway, "completed").await;
    gateway
        .until("the end of the playlist", async || {
            let (_, media) = event.playlist(&gateway).await;
            media.ended.then_some(())
        })
        .await;
    let live = ask(&gateway, "", "GET /api/broadcasts", Value::Null).await;
    assert_eq!(live, json!([]));
}

#[tokio::test]
async fn a_sound_alone_plays_as_sound_alone() {
    let stage = Stage::set(&[]).await;
    let gateway = &stage.gateway;
    let clip = Clip {
        container: "m4a",
        ..Clip::small("25", 150).blind()
    };
    let fields = json!({"scheduledStartTime": in_seconds(60), "scheduledEndTime": in_seconds(600)});
    let event = Event::schedule(gateway, fields, &clip.file()).await;
    let what = format!("POST /api/events/{}/start-video", event.id);
    let started = ask(gateway, &event.token, &what, Value::Null).await;
    assert_eq!(started["status"], "active");
    let since = wall(text(&started, "playbackStartedAt"));
    let media = gateway
        .until("sound", async || {
            let (_, media) = event.playlist(gateway).await;
            let begun = |one: &forebay::manifest::parse::Segment| {
                let date = one.date.filter(|_| !one.uri.is_empty());
                date.is_some_and(|date| date >= since)
            };
            media.segments.iter().any(begun).then_some(media)
        })
        .await;
    assert!(!media.ended);
    let all = gateway.get(&event.hls).await;
    assert!(!all.text().contains("RESOLUTION"), "{}", all.text());
    assert_eq!(event.sync(gateway).await["isPlaying"], true);
}
