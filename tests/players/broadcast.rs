//! Pages of a broadcast in headless Chromium: `broadcast.mjs` walks through its life as viewers see it.

use std::path::Path;

use forebay::base::secret::Secret;

use super::{ALONE, run, show};
use crate::common::media::Clip;
use crate::common::server::Server;

const ADMIN: &str = "AdminKey-0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn viewers_wait_watch_talk_react_and_are_told_the_end() {
    let _alone = ALONE.lock().await;
    let server = Server::start(|config| {
        config.media.ladder = "off".to_owned();
        config.identity.admin_key = Some(Secret::new(ADMIN));
    })
    .await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/players/broadcast.mjs");
    let clip = Clip::h264(3600, 60).file();
    let output = run(
        "node",
        &[
            script.to_str().expect("a text path"),
            "--url",
            &format!("http://{}/", server.http()),
            "--admin-key",
            ADMIN,
            "--rtmp",
            &format!("rtmp://{}/live", server.rtmp()),
            "--clip",
            clip.to_str().expect("a text path"),
        ],
    )
    .await;
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{said}");
    show(&[text.trim().to_owned()]);
    server.stop().await;
}
