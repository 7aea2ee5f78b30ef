//! What a file is, by its first bytes and never by its name; and the names that kept files have.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use image::ImageFormat;

use super::Size;

/// Bytes that are looked at: an EBML header with its document type fits.
const HEAD_BYTES: u64 = 4096;
/// Name of what was sent, without its ending.
pub(super) const ORIGINAL: &str = "original";

/// A kind of content.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) mime_type: &'static str,
    /// Ending of names, with which they tell the kind.
    ending: &'static str,
    pub(super) picture: Option<ImageFormat>,
}

const fn content(mime_type: &'static str, ending: &'static str) -> Content {
    Content {
        mime_type,
        ending,
        picture: None,
    }
}

const fn picture(mime_type: &'static str, ending: &'static str, format: ImageFormat) -> Content {
    Content {
        mime_type,
        ending,
        picture: Some(format),
    }
}

static JPEG: Content = picture("image/jpeg", "jpg", ImageFormat::Jpeg);
static PNG: Content = picture("image/png", "png", ImageFormat::Png);
static GIF: Content = picture("image/gif", "gif", ImageFormat::Gif);
static WEBP: Content = picture("image/webp", "webp", ImageFormat::WebP);
static MP4: Content = content("video/mp4", "mp4");
static MOV: Content = content("video/quicktime", "mov");
static WEBM: Content = content("video/webm", "webm");
static MP3: Content = content("audio/mpeg", "mp3");
static M4A: Content = content("audio/mp4", "m4a");
static AAC: Content = content("audio/aac", "aac");
static WAV: Content = content("audio/wav", "wav");
static OGG: Content = content("audio/ogg", "ogg");
static PDF: Content = content("application/pdf", "pdf");

static ALL: [&Content; 13] = [
    &JPEG, &PNG, &GIF, &WEBP, &MP4, &MOV, &WEBM, &MP3, &M4A, &AAC, &WAV, &OGG, &PDF,
];

impl Content {
    /// Looks into a file.
    pub(super) fn probe(path: &Path) -> io::Result<Option<&'static Content>> {
        let mut head = Vec::new();
        File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
        Ok(of(&head))
    }

    /// A name with the ending of this kind.
    pub(super) fn name(&self, stem: &str) -> String {
        format!("{stem}.{}", self.ending)
    }
}

/// The kind of what begins so.
fn of(head: &[u8]) -> Option<&'static Content> {
    match head {
        // ISO/IEC 10918-1 §B.1.1.3: SOI, and the marker behind it.
        [0xFF, 0xD8, 0xFF, ..] => Some(&JPEG),
        // PNG 3rd edition §5.2.
        [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] => Some(&PNG),
        // GIF89a §17.
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(&GIF),
        // RFC 9649 §2.4, and the WAVE form of the same container.
        [b'R', b'I', b'F', b'F', _, _, _, _, form @ ..] if form.starts_with(b"WEBP") => Some(&WEBP),
        [b'R', b'I', b'F', b'F', _, _, _, _, form @ ..] if form.starts_with(b"WAVE") => Some(&WAV),
        // ISO/IEC 14496-12 §4.3.
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => of_brand(brand),
        // RFC 8794 §11.2.1, RFC 9559 §5: the document type says which Matroska it is.
        [0x1A, 0x45, 0xDF, 0xA3, rest @ ..] => {
            let rest = &rest[..rest.len().min(64)];
            let is_webm = rest.windows(4).any(|word| word == b"webm");
            is_webm.then_some(&WEBM)
        }
        [b'O', b'g', b'g', b'S', ..] => Some(&OGG),
        [b'%', b'P', b'D', b'F', b'-', ..] => Some(&PDF),
        [b'I', b'D', b'3', ..] => Some(&MP3),
        // ISO/IEC 13818-7 §6.2.1: an ADTS header has layer 0.
        [0xFF, second, ..] if second & 0xF6 == 0xF0 => Some(&AAC),
        // ISO/IEC 11172-3 §2.4.1.3: layer III is 01.
        [0xFF, second, ..] if second & 0xE6 == 0xE2 => Some(&MP3),
        _ => None,
    }
}

fn of_brand(brand: &[u8]) -> Option<&'static Content> {
    match brand.get(..4)? {
        b"qt  " => Some(&MOV),
        b"M4A " | b"M4B " => Some(&M4A),
        // Pictures in this container, which are not decoded here.
        b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1" | b"avif" | b"avis" => {
            None
        }
        _ => Some(&MP4),
    }
}

/// The kind of a file by a name that was given out; `None` for every other name.
pub(super) fn mime_type_of(name: &str) -> Option<&'static str> {
    let (stem, ending) = name.split_once('.')?;
    let is_picture = Size::ALL.iter().any(|size| size.name() == stem);
    if stem != ORIGINAL && !is_picture {
        return None;
    }
    let found = ALL.iter().find(|content| content.ending == ending);
    found.map(|content| content.mime_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_told_by_its_first_bytes() {
        for (head, expected) in [
            (&b"\xFF\xD8\xFF\xE0"[..], Some("image/jpeg")),
            (b"\x89PNG\r\n\x1A\n", Some("image/png")),
            (b"GIF89a", Some("image/gif")),
            (b"RIFF\0\0\0\0WEBPVP8 ", Some("image/webp")),
            (b"RIFF\0\0\0\0WAVEfmt ", Some("audio/wav")),
            (b"RIFF\0\0\0\0AVI ", None),
            (b"\0\0\0\x20ftypisom", Some("video/mp4")),
            (b"\0\0\0\x20ftypqt  ", Some("video/quicktime")),
            (b"\0\0\0\x20ftypM4A ", Some("audio/mp4")),
            (b"\0\0\0\x20ftypheic", None),
            (b"\0\0\0\x20ftyp", None),
            (b"\x1A\x45\xDF\xA3\x9F\x42\x82\x84webm", Some("video/webm")),
            (b"\x1A\x45\xDF\xA3\x9F\x42\x82\x88matroska", None),
            (b"ID3\x04", Some("audio/mpeg")),
            (b"\xFF\xFB\x90\x00", Some("audio/mpeg")),
            (b"\xFF\xF1\x50\x80", Some("audio/aac")),
            (b"OggS", Some("audio/ogg")),
            (b"%PDF-1.7", Some("application/pdf")),
            (b"<svg onload=", None),
            (b"<html>", None),
            (b"\x7FELF", None),
            (b"MZ", None),
            (b"\xFF", None),
            (b"", None),
        ] {
            assert_eq!(
                of(head).map(|content| content.mime_type),
                expected,
                "{head:?}"
            );
        }
    }

    #[test]
    fn only_names_that_were_given_out_are_names() {
        assert_eq!(mime_type_of("original.mp4"), Some("video/mp4"));
        assert_eq!(mime_type_of("thumbnail.jpg"), Some("image/jpeg"));
        for name in [
            "",
            ".",
            "..",
            "original",
            "original.",
            "original.svg",
            "original.jpg.",
            "../original.jpg",
            "original.jpg/..",
            "original.jpg\0",
            "Original.jpg",
            "x.jpg",
            "thumbnail.../../x",
        ] {
            assert_eq!(mime_type_of(name), None, "{name:?}");
        }
    }
}
