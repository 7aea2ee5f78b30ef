//! Smaller pictures of a picture. What a picture says of its size is believed before it is decoded, and no
//! decoder gets more memory than that.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{Error, refused};

/// Bytes of a picture's file: decoders read all of it.
const MAX_BYTES: u64 = 64 << 20;
/// Pixels of a picture. Phones make 12 to 50 million.
const MAX_PIXELS: u64 = 50_000_000;
/// Bytes of a decoded picture: that many pixels of four bytes.
const MAX_DECODED_BYTES: u64 = MAX_PIXELS * 4;
/// Bytes that a decoder may take besides.
const MAX_ALLOCATED_BYTES: u64 = MAX_DECODED_BYTES * 2;
/// Of 100; above it files grow and nobody sees it.
const JPEG_QUALITY: u8 = 85;

/// A smaller picture, by the longer of its sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 1600 pixels.
    Large,
    /// 800 pixels.
    Medium,
    /// 320 pixels.
    Small,
    /// 160 pixels.
    Thumbnail,
}

impl Size {
    /// From the largest on, as each is made of the one before.
    pub const ALL: [Size; 4] = [Size::Large, Size::Medium, Size::Small, Size::Thumbnail];

    /// Its name, without an ending.
    pub fn name(self) -> &'static str {
        match self {
            Size::Large => "large",
            Size::Medium => "medium",
            Size::Small => "small",
            Size::Thumbnail => "thumbnail",
        }
    }

    fn side(self) -> u32 {
        match self {
            Size::Large => 1600,
            Size::Medium => 800,
            Size::Small => 320,
            Size::Thumbnail => 160,
        }
    }
}

/// Makes smaller pictures of one in a folder, upright whatever its orientation says. Where the picture itself
/// is not larger, its own name stands for the smaller one.
pub(super) fn make_smaller(
    path: &Path,
    format: ImageFormat,
    folder: &Path,
    original: &str,
) -> Result<Vec<(Size, String)>, Error> {
    let file = File::open(path)?;
    if file.metadata()?.len() > MAX_BYTES {
        return Err(Error::TooLarge(MAX_BYTES));
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOCATED_BYTES);
    let mut reader = ImageReader::with_format(BufReader::new(file), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(unreadable)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_PIXELS || decoder.total_bytes() > MAX_DECODED_BYTES {
        return Err(Error::TooManyPixels(MAX_PIXELS));
    }
    // Bytes about a picture that cannot be read say nothing about its orientation.
    let orientation = decoder.orientation();
    let orientation = orientation.unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    let longest = width.max(height);
    let mut is_upright = false;
    let mut made = Vec::new();
    for size in Size::ALL {
        if size.side() >= longest {
            made.push((size, original.to_owned()));
            continue;
        }
        let side = size.side();
        picture = match is_upright {
            // The first step is from the largest picture, and this way takes no memory in between.
            false => picture.thumbnail(side, side),
            true => picture.resize(side, side, FilterType::CatmullRom),
        };
        if !is_upright {
            picture.apply_orientation(orientation);
            picture = match picture.has_alpha() {
                true => picture.into_rgba8().into(),
                false => picture.into_rgb8().into(),
            };
            is_upright = true;
        }
        made.push((size, write(&picture, folder, size)?));
    }
    Ok(made)
}

/// Writes a picture; its name.
fn write(picture: &DynamicImage, folder: &Path, size: Size) -> Result<String, Error> {
    let is_clear = picture.has_alpha();
    let ending = if is_clear { "png" } else { "jpg" };
    let name = format!("{}.{ending}", size.name());
    let mut file = BufWriter::new(File::create_new(folder.join(&name)).map_err(refused)?);
    let written = match is_clear {
        true => picture.write_with_encoder(PngEncoder::new(&mut file)),
        false => picture.write_with_encoder(JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY)),
    };
    written.map_err(|error| match error {
        image::ImageError::IoError(error) => refused(error),
        _ => Error::Damaged,
    })?;
    file.flush().map_err(refused)?;
    Ok(name)
}

fn unreadable(error: image::ImageError) -> Error {
    match error {
        image::ImageError::Limits(_) => Error::TooManyPixels(MAX_PIXELS),
        _ => Error::Damaged,
    }
}
