//! The initialisation segment: `ftyp` and `moov` of one track.

use bytes::{BufMut, Bytes};
use sha2::{Digest, Sha256};

use super::TRACK_ID;
use super::boxes::{boxed, full, unity_matrix, zeros};
use crate::media::codec::{self, Colour, PixelAspect, aac, opus};
use crate::media::{CodecConfig, MediaKind, Track};

/// Largest codec configuration record, in bytes. Real ones are below 1 KiB; this bounds what each
/// viewer has to load before the first picture.
const RECORD_LIMIT: usize = 64 * 1024;

/// Why a track has no initialisation segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A sample entry stores sizes in 16 bits.
    #[error("picture of {width}x{height} does not fit in a sample entry")]
    Size {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// The codec configuration record is larger than any real one.
    #[error("codec configuration record of {0} bytes is above the limit of 65536")]
    Record(usize),
    /// The codec configuration record cannot be converted.
    #[error(transparent)]
    Codec(#[from] codec::Error),
}

/// What a sample entry needs of a video codec.
struct Video<'a> {
    entry: &'static [u8; 4],
    configuration: &'static [u8; 4],
    record: &'a [u8],
    width: u32,
    height: u32,
    pixel_aspect: PixelAspect,
    colour: Colour,
}

/// `init-{hash}.mp4`: eight hexadecimal digits of SHA-256 over the bytes.
pub fn init_name(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    format!(
        "init-{:02x}{:02x}{:02x}{:02x}.mp4",
        hash[0], hash[1], hash[2], hash[3]
    )
}

/// The initialisation segment of a track. The codec configuration record goes in unaltered; video
/// without a statement on colour is declared BT.709, without one on the pixel's shape square.
pub fn init(track: &Track) -> Result<Bytes, Error> {
    let record = track.config.record();
    if record.len() > RECORD_LIMIT {
        return Err(Error::Record(record.len()));
    }
    let (entry, display) = sample_entry(track)?;

    let mut out = Vec::with_capacity(640 + entry.len());
    boxed(&mut out, b"ftyp", |out| {
        // ISO/IEC 23000-19 §7.2: the structural brand; iso6 for signed composition offsets and
        // default-base-is-moof.
        out.put_slice(b"cmf2");
        out.put_u32(0);
        for brand in [b"cmf2", b"cmfc", b"iso6", b"mp42"] {
            out.put_slice(brand);
        }
        if matches!(track.config, CodecConfig::Av1(_)) {
            // AV1 in ISOBMFF §2.1.
            out.put_slice(b"av01");
        }
    });
    boxed(&mut out, b"moov", |out| {
        // §8.2.2. The presentation has no length of its own: zero in mvhd, tkhd and mdhd.
        full(out, b"mvhd", 0, 0, |out| {
            zeros(out, 8);
            out.put_u32(track.timescale.get());
            out.put_u32(0);
            out.put_u32(0x0001_0000);
            out.put_u16(0x0100);
            zeros(out, 10);
            unity_matrix(out);
            zeros(out, 24);
            out.put_u32(TRACK_ID + 1);
        });
        boxed(out, b"trak", |out| put_track(out, track, display, &entry));
        boxed(out, b"mvex", |out| {
            // §8.8.3. cmf2 states durations, sizes and flags in every fragment.
            full(out, b"trex", 0, 0, |out| {
                out.put_u32(TRACK_ID);
                out.put_u32(1);
                zeros(out, 12);
            });
        });
    });
    Ok(Bytes::from(out))
}

