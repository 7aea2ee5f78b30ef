//! Options of a channel's ingest, as the channel API takes and echoes them.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::base::secret::Secret;

/// What stands for characters that are not shown.
const HIDDEN: &str = "***";
/// Parameters of source URIs that hold no credentials; values of all others are hidden.
const HARMLESS: [&str; 4] = ["mode", "latency", "pbkeylen", "transtype"];

/// Defaults for a channel's ingest. Serialised it is what the channel API echoes: fields that were not
/// given are left out, and credentials of the source are hidden.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngestOptions {
    /// Capabilities of RTMP publishes that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
    /// Tags of RTMP publishes that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Name of the member; `None` is automatic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screen_name: Option<String>,
    /// Frames per second of a pulled source, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_fps: Option<serde_json::Number>,
    /// Jitter buffer before decoding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer: Option<Span>,
    /// Milliseconds to skip at the start of a pulled source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preroll_skip_duration: Option<serde_json::Number>,
    /// Jitter buffer after decoding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_buffer: Option<Span>,
    /// Where the channel's media are pulled from.
    #[serde(skip_serializing_if = "Option::is_none", skip_deserializing)]
    pub source_uri: Option<SourceUri>,
}

/// A span of time in the form in which it was given: milliseconds, or a text with a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Span {
    /// Milliseconds.
    Millis(serde_json::Number),
    /// With a unit.
    Text(String),
}

/// A URI that may hold credentials: only [`SourceUri::expose`] shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceUri(Secret);

impl SourceUri {
    /// Keeps a URI. It is not checked.
    pub fn new(uri: impl Into<String>) -> SourceUri {
        SourceUri(Secret::new(uri))
    }

    /// The whole URI, for the one place that connects.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The URI for people: without user, password, and the values of parameters that may be keys.
    pub fn masked(&self) -> String {
        let uri = self.expose();
        let Some((scheme, rest)) = uri.split_once("://") else {
            return HIDDEN.to_owned();
        };
        let (before, query) = match rest.split_once(['?', '#']) {
            Some((before, query)) => (before, Some(query)),
            None => (rest, None),
        };
        // Passwords may hold anything, a slash included: the last @ counts.
        let shown = match before.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://{HIDDEN}@{host}"),
            None => format!("{scheme}://{before}"),
        };
        let Some(query) = query else {
            return shown;
        };
        let hide = |parameter: &str| match parameter.split_once('=') {
            Some((name, _)) if HARMLESS.contains(&name) => parameter.to_owned(),
            Some((name, _)) => format!("{name}={HIDDEN}"),
            None => HIDDEN.to_owned(),
        };
        let parameters: Vec<String> = query.split('&').map(hide).collect();
        format!("{shown}?{}", parameters.join("&"))
    }
}

impl fmt::Debug for SourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceUri({})", self.masked())
    }
}

impl Serialize for SourceUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_a_source_are_not_shown() {
        let shown = [
            ("srt://host:9000", "srt://host:9000"),
            ("rtsp://u:p@host:554/cam", "rtsp://***@host:554/cam"),
            ("rtsp://u:p@/s@host/cam", "rtsp://***@host/cam"),
            (
                "srt://host:9000?mode=caller&passphrase=geheim&streamid=#!::r=key,m=request",
                "srt://host:9000?mode=caller&passphrase=***&streamid=***",
            ),
            ("https://host/a.m3u8#geheim", "https://host/a.m3u8?***"),
            ("geheim", "***"),
            ("", "***"),
        ];
        for (uri, masked) in shown {
            let uri = SourceUri::new(uri);
            assert_eq!(uri.masked(), masked);
            assert_eq!(format!("{uri:?}"), format!("SourceUri({masked})"));
            let options = IngestOptions {
                source_uri: Some(uri),
                ..IngestOptions::default()
            };
            let json = serde_json::to_value(&options).unwrap();
            assert_eq!(json, serde_json::json!({ "sourceUri": masked }));
        }
    }

    #[test]
    fn what_was_given_is_echoed_as_it_was() {
        let given = serde_json::json!({
            "capabilities": ["multi-bitrate"], "tags": [], "screenName": "x", "maxFps": 29.97,
            "buffer": 500, "prerollSkipDuration": 0, "jitterBuffer": "1s"
        });
        let options: IngestOptions = serde_json::from_value(given.clone()).unwrap();
        assert_eq!(serde_json::to_value(&options).unwrap(), given);
    }
}
