//! The operators' console in headless Chromium: `console.mjs` walks through it as a person would.

use forebay::base::secret::Secret;

use super::{ALONE, walk};
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
    let options = ["--admin-key", ADMIN, "--stream-key", KEY];
    walk(&server, "console.mjs", "ingest", &options).await;
    server.stop().await;
}