/// The contents of `trak`, ISO/IEC 14496-12 §8.3 and §8.4. `display` is 16.16 fixed point.
fn put_track(out: &mut Vec<u8>, track: &Track, display: (u32, u32), entry: &[u8]) {
    let video = track.kind() == MediaKind::Video;
    // track_enabled, track_in_movie
    full(out, b"tkhd", 0, 3, |out| {
        zeros(out, 8);
        out.put_u32(TRACK_ID);
        zeros(out, 4 + 4 + 8 + 2 + 2);
        out.put_u16(if video { 0 } else { 0x0100 });
        zeros(out, 2);
        unity_matrix(out);
        out.put_u32(display.0);
        out.put_u32(display.1);
    });
    boxed(out, b"mdia", |out| {
        full(out, b"mdhd", 0, 0, |out| {
            zeros(out, 8);
            out.put_u32(track.timescale.get());
            out.put_u32(0);
            // "und", three letters of five bits each (§8.4.2.3).
            out.put_u16(0x55C4);
            zeros(out, 2);
        });
        full(out, b"hdlr", 0, 0, |out| {
            zeros(out, 4);
            out.put_slice(if video { b"vide" } else { b"soun" });
            zeros(out, 12);
            out.put_slice(if video {
                b"VideoHandler\0"
            } else {
                b"SoundHandler\0"
            });
        });
        boxed(out, b"minf", |out| {
            if video {
                full(out, b"vmhd", 0, 1, |out| zeros(out, 8));
            } else {
                full(out, b"smhd", 0, 0, |out| zeros(out, 4));
            }
            boxed(out, b"dinf", |out| {
                full(out, b"dref", 0, 0, |out| {
                    out.put_u32(1);
                    // Media data is in the same file.
                    full(out, b"url ", 0, 1, |_| {});
                });
            });
            boxed(out, b"stbl", |out| {
                full(out, b"stsd", 0, 0, |out| {
                    out.put_u32(1);
                    out.put_slice(entry);
                });
                full(out, b"stts", 0, 0, |out| zeros(out, 4));
                full(out, b"stsc", 0, 0, |out| zeros(out, 4));
                full(out, b"stsz", 0, 0, |out| zeros(out, 8));
                full(out, b"stco", 0, 0, |out| zeros(out, 4));
            });
        });
    });
}

/// The sample entry box, and width and height of `tkhd` (16.16 fixed point, zero for audio).
fn sample_entry(track: &Track) -> Result<(Vec<u8>, (u32, u32)), Error> {
    match &track.config {
        CodecConfig::Avc(config) => visual(Video {
            entry: b"avc1",
            configuration: b"avcC",
            record: &config.record,
            width: config.width,
            height: config.height,
            pixel_aspect: config.pixel_aspect.unwrap_or(PixelAspect::SQUARE),
            colour: config.colour.unwrap_or(Colour::BT709),
        }),
        CodecConfig::Hevc(config) => visual(Video {
            entry: b"hvc1",
            configuration: b"hvcC",
            record: &config.record,
            width: config.width,
            height: config.height,
            pixel_aspect: config.pixel_aspect.unwrap_or(PixelAspect::SQUARE),
            colour: config.colour.unwrap_or(Colour::BT709),
        }),
        CodecConfig::Av1(config) => visual(Video {
            entry: b"av01",
            configuration: b"av1C",
            record: &config.record,
            width: config.width,
            height: config.height,
            pixel_aspect: PixelAspect::SQUARE,
            colour: config.colour.unwrap_or(Colour::BT709),
        }),
        CodecConfig::Aac(config) => Ok((aac_entry(config), (0, 0))),
        CodecConfig::Opus(config) => Ok((opus_entry(config)?, (0, 0))),
    }
}

/// VisualSampleEntry (ISO/IEC 14496-12 §12.1.3) with configuration, `colr` and `pasp`.
fn visual(video: Video<'_>) -> Result<(Vec<u8>, (u32, u32)), Error> {
    let (Ok(width), Ok(height)) = (u16::try_from(video.width), u16::try_from(video.height)) else {
        return Err(Error::Size {
            width: video.width,
            height: video.height,
        });
    };
    let colour = video.colour.or_bt709();
    let mut out = Vec::with_capacity(160 + video.record.len());
    boxed(&mut out, video.entry, |out| {
        zeros(out, 6);
        out.put_u16(1);
        zeros(out, 16);
        out.put_u16(width);
        out.put_u16(height);
        // 72 dpi, one frame per sample, no compressor name, 24 bits of depth.
        out.put_u32(0x0048_0000);
        out.put_u32(0x0048_0000);
        zeros(out, 4);
        out.put_u16(1);
        zeros(out, 32);
        out.put_u16(0x0018);
        out.put_i16(-1);
        boxed(out, video.configuration, |out| out.put_slice(video.record));
        // §12.1.5
        boxed(out, b"colr", |out| {
            out.put_slice(b"nclx");
            out.put_u16(u16::from(colour.primaries));
            out.put_u16(u16::from(colour.transfer));
            out.put_u16(u16::from(colour.matrix));
            out.put_u8(if colour.full_range { 0x80 } else { 0 });
        });
        // §12.1.4
        boxed(out, b"pasp", |out| {
            out.put_u32(u32::from(video.pixel_aspect.horizontal));
            out.put_u32(u32::from(video.pixel_aspect.vertical));
        });
    });
    Ok((out, display_size(width, height, video.pixel_aspect)))
}

