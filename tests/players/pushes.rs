//! Where a channel goes besides its viewers, as the console shows it in headless Chromium: `pushes.mjs` adds a
//! destination, sees what becomes of it, and removes it.

use forebay::base::secret::Secret;

use super::{ALONE, walk};
use crate::common::gateway::Folder;
use crate::common::livekit::{self, LivekitServer};
use crate::common::server::Server;

const ADMIN: &str = "AdminKey-0123456789abcdef";
const FAR_KEY: &str = "KeyOfTheFarSide-0123456789";

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_adds_a_destination_sees_its_states_and_removes_it() {
    let _alone = ALONE.lock().await;
    let livekit = LivekitServer::start();
    let folder = Folder::new();
    let far = folder.serve(&[("FOREBAY_STREAM_KEY", FAR_KEY)]).await;
    let url = livekit.url();
    let server = Server::start(|config| {
        config.media.ladder = "off".to_owned();
        config.identity.admin_key = Some(Secret::new(ADMIN));
        config.livekit.url = Some(url);
        config.livekit.api_key = Some(livekit::KEY.to_owned());
        config.livekit.api_secret = Some(Secret::new(livekit::SECRET));
        config.forward.forward_private = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let to = format!("rtmp://{}/live", far.rtmp());
    let options = ["--admin-key", ADMIN, "--far", &to, "--far-key", FAR_KEY];
    walk(&server, "pushes.mjs", "live", &options).await;
    server.stop().await;
    far.stop().await;
}
