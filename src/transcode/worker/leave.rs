//! From an encoder to the bridge: a rung's configuration and its units, in channel time.

use std::sync::Arc;

use bytes::Bytes;
use gstreamer as gst;

use super::graph::bytes_of;
use super::output::Output;
use super::times::Times;
use crate::media::codec::avc;
use crate::media::{CodecConfig, Timescale, Track};
use crate::transcode::protocol::Message;

/// The way out of one rung.
pub(super) struct Leave {
    index: u8,
    times: Arc<Times>,
    output: Output,
    record: Option<Bytes>,
}

impl Leave {
    pub(super) fn new(index: u8, times: &Arc<Times>, output: &Output) -> Leave {
        Leave {
            index,
            times: times.clone(),
            output: output.clone(),
            record: None,
        }
    }

    pub(super) fn handle_sample(
        &mut self,
        sample: gst::Sample,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let record = sample
            .caps()
            .and_then(|caps| caps.structure(0))
            .and_then(|fields| fields.get::<gst::Buffer>("codec_data").ok())
            .and_then(bytes_of);
        if let Some(record) = record.filter(|record| self.record.as_ref() != Some(record)) {
            self.record = Some(record.clone());
            let config = avc::Config::parse(record).map_err(|_| gst::FlowError::NotNegotiated)?;
            let config = CodecConfig::Avc(config);
            let track = Box::new(Track {
                config,
                timescale: Timescale::CHANNEL,
            });
            let index = self.index;
            self.output.send(Message::RungTrack { index, track });
        }
        let segment = sample
            .segment()
            .and_then(|s| s.downcast_ref::<gst::ClockTime>());
        let buffer = sample.buffer_owned().ok_or(gst::FlowError::Error)?;
        // x264enc adds 1000 hours to its times and says so in the segment.
        let time = segment.and_then(|segment| segment.to_running_time(buffer.pts()));
        let time = time.ok_or(gst::FlowError::Error)?;
        let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let data = bytes_of(buffer).ok_or(gst::FlowError::Error)?;
        let sent = self.output.send(Message::RungUnit {
            index: self.index,
            key,
            pts: self.times.channel(time.nseconds(), Timescale::CHANNEL),
            duration: None,
            data: if key { without_headers(data) } else { data },
        });
        if sent {
            Ok(gst::FlowSuccess::Ok)
        } else {
            Err(gst::FlowError::Eos)
        }
    }
}

/// Cuts parameter sets and information messages off the front: an `avc1` sample entry holds them
/// (ISO/IEC 14496-15 §5.4.2.1).
fn without_headers(data: Bytes) -> Bytes {
    let mut at = 0;
    while let Some(head) = data.get(at..at + 5) {
        // nal_unit_type 6 SEI, 7 SPS, 8 PPS, 9 AUD (ISO/IEC 14496-10 table 7-1)
        if !matches!(head[4] & 0x1f, 6..=9) {
            return data.slice(at..);
        }
        at += 4 + u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    }
    data
}