/// Width and height in square pixels, 16.16 fixed point: the height is kept.
fn display_size(width: u16, height: u16, aspect: PixelAspect) -> (u32, u32) {
    let wide = (u64::from(width) << 16) * u64::from(aspect.horizontal);
    let wide = wide / u64::from(aspect.vertical.max(1));
    (
        u32::try_from(wide).unwrap_or(u32::MAX),
        u32::from(height) << 16,
    )
}

/// The head of AudioSampleEntry (ISO/IEC 14496-12 §12.2.3).
fn put_audio(out: &mut Vec<u8>, channels: u8, sample_rate: u32) {
    zeros(out, 6);
    out.put_u16(1);
    zeros(out, 8);
    out.put_u16(u16::from(channels));
    out.put_u16(16);
    zeros(out, 4);
    // 16.16 fixed point; a rate that does not fit is told by the codec configuration alone.
    out.put_u32(u16::try_from(sample_rate).map_or(0, |rate| u32::from(rate) << 16));
}

/// `mp4a` with `esds` (ISO/IEC 14496-14 §6.7.2).
fn aac_entry(config: &aac::Config) -> Vec<u8> {
    let mut specific = Vec::new();
    put_descriptor(&mut specific, 5, &config.record);
    let mut decoder = Vec::new();
    // MPEG-4 audio; audio stream, not upstream, reserved 1; buffer size and bit rates unknown.
    decoder.put_slice(&[0x40, 0x15]);
    zeros(&mut decoder, 3 + 4 + 4);
    decoder.put_slice(&specific);
    let mut stream = Vec::new();
    // ES_ID is zero in files, no flags.
    zeros(&mut stream, 3);
    put_descriptor(&mut stream, 4, &decoder);
    // SLConfigDescriptor, predefined for MP4.
    put_descriptor(&mut stream, 6, &[2]);

    let mut out = Vec::with_capacity(96 + config.record.len());
    boxed(&mut out, b"mp4a", |out| {
        put_audio(out, config.channels, config.sample_rate);
        full(out, b"esds", 0, 0, |out| put_descriptor(out, 3, &stream));
    });
    out
}

/// A descriptor (ISO/IEC 14496-1 §8.3.3): tag, size in groups of seven bits, body.
fn put_descriptor(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.put_u8(tag);
    for shift in [21, 14, 7, 0] {
        let group = u8::try_from((body.len() >> shift) & 0x7F).expect("seven bits");
        let rest = body.len() >> shift;
        // Leading groups of zero are left out, except the last one.
        if rest != 0 || shift == 0 {
            out.put_u8(group | if shift == 0 { 0 } else { 0x80 });
        }
    }
    out.put_slice(body);
}

/// `Opus` with `dOps` (Opus in ISOBMFF §4.3). The rate is always 48 kHz.
fn opus_entry(config: &opus::Config) -> Result<Vec<u8>, Error> {
    let dops = config.dops()?;
    let mut out = Vec::with_capacity(48 + dops.len());
    boxed(&mut out, b"Opus", |out| {
        put_audio(out, config.channels, 48_000);
        boxed(out, b"dOps", |out| out.put_slice(&dops));
    });
    Ok(out)
}

#[cfg(test)]
mod tests;
