//! Stream keys that the database does not decide about alone. In: settings. Out: whether a key may be
//! replaced while the gateway runs, and where it is kept.

use crate::base::secret::Secret;
use crate::cli::commands;
use crate::config::Config;
use crate::control;

/// Stream keys that settings and the credentials file hold.
pub(super) struct Keys(pub(super) Config);

impl control::Keys for Keys {
    fn fixed(&self, channel_id: &str) -> Option<String> {
        let fixed = commands::check_key(&self.0, channel_id);
        fixed.err().map(|error| error.to_string())
    }

    fn keep(&self, channel_id: &str, key: &Secret) -> Result<(), String> {
        let kept = commands::keep_key(&self.0, channel_id, key);
        kept.map_err(|error| error.to_string())
    }
}
