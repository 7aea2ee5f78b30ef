//! What the channel API says and does while real encoders publish: ffmpeg over RTMP and SRT, at the pace of
//! its clock, into the real program. M-1 to M-16 are the media scenarios of the channel contract, N-1 to N-11
//! and N-14 those of the broadcast contract, as far as they need no LiveKit.

mod broadcasts;
mod events;
mod forks;
mod kills;
mod ladder;
mod members;
mod playback;

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use forebay::manifest::parse::Media;
use serde_json::{Value, json};

use crate::common::gateway::{Folder, Gateway, Settings};
use crate::common::http::{self, Answer};
use crate::common::media::Clip;
use crate::common::server::Publishing;
use crate::common::srt::{Call, Sender};

const SECRET: &str = "ScenarioSecret-0123456789";

/// A channel that was made over the API.
struct Channel {
    id: String,
    key: String,
}

impl Channel {
    /// Below its address, its id as clients have to write it.
    fn path(&self, below: &str) -> String {
        format!("/pcast/channel/{}{below}", self.id.replace('#', "%23"))
    }
}

/// The program, and a client of its API.
struct Stage {
    gateway: Gateway,
    folder: Folder,
}

impl Stage {
    async fn set(settings: &Settings<'_>) -> Stage {
        let folder = Folder::new();
        let known = [
            ("FOREBAY_APPLICATION_SECRET", SECRET),
            // A busy machine may keep an encoder waiting, which is no reason not to count it.
            ("FOREBAY_SILENCE_MS", "5000"),
        ];
        let settings = [&known[..], settings].concat();
        let gateway = folder.serve(&settings).await;
        Stage { gateway, folder }
    }

