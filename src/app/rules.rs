//! What playlists promise, by the settings: live streams and films of events alike.

use std::time::Duration;

use crate::base::clock::Wall;
use crate::config::Config;
use crate::media::timeline::Rules;

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
