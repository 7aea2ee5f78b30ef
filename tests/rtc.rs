//! The WebRTC engine on loopback: two of it against each other, and each way against another engine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use forebay::base::clock::Clock;
use forebay::media::codec::{avc, opus};
use forebay::media::{AccessUnit, CodecConfig, MediaKind, Ticks, Timescale, Track};
use forebay::rtc::{self, Candidate, Event, IncomingId, Outgoing, Peer, Settings};

mod engines;
mod far;
mod other;
mod relay;

use relay::Relay;

/// Longest wait for one event. A hanging test shall say where.
const WAIT: Duration = Duration::from_secs(20);

fn settings() -> Settings {
    Settings {
        ice_servers: Vec::new(),
        loopback: true,
        clock: Clock::system(),
    }
}

async fn open() -> Box<dyn Peer> {
    rtc::open(settings()).await.unwrap()
}

fn data(name: &str) -> Bytes {
    let path = format!("{}/tests/data/codec/{name}", env!("CARGO_MANIFEST_DIR"));
    Bytes::from(std::fs::read(path).unwrap())
}

/// A picture track with parameter sets of a real encoder.
fn picture() -> Track {
    let config = avc::Config::parse(data("avc_opengop.avcc")).unwrap();
    Track {
        config: CodecConfig::Avc(config),
        timescale: Timescale::CHANNEL,
    }
}

fn sound() -> Track {
    Track {
        config: CodecConfig::Opus(opus::Config::new(2).unwrap()),
        timescale: Timescale::of(48_000),
    }
}

/// NAL units with these first bytes and sizes, filled so that each unit differs.
fn nals(seed: usize, nals: &[(u8, usize)]) -> Bytes {
    let mut out = BytesMut::new();
    for &(header, size) in nals {
        out.put_u32(u32::try_from(size).unwrap());
        out.put_u8(header);
        out.extend((1..size).map(|at| u8::try_from((at * 7 + seed * 13) % 251).unwrap() + 1));
    }
    out.freeze()
}

/// Pictures at 30 a second, a key unit every 15, from this media time (90 kHz) on; sizes vary by `scale`.
fn pictures(count: usize, from: i64, scale: usize) -> Vec<AccessUnit> {
    let unit = |index: usize| {
        let key = index.is_multiple_of(15);
        let data = if key {
            nals(index, &[(0x65, 4000 * scale)])
        } else {
            nals(
                index,
                &[(0x41, 200 + (index % 7) * 400 * scale), (0x41, 50)],
            )
        };
        let time = Ticks(from + i64::try_from(index).unwrap() * 3000);
        AccessUnit {
            kind: MediaKind::Video,
            dts: time,
            pts: time,
            duration: None,
            key,
            data,
        }
    };
    (0..count).map(unit).collect()
}

/// Packets of 20 ms from this media time (48 kHz) on.
fn sounds(count: usize, from: i64) -> Vec<AccessUnit> {
    let unit = |index: usize| {
        let mut data = BytesMut::from(&data("opus.packet")[..]);
        let last = data.len() - 1;
        data[last] = u8::try_from(index % 256).unwrap();
        let time = Ticks(from + i64::try_from(index).unwrap() * 960);
        AccessUnit {
            kind: MediaKind::Audio,
            dts: time,
            pts: time,
            duration: Some(Ticks(960)),
            key: true,
            data: data.freeze(),
        }
    };
    (0..count).map(unit).collect()
}

fn outgoing(kind: MediaKind, layers: &[&str]) -> Outgoing {
    let name = match kind {
        MediaKind::Video => "picture",
        MediaKind::Audio => "sound",
    };
    Outgoing {
        stream_id: "stream".to_owned(),
        track_id: name.to_owned(),
        kind,
        layers: layers.iter().map(|&layer| Arc::from(layer)).collect(),
    }
}

/// What a key unit is on the line: with the track's parameter sets in front.
fn with_sets(unit: &AccessUnit) -> Bytes {
    let CodecConfig::Avc(config) = picture().config else {
        panic!("H.264");
    };
    let mut out = BytesMut::new();
    if unit.key {
        for set in config.sps().into_iter().chain(config.pps()) {
            out.put_u32(u32::try_from(set.len()).unwrap());
            out.put_slice(&set);
        }
    }
    out.put_slice(&unit.data);
    out.freeze()
}

