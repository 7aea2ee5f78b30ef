//! Scheduled films in players: through the seams of a loop, and through an end of the gateway. Takeovers are in
//! `sync.rs`.

use serde_json::Value;

use forebay::base::secret::Secret;
use forebay::manifest::parse::Multivariant;

use super::{ALONE, assert_smooth, play, run, show};
use crate::common::gateway::Folder;
use crate::common::postgres::Postgres;
use crate::common::server::Server;

const ADMIN: &str = "AdminKey-0123456789abcdef";

/// What a script prints.
async fn script(name: &str, options: &[&str]) -> Value {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/players")
        .join(name);
    let mut arguments = vec![script.to_str().expect("a text path")];
    arguments.extend(options);
    let output = run("node", &arguments).await;
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {text}{said}");
    serde_json::from_str(text.trim()).unwrap_or_else(|err| panic!("{name}: {err}: {text}{said}"))
}

/// 7.3 s at 29.97 frames and 44,100 samples a second. The soak has dash.js and shaka beside it, for minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_has_no_seam_for_hls_js_and_ffmpeg() {
    let _alone = ALONE.lock().await;
    let server = Server::start(|config| {
        config.identity.admin_key = Some(Secret::new(ADMIN));
        config.event.before = "nothing".to_owned();
    })
    .await;
    let url = format!("http://{}/", server.http());
    let film = script("loop.mjs", &["--url", &url, "--admin-key", ADMIN]).await;
    assert_eq!(film["length"], 7300.0, "{film}");
    let id = film["id"].as_str().expect("a stream");
    let hls = format!("/hls/{id}/index.m3u8");
    let options = ["--seconds", "15", "--source-width", "640"];
    let url = format!("http://{}{hls}", server.http());
    let (seen, ()) = tokio::join!(play(&server, "hls", &hls, &options), finds_no_gap(&url));
    assert_smooth(&seen, 29.0);
    assert_eq!(seen["stalls"]["count"], 0, "{seen:#}");
    let seams = seen["counters"]["backwards"].as_u64().expect("a count");
    assert!((2..=3).contains(&seams), "{seen:#}");
    show(&[format!("{seams} seams, {}", seen["counters"])]);
    let all = server.get(&hls).await;
    let told = Multivariant::parse(all.text()).expect("a multivariant playlist");
    // A picture at least, and the sound.
    assert!(told.variants.len() >= 2, "{}", all.text());
    for (_, uri) in &told.variants {
        let text = server.get(&format!("/hls/{id}/{uri}")).await;
        let text = text.text().to_owned();
        // Three turns and more are listed.
        assert!(text.matches("#EXTINF").count() >= 12, "{text}");
        assert!(!text.contains("#EXT-X-DISCONTINUITY\n"), "{text}");
        assert_eq!(text.matches("#EXT-X-MAP").count(), 1, "{text}");
    }
    let mpd = server.get(&format!("/dash/{id}/manifest.mpd")).await;
    assert_eq!(mpd.text().matches("<Period").count(), 1, "{}", mpd.text());
    server.stop().await;
}

/// Lets ffmpeg decode more than three turns of a loop: one line a frame, with its times.
async fn finds_no_gap(url: &str) {
    let line = "-v warning -nostdin -live_start_index 0 -i";
    let mut arguments: Vec<&str> = line.split(' ').collect();
    arguments.push(url);
    arguments.extend("-t 24 -map 0:v:0 -map 0:a:0 -f framecrc -".split(' '));
    let output = run("ffmpeg", &arguments).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let said = said.to_lowercase();
    for word in ["monoton", "discontinuity", "invalid", "error", "corrupt"] {
        assert!(!said.contains(word), "{said}");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // `stream, dts, pts, duration, size, checksum`, in the rate's own time base.
    let times = |stream: &str| -> Vec<(i64, i64)> {
        let lines = text.lines().filter(|line| line.starts_with(stream));
        let number = |text: Option<&str>| text.and_then(|text| text.trim().parse().ok());
        let read = |line: &str| {
            let mut fields = line.split(',').skip(2);
            Some((number(fields.next())?, number(fields.next())?))
        };
        lines.map(|line| read(line).expect("two numbers")).collect()
    };
    for (stream, least) in [("0,", 700), ("1,", 1100)] {
        let times = times(stream);
        assert!(times.len() >= least, "{stream}: {}", times.len());
        for pair in times.windows(2) {
            let step = pair[1].0 - pair[0].0;
            assert_eq!(step, pair[0].1, "{stream}: {pair:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_goes_on_at_now_when_the_gateway_was_stopped_or_killed_and_no_byte_is_another() {
    let _alone = ALONE.lock().await;
    let (folder, database) = (Folder::new(), Postgres::start());
    let path = folder.file("").display().to_string();
    let url = database.url();
    let program = env!("CARGO_BIN_EXE_forebay");
    let options = ["--program", program, "--folder", &path, "--database", &url];
    let seen = script("restart.mjs", &options).await;
    show(&[seen.to_string()]);
}
