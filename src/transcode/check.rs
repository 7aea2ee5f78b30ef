//! Which GStreamer elements exist, for `forebay check`.

use gstreamer as gst;

use super::encoder;
use super::ladder::Book;
use super::worker::elements::{PACKAGES, exists};

/// Elements without which one kind of source or output goes missing, not the ladder.
const OPTIONAL: &[(&str, &str)] = &[
    ("avdec_h265", "a ladder for HEVC sources"),
    ("av1dec", "a ladder for AV1 sources"),
    ("opusdec", "AAC from Opus sources"),
    ("opusenc", "sound in LiveKit rooms"),
    ("videocrop", "the capability aspect-ratio"),
    ("deinterlace", "interlaced sources without combs"),
    ("jpegenc", "thumbnails"),
    ("videotestsrc", "the slate"),
    ("textoverlay", "words on the slate"),
    ("pngdec", "slates of PNG files"),
    ("jpegdec", "slates of JPEG files"),
    ("h264parse", "encoders other than x264enc"),
];

/// One line of the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The element, or `gstreamer`.
    pub element: String,
    /// The Debian package that holds it.
    pub package: String,
    /// Whether it is there.
    pub present: bool,
    /// Whether the ladder needs it.
    pub required: bool,
    /// What it is for.
    pub purpose: String,
}

/// Looks every element up that the ladder of `book` can use. Loads GStreamer into this process.
pub fn check(book: &Book) -> Vec<Finding> {
    if let Err(error) = gst::init() {
        return vec![Finding {
            element: "gstreamer".to_owned(),
            package: "gstreamer1.0-plugins-base".to_owned(),
            present: false,
            required: true,
            purpose: error.to_string(),
        }];
    }
    let chosen = encoder::choose(&book.encoders, exists);
    let mut findings: Vec<Finding> = PACKAGES
        .iter()
        .map(|(element, package)| {
            let optional = OPTIONAL.iter().find(|(name, _)| name == element);
            Finding {
                element: (*element).to_owned(),
                package: (*package).to_owned(),
                present: exists(element),
                required: optional.is_none(),
                purpose: optional
                    .map_or("the ladder", |(_, purpose)| purpose)
                    .to_owned(),
            }
        })
        .collect();
    // Encoders for hardware that is not here are nothing to mend, as long as one is there.
    let encoders = book.encoders.iter();
    let encoders = encoders.filter(|template| chosen.is_none() || exists(&template.element));
    findings.extend(encoders.map(|template| Finding {
        element: template.element.clone(),
        package: template.package.clone(),
        present: exists(&template.element),
        // One of them is enough, and x264enc is the one that every machine can have.
        required: chosen.is_none() && template.element == "x264enc",
        purpose: if chosen == Some(template) {
            "H.264 encoding, the one that is used".to_owned()
        } else {
            "H.264 encoding".to_owned()
        },
    }));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_has_a_package_and_one_encoder_is_in_use() {
        let findings = check(&Book::built_in());
        assert!(
            findings
                .iter()
                .all(|f| f.package.starts_with("gstreamer1.0-"))
        );
        let used = findings.iter().filter(|f| f.purpose.contains("is used"));
        assert_eq!(used.count(), 1);
        let missing: Vec<_> = findings
            .iter()
            .filter(|f| f.required && !f.present)
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
