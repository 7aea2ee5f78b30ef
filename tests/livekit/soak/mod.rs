//! Rooms that are watched for minutes, with figures: the stage `rooms` of `make soak`. The gateway is the program
//! itself, the viewers are LiveKit's own libraries, the LiveKit server is that of the tests; where
//! `FOREBAY_TEST_LIVEKIT` names a real one, that, too.
//!
//! Every picture has its time in it, so that its age is known where it is seen. A promise that is not kept is said,
//! and the test fails at its end, with all its figures shown. `SOAK_SECONDS` changes how long rooms are watched,
//! `SOAK_BINARY` names another build of the gateway.

mod absence;
mod camera;
mod figures;
mod flood;
mod playlist;
mod watched;

use std::time::Duration;

use super::world::World;
use crate::common::livekit::clients::Client;

/// How long a room is watched.
fn seconds() -> Duration {
    let set = std::env::var("SOAK_SECONDS").ok();
    let seconds = set.map_or(60, |text| text.parse().expect("a number of seconds"));
    Duration::from_secs(seconds)
}

/// A viewer of LiveKit's Python library, who has joined.
async fn python<S>(world: &World<S>, name: &str, options: &str) -> Client {
    let (url, token) = world.token(name, "subscriber").await;
    let mut viewer = Client::python("view", &url, &token, options).await;
    viewer.event("connected").await;
    viewer
}

/// A viewer with livekit-client in Chromium, who has joined.
async fn chromium<S>(world: &World<S>, name: &str, options: &str) -> Client {
    let (url, token) = world.token(name, "subscriber").await;
    let mut viewer = Client::browser(&url, &token, options).await;
    viewer.event("connected").await;
    viewer
}
