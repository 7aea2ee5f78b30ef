//! Those who pass a stream's renditions on as they are, off the frame path: forwards.
//!
//! A tap sees every rendition, also those that are made for rooms only (Opus, a picture without B-frames)
//! and stand in no manifest. It says what it needs; who makes that follows the needs of all taps.

use std::sync::Arc;

use crate::media::{AccessUnit, Rendition, RenditionId, Track};

/// What a tap sees, in order. What exists is told to a new tap first.
#[derive(Clone, Debug)]
pub enum Event {
    /// A rendition exists.
    Rendition(Arc<Rendition>),
    /// Another configuration of its units.
    Track(RenditionId, Arc<Track>),
    /// A unit in channel time: video in 90 kHz, audio in its sample rate. The first one of a rendition that
    /// was chosen, and the first one after some were dropped, is a key unit.
    Unit(RenditionId, AccessUnit),
    /// Nothing of the rendition follows.
    Removed(RenditionId),
    /// The publisher went away or jumped in time.
    Break,
    /// The stream is over.
    End,
}

/// What somebody has to make for the taps of a stream, besides its ladder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The sound as Opus.
    pub opus: bool,
    /// A picture without B-frames, since no rendition of the stream is one.
    pub picture: bool,
}
