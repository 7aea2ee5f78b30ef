//! The watch page in real time, and LiveKit's self-test page, in headless Chromium: `realtime.mjs` walks through
//! both, with the LiveKit server of the tests and without it.

use forebay::base::secret::Secret;

use super::{ALONE, walk};
use crate::common::livekit::real::RealServer;
use crate::common::livekit::{self, LivekitServer};
use crate::common::server::Server;

const ADMIN: &str = "AdminKey-0123456789abcdef";

/// A gateway in front of this LiveKit server.
async fn gateway(url: String) -> Server {
    Server::start(|config| {
        config.media.ladder = "off".to_owned();
        config.identity.admin_key = Some(Secret::new(ADMIN));
        config.livekit.url = Some(url);
        config.livekit.api_key = Some(livekit::KEY.to_owned());
        config.livekit.api_secret = Some(Secret::new(livekit::SECRET));
    })
    .await
}

/// A walk through the room of the broadcast, which the gateway fills, too.
async fn in_its_room(livekit: String) {
    let server = gateway(livekit).await;
    let options = ["--admin-key", ADMIN, "--forward"];
    walk(&server, "realtime.mjs", "live", &options).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_watch_a_room_in_real_time_and_the_playlists_while_nobody_is_in_it() {
    let _alone = ALONE.lock().await;
    let livekit = LivekitServer::start();
    in_its_room(livekit.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_watch_a_room_of_a_real_livekit_server_in_real_time() {
    let _alone = ALONE.lock().await;
    if let Some(livekit) = RealServer::start("players::realtime", None).await {
        in_its_room(livekit.url()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_watch_the_playlists_while_livekit_is_away_and_the_self_test_says_so() {
    let _alone = ALONE.lock().await;
    let mut livekit = LivekitServer::start();
    let server = gateway(livekit.url()).await;
    livekit.stop();
    let options = ["--admin-key", ADMIN, "--without-livekit"];
    walk(&server, "realtime.mjs", "live", &options).await;
    server.stop().await;
}
