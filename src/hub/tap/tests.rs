//! A stream by itself, for the tests of those who tap one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::id::Uuid;
use crate::hub::boundary::{OnLoss, Settings};
use crate::hub::stream::Joining;
use crate::hub::{Admission, Beginning, Limits, Publisher, Stream};
use crate::media::Ticks;

/// A stream that nobody publishes.
pub(crate) fn stream(ladder: bool, clock: &Clock) -> Arc<Stream> {
    let admission = Admission {
        channel_id: "local#forebay#live".to_owned(),
        alias: "live".to_owned(),
        name: "live".to_owned(),
        capabilities: vec!["streaming".to_owned()],
        tags: Vec::new(),
        screen_name: None,
        lasting: None,
        placed: None,
    };
    let settings = Settings {
        segment_target: Ticks(180_000),
        longest_segment: Ticks(900_000),
        ladder,
        on_loss: OnLoss::Slate,
    };
    let limits = Limits {
        silence: Duration::from_secs(1),
        window: Duration::from_secs(60),
    };
    let beginning = Beginning::now(Uuid::nil(), clock);
    let stream = Stream::new(beginning, admission, settings, limits, clock.clone());
    Arc::new(stream)
}

/// An encoder on it.
pub(crate) fn publisher(stream: &Arc<Stream>) -> Publisher {
    let joining = Joining {
        proto: "rtmp",
        peer: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000),
        session: crate::hub::session::new_id("local"),
        screen_name: None,
    };
    let (member, eviction) = stream.join(joining).expect("there is room");
    Publisher::new(stream.clone(), member, eviction)
}

/// The stream is over.
pub(crate) fn end(stream: &Stream) {
    stream.end();
}
