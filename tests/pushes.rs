//! Channels pushed to other servers: the real binary with an encoder, and far sides that listen on loopback,
//! which the setting allows here.

use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::gateway::{Folder, Gateway, Settings};
use crate::common::http;
use crate::common::media::{Clip, beeps, flashes, lip_offsets, pictures};
use crate::common::server::Publishing;

mod ingress;
mod refusals;
mod rtmp;
mod whip;

const ADMIN_KEY: &str = "PushAdmin0123456789";
const STREAM_KEY: &str = "PushedChannelKey0123456789";
const FORWARDS: &str = "/api/admin/channels/live/forwards";

/// A gateway that pushes its default channel.
struct Pushing {
    gateway: Gateway,
    _folder: Folder,
}

impl Pushing {
    /// One that may push to this machine; `more` settings.
    async fn start(more: &Settings<'_>) -> Pushing {
        let folder = Folder::new();
        let mut settings = vec![
            ("FOREBAY_ADMIN_KEY", ADMIN_KEY),
            ("FOREBAY_STREAM_KEY", STREAM_KEY),
            ("FOREBAY_FORWARD_PRIVATE", "127.0.0.0/8"),
            ("RUST_LOG", "forebay=trace"),
        ];
        settings.extend(more);
        let gateway = folder.serve(&settings).await;
        Pushing {
            gateway,
            _folder: folder,
        }
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let headers = [
            ("X-Admin-Key", ADMIN_KEY),
            ("Content-Type", "application/json"),
        ];
        let answer = http::send(self.gateway.http(), method, path, &headers, body).await;
        let text = answer.text();
        assert_eq!(answer.status, 200, "{method} {path}: {text}");
        serde_json::from_str(text).expect("JSON")
    }

    /// Pushes the channel there, too; its id.
    async fn add(&self, body: Value) -> String {
        let added = self.ask("POST", FORWARDS, &body.to_string()).await;
        let id = added["forward"]["id"].as_str();
        id.expect("it has an id").to_owned()
    }

    async fn add_rtmp(&self, url: &str, key: &str) -> String {
        self.add(json!({"kind": "rtmp", "url": url, "key": key}))
            .await
    }

    async fn remove(&self, id: &str) {
        self.ask("DELETE", &format!("{FORWARDS}/{id}"), "").await;
    }

    /// What is told of all destinations.
    async fn all_told(&self) -> Vec<Value> {
        let list = self.ask("GET", FORWARDS, "").await;
        list["forwards"].as_array().expect("a list").clone()
    }

    /// What is told of the only destination.
    async fn told(&self) -> Value {
        let mut forwards = self.all_told().await;
        assert_eq!(forwards.len(), 1, "{forwards:?}");
        forwards.remove(0)
    }

    /// Waits until it is so with one of several destinations.
    async fn until_of(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let what = format!("{id} as it should be");
        let ask = async || {
            let mut all = self.all_told().await.into_iter();
            all.find(|told| told["id"] == id).filter(&is_so)
        };
        self.gateway.until(&what, ask).await
    }

    /// Waits until it is so with the only destination.
    async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let ask = async || Some(self.told().await).filter(&is_so);
        self.gateway.until(what, ask).await
    }

    async fn until_state(&self, state: &str) -> Value {
        self.until(state, |told| told["state"] == state).await
    }

    /// An encoder at the pace of its clock.
    fn publish(&self, file: &Path) -> Publishing {
        let url = format!("rtmp://{}/live/{STREAM_KEY}", self.gateway.rtmp());
        Publishing::start("ffmpeg", file, "-re", &url)
    }

    /// The channel's stream is over.
    async fn end_stream(&self) {
        self.ask("PUT", "/api/admin/channels/live/kill", "{}").await;
    }
}

/// A TCP port that nobody listens on, for programs that cannot tell which one they were given.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    listener.local_addr().expect("it is bound").port()
}

/// Every picture of the file from its first one to `last` is there once, in order. Where the first one is.
fn assert_every_picture(file: &Path, last: usize) -> u32 {
    let numbers: Vec<u32> = pictures(file)
        .iter()
        .map(|picture| picture.number.expect("readable"))
        .collect();
    let first = *numbers.first().expect("there are pictures");
    let expected: Vec<u32> = (first..=u32::try_from(last).expect("a number")).collect();
    assert_eq!(numbers, expected);
    first
}

/// The sound of `sound` is in time with the picture of `picture`: a frame of each at most.
fn assert_lips(picture: &Path, sound: &Path, least: usize) {
    let (flashes, beeps) = (flashes(&pictures(picture)), beeps(sound));
    let offsets = lip_offsets(&flashes, &beeps);
    assert!(offsets.len() >= least, "{flashes:?} {beeps:?}");
    let is_near = |offset: &f64| offset.abs() < 0.045;
    assert!(offsets.iter().all(is_near), "{offsets:?}");
}

/// 8 s with a key unit every half second.
fn clip() -> Clip {
    Clip::h264(240, 15)
}
