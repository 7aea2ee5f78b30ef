//! Question: what do the channel API and `/api` cost?
//!
//! The gateway with SQLite on a folder in memory, its ladder off, nothing on air. Channels are created one
//! after another over one connection, then up to the limit over four. Fetch and count are asked over four
//! connections that stay open, each of which waits for its answer before it asks again; fetch by an application
//! of its own on each, since one is not allowed as much as this. CPU is that of all
//! threads of the gateway, so that neither the client nor a busy machine counts. The list of all channels is
//! read while the gateway's resident memory is looked at: how far it grows, at most.
//!
//! Requests of SDK clients are signed and asked over four connections in the same way, each for many clients in turn,
//! since one may ask a thousand times in an hour: each is verified, counted, and answered from the database.
//!
//! Where an event is (`/sync`) is asked by everybody who watches it, without credentials.
//!
//! On the command line: channels of the list (10,000). `FOREBAY_BENCH_SECONDS` (5) sets how long fetch and
//! count are asked.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints and waits; it uses a part of what is shared"
)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use common::http::Client;
use common::server::Forebay;
use common::table::{Table, verdict};
use common::tenant::Tenant;
use common::usage;

const SECRET: &str = "BenchSecret0123456789";
const ADMIN_KEY: &str = "BenchAdmin0123456789";
const CONNECTIONS: usize = 4;
/// Channels of the row about creating.
const CREATED: usize = 1000;
/// Requests in a CPU second (the issue's goal).
const GOAL_PER_CPU_SECOND: f64 = 10_000.0;
/// Signed requests in a CPU second (the issue's goal).
const GOAL_SIGNED: f64 = 8000.0;
/// Signed requests of a row that the limit counts: less than a client's hour for each of them.
const OF_CLIENT: usize = 400;
/// Clients of each connection.
const CLIENTS: usize = 10;
/// Sessions of each client.
const SESSIONS: usize = 3;
/// Memory that a list may take: some pages of it and what the allocator keeps.
const GOAL_LIST_MB: f64 = 16.0;

fn headers(application: &str, secret: &str) -> String {
    let credentials = format!("{application}:{secret}");
    let credentials = base64::engine::general_purpose::STANDARD.encode(credentials);
    format!("Authorization: Basic {credentials}\r\nContent-Type: application/json\r\n")
}

