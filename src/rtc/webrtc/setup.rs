//! An engine with what we send and receive: H.264 and Opus, no more.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{Registry, Slot};
use rtc::peer_connection::configuration::interceptor_registry::{
    configure_simulcast_extension_headers, configure_twcc_receiver_only,
};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind,
};
use rtc::shared::ifaces::ifaces;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCConfigurationBuilder, RTCIceCandidateInit, RTCIceGatheringState, RTCIceServer,
    RTCPeerConnectionIceEvent, RTCPeerConnectionState, SettingEngine, SettingEngineBuilder,
};

use super::chain::Link;
use super::runtime::Ours;
use super::shared::Shared;
use crate::base::shutdown::Tasks;
use crate::media::MediaKind;
use crate::rtc::{Candidate, Error, Event, Pending, Settings};

/// Payload types that we offer.
const H264: u8 = 125;
const OPUS: u8 = 111;
/// Profiles that are received beside the offered one: main, high, baseline, with payload types as browsers have them.
const PROFILES: [(u8, &str); 5] = [
    (H264, "42e01f"),
    (106, "42001f"),
    (127, "4d001f"),
    (112, "64001f"),
    (123, "640032"),
];
/// Sockets of a connection at most: one for each address of the machine.
const SOCKETS: usize = 16;
/// A far side that is not heard of for this long may come back.
const DISCONNECTED: Duration = Duration::from_secs(5);
/// After this much more it is gone.
const FAILED: Duration = Duration::from_secs(10);
/// Signs of life.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// Connectivity checks: several a second, for as long as a connection may take.
const CHECKS: (Duration, u16) = (Duration::from_millis(100), 100);
/// Packets after which one that comes late still counts: a repeated packet follows those of a whole key unit. 64,
/// the least that RFC 3711 §3.3.2 asks for, would refuse it.
const REPLAY_PACKETS: usize = 4096;
/// What data channels may hold: nobody reads them.
const DATA_BYTES: u32 = 64 * 1024;

/// Which way media goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// We offer what we send.
    Out,
    /// The far side offers what it sends.
    In,
}

/// Makes the engine of a connection, and starts it. The one place that names its generic types.
pub(super) fn connection(
    settings: &Settings,
    way: Way,
    shared: &Arc<Shared>,
    tasks: &Tasks,
) -> Pending<'static, Arc<dyn PeerConnection>> {
    let built = builder(settings, way, shared, tasks);
    Box::pin(async move {
        let build = Box::pin(built.map_err(setup)?.build());
        let connection = build.await.map_err(setup)?;
        Ok(Arc::new(connection) as Arc<dyn PeerConnection>)
    })
}

fn builder(
    settings: &Settings,
    way: Way,
    shared: &Arc<Shared>,
    tasks: &Tasks,
) -> Result<PeerConnectionBuilder<SocketAddr>, rtc::shared::error::Error> {
    let mut engine = media_engine(way)?;
    configure_simulcast_extension_headers(&mut engine)?;
    let registry = match way {
        Way::In => configure_twcc_receiver_only(Registry::new(), &mut engine)?,
        // What is sent has its rate from elsewhere: reports of arrival times would be for nobody.
        Way::Out => Registry::new(),
    };
    let receiver_reports = rtc::interceptor::ReceiverReportBuilder::new().build();
    let link = Link::new(Arc::clone(shared), random());
    let registry = registry
        .with(Slot::ReceiverReport, receiver_reports)
        .with(Slot::from(14_000), link);
    let servers = settings.ice_servers.iter().map(|server| RTCIceServer {
        urls: server.urls.clone(),
        username: server.username.clone(),
        credential: server.credential.expose().to_owned(),
    });
    let configuration = RTCConfigurationBuilder::default()
        .with_ice_servers(servers.collect())
        .build();
    Ok(PeerConnectionBuilder::new()
        .with_configuration(configuration)
        .with_media_engine(engine)
        .with_interceptor_registry(registry)
        .with_setting_engine(setting_engine(settings))
        .with_handler(Arc::new(Told(Arc::clone(shared))))
        .with_runtime(Arc::new(Ours {
            tasks: tasks.clone(),
            shared: Arc::clone(shared),
        }))
        .with_udp_addrs(addresses(settings.loopback)))
}

fn setting_engine(settings: &Settings) -> SettingEngine {
    SettingEngineBuilder::new()
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .with_include_loopback_candidate(settings.loopback)
        .with_ice_timeouts(Some(DISCONNECTED), Some(FAILED), Some(KEEPALIVE))
        .with_ice_connection_attempts(Some(CHECKS.0), Some(CHECKS.1))
        .with_srtp_replay_protection_window(REPLAY_PACKETS)
        .with_sctp_max_receive_buffer_size(DATA_BYTES)
        .build()
}

