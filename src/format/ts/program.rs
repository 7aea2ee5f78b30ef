//! The program that is read: its tables, and the two of its streams that are taken.

use std::collections::VecDeque;

use super::adts::Adts;
use super::audio::{Audio, Framing};
use super::latm::Latm;
use super::opus::Opus;
use super::packet::{Continuity, PACKET_BYTES, Packet, Step};
use super::pes::{Piece, Reader, Times};
use super::psi::{self, PAT_PID, PAT_TABLE, PMT_TABLE, Program, Sections, Stream};
use super::stamps::Time;
use super::streams::{self, Content};
use super::video::Video;
use super::{Counts, Event, Taken};
use crate::media::MediaKind;

/// Codecs of which the publisher was told that they are not taken. More than a stream can hold at once;
/// bounds what one that changes its tables all the time can make us say.
const TOLD_LIMIT: usize = 8;

/// Where events and counts go.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) events: VecDeque<Event>,
    pub(super) counts: Counts,
}

/// The tables and streams of a transport stream.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) out: Out,
    times: Times,
    pat: Table,
    program: Option<Program>,
    map: Table,
    video: Option<Lane>,
    audio: Option<Lane>,
    told: Vec<(MediaKind, &'static str)>,
    taken: Option<Taken>,
    /// What is to be told of it.
    news: Option<Taken>,
}

/// The sections of one PID.
#[derive(Debug, Default)]
struct Table {
    continuity: Continuity,
    sections: Sections,
}

impl Table {
    /// `take` gets whole sections.
    fn handle(&mut self, packet: &Packet<'_>, counts: &mut Counts, take: impl FnMut(&[u8])) {
        let Some(payload) = packet.payload else {
            return;
        };
        match self.continuity.step(packet, payload) {
            Step::Next => {}
            Step::Repeated => {
                counts.repeated_packets += 1;
                return;
            }
            Step::Lost => {
                counts.continuity_errors += 1;
                self.sections.lose();
            }
        }
        self.sections.push(payload, packet.starts, take);
    }
}

impl Streams {
    /// Takes one packet.
    pub(super) fn handle(&mut self, packet: &[u8; PACKET_BYTES]) {
        self.out.counts.packets += 1;
        let packet = Packet::read(packet);
        if packet.corrupt {
            // Not even its PID is certain.
            self.out.counts.corrupt_packets += 1;
            return;
        }
        let lanes = [&mut self.video, &mut self.audio];
        if let Some(lane) = lanes
            .into_iter()
            .flatten()
            .find(|lane| lane.pid == packet.pid)
        {
            lane.handle(&packet, &mut self.times, &mut self.out);
        } else if packet.pid == PAT_PID {
            self.handle_pat(&packet);
        } else if self
            .program
            .is_some_and(|program| program.map_pid == packet.pid)
        {
            self.handle_map(&packet);
        }
    }

    /// The stream is over.
    pub(super) fn finish(&mut self) {
        for lane in [&mut self.video, &mut self.audio].into_iter().flatten() {
            lane.finish(&mut self.out);
        }
    }

    fn handle_pat(&mut self, packet: &Packet<'_>) {
        let (program, counts) = (&mut self.program, &mut self.out.counts);
        let before = *program;
        let mut malformed = 0;
        self.pat.handle(packet, counts, |section| {
            match psi::check(section, PAT_TABLE) {
                // Of several programs the first one is read, as long as it is there.
                Ok(Some(section)) => {
                    let mut listed = psi::programs(section);
                    let known = program.is_some_and(|known| {
                        psi::programs(section).any(|program| program == known)
                    });
                    if !known && section.number == 0 {
                        *program = listed.next();
                    }
                }
                Ok(None) => {}
                Err(_) => malformed += 1,
            }
        });
        counts.malformed_units += malformed;
        if *program != before {
            self.map = Table::default();
        }
    }

    fn handle_map(&mut self, packet: &Packet<'_>) {
        let Some(program) = self.program else {
            return;
        };
        // Both tables are small and change place for the time of a call.
        let mut map = std::mem::take(&mut self.map);
        let mut counts = self.out.counts;
        map.handle(packet, &mut counts, |section| {
            match psi::check(section, PMT_TABLE) {
                Ok(Some(section)) if section.id == program.number => {
                    self.choose(&psi::streams(section));
                }
                Ok(_) => {}
                Err(_) => self.out.counts.malformed_units += 1,
            }
        });
        self.out.counts.continuity_errors = counts.continuity_errors;
        self.out.counts.repeated_packets = counts.repeated_packets;
        self.map = map;
    }