/// Makes a channel, as an application or as an operator: both take the same.
fn create(client: &mut Client, path: &str, headers: &str, number: usize) {
    let body = format!(
        r#"{{"channel":{{"alias":"c{number}","name":"Channel {number}","description":"one of many","options":[]}}}}"#
    );
    let answer = client.send("PUT", path, headers, &body);
    let answer = answer.expect("the gateway answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Makes an application with a channel `c7`; its headers.
fn application(client: &mut Client, number: usize) -> String {
    let admin = format!("X-Admin-Key: {ADMIN_KEY}\r\n");
    let body = format!(r#"{{"applicationId":"a{number}"}}"#);
    let answer = client.send("POST", "/api/admin/applications", &admin, &body);
    let answer = answer.expect("the gateway answers").text();
    let made: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    let secret = made["secret"].as_str().expect("a secret");
    let headers = headers(&format!("a{number}"), secret);
    create(client, "/pcast/channel", &headers, 7);
    headers
}

/// Requests in a second of the clock and of CPU. `headers`: of each connection.
fn ask(gateway: &Forebay, path: &str, headers: &[String], lasts: Duration) -> (f64, f64) {
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let before = usage::cpu_seconds(gateway.pid());
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let (stop, count) = (&stop, &count);
        for headers in headers {
            scope.spawn(move || {
                let mut client = Client::connect(gateway.http).expect("it listens");
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.send("GET", path, headers, "");
                    assert_eq!(answer.expect("the gateway answers").status, 200);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(lasts);
        stop.store(true, Ordering::Relaxed);
    });
    let took = begin.elapsed().as_secs_f64();
    let cpu = usage::cpu_seconds(gateway.pid()) - before;
    let count = count.load(Ordering::Relaxed) as f64;
    (count / took, count / cpu)
}

/// An event of a user who signs up for it; the path of its position.
fn event(client: &mut Client) -> String {
    let json = "Content-Type: application/json\r\n";
    let body = r#"{"username":"bench","email":"bench@example.org","password":"s3cretpass"}"#;
    let answer = client.send("POST", "/api/users/signup", json, body);
    let answer = answer.expect("the gateway answers").text();
    let user: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    let token = user["token"].as_str().expect("a token");
    let headers = format!("{json}Authorization: Bearer {token}\r\n");
    let body = r#"{"title":"Film","scheduledStartTime":"2100-01-01T00:00:00Z"}"#;
    let answer = client.send("POST", "/api/events/schedule", &headers, body);
    let answer = answer.expect("the gateway answers").text();
    let made: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    format!("/api/events/{}/sync", made["id"].as_str().expect("an id"))
}

/// What is asked of a session; its id stands for `{}`.
struct Signed {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    body: &'static str,
}

const SIGNED: [Signed; 4] = [
    Signed {
        name: "list of 3 sessions",
        method: "GET",
        path: "/api/v1/sessions",
        body: "",
    },
    Signed {
        name: "reaction",
        method: "POST",
        path: "/api/v1/sessions/{}/reactions",
        body: r#"{"type":"heart"}"#,
    },
    Signed {
        name: "heartbeat",
        method: "POST",
        path: "/api/sessions/{}/heartbeat",
        body: "",
    },
    Signed {
        name: "viewer count",
        method: "POST",
        path: "/api/broadcasts/{}/viewer-count",
        body: r#"{"viewerCount":42}"#,
    },
];

/// Requests in a second of the clock and of CPU. `tenants`: of each connection.
fn ask_signed(gateway: &Forebay, signed: &Signed, tenants: &[Vec<Tenant>]) -> (f64, f64) {
    let before = usage::cpu_seconds(gateway.pid());
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for tenants in tenants {
            scope.spawn(move || {
                let mut client = Client::connect(gateway.http).expect("it listens");
                for number in 0..OF_CLIENT * tenants.len() {
                    let tenant = &tenants[number % tenants.len()];
                    let session = &tenant.sessions[number % SESSIONS];
                    let path = signed.path.replace("{}", session);
                    let headers = tenant.sign(signed.method, &path, signed.body);
                    let answer = client.send(signed.method, &path, &headers, signed.body);
                    let answer = answer.expect("the gateway answers");
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            });
        }
    });
    let took = begin.elapsed().as_secs_f64();
    let cpu = usage::cpu_seconds(gateway.pid()) - before;
    let count = (OF_CLIENT * tenants.iter().map(Vec::len).sum::<usize>()) as f64;
    (count / took, count / cpu)
}

fn main() {
    let channels = common::numbers(&[10_000])[0].max(CREATED);
    let seconds = std::env::var("FOREBAY_BENCH_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(5);
    let lasts = Duration::from_secs(seconds);
    let limit = (channels + 10 + CONNECTIONS * CLIENTS * SESSIONS).to_string();
    let settings = [
        ("FOREBAY_LADDER", "off"),
        ("FOREBAY_APPLICATION_SECRET", SECRET),
        ("FOREBAY_ADMIN_KEY", ADMIN_KEY),
        ("FOREBAY_MAX_CHANNELS", limit.as_str()),
        ("RUST_LOG", "warn"),
    ];
    let gateway = Forebay::start(0, &settings);
    let headers = headers("forebay", SECRET);
    println!("load {}", usage::load_average());
    let mut table = Table::new(&["what", "per second", "per CPU second", "goal"]);

    let mut client = Client::connect(gateway.http).expect("it listens");
    let before = usage::cpu_seconds(gateway.pid());
    let begin = Instant::now();
    (0..CREATED).for_each(|number| create(&mut client, "/pcast/channel", &headers, number));
    let took = begin.elapsed().as_secs_f64();
    let cpu = usage::cpu_seconds(gateway.pid()) - before;
    let created = CREATED as f64;
    table.row(vec![
        format!("create {CREATED} channels, {took:.2} s"),
        format!("{:.0}", created / took),
        format!("{:.0}", created / cpu),
        "none".to_owned(),
    ]);
    // By operators, who may make as many in a second as they like.
    let admin = format!("X-Admin-Key: {ADMIN_KEY}\r\n");
    std::thread::scope(|scope| {
        for first in 0..CONNECTIONS {
            let (gateway, admin) = (&gateway, &admin);
            scope.spawn(move || {
                let mut client = Client::connect(gateway.http).expect("it listens");
                for number in (CREATED + first..channels).step_by(CONNECTIONS) {
                    create(&mut client, "/api/admin/channels", admin, number);
                }
            });
        }
    });
    let by_application = (0..CONNECTIONS).map(|number| application(&mut client, number));
    let by_application: Vec<String> = by_application.collect();
    let by_nobody = vec![String::new(); CONNECTIONS];
    let count = "/pcast/channel/local%23forebay%23c7/publishers/count?failIfLess=0";
    let sync = event(&mut client);
    for (name, path, headers) in [
        ("fetch", "/pcast/channel/c7", by_application),
        ("count", count, by_nobody.clone()),
        ("position of an event", &*sync, by_nobody),
    ] {
        let (per_second, per_cpu_second) = ask(&gateway, path, &headers, lasts);
        table.row(vec![
            format!("{name}, {CONNECTIONS} connections"),
            format!("{per_second:.0}"),
            format!("{per_cpu_second:.0}"),
            verdict(per_cpu_second >= GOAL_PER_CPU_SECOND),
        ]);
    }
    let tenant = |_| Tenant::register(gateway.http, ADMIN_KEY, SESSIONS);
    let tenants = (0..CONNECTIONS).map(|_| (0..CLIENTS).map(tenant).collect());
    let tenants: Vec<Vec<Tenant>> = tenants.collect();
    for signed in &SIGNED {
        let (per_second, per_cpu_second) = ask_signed(&gateway, signed, &tenants);
        table.row(vec![
            format!("signed: {}, {CONNECTIONS} connections", signed.name),
            format!("{per_second:.0}"),
            format!("{per_cpu_second:.0}"),
            verdict(per_cpu_second >= GOAL_SIGNED),
        ]);
    }
    table.print();

    let mut table = Table::new(&["list", "seconds", "MB of JSON", "memory grows by", "goal"]);
    for round in 1..=3 {
        let before = usage::rss_mb(gateway.pid());
        let done = AtomicBool::new(false);
        let begin = Instant::now();
        let (bytes, most) = std::thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let mut most = before;
                while !done.load(Ordering::Relaxed) {
                    most = most.max(usage::rss_mb(gateway.pid()));
                    std::thread::sleep(Duration::from_millis(1));
                }
                most
            });
            let answer = client.send("GET", "/pcast/channels", &headers, "");
            let answer = answer.expect("the gateway answers");
            done.store(true, Ordering::Relaxed);
            let listed = answer.text().matches("\"channelId\"").count();
            assert_eq!(listed, channels + 1);
            (answer.body.len(), watching.join().expect("it only looks"))
        });
        let grown = most - before;
        table.row(vec![
            format!("{channels} channels, {round}"),
            format!("{:.2}", begin.elapsed().as_secs_f64()),
            format!("{:.1}", bytes as f64 / 1e6),
            format!("{grown:.1} MB"),
            verdict(grown <= GOAL_LIST_MB),
        ]);
    }
    table.print();
}
