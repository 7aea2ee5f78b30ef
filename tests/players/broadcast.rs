//! Pages of a broadcast in headless Chromium: `broadcast.mjs` walks through its life as viewers see it.

use forebay::base::secret::Secret;

use super::{ALONE, walk};
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
    let options = ["--admin-key", ADMIN];
    walk(&server, "broadcast.mjs", "live", &options).await;
    server.stop().await;
}