fn media_engine(way: Way) -> Result<MediaEngine, rtc::shared::error::Error> {
    let mut engine = MediaEngine::default();
    let profiles = match way {
        Way::Out => &PROFILES[..1],
        Way::In => &PROFILES[..],
    };
    for (payload_type, profile) in profiles {
        let codec = RTCRtpCodecParameters {
            rtp_codec: h264(profile),
            payload_type: *payload_type,
        };
        engine.register_codec(codec, RtpCodecKind::Video)?;
    }
    let opus = RTCRtpCodecParameters {
        rtp_codec: opus(),
        payload_type: OPUS,
    };
    engine.register_codec(opus, RtpCodecKind::Audio)?;
    Ok(engine)
}

/// What is sent.
pub(super) fn codec(kind: MediaKind) -> RTCRtpCodec {
    match kind {
        MediaKind::Video => h264(PROFILES[0].1),
        MediaKind::Audio => opus(),
    }
}

/// RFC 6184 §8.1.
fn h264(profile: &str) -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: "video/H264".to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: format!(
            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}"
        ),
        rtcp_feedback: feedback(&[("nack", ""), ("nack", "pli"), ("ccm", "fir")]),
    }
}

/// RFC 7587 §6.1. A lost packet of sound is asked for like one of pictures.
fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: "audio/opus".to_owned(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1".to_owned(),
        rtcp_feedback: feedback(&[("nack", "")]),
    }
}

fn feedback(names: &[(&str, &str)]) -> Vec<RTCPFeedback> {
    let feedback = names.iter().map(|(typ, parameter)| RTCPFeedback {
        typ: (*typ).to_owned(),
        parameter: (*parameter).to_owned(),
    });
    feedback.collect()
}

/// An address with a free port on each network of the machine.
fn addresses(loopback: bool) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    if loopback {
        addresses.push((Ipv4Addr::LOCALHOST, 0).into());
    }
    let found = ifaces().unwrap_or_default();
    for address in found.into_iter().filter_map(|interface| interface.addr) {
        let local = SocketAddr::new(address.ip(), 0);
        if is_usable(local.ip()) && !addresses.contains(&local) && addresses.len() < SOCKETS {
            addresses.push(local);
        }
    }
    // Over a relay it may still come up.
    if addresses.is_empty() {
        addresses.push((Ipv4Addr::UNSPECIFIED, 0).into());
    }
    addresses
}

/// Whether a far side could reach us there.
fn is_usable(address: IpAddr) -> bool {
    if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        return false;
    }
    match address {
        IpAddr::V4(address) => !address.is_link_local(),
        // fe80::/10 means nothing without its interface (RFC 4291 §2.5.6).
        IpAddr::V6(address) => address.segments()[0] & 0xFFC0 != 0xFE80,
    }
}

/// A number that nobody guesses.
pub(super) fn random() -> u32 {
    getrandom::u32().expect("the system has a random number generator")
}

pub(super) fn setup(error: impl std::fmt::Display) -> Error {
    Error::Setup(error.to_string())
}

/// The engine's callbacks.
struct Told(Arc<Shared>);

/// What a callback answers, in the form that the engine's macro writes.
type Answer<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

fn done<'a>() -> Answer<'a> {
    Box::pin(std::future::ready(()))
}

impl PeerConnectionEventHandler for Told {
    fn on_ice_candidate<'a, 'b>(&'a self, event: RTCPeerConnectionIceEvent) -> Answer<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        if let Ok(candidate) = event.candidate.to_json() {
            self.0.tell(Event::Candidate(ours(candidate)));
        }
        done()
    }

    fn on_ice_gathering_state_change<'a, 'b>(&'a self, state: RTCIceGatheringState) -> Answer<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        if state == RTCIceGatheringState::Complete {
            self.0.tell(Event::Candidate(ours(RTCIceCandidateInit {
                sdp_mid: Some(String::new()),
                sdp_mline_index: Some(0),
                ..RTCIceCandidateInit::default()
            })));
        }
        done()
    }

    fn on_connection_state_change<'a, 'b>(&'a self, state: RTCPeerConnectionState) -> Answer<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        match state {
            RTCPeerConnectionState::Connected => self.0.connect(),
            RTCPeerConnectionState::Failed => {
                self.0.tell(Event::Closed("connection failed".to_owned()));
            }
            RTCPeerConnectionState::Closed => {
                let reason = "connection was closed".to_owned();
                self.0.tell(Event::Closed(reason));
            }
            _ => {}
        }
        done()
    }
}

fn ours(candidate: RTCIceCandidateInit) -> Candidate {
    Candidate {
        candidate: candidate.candidate,
        sdp_mid: candidate.sdp_mid,
        sdp_m_line_index: candidate.sdp_mline_index,
    }
}
