//! Files of every kind that is taken.

use super::*;

const H264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";

/// A film at a rate, with sound.
fn clip(folder: &Folder, name: &str, rate: &str, codecs: &str) -> PathBuf {
    let inputs =
        format!("-f lavfi -i testsrc2=s=640x360:r={rate}:d=2.6 -f lavfi -i sine=r=48000:d=2.6");
    folder.ffmpeg(name, &format!("{inputs} {codecs}"))
}

#[test]
fn every_rate_has_its_grid() {
    for (rate, fps, frames) in [
        ("24", 24, 62),
        ("24000/1001", 24, 62),
        ("25", 25, 65),
        ("50", 50, 130),
        ("60", 60, 156),
        ("15", 30, 78),
        ("48", 24, 62),
    ] {
        let folder = Folder::new("rate");
        let codecs = format!("{H264} -c:a aac");
        let made = prepared(&folder, &clip(&folder, "clip.mp4", rate, &codecs));
        assert_eq!(made.fps, fps, "{rate}");
        assert!(
            made.frames().abs_diff(frames) <= 1,
            "{rate}: {}",
            made.frames()
        );
        assert_eq!(made.film.names(), ["ld", "ahi"]);
        assert_eq!(made.film.size("ld"), (640, 360));
    }
}

#[test]
fn irregular_pictures_stand_as_long_as_they_do() {
    let folder = Folder::new("vfr");
    let arguments = format!(
        "-f lavfi -i testsrc2=s=640x360:r=30:d=3 -vf select='not(between(n,20,49))*(mod(n,7)-3)' \
         -vsync vfr {H264} -an"
    );
    let original = folder.ffmpeg("vfr.mp4", &arguments);
    let made = prepared(&folder, &original);
    assert_eq!((made.fps, made.frames()), (30, 90));
    assert_eq!(made.film.names(), ["ld"]);
    let path = folder.file("film.mp4");
    made.film.write("ld", &path, 1, 0);
    let shown = seen(&path, 80, 45);
    let same = |a: usize, b: usize| {
        let off = shown[a]
            .iter()
            .zip(&shown[b])
            .map(|(a, b)| u64::from(a.abs_diff(*b)));
        off.sum::<u64>() / 3600 < 3
    };
    assert!(same(22, 45) && !same(22, 51));
}

#[test]
fn a_turned_picture_is_upright_and_pixels_become_square() {
    let folder = Folder::new("portrait");
    let landscape = clip(&folder, "landscape.mp4", "25", &format!("{H264} -an"));
    let path = landscape.to_str().unwrap();
    let turned = folder.ffmpeg(
        "portrait.mp4",
        &format!("-i {path} -c copy -metadata:s:v rotate=90"),
    );
    assert_eq!(prepared(&folder, &turned).film.size("ld"), (360, 640));
    let wide = folder.ffmpeg(
        "wide.mp4",
        &format!("-i {path} -vf scale=320:360,setsar=2/1 {H264} -an"),
    );
    assert_eq!(prepared(&folder, &wide).film.size("ld"), (640, 360));
}