    /// Takes the first video and the first audio stream that can be taken. One that is read already
    /// goes on when the map still says the same of it.
    fn choose(&mut self, streams: &[Stream<'_>]) {
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let lane = match kind {
                MediaKind::Video => &mut self.video,
                MediaKind::Audio => &mut self.audio,
            };
            let mut contents = streams
                .iter()
                .map(|stream| (stream.pid, streams::content(*stream)));
            let taken = contents
                .clone()
                .find(|(_, content)| content.taken() == Some(kind));
            let known = lane.as_ref().map(|lane| (lane.pid, &lane.content));
            if known.is_some() && known == taken.as_ref().map(|(pid, content)| (*pid, content)) {
                continue;
            }
            if let Some(lane) = lane {
                lane.finish(&mut self.out);
            }
            *lane = taken.and_then(|(pid, content)| Lane::new(pid, content));
            if lane.is_some() {
                continue;
            }
            let other = contents.find_map(|(_, content)| match content {
                Content::Other(other, name) if other == kind => Some(name),
                _ => None,
            });
            if let Some(name) = other
                && !self.told.contains(&(kind, name))
                && self.told.len() < TOLD_LIMIT
            {
                self.told.push((kind, name));
                let text = streams::unsupported(kind, name);
                self.out.events.push_back(Event::Unsupported(text));
            }
        }
        let taken = Taken {
            video: self.video.is_some(),
            audio: self.audio.is_some(),
        };
        if self.taken.replace(taken) != Some(taken) {
            self.news = Some(taken);
        }
    }

    /// What the program's map says, when it says something new.
    pub(super) fn poll_taken(&mut self) -> Option<Taken> {
        self.news.take()
    }
}

/// One stream that is taken.
#[derive(Debug)]
struct Lane {
    pid: u16,
    content: Content,
    continuity: Continuity,
    reader: Reader,
    decoder: Decoder,
    /// Whether the last packet was the last one of a PES packet, as its stuffing tells.
    ended: bool,
}

#[derive(Debug)]
enum Decoder {
    Video(Video),
    Audio(Audio),
}

impl Lane {
    fn new(pid: u16, content: Content) -> Option<Lane> {
        let decoder = match &content {
            Content::Video(coding) => Decoder::Video(Video::new(*coding)),
            Content::Adts => Decoder::Audio(Audio::new(Framing::Adts(Adts::default()))),
            Content::Latm => Decoder::Audio(Audio::new(Framing::Latm(Latm::default()))),
            Content::Opus(config) => {
                Decoder::Audio(Audio::new(Framing::Opus(Opus::new(config.clone()))))
            }
            Content::Other(..) | Content::Data => return None,
        };
        Some(Lane {
            pid,
            content,
            continuity: Continuity::default(),
            reader: Reader::default(),
            decoder,
            ended: false,
        })
    }

    fn handle(&mut self, packet: &Packet<'_>, times: &mut Times, out: &mut Out) {
        let Some(payload) = packet.payload else {
            return;
        };
        match self.continuity.step(packet, payload) {
            Step::Next => {}
            Step::Repeated => {
                out.counts.repeated_packets += 1;
                return;
            }
            Step::Lost => {
                out.counts.continuity_errors += 1;
                self.lose(out);
            }
        }
        if packet.scrambled {
            out.counts.scrambled_packets += 1;
            self.lose(out);
            self.ended = packet.stuffed;
            return;
        }
        self.ended = packet.stuffed;
        let decoder = &mut self.decoder;
        self.reader
            .push(payload, packet.starts, |piece| match piece {
                Piece::Begin(stamp) => {
                    let time = stamp.map(|stamp| {
                        let (pts, dts) = times.unwrap(stamp);
                        Time { pts, dts }
                    });
                    match decoder {
                        Decoder::Video(video) => video.begin(time),
                        Decoder::Audio(audio) => audio.begin(time),
                    }
                }
                Piece::Data(data) => match decoder {
                    Decoder::Video(video) => video.push(data, out),
                    Decoder::Audio(audio) => audio.push(data, out),
                },
                Piece::Malformed => out.counts.malformed_units += 1,
                Piece::Scrambled => out.counts.scrambled_packets += 1,
            });
    }

    fn lose(&mut self, out: &mut Out) {
        match &mut self.decoder {
            Decoder::Video(video) => {
                // A picture that was complete is none the worse for what was lost after it.
                if self.reader.lose(false) && !self.ended {
                    video.lose();
                }
            }
            Decoder::Audio(audio) => {
                self.reader.lose(audio.reads_on());
                audio.lose(out);
            }
        }
    }

    fn finish(&mut self, out: &mut Out) {
        match &mut self.decoder {
            Decoder::Video(video) => video.finish(out),
            Decoder::Audio(audio) => audio.finish(out),
        }
    }
}
