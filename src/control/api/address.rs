//! Where encoders and viewers go, as answers say it: what the settings publish, else the host that was asked.

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, header};

use crate::base::id::Uuid;
use crate::control::{Caller, State};

/// Ports that need not be said.
const RTMP_PORT: u16 = 1935;

/// Bases of addresses, without a slash at their ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) struct Bases {
    /// Of pages.
    pub(in crate::control) web: String,
    /// Of HLS.
    pub(in crate::control) hls: String,
    /// Of DASH.
    pub(in crate::control) dash: String,
    /// Server address for RTMP; `None` when it is off.
    pub(in crate::control) rtmp: Option<String>,
    /// Host and port of SRT; `None` when it is off.
    pub(in crate::control) srt: Option<String>,
}

impl Bases {
    /// Those for who asked.
    pub(in crate::control) fn of(state: &State, parts: &Parts) -> Bases {
        let setup = state.setup();
        let caller = parts.extensions.get::<Caller>();
        let asked = asked(
            &parts.headers,
            parts,
            caller.is_some_and(|c| c.trusted_proxy),
        );
        let scheme = match caller.is_some_and(|caller| caller.secure) {
            true => "https",
            false => "http",
        };
        let web = match &setup.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("{scheme}://{asked}"),
        };
        let authority = web.split_once("://").map_or("", |(_, rest)| rest);
        let authority = authority.split('/').next().unwrap_or_default();
        let host = authority.parse::<Authority>();
        let host = host.as_ref().map_or("localhost", Authority::host);
        let playback = |base: &Option<String>, folder: &str| match base.as_deref() {
            Some(base) if base.starts_with('/') => format!("{web}{base}"),
            Some(base) => base.trim_end_matches('/').to_owned(),
            None => format!("{web}{folder}"),
        };
        let addresses = &setup.addresses;
        let rtmp = addresses.rtmp_port.map(|port| match port {
            RTMP_PORT => format!("rtmp://{host}/live"),
            port => format!("rtmp://{host}:{port}/live"),
        });
        Bases {
            hls: playback(&setup.hls_base, "/hls"),
            dash: playback(&setup.dash_base, "/dash"),
            rtmp: addresses.rtmp_url.clone().or(rtmp),
            srt: addresses.srt_port.map(|port| format!("{host}:{port}")),
            web,
        }
    }

    /// Where clients of LiveKit connect to: everything that names the server names this.
    pub(in crate::control) fn signal_url(&self) -> String {
        match self.web.split_once("://") {
            Some(("https", rest)) => format!("wss://{rest}"),
            Some((_, rest)) => format!("ws://{rest}"),
            None => self.web.clone(),
        }
    }

    /// Where a stream is as HLS.
    pub(in crate::control) fn hls_url(&self, stream: Uuid) -> String {
        format!("{}/{stream}/index.m3u8", self.hls)
    }

    /// Where a stream is as DASH.
    pub(super) fn dash_url(&self, stream: Uuid) -> String {
        format!("{}/{stream}/manifest.mpd", self.dash)
    }

    /// Page of a stream.
    pub(in crate::control) fn watch_url(&self, stream: Uuid) -> String {
        format!("{}/streams/{stream}/watch", self.web)
    }
}

/// Host and port by which this gateway was asked.
pub(in crate::control) fn asked(
    headers: &HeaderMap,
    parts: &Parts,
    is_forwarded: bool,
) -> Authority {
    let read = |name: &str| {
        let text = headers.get(name)?.to_str().ok()?;
        text.split(',').next()?.trim().parse::<Authority>().ok()
    };
    let forwarded = is_forwarded.then(|| read("x-forwarded-host")).flatten();
    forwarded
        .or_else(|| read(header::HOST.as_str()))
        .or_else(|| parts.uri.authority().cloned())
        .unwrap_or_else(|| Authority::from_static("localhost"))
}
