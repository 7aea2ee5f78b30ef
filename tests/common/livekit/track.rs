//! A track of a participant: what was announced, which section of the offer carries it, and what came of it.

use std::time::Instant;

use livekit_protocol as proto;
use str0m::media::Mid;

use super::forward::Offered;
use super::participant::Participant;
use super::peer::Section;
use super::record::Recorder;

/// A track that was announced.
#[derive(Debug)]
pub struct Track {
    pub info: proto::TrackInfo,
    /// The client's name for it, which its offer repeats.
    pub cid: String,
    pub mid: Option<Mid>,
    /// Layers of simulcast by the offer.
    pub rids: Vec<String>,
    /// Layers of which something came.
    pub layers: Vec<Recorder>,
    /// When a key frame of each layer was asked for.
    pub asked: Vec<Option<Instant>>,
    /// Whether media came, so that others know of it.
    pub is_published: bool,
    /// Unpublished, and kept for who wants to look at what came.
    pub is_gone: bool,
    /// Whether the publisher was told that somebody takes it.
    pub was_taken: bool,
}

impl Track {
    pub fn is_video(&self) -> bool {
        self.info.r#type == proto::TrackType::Video as i32
    }

    /// `VideoQuality` of a layer: q, h and f are LiveKit's names for low, medium and high.
    pub fn quality(&self, rid: &str) -> i32 {
        match rid {
            "q" => 0,
            "h" => 1,
            "f" | "" => 2,
            _ => self.rids.iter().position(|known| known == rid).unwrap_or(2) as i32,
        }
    }

    /// What may be forwarded.
    pub fn offered(&self) -> Vec<Offered> {
        let offered = |recorder: &Recorder| {
            let quality = self.quality(&recorder.layer.rid);
            let mut sizes = self.info.layers.iter();
            let size = sizes.find(|layer| layer.quality == quality);
            let whole = (self.info.width, self.info.height);
            let (width, height) = size.map_or(whole, |size| (size.width, size.height));
            Offered {
                quality,
                width,
                height,
                last_arrival: recorder.layer.last_arrival,
            }
        };
        self.layers.iter().map(offered).collect()
    }
}

impl Participant {
    /// Awaits media of what was announced; it is published when they come.
    pub fn expect_track(&mut self, sid: String, add: &proto::AddTrackRequest) -> proto::TrackInfo {
        let info = track_info(sid, add);
        self.tracks.push(Track {
            info: info.clone(),
            cid: add.cid.clone(),
            mid: None,
            rids: Vec::new(),
            layers: Vec::new(),
            asked: Vec::new(),
            is_published: false,
            is_gone: false,
            was_taken: false,
        });
        info
    }

    /// Which section carries which track, by the offer. Tracks whose section sends no more are given back.
    pub fn bind(&mut self, sections: &[Section]) -> Vec<String> {
        let mut gone = Vec::new();
        for track in self.tracks.iter_mut().filter(|track| !track.is_gone) {
            let named = |section: &&Section| section.sends && section.track == track.cid;
            let bound = track.mid.map(|mid| mid.to_string());
            let section = match &bound {
                Some(mid) => sections
                    .iter()
                    .find(|section| section.mid == *mid && section.sends),
                None => sections.iter().find(named),
            };
            if let Some(section) = section {
                track.mid = Some(section.mid.as_str().into());
                track.rids.clone_from(&section.rids);
                track.info.simulcast = section.rids.len() > 1;
                track.info.mid.clone_from(&section.mid);
                for codec in &mut track.info.codecs {
                    codec.mid.clone_from(&section.mid);
                }
            } else if bound.is_some() {
                gone.push(track.info.sid.clone());
            }
        }
        gone
    }
}

/// What becomes of an announcement. A track without a stream gets that of its source: camera and microphone
/// are one.
fn track_info(sid: String, add: &proto::AddTrackRequest) -> proto::TrackInfo {
    let is_video = add.r#type == proto::TrackType::Video as i32;
    let is_screen = add.source == proto::TrackSource::ScreenShare as i32
        || add.source == proto::TrackSource::ScreenShareAudio as i32;
    let by_source = if is_screen { "screenshare" } else { "camera" };
    let mime_type = if is_video { "video/H264" } else { "audio/opus" };
    let stream = if add.stream.is_empty() {
        by_source
    } else {
        &add.stream
    };
    proto::TrackInfo {
        sid,
        r#type: add.r#type,
        name: add.name.clone(),
        muted: add.muted,
        width: add.width,
        height: add.height,
        disable_dtx: add.disable_dtx,
        source: add.source,
        layers: add.layers.clone(),
        mime_type: mime_type.to_owned(),
        codecs: vec![proto::SimulcastCodecInfo {
            mime_type: mime_type.to_owned(),
            cid: add.cid.clone(),
            layers: add.layers.clone(),
            ..Default::default()
        }],
        stereo: add.stereo,
        disable_red: add.disable_red,
        stream: stream.to_owned(),
        audio_features: add.audio_features.clone(),
        ..Default::default()
    }
}
