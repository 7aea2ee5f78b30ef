//! What playlists promise, by the settings: live streams and films of events alike.

use std::time::Duration;

use crate::base::clock::Wall;
use crate::config::Config;
use crate::media::timeline::Rules;
use crate::playout::asset::PART;

/// TARGETDURATION without a ladder: room for the 8.33 s key interval that encoders have by default.
pub(super) const PASSTHROUGH_TARGET_S: u32 = 10;
/// What the ladder takes from a unit to its rung, at most: added to the hold-back (decision 7).
const LADDER_LAG: Duration = Duration::from_millis(300);

/// TARGETDURATION in whole seconds: a function of settings, never measured (decision 5).
pub(super) fn target_duration(config: &Config, ladder: bool) -> u32 {
    let fitting = u32::try_from(config.media.ladder_target_duration_s()).unwrap_or(u32::MAX);
    if ladder {
        fitting
    } else {
        PASSTHROUGH_TARGET_S.max(fitting)
    }
}

/// Length of a film's segments, and of those of its slate: whole seconds, on which shows begin.
pub(super) fn film_segment(config: &Config) -> Duration {
    Duration::from_secs(config.media.segment.as_secs().max(1))
}

/// The same for films, and for encoders in their place: parts are those that films are laid down in, whatever
/// live streams have.
pub(super) fn film_rules(config: &Config, epoch: Wall) -> Rules {
    let mut config = config.clone();
    config.media.part = PART;
    config.media.segment = film_segment(&config);
    playlist_rules(&config, epoch, true)
}

/// What all playlists of a stream have in common.
pub(super) fn playlist_rules(config: &Config, epoch: Wall, ladder: bool) -> Rules {
    let target_duration_s = target_duration(config, ladder);
    let target = Duration::from_secs(u64::from(target_duration_s));
    let part_target = config.media.part_target();
    let lag = if ladder { LADDER_LAG } else { Duration::ZERO };
    Rules {
        epoch,
        target_duration_s,
        part_target,
        part_hold_back: part_target * 3 + lag,
        hold_back: target * 3,
        can_skip_until: target * 6,
        segment_target: config.media.segment,
        window: config.media.window.max(target * 6),
        independent_segments: ladder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn films_keep_their_parts_and_whole_seconds_whatever_live_streams_have() {
        let usual = film_rules(&Config::default(), Wall::default());
        assert_eq!(
            usual,
            playlist_rules(&Config::default(), Wall::default(), true)
        );
        for part_ms in [100, 133, 300, 500, 1000] {
            let mut config = Config::default();
            config.media.part = Duration::from_millis(part_ms);
            assert_ne!(playlist_rules(&config, Wall::default(), true), usual);
            assert_eq!(film_rules(&config, Wall::default()), usual, "{part_ms} ms");
        }
        let mut config = Config::default();
        config.media.segment = Duration::from_millis(2500);
        assert_eq!(
            film_rules(&config, Wall::default()).segment_target,
            Duration::from_secs(2)
        );
    }
}