/// Two engines: one offers and sends, one answers and receives.
struct Pair {
    sender: Box<dyn Peer>,
    receiver: Box<dyn Peer>,
    told: Vec<Event>,
    heard: Vec<Event>,
    relay: Option<Relay>,
}

impl Pair {
    /// Connects them, through a relay that loses this share of media packets in 1/1000.
    async fn connect(tracks: &[Outgoing], loss: Option<u32>) -> Pair {
        let (mut sender, mut receiver) = (open().await, open().await);
        let offer = sender.offer(tracks).await.unwrap();
        let answer = receiver.answer(&offer).await.unwrap();
        sender.accept(&answer).await.unwrap();
        let relay = match loss {
            Some(loss) => Some(Relay::new(loss).await),
            None => None,
        };
        let mut pair = Pair {
            sender,
            receiver,
            told: Vec::new(),
            heard: Vec::new(),
            relay,
        };
        let connected =
            |events: &[Event]| events.iter().any(|event| matches!(event, Event::Connected));
        pair.until(|pair| connected(&pair.told) && connected(&pair.heard))
            .await;
        pair
    }

    async fn until(&mut self, done: impl Fn(&Pair) -> bool) {
        while !done(self) {
            self.step().await;
        }
    }

    /// The same while media goes on: a packet that is lost at the end is missed only when another one follows.
    async fn until_with(
        &mut self,
        pictures: &[AccessUnit],
        sounds: &[AccessUnit],
        done: impl Fn(&Pair) -> bool,
    ) {
        let (picture, sound) = (picture(), sound());
        let mut tail = pictures.iter().zip(sounds);
        let mut ticks = tokio::time::interval(Duration::from_millis(40));
        while !done(self) {
            tokio::select! {
                _ = ticks.tick() => {
                    let (unit, spoken) = tail.next().expect("everything arrives before this ends");
                    self.sender.send(0, 0, &picture, unit).unwrap();
                    self.sender.send(1, 0, &sound, spoken).unwrap();
                }
                () = self.step() => {}
            }
        }
    }

    async fn step(&mut self) {
        let next = async {
            tokio::select! {
                event = self.sender.next() => (true, event),
                event = self.receiver.next() => (false, event),
            }
        };
        let Ok((from_sender, event)) = tokio::time::timeout(WAIT, next).await else {
            panic!(
                "nothing happens any more: {} events of the sender, {} of the receiver, {:?} {:?}",
                self.told.len(),
                self.heard.len(),
                self.sender.statistics(),
                self.receiver.statistics()
            );
        };
        let event = event.expect("nobody closed the connection");
        if let Event::Candidate(candidate) = event {
            self.pass(from_sender, candidate).await;
        } else if from_sender {
            self.told.push(event);
        } else {
            self.heard.push(event);
        }
    }

    async fn pass(&mut self, from_sender: bool, mut candidate: Candidate) {
        if let Some(relay) = &self.relay {
            let Some(address) = address(&candidate.candidate) else {
                return;
            };
            // Only one way leads through the relay.
            if !address.ip().is_loopback() {
                return;
            }
            let instead = relay.stand_for(from_sender, address);
            let port = format!(" {} ", address.port());
            candidate.candidate =
                candidate
                    .candidate
                    .replacen(&port, &format!(" {} ", instead.port()), 1);
        }
        let to = if from_sender {
            &mut self.receiver
        } else {
            &mut self.sender
        };
        to.add_candidate(&candidate).await.unwrap();
    }

    /// What came of the track of this kind: units in order, and how often something was lost.
    fn received(&self, wanted: MediaKind) -> (Vec<&AccessUnit>, usize) {
        let id = self.incoming(wanted);
        let units = self.heard.iter().filter_map(|event| match event {
            Event::Unit(of, unit) if *of == id => Some(unit),
            _ => None,
        });
        let lost = |event: &&Event| matches!(event, Event::Lost(of) if *of == id);
        (units.collect(), self.heard.iter().filter(lost).count())
    }

    fn incoming(&self, wanted: MediaKind) -> IncomingId {
        let found = self.heard.iter().find_map(|event| match event {
            Event::Incoming { id, kind, .. } if *kind == wanted => Some(*id),
            _ => None,
        });
        found.expect("the track was announced")
    }
}

/// Address of a candidate (RFC 8839 §5.1).
fn address(candidate: &str) -> Option<SocketAddr> {
    let mut words = candidate.split(' ').skip(4);
    let (ip, port) = (words.next()?, words.next()?);
    Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
}
