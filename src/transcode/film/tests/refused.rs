//! Files of which no film is made.

use super::*;

fn refusal(folder: &Folder, original: &Path) -> String {
    let mut shelf = Rolls::default();
    let refused = prepare_on(&mut shelf, folder, original);
    refused.unwrap_err().to_string()
}

fn clip(folder: &Folder, more: &str) -> PathBuf {
    let inputs = "-f lavfi -i testsrc2=s=160x90:r=25:d=4 -f lavfi -i sine=d=4";
    let codecs = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac";
    folder.ffmpeg("clip.mp4", &format!("{inputs} {codecs} {more}"))
}

#[test]
fn what_is_no_film_is_refused_in_a_sentence_that_says_what_it_is() {
    let folder = Folder::new("other");
    for (content, expected) in [
        (
            &b"just a text, whatever its name says it is"[..],
            "data of no known kind",
        ),
        (
            b"%PDF-1.4\n%abcdefghijklmnopqrstuvwxyz\n",
            "application/pdf",
        ),
        (
            b"#EXTM3U\n#EXTINF:2,\nhttp://127.0.0.1/x.ts\n",
            "text/uri-list",
        ),
        (b"", "data of no known kind"),
    ] {
        let path = folder.file("other.mp4");
        std::fs::write(&path, content).unwrap();
        let probed = probe::probe(&path).unwrap();
        assert!(!probed.accepted && probed.found == expected, "{probed:?}");
        let text = refusal(&folder, &path);
        assert_eq!(text, format!("cannot decode the file: it is {expected}"));
    }
}

#[test]
fn a_file_that_was_cut_off_is_refused() {
    let folder = Folder::new("cut");
    for more in ["", "-movflags +faststart"] {
        let path = clip(&folder, more);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let text = refusal(&folder, &path);
        assert!(text.starts_with("cannot decode the file: "), "{text}");
        if more.is_empty() {
            assert!(!probe::probe(&path).unwrap().accepted);
        }
    }
}

#[test]
fn damage_in_the_middle_ends_or_is_lived_with() {
    let folder = Folder::new("damage");
    let path = clip(&folder, "-movflags +faststart");
    let whole = std::fs::read(&path).unwrap();
    let third = whole.len() / 3;
    for pattern in [0_u8, 0xff, 0x5a] {
        let mut damaged = whole.clone();
        damaged[third..2 * third].fill(pattern);
        std::fs::write(&path, &damaged).unwrap();
        let mut shelf = Rolls::default();
        match prepare_on(&mut shelf, &folder, &path) {
            Ok(_) => holds(&shelf.film.lock().unwrap(), 25),
            Err(error) => assert!(error.to_string().starts_with("cannot decode"), "{error}"),
        }
    }
}

#[test]
fn a_film_below_a_second_is_refused() {
    let folder = Folder::new("short");
    let codecs = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";
    let arguments = format!("-f lavfi -i testsrc2=s=160x90:r=25:d=0.6 {codecs}");
    let text = refusal(&folder, &folder.ffmpeg("short.mp4", &arguments));
    assert_eq!(text, "the film lasts 0.60 s, and at least 1 s is needed");
}

#[test]
fn a_codec_that_is_not_taken_is_named() {
    let folder = Folder::new("codec");
    let original = folder.ffmpeg(
        "clip.mov",
        "-f lavfi -i testsrc2=s=160x92:r=25:d=2 -c:v cinepak",
    );
    assert!(!probe::probe(&original).unwrap().accepted);
    let text = refusal(&folder, &original);
    assert!(text.contains("Cinepak"), "{text}");
}
