//! Rows of the table of settings that are about LiveKit.

use super::setting::{Field, Setting, setting, url};
use super::value;

pub(super) const URL: Setting = setting(
    "LIVEKIT_URL",
    ("livekit", "livekit_url"),
    url(
        value::is_livekit_url,
        "an address such as wss://livekit.example.org or ws://127.0.0.1:7880",
        |c| &mut c.livekit.url,
    ),
    "\"wss://livekit.example.org\"",
    "LiveKit server, as clients connect to it. Together with key and secret it turns on tokens for rooms: \
     the room of a broadcast is its stream id.",
);

pub(super) const API_KEY: Setting = setting(
    "LIVEKIT_API_KEY",
    ("livekit", "livekit_api_key"),
    Field::Optional {
        check: value::is_word,
        accepts: "1 to 512 printable characters without space",
        at: |c| &mut c.livekit.api_key,
    },
    "\"…\"",
    "API key of the LiveKit server.",
);

pub(super) const API_SECRET: Setting = setting(
    "LIVEKIT_API_SECRET",
    ("livekit", "livekit_api_secret"),
    Field::Secret {
        // LiveKit's own development secret has six characters.
        check: value::is_word,
        accepts: "1 to 512 printable characters without space",
        at: |c| &mut c.livekit.api_secret,
    },
    "\"…\"",
    "API secret of the LiveKit server.",
);

pub(super) const TOKEN_PREFIX: Setting = setting(
    "FOREBAY_LIVEKIT_TOKEN_PREFIX",
    ("livekit", "livekit_token_prefix"),
    Field::Flag {
        at: |c| &mut c.livekit.token_prefix,
    },
    "",
    "Whether tokens that the API hands out begin with livekit_, as its clients expect. A LiveKit server \
     itself takes them without it only: false where clients connect to it with nothing in between that \
     takes it off.",
);

pub(super) const FORWARD: Setting = setting(
    "FOREBAY_LIVEKIT_FORWARD",
    ("livekit", "livekit_forward"),
    Field::Text {
        check: |text| ["broadcasts", "all", "off"].contains(&text),
        accepts: "broadcasts, all or off",
        at: |c| &mut c.livekit.forward,
    },
    "",
    "Which streams are published in the room of their stream id, where there is a LiveKit server: those of \
     broadcasts, those of every channel, or none.",
);
