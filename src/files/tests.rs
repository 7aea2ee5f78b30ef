//! Files as they come, are kept, read and removed.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageEncoder, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use tokio::io::AsyncReadExt;

use super::*;

struct Bench {
    folder: PathBuf,
    files: Files,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn bench() -> Bench {
    let folder = std::env::temp_dir().join(format!("forebay-files-{}", Uuid::new_v4()));
    let files = Files::open(&folder).unwrap();
    Bench { folder, files }
}

impl Bench {
    async fn keep(&self, id: Uuid, bytes: &[u8]) -> Result<Kept, Error> {
        let mut incoming = self.files.begin(id).await?;
        for part in bytes.chunks(1000) {
            incoming.write(part).await?;
        }
        incoming.keep().await
    }

    async fn picture(&self, id: Uuid, name: &str) -> DynamicImage {
        let mut opened = self.files.read(id, name).await.unwrap().unwrap();
        let mut bytes = Vec::new();
        opened.file.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes.len() as u64, opened.bytes);
        image::load_from_memory(&bytes).unwrap()
    }

    fn entries(&self) -> usize {
        std::fs::read_dir(&self.folder).unwrap().count()
    }
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// The left half red, the right half blue.
fn halves(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| match x < width / 2 {
        true => Rgb([255, 0, 0]),
        false => Rgb([0, 0, 255]),
    })
}

#[tokio::test]
async fn a_picture_gets_four_smaller_ones() {
    let bench = bench();
    let id = Uuid::new_v4();
    let sent = encoded(halves(2000, 1000), ImageFormat::Jpeg);
    let kept = bench.keep(id, &sent).await.unwrap();
    assert_eq!(kept.mime_type, "image/jpeg");
    assert_eq!(kept.bytes, sent.len() as u64);
    assert_eq!(kept.original, "original.jpg");
    let sides: Vec<_> = kept.pictures.iter().map(|(size, _)| *size).collect();
    assert_eq!(sides, Size::ALL);
    for ((_, name), (width, height)) in
        kept.pictures
            .iter()
            .zip([(1600, 800), (800, 400), (320, 160), (160, 80)])
    {
        let picture = bench.picture(id, name).await;
        assert_eq!((picture.width(), picture.height()), (width, height));
    }
    bench.files.remove(id).await.unwrap();
    assert!(
        bench
            .files
            .read(id, "original.jpg")
            .await
            .unwrap()
            .is_none()
    );
    bench.files.remove(id).await.unwrap();
    assert_eq!(bench.entries(), 0);
}

#[tokio::test]
async fn what_is_clear_stays_so_and_what_is_small_stands_for_itself() {
    let bench = bench();
    let id = Uuid::new_v4();
    let clear = RgbaImage::from_pixel(400, 400, Rgba([0, 255, 0, 0]));
    let kept = bench
        .keep(id, &encoded(clear, ImageFormat::Png))
        .await
        .unwrap();
    let names: Vec<_> = kept
        .pictures
        .iter()
        .map(|(_, name)| name.as_str())
        .collect();
    let expected = ["original.png", "original.png", "small.png", "thumbnail.png"];
    assert_eq!(names, expected);
    let small = bench.picture(id, "small.png").await.to_rgba8();
    assert_eq!(small.get_pixel(160, 160).0[3], 0);
}

#[tokio::test]
async fn smaller_pictures_are_upright() {
    let bench = bench();
    let id = Uuid::new_v4();
    // TIFF 6.0 §2: little-endian, one entry; EXIF 2.3 §4.6.4: tag 0x0112, 6 is "rotate by 90° clockwise".
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let mut sent = Vec::new();
    let mut encoder = JpegEncoder::new(&mut sent);
    encoder.set_exif_metadata(exif.to_vec()).unwrap();
    halves(800, 400).write_with_encoder(encoder).unwrap();
    let kept = bench.keep(id, &sent).await.unwrap();
    assert_eq!(kept.pictures[2].1, "small.jpg");
    let small = bench.picture(id, "small.jpg").await.to_rgb8();
    assert_eq!((small.width(), small.height()), (160, 320));
    // Left has become up.
    let (up, down) = (small.get_pixel(80, 20).0, small.get_pixel(80, 300).0);
    assert!(up[0] > 200 && up[2] < 60, "{up:?}");
    assert!(down[2] > 200 && down[0] < 60, "{down:?}");
}

#[tokio::test]
async fn a_picture_that_unpacks_to_too_much_is_refused_by_what_it_says_of_its_size() {
    let bench = bench();
    // PNG 3rd edition §11.2.1: width and height are the first fields of IHDR; its checksum follows.
    let mut bomb = encoded(halves(2, 2), ImageFormat::Png);
    bomb[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
    bomb[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
    let checksum = {
        let mut crc = flate2::Crc::new();
        crc.update(&bomb[12..29]);
        crc.sum()
    };
    bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
    let refused = bench.keep(Uuid::new_v4(), &bomb).await;
    assert!(
        matches!(refused, Err(Error::TooManyPixels(_))),
        "{refused:?}"
    );
    assert_eq!(bench.entries(), 0);
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_behind() {
    let bench = bench();
    let mut cut = encoded(halves(500, 500), ImageFormat::Png);
    cut.truncate(60);
    for (bytes, damaged) in [
        (&b"<html>"[..], false),
        (b"", false),
        (&cut, true),
        (b"\xFF\xD8\xFF", true),
    ] {
        match bench.keep(Uuid::new_v4(), bytes).await {
            Err(Error::Unknown) => assert!(!damaged),
            Err(Error::Damaged) => assert!(damaged),
            other => panic!("{other:?}"),
        }
    }
    let mut dropped = bench.files.begin(Uuid::new_v4()).await.unwrap();
    dropped.write(b"GIF89a").await.unwrap();
    drop(dropped);
    assert_eq!(bench.entries(), 0);
}

#[tokio::test]
async fn a_file_ends_when_the_disk_fills_while_it_comes() {
    let bench = bench();
    let mut incoming = bench.files.begin(Uuid::new_v4()).await.unwrap();
    incoming.files.least_free = u64::MAX;
    incoming.write(b"\0\0\0\x20ftypisom").await.unwrap();
    let rest = vec![0; LOOK_EVERY_BYTES as usize];
    let refused = incoming.write(&rest).await;
    assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
    drop(incoming);
    assert_eq!(bench.entries(), 0);
}

#[tokio::test]
async fn what_is_no_picture_is_kept_as_it_came() {
    let bench = bench();
    let id = Uuid::new_v4();
    let kept = bench.keep(id, b"\0\0\0\x20ftypisom").await.unwrap();
    assert_eq!(kept.mime_type, "video/mp4");
    assert!(kept.pictures.is_empty());
    let opened = bench.files.read(id, &kept.original).await.unwrap().unwrap();
    assert_eq!((opened.bytes, opened.mime_type), (12, "video/mp4"));
    assert!(
        bench
            .files
            .read(id, "../forebay.db")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_start_removes_what_another_run_left_half_done() {
    let bench = bench();
    let id = Uuid::new_v4();
    bench.keep(id, b"GIF89a").await.unwrap_err();
    bench.keep(id, b"%PDF-1.7").await.unwrap();
    std::mem::forget(bench.files.begin(Uuid::new_v4()).await.unwrap());
    assert_eq!(bench.entries(), 2);
    let files = Files::open(&bench.folder).unwrap();
    assert_eq!(bench.entries(), 1);
    assert!(files.read(id, "original.pdf").await.unwrap().is_some());
}
