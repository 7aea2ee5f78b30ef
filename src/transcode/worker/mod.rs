//! The child process that holds GStreamer. In: a stream's source units on standard input, one end of
//! a socket pair. Out: rungs and thumbnails on the same socket. Not here: what a rung is, what a
//! boundary is, restarts.
//!
//! It ends when its socket does, and at the first error of any element, with a message that names it.

pub(super) mod audio;
mod decode;
pub(super) mod elements;
pub(super) mod graph;
mod grid;
mod keys;
mod leave;
pub(super) mod marks;
pub(super) mod output;
pub(super) mod picture;
pub(super) mod slate;
pub(super) mod times;

use std::io::{self, BufReader, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gstreamer as gst;

use self::audio::AudioGraph;
use self::decode::Decoder;
use self::graph::lock;
use self::marks::Marks;
use self::output::Output;
use self::picture::Pictures;
use self::times::Times;
use super::Error;
use super::ladder::AudioRung;
use super::protocol::{self, Message, PREFIX, Setup, Unit};
use crate::hub::Filler;
use crate::media::{MediaKind, Ticks, Timescale, Track};

/// Media time between two statistics messages, 90 kHz.
const STATISTICS_TICKS: i64 = 90_000;

/// Runs the worker until its socket, standard input, is at its end. The process should exit then.
pub fn run_worker() -> Result<(), Error> {
    let io_error = |doing| move |source| Error::Io { doing, source };
    let socket = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map(UnixStream::from)
        .map_err(io_error("open socket"))?;
    let writing = socket.try_clone().map_err(io_error("open socket"))?;
    let (output, queue) = Output::new();
    let writer = std::thread::Builder::new()
        .name("write".to_owned())
        .spawn(move || match output::write_all(&queue, writing) {
            Ok(false) => {}
            // The bridge is gone or has the last word: the main thread may be waiting for an
            // encoder that will never come back, so it is not asked.
            Ok(true) => std::process::exit(0),
            Err(_) => std::process::exit(1),
        })
        .map_err(io_error("start writer"))?;
    let served = serve(socket, &output);
    let last = match &served {
        Ok(false) => return Ok(()),
        Ok(true) => Message::Finished,
        Err(error) => failure(error),
    };
    output.send(last);
    drop(output);
    // The writer ends the process after the last message.
    let _ = writer.join();
    served.map(|_| ())
}

/// Reads and obeys. True after [`Message::End`], false when the bridge is gone.
fn serve(socket: UnixStream, output: &Output) -> Result<bool, Error> {
    gst::init().map_err(|error| Error::Element {
        element: "gstreamer".to_owned(),
        text: error.to_string(),
    })?;
    let mut socket = BufReader::new(socket);
    let mut session = None;
    while let Some(message) = read_message(&mut socket)? {
        match (message, &mut session) {
            (Message::Setup(setup), None) => session = Some(Session::new(*setup, output)),
            (Message::Track(track), Some(session)) => session.handle_track(*track)?,
            (Message::Unit(unit), Some(session)) => session.handle_unit(unit)?,
            (
                Message::Hold {
                    until,
                    boundary,
                    filler,
                },
                Some(session),
            ) => session.handle_hold(until, boundary, filler)?,
            (Message::Break, Some(session)) => session.handle_break()?,
            (Message::Shed { index }, Some(session)) => {
                lock(&session.pictures).shed(index.into());
            }
            (Message::KeyUnit { index }, Some(session)) => {
                lock(&session.pictures).want_key_unit(index.into());
            }
            (Message::Sound(rungs), Some(session)) => session.handle_sound(rungs),
            (Message::End, Some(_)) => {
                session.take().expect("just matched").finish()?;
                return Ok(true);
            }
            (message, _) => {
                return Err(Error::Element {
                    element: "worker".to_owned(),
                    text: format!("unexpected message {:?}", std::mem::discriminant(&message)),
                });
            }
        }
    }
    Ok(false)
}

/// One message; `None` at the end of the socket.
fn read_message(socket: &mut impl Read) -> Result<Option<Message>, Error> {
    let mut prefix = [0_u8; PREFIX];
    let mut filled = 0;
    while filled < PREFIX {
        match socket.read(&mut prefix[filled..]) {
            Ok(0) => return Ok(None),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(source) => {
                let doing = "read";
                return Err(Error::Io { doing, source });
            }
        }
    }
    let mut body = vec![0; protocol::body_length(prefix)?];
    match socket.read_exact(&mut body) {
        Ok(()) => Ok(Some(Message::parse(Bytes::from(body))?)),
        Err(_) => Ok(None),
    }
}

fn failure(error: &Error) -> Message {
    let text = error.to_string();
    match error {
        Error::MissingElement { element, package } => Message::Failed {
            element: element.clone(),
            package: Some(package.clone()),
            text,
        },
        Error::Element { element, text } => Message::Failed {
            element: element.clone(),
            package: None,
            text: text.clone(),
        },
        _ => Message::Failed {
            element: "worker".to_owned(),
            package: None,
            text,
        },
    }
}

/// The state of one stream.
struct Session {
    setup: Arc<Setup>,
    /// Audio encodings; the setup's, or what came later.
    audio_rungs: Vec<AudioRung>,
    output: Output,
    times: Arc<Times>,
    marks: Arc<Mutex<Marks>>,
    pictures: Arc<Mutex<Pictures>>,
    sound: Option<Arc<Mutex<AudioGraph>>>,
    video_track: Option<Track>,
    audio_track: Option<Track>,
    video: Option<Decoder>,
    audio: Option<Decoder>,
    next_statistics: i64,
}

impl Session {
    fn new(setup: Setup, output: &Output) -> Session {
        let audio_rungs = setup.audio.clone();
        let setup = Arc::new(setup);
        let times = Arc::new(Times::default());
        let marks = Arc::new(Mutex::new(Marks::default()));
        let pictures = Pictures::new(setup.clone(), marks.clone(), times.clone(), output.clone());
        Session {
            setup,
            audio_rungs,
            output: output.clone(),
            times,
            marks,
            pictures: Arc::new(Mutex::new(pictures)),
            sound: None,
            video_track: None,
            audio_track: None,
            video: None,
            audio: None,
            next_statistics: i64::MIN,
        }
    }

    fn handle_track(&mut self, track: Track) -> Result<(), Error> {
        let (known, decoder) = match track.kind() {
            MediaKind::Video => (&mut self.video_track, &mut self.video),
            MediaKind::Audio => (&mut self.audio_track, &mut self.audio),
        };
        if known.as_ref() == Some(&track) {
            return Ok(());
        }
        *known = Some(track);
        match decoder.take() {
            Some(decoder) => decoder.drain(),
            None => Ok(()),
        }
    }

    fn handle_break(&mut self) -> Result<(), Error> {
        for decoder in [self.video.take(), self.audio.take()].into_iter().flatten() {
            decoder.drain()?;
        }
        Ok(())
    }

    /// Encodings that run already stay as they are: their configuration is out.
    fn handle_sound(&mut self, rungs: Vec<AudioRung>) {
        if self.sound.is_none() {
            self.audio_rungs = rungs;
        }
    }

    fn handle_unit(&mut self, unit: Unit) -> Result<(), Error> {
        match unit.kind {
            MediaKind::Video => self.handle_video(unit),
            MediaKind::Audio => self.handle_audio(unit),
        }
    }

    fn handle_video(&mut self, unit: Unit) -> Result<(), Error> {
        let Some(track) = self.video_track.as_ref() else {
            return Ok(());
        };
        if self.setup.video.is_empty() || self.video.is_none() && !unit.key {
            return Ok(());
        }
        let scale = Timescale::CHANNEL;
        let Some(pts) = self.times.pipeline(unit.pts, scale) else {
            return Ok(());
        };
        let dts = self.times.pipeline(unit.dts, scale).unwrap_or(pts);
        self.stamp(unit.boundary);
        if self.video.is_none() {
            let pictures = self.pictures.clone();
            lock(&pictures).source_changed();
            let sink = move |sample| lock(&pictures).handle_sample(&sample);
            self.video = Some(Decoder::video(track, &self.output, sink)?);
        }
        let decoder = self.video.as_mut().expect("made above when it was missing");
        decoder.push(pts, dts, unit.key, unit.data);
        self.report(unit.dts);
        Ok(())
    }

    /// Holds what was shown last, after everything that came before.
    fn handle_hold(
        &mut self,
        until: Ticks,
        boundary: Option<Ticks>,
        filler: Filler,
    ) -> Result<(), Error> {
        let Some(end) = self.times.pipeline(until, Timescale::CHANNEL) else {
            return Ok(());
        };
        if self.setup.video.is_empty() {
            return Ok(());
        }
        if let Some(decoder) = &self.video {
            decoder.settle()?;
        }
        self.stamp(boundary);
        // A failure is on the bus as well, with its element and text.
        let _ = lock(&self.pictures).handle_hold(end, filler);
        self.report(until);
        Ok(())
    }

    fn stamp(&self, boundary: Option<Ticks>) {
        let time = boundary.and_then(|time| self.times.pipeline(time, Timescale::CHANNEL));
        if let Some(time) = time {
            lock(&self.marks).stamp(time);
        }
    }

    fn handle_audio(&mut self, unit: Unit) -> Result<(), Error> {
        let (Some(track), Some(form)) = (self.audio_track.as_ref(), self.audio_rungs.first())
        else {
            return Ok(());
        };
        let Some(pts) = self.times.pipeline(unit.pts, track.timescale) else {
            return Ok(());
        };
        let sound = match &self.sound {
            Some(sound) => sound.clone(),
            None => {
                let (rungs, first) = (&self.audio_rungs, self.setup.video.len());
                let resume = self.setup.resume.get(first).copied().flatten();
                let sound = AudioGraph::new(rungs, first, resume, &self.times, &self.output)?;
                self.sound.insert(Arc::new(Mutex::new(sound))).clone()
            }
        };
        if self.audio.is_none() {
            let sink = move |sample| lock(&sound).handle_sample(&sample);
            let (rate, channels) = (form.sample_rate, form.channels);
            let decoder = Decoder::audio(track, rate, channels, &self.output, sink)?;
            self.audio = Some(decoder);
        }
        let decoder = self.audio.as_mut().expect("made above when it was missing");
        decoder.push(pts, pts, true, unit.data);
        Ok(())
    }

    fn report(&mut self, dts: Ticks) {
        if dts.0 >= self.next_statistics {
            self.next_statistics = dts.0 + STATISTICS_TICKS;
            let counters = self.output.tally.counters();
            self.output.send(Message::Statistics(counters));
        }
    }

    /// Gives out everything that is inside.
    fn finish(mut self) -> Result<(), Error> {
        self.handle_break()?;
        let graph = lock(&self.pictures).take_graph();
        if let Some(graph) = graph {
            graph.drain()?;
        }
        // The decoder's callback, the other owner, went with the decoder.
        let sound = self.sound.take().and_then(Arc::into_inner);
        if let Some(sound) = sound {
            let sound = sound.into_inner();
            sound
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .drain()?;
        }
        self.output
            .send(Message::Statistics(self.output.tally.counters()));
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
