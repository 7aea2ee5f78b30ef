//! Rows of the table of settings that are about recordings.

use super::setting::{Field, Setting, setting};
use super::table::COUNT;

pub(super) const DAYS: Setting = setting(
    "FOREBAY_RECORD_DAYS",
    ("record", "record_days"),
    Field::Count {
        min: 0,
        max: 36_500,
        at: |c| &mut c.record.days,
    },
    COUNT,
    "Days after its end at which a recording (capability on-demand) is deleted. 0: never.",
);

pub(super) const MIN_FREE: Setting = setting(
    "FOREBAY_RECORD_MIN_FREE_MB",
    ("record", "record_min_free"),
    Field::Megabytes {
        min: 0,
        max: 16_777_216,
        at: |c| &mut c.record.min_free,
    },
    "\"1024MB\"",
    "Room on the disk (MB of 2^20 bytes) that recordings leave free. Streams go on without it. \
     1024MB when not set.",
);

pub(super) const ON_FULL: Setting = setting(
    "FOREBAY_RECORD_ON_FULL",
    ("record", "record_on_full"),
    Field::Text {
        check: |text| ["stop", "oldest"].contains(&text),
        accepts: "stop or oldest",
        at: |c| &mut c.record.on_full,
    },
    "",
    "What happens when that is reached: recordings stop until there is room, or the oldest ones that \
     are complete are deleted.",
);
