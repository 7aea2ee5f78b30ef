//! The row of the table of settings that is about webhooks.

use super::setting::{Field, Setting, setting};

pub(super) const PRIVATE: Setting = setting(
    "FOREBAY_WEBHOOKS_PRIVATE",
    ("webhooks", "webhooks_private"),
    Field::Networks {
        at: |c| &mut c.webhooks.webhooks_private,
    },
    "[\"10.0.0.0/8\", \"127.0.0.1\"]",
    "Networks besides the internet to which webhooks may be sent: tenants choose where they go.",
);