    /// What the API answers to an application.
    async fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let credentials = format!("Basic {}", STANDARD.encode(format!("forebay:{SECRET}")));
        let headers = [
            ("Authorization", &*credentials),
            ("Content-Type", "application/json"),
        ];
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let answer = http::send(self.gateway.http(), method, path, &headers, &body).await;
        let value = serde_json::from_slice(&answer.body);
        (answer.status, value.expect("it answers in JSON"))
    }

    /// The same, which must go well.
    async fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let (code, answer) = self.call(method, path, body).await;
        assert_eq!(code, 200, "{method} {path}: {answer}");
        assert_eq!(answer["status"], "ok");
        answer
    }

    /// Makes a channel; encoders over RTMP that name no capabilities get these, if there are any.
    async fn channel(&self, alias: &str, capabilities: &[&str]) -> Channel {
        let mut asked = json!({"channel": {
            "alias": alias, "name": format!("Name of {alias}"), "description": "", "options": [],
        }});
        if !capabilities.is_empty() {
            asked["channel"]["ingestOptions"] = json!({"capabilities": capabilities});
        }
        let answer = self.done("PUT", "/pcast/channel", &asked).await;
        let text = |name: &str| {
            answer["channel"][name]
                .as_str()
                .expect("it is there")
                .to_owned()
        };
        Channel {
            id: text("channelId"),
            key: text("streamKey"),
        }
    }

    /// An encoder over RTMP.
    fn rtmp(&self, channel: &Channel, clip: &Clip) -> Publishing {
        let url = format!("rtmp://{}/ingest/{}", self.gateway.rtmp(), channel.key);
        Publishing::start("ffmpeg", &clip.file(), "-re", &url)
    }

    /// An encoder over SRT.
    fn srt(&self, channel: &Channel, clip: &Clip) -> Sender {
        Call::new(self.gateway.srt(), &channel.key).ffmpeg_5(&clip.file())
    }

    async fn members(&self, channel: &Channel) -> Vec<Value> {
        let answer = self
            .done("GET", &channel.path("/members"), &Value::Null)
            .await;
        answer["members"].as_array().expect("a list").clone()
    }

    /// Its members, once there are so many.
    async fn until_members(&self, channel: &Channel, count: usize) -> Vec<Value> {
        self.gateway
            .until(&format!("{count} members"), async || {
                let members = self.members(channel).await;
                (members.len() == count).then_some(members)
            })
            .await
    }

    /// Its members, once there are so many whose picture and sound have both come.
    async fn until_complete(&self, channel: &Channel, count: usize) -> Vec<Value> {
        let complete = |member: &Value| {
            let stream = &member["streams"][0];
            stream["audioState"] == "TrackEnabled" && stream["videoState"] == "TrackEnabled"
        };
        self.gateway
            .until(&format!("{count} members"), async || {
                let members = self.members(channel).await;
                (members.len() == count && members.iter().all(complete)).then_some(members)
            })
            .await
    }

    /// Code and body of the count, with a query or without one.
    async fn count(&self, channel: &Channel, query: &str) -> (u16, String) {
        let path = channel.path(&format!("/publishers/count{query}"));
        let answer = self.gateway.get(&path).await;
        (answer.status, answer.text().to_owned())
    }

    async fn manifest(&self, channel: &Channel) -> Answer {
        self.gateway.get(&channel.path("/live.m3u8")).await
    }

    /// Where its manifest leads, once it does.
    async fn location(&self, channel: &Channel) -> String {
        self.gateway
            .until("a manifest", async || {
                let answer = self.manifest(channel).await;
                let location = answer.header("location")?.to_owned();
                assert_eq!(answer.status, 302);
                Some(location)
            })
            .await
    }

    /// The multivariant playlist at a location, once it is listed.
    async fn multivariant(&self, location: &str) -> String {
        self.gateway
            .until("a multivariant playlist", async || {
                let answer = self.gateway.get(location).await;
                if answer.status != 200 {
                    return None;
                }
                let kind = answer.header("content-type");
                assert_eq!(kind, Some("application/vnd.apple.mpegurl"));
                Some(answer.text().to_owned())
            })
            .await
    }

    /// A rendition's playlist beside a location, once it has so many complete segments.
    async fn segments(&self, location: &str, rendition: &str, count: usize) -> Media {
        let path = beside(location, &format!("{rendition}/index.m3u8"));
        self.gateway
            .until(&format!("{count} segments"), async || {
                let answer = self.gateway.get(&path).await;
                if answer.status != 200 {
                    return None;
                }
                let media = Media::parse(answer.text()).expect("a playlist");
                let complete = media
                    .segments
                    .iter()
                    .filter(|segment| !segment.uri.is_empty() && !segment.gap);
                (complete.count() >= count).then_some(media)
            })
            .await
    }

    /// Waits until its playlist lists a segment that it does not list yet.
    async fn goes_on(&self, location: &str) {
        let before = newest(&self.segments(location, "source", 1).await);
        let path = beside(location, "source/index.m3u8");
        self.gateway
            .until("a new segment", async || {
                let answer = self.gateway.get(&path).await;
                assert_eq!(answer.status, 200, "{path}");
                assert!(!answer.text().contains("#EXT-X-ENDLIST"), "it goes on");
                let now = newest(&Media::parse(answer.text()).expect("a playlist"));
                (now > before).then_some(())
            })
            .await;
    }

    /// Waits until nothing more comes below a location.
    async fn over(&self, location: &str) {
        let path = beside(location, "source/index.m3u8");
        self.gateway
            .until("end of the playlist", async || {
                let answer = self.gateway.get(&path).await;
                assert_eq!(answer.status, 200, "what was sent can be played to its end");
                answer.text().contains("#EXT-X-ENDLIST").then_some(())
            })
            .await;
    }

    /// What a rendition lists, the parts of its growing segment included, up to its first change of
    /// configuration, as a file.
    async fn download(&self, location: &str, rendition: &str, media: &Media) -> PathBuf {
        let mut names: Vec<String> = Vec::new();
        for segment in media.segments.iter().filter(|segment| !segment.gap) {
            if !names.is_empty() && segment.map.is_some() {
                break;
            }
            names.extend(segment.map.clone());
            if segment.uri.is_empty() {
                let parts = segment.parts.iter().filter(|part| !part.gap);
                names.extend(parts.map(|part| part.uri.clone()));
            } else {
                names.push(segment.uri.clone());
            }
        }
        let mut bytes = Vec::new();
        for name in names {
            let path = beside(location, &format!("{rendition}/{name}"));
            let answer = self.gateway.get(&path).await;
            assert_eq!(answer.status, 200, "{path}");
            bytes.extend(answer.body);
        }
        let file = self.folder.file(&format!("{rendition}.mp4"));
        std::fs::write(&file, bytes).expect("the folder can be written");
        file
    }
}

/// A path in the folder of a location.
fn beside(location: &str, below: &str) -> String {
    let path = location.split('?').next().unwrap_or(location);
    let (folder, _) = path.rsplit_once('/').expect("a path");
    format!("{folder}/{below}")
}

/// The stream that a location leads to.
fn stream_of(location: &str) -> &str {
    location.split('/').nth(2).expect("/hls/ID/…")
}

/// Number of the newest complete segment with media.
fn newest(media: &Media) -> Option<u64> {
    let named = media
        .segments
        .iter()
        .filter(|segment| !segment.gap)
        .filter_map(|segment| segment.uri.strip_suffix(".m4s")?.parse().ok());
    named.max()
}

/// A member's word.
fn word<'a>(member: &'a Value, name: &str) -> &'a str {
    member[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {member}"))
}

/// The address of a member's stream.
fn uri(member: &Value) -> &str {
    word(&member["streams"][0], "uri")
}
