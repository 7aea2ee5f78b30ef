//! Scheduled events in the operators' console in headless Chromium: `events.mjs` walks through the life of one.

use forebay::base::secret::Secret;

use super::{ALONE, walk};
use crate::common::server::Server;

const ADMIN: &str = "AdminKey-0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_schedules_uploads_previews_starts_takes_over_and_deletes() {
    let _alone = ALONE.lock().await;
    let server = Server::start(|config| config.identity.admin_key = Some(Secret::new(ADMIN))).await;
    let options = ["--admin-key", ADMIN];
    walk(&server, "events.mjs", "live", &options).await;
    server.stop().await;
}
