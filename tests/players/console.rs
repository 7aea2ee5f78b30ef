//! The operators' console in headless Chromium: `console.mjs` walks through it as a person would.

use std::path::Path;

use forebay::base::secret::Secret;

use super::{ALONE, run, show};
use crate::common::media::Clip;
use crate::common::server::{KEY, Server};

const ADMIN: &str = "AdminKey-0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_signs_in_watches_switches_copies_and_kills() {
    let _alone = ALONE.lock().await;
    let server = Server::start(|config| {
        config.media.ladder = "off".to_owned();
        config.media.default_capabilities = vec!["streaming".to_owned(), "on-demand".to_owned()];
        config.record.min_free = Some(0);
        config.identity.admin_key = Some(Secret::new(ADMIN));
        // Neither encoder is silent between two of its frames, on a busy machine either.
        config.publish.silence = std::time::Duration::from_secs(10);
    })
    .await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/players/console.mjs");
    let clip = Clip::h264(3600, 60).file();
    let output = run(
        "node",
        &[
            script.to_str().expect("a text path"),
            "--url",
            &format!("http://{}/", server.http()),
            "--admin-key",
            ADMIN,
            "--stream-key",
            KEY,
            "--rtmp",
            &format!("rtmp://{}/ingest", server.rtmp()),
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
