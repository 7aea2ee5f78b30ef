//! Scheduled films in rooms, seen by LiveKit's own library (contract, broadcasts, N-9), and an encoder in a film's
//! place there (N-12).

use std::path::PathBuf;
use std::process::Stdio;

use forebay::base::clock::Clock;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::world::{ADMIN_KEY, World};
use crate::common::http;
use crate::common::livekit::clients::{Client, median};

/// Seconds from one flash of the film to the next, by which a moment of it is known.
const EVERY: f64 = 3.0;

/// Makes of these sources, in which `EVERY` stands for seconds, a picture that flashes while a tone sounds.
fn sources(every: f64) -> [String; 2] {
    let lit = format!("lt(mod(t\\,{every})\\,0.2)");
    [
        format!("color=black:s=320x180:r=30,drawbox=c=white:t=fill:enable={lit}"),
        format!("aevalsrc=if({lit}\\,0.6*sin(2*PI*1000*t)\\,0):s=48000"),
    ]
}

fn ffmpeg(every: f64, rest: &str) -> Command {
    let [picture, sound] = sources(every);
    let paced = if rest.contains("rtmp:") { "-re" } else { "-y" };
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-nostdin", paced])
        .args(["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound])
        .args("-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 30".split(' '))
        .args("-c:a aac -b:a 128k -ar 48000 -ac 2".split(' '))
        .args(rest.split(' '))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

/// A film of two flashes.
async fn film(world: &World) -> PathBuf {
    let file = world.folder().file("film.mp4");
    let made = ffmpeg(EVERY, &format!("-t 6 {}", file.display())).status();
    assert!(made.await.expect("ffmpeg starts").success());
    file
}

/// An event that plays its film again and again.
struct Event {
    token: String,
    id: String,
    broadcast: String,
}

async fn ask(world: &World, token: &str, what: &str, body: Value) -> Value {
    let (method, path) = what.split_once(' ').expect("method and path");
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("Content-Type", "application/json")];
    match token {
        "" => headers.push(("X-Admin-Key", ADMIN_KEY)),
        _ => headers.push(("Authorization", &bearer)),
    }
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let answer = http::send(world.gateway.http(), method, path, &headers, body).await;
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    serde_json::from_slice(&answer.body).expect("it answers in JSON")
}

fn text(value: &Value, name: &str) -> String {
    let text = value[name].as_str();
    text.unwrap_or_else(|| panic!("no {name} in {value}"))
        .to_owned()
}

impl Event {
    async fn start(world: &World) -> Event {
        let user = json!({"username": "ann", "email": "ann@example.org", "password": "s3cretpass"});
        let user = ask(world, "", "POST /api/users/signup", user).await;
        let token = text(&user, "token");
        let fields = json!({
            "title": "Film", "scheduledStartTime": "2099-01-01T20:00:00Z",
            "scheduledEndTime": "2099-01-01T22:00:00Z",
            "repeatMode": "until_end", "repeatUntilEnd": true
        });
        let made = ask(world, &token, "POST /api/events/schedule", fields).await;
        let id = text(&made, "id");
        upload(world, &token, &id, &film(world).await).await;
        let what = format!("GET /api/events/{id}");
        let prepared = async || {
            let event = ask(world, "", &what, Value::Null).await;
            (event["file"]["state"] == "prepared").then_some(())
        };
        world.gateway.until("a prepared film", prepared).await;
        let what = format!("POST /api/events/{id}/start-video");
        let started = ask(world, &token, &what, Value::Null).await;
        Event {
            token,
            id,
            broadcast: text(&started, "broadcastId"),
        }
    }

    /// When the film began, by its position: seconds since 1970, on this machine's clock as a viewer's times are.
    async fn began(&self, world: &World) -> f64 {
        let what = format!("GET /api/events/{}/sync", self.id);
        let sync = ask(world, "", &what, Value::Null).await;
        assert_eq!(sync["isPlaying"], true, "{sync}");
        let now = Clock::system().wall().0 as f64 / 1e6;
        now - sync["currentPosition"].as_f64().expect("seconds")
    }

    /// A viewer in the event's room.
    async fn viewer(&self, world: &World) -> Client {
        let what = format!("POST /api/streaming/sessions/{}/token", self.broadcast);
        let fields = json!({"userId": "viewer", "role": "subscriber"});
        let answer = ask(world, "", &what, fields).await;
        let (url, token) = (text(&answer, "serverUrl"), text(&answer, "token"));
        let mut viewer = Client::python("view", &url, &token, "").await;
        viewer.event("connected").await;
        viewer
    }

    /// An encoder in the film's place, which flashes every second.
    async fn take_over(&self, world: &World) -> Child {
        let what = format!("POST /api/events/{}/takeover", self.id);
        let door = ask(world, &self.token, &what, Value::Null).await;
        let key = text(&door, "streamKey");
        let url = format!("-f flv rtmp://{}/live/{key}", world.gateway.rtmp());
        ffmpeg(1.0, &url).spawn().expect("ffmpeg starts")
    }
}

async fn upload(world: &World, token: &str, id: &str, file: &std::path::Path) {
    let head =
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"film.mp4\"\r\n\r\n";
    let mut form = head.as_bytes().to_vec();
    form.extend(std::fs::read(file).expect("the film is there"));
    form.extend_from_slice(b"\r\n--b--\r\n");
    let bearer = format!("Bearer {token}");
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "multipart/form-data; boundary=b"),
    ];
    let path = format!("/api/events/{id}/upload");
    let answer = http::send(world.gateway.http(), "POST", &path, &headers, form).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// When a viewer saw something begin, seconds since 1970.
fn times(viewer: &Client, event: &str) -> Vec<f64> {
    let said = viewer.said.iter().filter(|said| said["event"] == event);
    said.filter_map(|said| said["at"].as_f64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_is_in_its_room_where_its_position_is_and_an_encoder_takes_its_place_there() {
    let world = World::with_ladder("auto").await;
    let event = Event::start(&world).await;
    let mut viewer = event.viewer(&world).await;
    let figures = viewer.pictures("forebay", 400).await;
    let began = event.began(&world).await;
    let lags: Vec<f64> = times(&viewer, "flash")
        .iter()
        .map(|at| (at - began).rem_euclid(EVERY))
        .collect();
    let offsets = viewer.lip_offsets("forebay");
    show(&format!(
        "{figures}\na film's viewer is {:.0} ms behind the position; sound {:.0} ms after the picture",
        median(&lags) * 1000.0,
        median(&offsets) * 1000.0
    ));
    assert!(lags.len() >= 3, "{lags:?}");
    // A part of 200 ms, the way, and what a viewer's buffers make of it on a busy machine.
    assert!(lags.iter().all(|lag| *lag < 2.0), "{lags:?}");
    assert!(median(&offsets).abs() < 0.35, "{offsets:?}");
    assert_eq!(figures["freezes"], 0, "{figures}");

    let encoder = event.take_over(&world).await;
    let close = |at: &[f64]| at.windows(2).any(|pair| pair[1] - pair[0] < 1.5);
    let is_on = |said: &Value| said["event"] == "flash";
    while !close(&times(&viewer, "flash")) {
        viewer.until("flash", is_on).await;
    }
    drop(encoder);
    let back = |at: &[f64]| {
        at.last()
            .zip(at.iter().rev().nth(1))
            .is_some_and(|(a, b)| a - b > 2.5)
    };
    while !back(&times(&viewer, "flash")) {
        viewer.until("flash", is_on).await;
    }
    let gone = viewer
        .said
        .iter()
        .filter(|said| said["event"] == "track_gone");
    assert_eq!(gone.count(), 0, "who watches keeps the tracks");
    viewer.leave().await;
    world.gateway.stop().await;
}

/// A figure for whoever reads the output of the test.
fn show(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}
