//! A playlist of a broadcast, read while something happens to its room.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::World;
use crate::common::http;

/// Segments that there are before players come.
const SEGMENTS: usize = 5;
/// Nobody who asks for the next segment of two seconds waits longer for it.
pub const NEXT_SEGMENT: Duration = Duration::from_secs(5);

/// The playlist of the picture as it was read all along, each time when its next segment had come.
#[derive(Debug, Default)]
pub struct Read {
    /// Segments by their numbers.
    pub segments: BTreeMap<u64, String>,
    /// Discontinuities, gaps, ends, and segments that changed or went missing.
    pub faults: Vec<String>,
    pub longest_wait: Duration,
}

impl Read {
    /// Numbers of the first and the last segment.
    pub fn ends(&self) -> (u64, u64) {
        let mut numbers = self.segments.keys().copied();
        let first = numbers.next().unwrap_or_default();
        (first, numbers.next_back().unwrap_or(first))
    }

    fn take(&mut self, text: &str) -> Option<u64> {
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let mut number: u64 = value("#EXT-X-MEDIA-SEQUENCE:")?.parse().ok()?;
        for fault in ["#EXT-X-DISCONTINUITY", "#EXT-X-GAP", "#EXT-X-ENDLIST"] {
            if text.lines().any(|line| line == fault) {
                self.faults.push(fault.to_owned());
            }
        }
        for uri in text.lines().filter(|line| !line.starts_with('#')) {
            if uri.is_empty() {
                continue;
            }
            let known = self
                .segments
                .entry(number)
                .or_insert_with(|| uri.to_owned());
            if known != uri {
                self.faults.push(format!("{number} was {known}, is {uri}"));
            }
            number += 1;
        }
        Some(number)
    }

    fn judge(mut self) -> Read {
        let numbers: Vec<u64> = self.segments.keys().copied().collect();
        let missing = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1);
        self.faults
            .extend(missing.map(|pair| format!("nothing between {} and {}", pair[0], pair[1])));
        self
    }
}

/// Reads the playlist until `until`, as a player at low latency does: it asks for the segment that is not there.
pub async fn read(gateway: SocketAddr, room: String, until: Instant) -> Read {
    let path = format!("/hls/{room}/source/index.m3u8");
    let mut read = Read::default();
    let mut asks = path.clone();
    while Instant::now() < until {
        let began = Instant::now();
        let answer = http::get(gateway, &asks).await;
        if answer.status != 200 {
            read.faults.push(format!("{asks}: {}", answer.status));
            break;
        }
        if asks != path {
            read.longest_wait = read.longest_wait.max(began.elapsed());
        }
        let Some(next) = read.take(answer.text()) else {
            read.faults.push(format!("no playlist: {}", answer.text()));
            break;
        };
        asks = format!("{path}?_HLS_msn={next}");
    }
    read.judge()
}

/// Waits until there is enough for players to begin.
pub async fn has_segments(world: &World) {
    let path = format!("/hls/{}/source/index.m3u8", world.room);
    let enough = async || {
        let answer = world.gateway.get(&path).await;
        let is_enough =
            answer.status == 200 && answer.text().matches("#EXTINF").count() >= SEGMENTS;
        is_enough.then_some(())
    };
    world.gateway.until("the playlist", enough).await;
}
