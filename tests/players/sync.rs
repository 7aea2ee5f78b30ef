//! Every viewer of a show at the same position: the arithmetic of `assets/web/sync.js` alone, then with players and
//! with our own pages in headless Chromium, where positions are read from the picture.

use std::path::Path;

use forebay::base::secret::Secret;

use super::{ALONE, run, walk};
use crate::common::server::Server;

const ADMIN: &str = "AdminKey-0123456789abcdef";

async fn server() -> Server {
    Server::start(|config| config.identity.admin_key = Some(Secret::new(ADMIN))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_is_found_whatever_clocks_lines_and_players_do() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/players/pace.mjs");
    let script = script.to_str().expect("a text path");
    let output = run("node", &["--test", script]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    // A file without a test is no success.
    assert!(
        text.contains("# fail 0") && !text.contains("# pass 0"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hls_js_and_dash_js_show_the_same_moment_of_a_film() {
    let _alone = ALONE.lock().await;
    let server = server().await;
    walk(&server, "sync.mjs", "live", &["--admin-key", ADMIN]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_show_has_its_page_before_while_and_after() {
    let _alone = ALONE.lock().await;
    let server = server().await;
    walk(&server, "show.mjs", "live", &["--admin-key", ADMIN]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_and_the_next_run_need_no_reload() {
    let _alone = ALONE.lock().await;
    let server = server().await;
    let options = ["--admin-key", ADMIN, "--turns"];
    walk(&server, "show.mjs", "live", &options).await;
    server.stop().await;
}