#[test]
fn every_container_and_codec_that_is_taken_becomes_h264_and_aac() {
    for (name, codecs) in [
        (
            "a.webm",
            "-c:v libvpx -deadline realtime -cpu-used 8 -c:a libvorbis",
        ),
        (
            "b.webm",
            "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus",
        ),
        (
            "c.mov",
            "-c:v prores_ks -pix_fmt yuv422p10le -c:a pcm_s16le",
        ),
        ("d.mov", "-c:v mjpeg -pix_fmt yuvj420p -c:a alac"),
        (
            "e.mp4",
            "-c:v libx264 -preset ultrafast -pix_fmt yuv422p10le -c:a ac3",
        ),
        (
            "f.mp4",
            "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -bf 3 -c:a libmp3lame",
        ),
        (
            "g.mp4",
            "-c:v libx265 -x265-params log-level=none -preset ultrafast -pix_fmt yuv420p10le -c:a aac",
        ),
        ("h.mp4", "-c:v mpeg4 -c:a aac -ac 6"),
        (
            "i.mp4",
            "-c:v libx264 -preset ultrafast -flags +ildct+ilme -pix_fmt yuv420p -c:a aac",
        ),
    ] {
        let folder = Folder::new("codecs");
        let original = clip(&folder, name, "25", codecs);
        assert!(probe::probe(&original).unwrap().accepted, "{name}");
        let made = prepared(&folder, &original);
        assert_eq!(
            (made.fps, made.film.names()),
            (25, vec!["ld", "ahi"]),
            "{name}"
        );
        assert!(made.frames().abs_diff(65) <= 1, "{name}: {}", made.frames());
        let channels = if codecs.contains("-ac 6") { 2 } else { 1 };
        assert_eq!(
            made.film.slot("ahi").0.track.channels(),
            Some(channels),
            "{name}"
        );
        let path = folder.file("film.mp4");
        made.film.write("ld", &path, 1, 0);
        assert_eq!(seen(&path, 80, 45).len() as u64, made.frames(), "{name}");
        made.film.write("ahi", &path, 1, 0);
        // ffmpeg's tone; of six channels it is in the middle one, which is 3 dB quieter among two.
        let expected = if channels == 2 {
            4096.0 * 0.707
        } else {
            4096.0
        };
        let heard = heard(&path);
        let middle = heard.iter().skip(9600).take(96_000);
        let loudest = middle.map(|value| value.unsigned_abs()).max();
        let loudest = f64::from(loudest.unwrap());
        assert!((loudest / expected - 1.0).abs() < 0.1, "{name}: {loudest}");
    }
}

#[test]
fn sound_alone_becomes_sound_alone() {
    for (name, codecs) in [
        ("a.mp3", "-c:a libmp3lame"),
        ("b.mp3", "-c:a libmp3lame -id3v2_version 0 -write_xing 0"),
        ("c.wav", "-c:a pcm_s24le"),
        ("d.m4a", "-c:a aac"),
        ("e.aac", "-c:a aac"),
        ("f.webm", "-c:a libopus"),
    ] {
        let folder = Folder::new("sound");
        let inputs = "-f lavfi -i sine=r=44100:d=2.6 -ac 2";
        let original = folder.ffmpeg(name, &format!("{inputs} {codecs}"));
        assert!(probe::probe(&original).unwrap().accepted, "{name}");
        let made = prepared(&folder, &original);
        assert_eq!(
            (made.fps, made.film.names()),
            (25, vec!["ahi", "alo"]),
            "{name}"
        );
        assert_eq!(made.slate.names(), ["ahi", "alo"]);
        assert!(made.frames().abs_diff(65) <= 3, "{name}: {}", made.frames());
        assert_eq!(made.film.slot("ahi").0.track.channels(), Some(2));
    }
}

#[test]
fn odd_sizes_become_even() {
    let folder = Folder::new("sizes");
    let original = folder.ffmpeg(
        "odd.webm",
        "-f lavfi -i testsrc2=s=641x361:r=25:d=1.2 -c:v libvpx -deadline realtime -cpu-used 8",
    );
    let made = prepared(&folder, &original);
    assert_eq!(made.film.size("ld"), (640, 360));
}

#[test]
fn a_film_has_a_rung_of_its_own_size() {
    let folder = Folder::new("ladder");
    let original = folder.ffmpeg(
        "hd.mp4",
        &format!("-f lavfi -i testsrc2=s=1280x720:r=25:d=1.2 {H264}"),
    );
    let made = prepared(&folder, &original);
    assert_eq!(made.film.names(), ["hd", "sd", "ld"]);
    assert_eq!(made.film.size("hd"), (1280, 720));
    assert_eq!(made.film.size("sd"), (854, 480));
}
