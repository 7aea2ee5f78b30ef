//! Logging set-up: text for people, JSON for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Libraries' lines that tell of a peer's fault, or of each step of each connection: anybody can cause as many
/// as they like. Whoever wants them names the library. By the beginning of their names: the WebRTC engine's
/// (`rtc_ice`, `rtc_dtls` and others) call errors what a far side does.
const QUIET: &str = "h2=error,livekit=off,rtc=off,webrtc=off";

/// Installs the process-wide subscriber, on standard error. `filter` is in `RUST_LOG` syntax.
/// A second call changes nothing.
pub fn install(format: LogFormat, filter: &str) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(quiet(filter))
        // A journal or a file wants no colours.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // Already installed means a test or an embedding program has its own: keep that.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// A filter in `RUST_LOG` syntax, the more special directives after ours.
fn quiet(filter: &str) -> EnvFilter {
    let parsed = EnvFilter::try_new(format!("{QUIET},{filter}"));
    parsed.unwrap_or_else(|_| EnvFilter::new(format!("{QUIET},info")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_tells_of_peers_is_quiet_unless_it_is_named() {
        let plain = "livekit=off,webrtc=off,rtc=off,h2=error,info";
        assert_eq!(quiet("info").to_string(), plain);
        assert_eq!(
            quiet("info,h2=debug").to_string(),
            "livekit=off,webrtc=off,rtc=off,h2=debug,info"
        );
        assert_eq!(quiet("=,=").to_string(), plain);
    }
}
