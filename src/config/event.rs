//! Rows of the table of settings that are about scheduled events.

use super::setting::{Field, Setting, setting};
use super::table::COUNT;

pub(super) const BEFORE: Setting = setting(
    "FOREBAY_EVENT_BEFORE",
    ("event", "event_before"),
    Field::Text {
        check: |text| ["slate", "nothing"].contains(&text),
        accepts: "slate or nothing",
        at: |c| &mut c.event.before,
    },
    "",
    "What a scheduled event shows before it begins: a picture with its title, or nothing, so that players \
     hear 404.",
);

pub(super) const AFTER: Setting = setting(
    "FOREBAY_EVENT_AFTER",
    ("event", "event_after"),
    Field::Text {
        check: |text| ["slate", "end"].contains(&text),
        accepts: "slate or end",
        at: |c| &mut c.event.after,
    },
    "",
    "What an event shows from the end of its file up to its own end: a picture with its title, or nothing \
     any more, so that its playlists end with the file.",
);

pub(super) const MAX_BYTES: Setting = setting(
    "FOREBAY_EVENT_MAX_BYTES",
    ("event", "event_max_bytes"),
    Field::Count {
        min: 1,
        max: 1 << 40,
        at: |c| &mut c.event.max_bytes,
    },
    COUNT,
    "Bytes of a file that is uploaded for an event, at most.",
);

pub(super) const PREPARATIONS: Setting = setting(
    "FOREBAY_EVENT_PREPARATIONS",
    ("event", "event_preparations"),
    Field::Count {
        min: 1,
        max: 64,
        at: |c| &mut c.event.preparations,
    },
    COUNT,
    "Uploaded files that are prepared at a time. Each takes what the machine has to spare.",
);
