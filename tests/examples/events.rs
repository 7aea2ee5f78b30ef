//! What guides print of scheduled events, with a film that is really prepared.

use super::work;

#[tokio::test(flavor = "multi_thread")]
async fn events_are_scheduled_sent_followed_and_taken_over_with_curl() {
    work("events.sh", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_scheduled_sent_followed_and_taken_over_with_javascript() {
    work("events.mjs", &[]).await;
}
