//! Another engine (str0m) as the far side, over one socket of its own.

use std::time::Duration;

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::net::UdpSocket;
use tokio::time::Instant;

pub struct Far {
    pub rtc: Rtc,
    socket: UdpSocket,
    buffer: Vec<u8>,
    pending: Option<SdpPendingOffer>,
}

impl Far {
    pub async fn new() -> Far {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let crypto = str0m::crypto::from_feature_flags();
        let mut rtc = Rtc::builder()
            .set_crypto_provider(crypto.into())
            .clear_codecs()
            .enable_opus(true, false)
            .enable_h264(true)
            .build(Instant::now().into_std());
        let address = socket.local_addr().unwrap();
        rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
        Far {
            rtc,
            socket,
            buffer: vec![0; 2048],
            pending: None,
        }
    }

    pub fn answer(&mut self, offer: &str) -> String {
        let offer = SdpOffer::from_sdp_string(offer).unwrap();
        self.rtc
            .sdp_api()
            .accept_offer(offer)
            .unwrap()
            .to_sdp_string()
    }

    /// Offers what this adds.
    pub fn offer(&mut self, add: impl FnOnce(&mut str0m::change::SdpApi<'_>)) -> String {
        let mut change = self.rtc.sdp_api();
        add(&mut change);
        let (offer, pending) = change.apply().unwrap();
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    pub fn accept(&mut self, answer: &str) {
        let answer = SdpAnswer::from_sdp_string(answer).unwrap();
        let pending = self.pending.take().unwrap();
        self.rtc.sdp_api().accept_answer(pending, answer).unwrap();
    }

    /// A candidate of our engine; the end of them is none.
    pub fn add_candidate(&mut self, candidate: &str) {
        if let Ok(candidate) = Candidate::from_sdp_string(candidate) {
            self.rtc.add_remote_candidate(candidate);
        }
    }

    /// The next event. Cancel-safe: only waiting is given up.
    pub async fn next(&mut self) -> Event {
        loop {
            let timeout = match self.rtc.poll_output().unwrap() {
                Output::Event(event) => return event,
                Output::Transmit(transmit) => {
                    let _ = self
                        .socket
                        .try_send_to(&transmit.contents, transmit.destination);
                    continue;
                }
                Output::Timeout(timeout) => timeout,
            };
            let received = tokio::select! {
                received = self.socket.recv_from(&mut self.buffer) => Some(received.unwrap()),
                () = tokio::time::sleep_until(timeout.into()) => None,
            };
            let now = Instant::now().into_std();
            let input = match received {
                None => Input::Timeout(now),
                Some((size, source)) => {
                    let destination = self.socket.local_addr().unwrap();
                    let Ok(contents) = self.buffer[..size].try_into() else {
                        continue;
                    };
                    Input::Receive(
                        now,
                        Receive {
                            proto: Protocol::Udp,
                            source,
                            destination,
                            contents,
                        },
                    )
                }
            };
            self.rtc.handle_input(input).unwrap();
        }
    }

    /// Lets what was written go out.
    pub fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

/// A pause between pieces of media.
pub const TICK: Duration = Duration::from_millis(10);
