//! The requests that the guide to the channel API prints, as their clients send them: curl, JavaScript's `fetch`
//! and Python's `requests`. What must come back is the same for all of them.

use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{DEADLINE, script, stop};
use crate::common::encoder::Encoder;
use crate::common::gateway::{Folder, Gateway};

/// Secret of the first application.
const SECRET: &str = "ExamplesSecret0123456789";

const CREATE: &str = r#"PUT /pcast/channel HTTP/1.1
Host: media.example
Accept: application/json
Authorization: Basic YXBwbGljYXRpb25JZDpzZWNyZXQ=
Content-Type: application/json
Content-Length: 172

{
  "channel": {
    "alias": "<channelAlias>",
    "name": "<channelName>",
    "description": "<channelDescription>",
    "options": [<channelOptions>]
  }
}"#;

const FETCH: &str = "GET /pcast/channel/<urlEncodedChannelId> HTTP/1.1
Host: media.example
Accept: application/json
Authorization: Basic YXBwbGljYXRpb25JZDpzZWNyZXQ=
Content-Type: application/json
";

const MEMBERS: &str = "GET /pcast/channel/<urlEncodedChannelId>/members HTTP/1.1
Host: media.example
Accept: application/json
Content-Type: application/json
Authorization: Basic YmlsbHk6c2VjcmV0cGFzc3dvcmQ=
";

const LIST: &str = "GET /pcast/channels HTTP/1.1
Host: media.example
Accept: application/json
Authorization: Basic YXBwbGljYXRpb25JZDpzZWNyZXQ=
Content-Type: application/json
";

/// Printed without the authorization that it needs (contract, channels, decision C-3).
const DELETE: &str = "DELETE /pcast/channel/<urlEncodedChannelId> HTTP/1.1
Host: media.example
Accept: application/json
Content-Type: application/json
Content-Length: 0
";

const FORK: &str = r#"PUT /pcast/channel/<urlEncodedDestinationChannelId>/fork/<urlEncodedChannelId> HTTP/1.1
Host: media.example
Accept: application/json
Content-Type: application/json
Content-Length: 86
Authorization: Basic YmlsbHk6c2VjcmV0cGFzc3dvcmQ=

{
  "streamCapabilities": [],
  "streamTags": ["my-channel-fork"],
  "options": []
}"#;

const KILL: &str = r#"PUT /pcast/channel/<urlEncodedChannelId>/kill HTTP/1.1
Host: media.example
Accept: application/json
Content-Type: application/json
Content-Length: 47
Authorization: Basic YmlsbHk6c2VjcmV0cGFzc3dvcmQ=

{
  "reason": "kill-reason",
  "options": []
}"#;

const COUNT: &str = "GET /pcast/channel/<urlEncodedChannelId>/publishers/count HTTP/1.1
Host: media.example
Accept: application/json
";

const MANIFEST: &str = "GET /pcast/channel/<urlEncodedChannelId>/<manifest> HTTP/1.1
Host: media.example
Accept: */*
";

const SEND: &str = r#"PUT /pcast/channel/<urlEncodedChannelId>/message HTTP/1.1
Host: media.example
Accept: application/json
Authorization: Basic YXBwbGljYXRpb25JZDpzZWNyZXQ=
Content-Type: application/json
Content-Length: 303

{
  "message": {
    "from": {
      "screenName": "Screen Name",
      "role": "Moderator",
      "lastUpdate": 0
    },
    "mimeType": "text/plain",
    "message": "My message",
    "tags": ["my-tag", "my-other-tag"]
  }
}"#;

const MESSAGES: &str = "GET /pcast/channel/<urlEncodedChannelId>/messages?limit=100 HTTP/1.1
Host: media.example
Accept: application/json
Authorization: Basic YXBwbGljYXRpb25JZDpzZWNyZXQ=
Content-Type: application/json
";

/// As [`DELETE`].
const PURGE: &str = "DELETE /pcast/channel/<urlEncodedChannelId>/messages HTTP/1.1
Host: media.example
Accept: application/json
Content-Type: application/json
Content-Length: 0
";

/// What came back.
#[derive(Debug)]
struct Answer {
    code: u64,
    kind: String,
    body: String,
}

impl Answer {
    /// The body of a good answer.
    #[track_caller]
    fn good(&self) -> Value {
        assert_eq!(self.code, 200, "{self:?}");
        assert_eq!(self.kind, "application/json; charset=utf-8");
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(body["status"], "ok", "{body}");
        body
    }

    /// Checks a refusal by its code and its word.
    #[track_caller]
    fn refused(&self, code: u64, word: &str) {
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!((self.code, &body["status"]), (code, &json!(word)), "{body}");
    }
}

/// Who sends requests.
enum Sender {
    /// A process of curl for each.
    Curl,
    Script(Box<Script>),
}

/// A script that reads a request a line and writes an answer a line.
struct Script {
    _child: Child,
    requests: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Sender {
    fn script(folder: &Folder, name: &str) -> Sender {
        let mut command = script(folder, name);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the interpreter is there");
        let answers = child.stdout.take().expect("it is piped");
        Sender::Script(Box::new(Script {
            requests: child.stdin.take().expect("it is piped"),
            answers: BufReader::new(answers).lines(),
            _child: child,
        }))
    }

    async fn send(&mut self, request: &Request) -> Answer {
        let sending = async {
            match self {
                Sender::Curl => curl(request).await,
                Sender::Script(script) => script.send(request).await,
            }
        };
        let answer = tokio::time::timeout(DEADLINE, sending).await;
        answer.unwrap_or_else(|_| panic!("no answer to {request:?}"))
    }
}

impl Script {
    async fn send(&mut self, request: &Request) -> Answer {
        let line = format!("{}\n", request.json());
        let written = self.requests.write_all(line.as_bytes()).await;
        written.expect("the script reads");
        let answer = self.answers.next_line().await.expect("the script writes");
        let answer = answer.unwrap_or_else(|| panic!("no answer to {request:?}"));
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        Answer {
            code: answer["code"].as_u64().expect("a code"),
            kind: text("kind"),
            body: text("body"),
        }
    }
}

async fn curl(request: &Request) -> Answer {
    let mut command = Command::new("curl");
    // It follows redirects only when it is told to; the others do by themselves.
    command.args(["-sSL", "--globoff", "-w", "\n%{http_code} %{content_type}"]);
    command.args(["-X", &request.method]);
    for (name, value) in &request.headers {
        command.args(["-H", &format!("{name}: {value}")]);
    }
    if !request.body.is_empty() {
        command.args(["--data-binary", &request.body]);
    }
    let output = command.arg(&request.url).kill_on_drop(true).output().await;
    let output = output.expect("curl is there");
    assert!(output.status.success(), "{request:?}: {output:?}");
    let said = String::from_utf8(output.stdout).expect("text");
    let (body, last) = said.rsplit_once('\n').expect("a last line");
    let (code, kind) = last.split_once(' ').expect("code and type");
    Answer {
        code: code.parse().expect("a number"),
        kind: kind.to_owned(),
        body: body.to_owned(),
    }
}

/// A printed request, filled in.
#[derive(Debug)]
struct Request {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    /// Puts the gateway for the printed host, its credentials for the printed ones, and these values for what
    /// stands in angle brackets. Clients find out the length of a body by themselves.
    fn of(printed: &str, gateway: &Gateway, values: &[(&str, &str)]) -> Request {
        let mut text = printed.to_owned();
        for (name, value) in values {
            text = text.replace(&format!("<{name}>"), value);
        }
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let mut first = lines.next().expect("a request line").split(' ');
        let mut part = || first.next().expect("method and path").to_owned();
        let (method, path) = (part(), part());
        let headers = lines.map(|line| line.split_once(": ").expect("a header"));
        let headers = headers.filter(|(name, _)| !["Host", "Content-Length"].contains(name));
        let headers = headers.map(|(name, value)| match name {
            "Authorization" => authorization(),
            _ => (name.to_owned(), value.to_owned()),
        });
        Request {
            method,
            url: format!("http://{}{path}", gateway.http()),
            headers: headers.collect(),
            body: body.to_owned(),
        }
    }

    fn authorized(mut self) -> Request {
        self.headers.push(authorization());
        self
    }

    fn json(&self) -> Value {
        let headers = self.headers.iter();
        let headers: Map<String, Value> = headers
            .map(|(name, value)| (name.clone(), Value::String(value.clone())))
            .collect();
        json!({"method": self.method, "url": self.url, "headers": headers, "body": self.body})
    }
}

fn authorization() -> (String, String) {
    let credentials = STANDARD.encode(format!("forebay:{SECRET}"));
    ("Authorization".to_owned(), format!("Basic {credentials}"))
}

/// An id as it stands in a path.
fn encoded(id: &str) -> String {
    id.replace('#', "%23")
}

/// What the guide prints of a channel.
#[track_caller]
fn check_channel(channel: &Value, alias: &str) {
    let id = format!("local#forebay#{alias}");
    for (name, wanted) in [
        ("channelId", json!(id)),
        ("alias", json!(alias)),
        ("applicationId", json!("forebay")),
        ("name", json!(format!("Name of {alias}"))),
        ("description", json!("a channel description")),
        ("type", json!("Channel")),
        ("options", json!([])),
    ] {
        assert_eq!(channel[name], wanted, "{name} of {channel}");
    }
    let key = channel["streamKey"].as_str().expect("a key");
    let is_long = key.len() >= 96 && key.bytes().all(|byte| byte.is_ascii_alphanumeric());
    assert!(is_long, "{key}");
    for name in ["created", "lastUpdate"] {
        let time = channel[name].as_str().expect("a time");
        // 2018-02-05T18:21:28.280000000Z
        let is_like = time.len() == 30 && time.as_bytes()[19] == b'.' && time.ends_with('Z');
        assert!(is_like, "{name}: {time}");
    }
}

/// What the guide prints of members, of which there is one; its session.
#[track_caller]
fn check_member(members: &Value) -> String {
    let members = members.as_array().expect("a list");
    let [member] = &members[..] else {
        panic!("not one member: {members:?}");
    };
    assert_eq!(member["role"], "Presenter");
    assert_eq!(member["state"], "Passive");
    assert!(member["screenName"].is_string() && member["lastUpdate"].is_u64());
    let streams = member["streams"].as_array().expect("a list");
    assert_eq!(streams.len(), 1, "{member}");
    assert_eq!(streams[0]["type"], "Presentation");
    assert!(streams[0]["uri"].as_str().unwrap().starts_with("pcast://"));
    for state in ["audioState", "videoState"] {
        assert_eq!(streams[0][state], "TrackEnabled");
    }
    member["sessionId"].as_str().expect("a session").to_owned()
}

/// Makes a channel as printed; what it is.
async fn create(sender: &mut Sender, gateway: &Gateway, alias: &str) -> Value {
    let values = [
        ("channelAlias", alias),
        ("channelName", &format!("Name of {alias}")),
        ("channelDescription", "a channel description"),
        ("channelOptions", ""),
    ];
    let request = Request::of(CREATE, gateway, &values);
    let made = sender.send(&request).await.good()["channel"].take();
    check_channel(&made, alias);
    assert_eq!(made["estimatedSize"], 0);
    sender.send(&request).await.refused(409, "already-exists");
    made
}

/// Sends all that is printed.
async fn requests_work(start: impl FnOnce(&Folder) -> Sender) {
    let folder = Folder::new();
    let settings = [("FOREBAY_APPLICATION_SECRET", SECRET)];
    let gateway = folder.serve(&settings).await;
    let mut sender = start(&folder);
    let source = create(&mut sender, &gateway, "channel1").await;
    let copy = create(&mut sender, &gateway, "channel2").await;
    let id = encoded(source["channelId"].as_str().unwrap());
    let copy_id = encoded(copy["channelId"].as_str().unwrap());
    let values = [
        ("urlEncodedChannelId", id.as_str()),
        ("urlEncodedDestinationChannelId", &copy_id),
    ];
    let filled = |printed: &str| Request::of(printed, &gateway, &values);
    let with = |printed: &str, name, value| {
        Request::of(printed, &gateway, &[&values[..], &[(name, value)]].concat())
    };

    let fetched = sender.send(&filled(FETCH)).await.good();
    assert_eq!(fetched["channel"], source);
    let list = sender.send(&filled(LIST)).await.good();
    let listed = list["channels"].as_array().expect("a list");
    assert!(
        listed
            .iter()
            .all(|channel| channel["estimatedSize"].is_null())
    );
    let first = listed.iter().find(|channel| channel["alias"] == "channel1");
    check_channel(first.expect("it is listed"), "channel1");
    let nobody = sender.send(&filled(MEMBERS)).await.good();
    assert_eq!(nobody["members"], json!([]));

    let key = source["streamKey"].as_str().expect("a key");
    let mut encoder = Encoder::start(gateway.rtmp(), key).await.unwrap();
    for _ in 0..4 {
        encoder.lap().await.expect("it listens");
    }
    gateway
        .until("a playlist", async || {
            let path = format!("/pcast/channel/{id}/live.m3u8");
            let answer = gateway.get(&path).await;
            let target = gateway.get(answer.header("location")?).await;
            (target.status == 200).then_some(())
        })
        .await;
    let members = sender.send(&filled(MEMBERS)).await.good();
    let session = check_member(&members["members"]);
    let forked = sender.send(&filled(FORK)).await.good();
    assert_eq!(check_member(&forked["members"]), session);
    let count = sender.send(&filled(COUNT)).await;
    assert_eq!((count.code, count.body.as_str()), (200, "1"));
    assert_eq!(count.kind, "application/json; charset=utf-8");
    for (query, code) in [
        ("?failIfLess=1", 200),
        ("?failIfLess=2", 412),
        ("?failIfLess=1&withStreams=1&withScreenName=nobody", 412),
    ] {
        let mut request = filled(COUNT);
        request.url += query;
        let answer = sender.send(&request).await;
        assert_eq!(answer.code, code, "{query}");
    }
    for (manifest, kind, begin) in [
        ("live.m3u8", "application/vnd.apple.mpegurl", "#EXTM3U"),
        ("live.mpd", "application/dash+xml", "<?xml"),
    ] {
        let answer = sender.send(&with(MANIFEST, "manifest", manifest)).await;
        assert_eq!((answer.code, answer.kind.as_str()), (200, kind));
        assert!(answer.body.starts_with(begin), "{}", answer.body);
    }

    let sent = sender.send(&filled(SEND)).await.good();
    let message = &sent["message"];
    assert!(message["messageId"].is_string() && message["timestamp"].is_u64());
    let from = json!({"sessionId": "api", "screenName": "Screen Name", "role": "Moderator",
        "lastUpdate": 0});
    assert_eq!(message["from"], from);
    assert_eq!(message["deletedTimestamp"], 0);
    assert_eq!(message["tags"], json!(["my-tag", "my-other-tag"]));
    let messages = sender.send(&filled(MESSAGES)).await.good();
    let wanted = json!({"status": "ok", "messages": [message], "hasMoreBefore": false,
        "hasMoreAfter": false});
    assert_eq!(messages, wanted);
    let purge = sender.send(&filled(PURGE)).await;
    purge.refused(401, "unauthorized");
    let purged = sender.send(&filled(PURGE).authorized()).await.good();
    assert_eq!(purged, json!({"status": "ok", "deletedCount": 1}));

    let killed = sender.send(&filled(KILL)).await.good();
    assert_eq!(check_member(&killed["killedMembers"]), session);
    while encoder.lap().await.is_ok() {}
    let refused = sender.send(&filled(DELETE)).await;
    refused.refused(401, "unauthorized");
    let deleted = sender.send(&filled(DELETE).authorized()).await;
    assert_eq!(deleted.good(), json!({"status": "ok"}));
    sender.send(&filled(FETCH)).await.refused(404, "not-found");
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn printed_channel_requests_work_with_curl() {
    requests_work(|_| Sender::Curl).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn printed_channel_requests_work_with_javascript() {
    requests_work(|folder| Sender::script(folder, "send.mjs")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn printed_channel_requests_work_with_python() {
    requests_work(|folder| Sender::script(folder, "send.py")).await;
}
