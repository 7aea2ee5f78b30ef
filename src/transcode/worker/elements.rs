//! Small helpers around GStreamer: pipelines from text, their ends, missing elements by package.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use crate::transcode::Error;

/// Elements that pipelines here name, and the Debian packages that hold them.
pub(in crate::transcode) const PACKAGES: &[(&str, &str)] = &[
    ("appsrc", "gstreamer1.0-plugins-base"),
    ("appsink", "gstreamer1.0-plugins-base"),
    ("videoconvertscale", "gstreamer1.0-plugins-base"),
    ("audioconvert", "gstreamer1.0-plugins-base"),
    ("audioresample", "gstreamer1.0-plugins-base"),
    ("opusdec", "gstreamer1.0-plugins-base"),
    ("opusenc", "gstreamer1.0-plugins-base"),
    ("videotestsrc", "gstreamer1.0-plugins-base"),
    ("textoverlay", "gstreamer1.0-x"),
    ("pngdec", "gstreamer1.0-plugins-good"),
    ("jpegdec", "gstreamer1.0-plugins-good"),
    ("videocrop", "gstreamer1.0-plugins-good"),
    ("deinterlace", "gstreamer1.0-plugins-good"),
    ("jpegenc", "gstreamer1.0-plugins-good"),
    ("h264parse", "gstreamer1.0-plugins-bad"),
    ("avdec_h264", "gstreamer1.0-libav"),
    ("avdec_h265", "gstreamer1.0-libav"),
    ("avdec_aac", "gstreamer1.0-libav"),
    ("avenc_aac", "gstreamer1.0-libav"),
    ("av1dec", "gstreamer1.0-plugins-bad"),
];

/// Whether an element is installed.
pub(in crate::transcode) fn exists(element: &str) -> bool {
    gst::ElementFactory::find(element).is_some()
}

/// Builds a pipeline, or says which element and package are missing.
pub(in crate::transcode) fn parse(text: &str) -> Result<gst::Pipeline, Error> {
    let mut context = gst::ParseContext::new();
    let flags = gst::ParseFlags::FATAL_ERRORS;
    let built = gst::parse::launch_full(text, Some(&mut context), flags);
    let element = built.map_err(|error| match context.missing_elements().first() {
        Some(missing) => missing_element(missing),
        None => Error::Element {
            element: "pipeline".to_owned(),
            text: error.to_string(),
        },
    })?;
    element
        .downcast::<gst::Pipeline>()
        .map_err(|element| Error::Element {
            element: element.name().to_string(),
            text: "is not a pipeline".to_owned(),
        })
}

/// The error for an element that is not installed.
pub(super) fn missing_element(element: &str) -> Error {
    let package = PACKAGES.iter().find(|(name, _)| *name == element);
    Error::MissingElement {
        element: element.to_owned(),
        package: package
            .map_or("gstreamer1.0-plugins-bad", |(_, package)| package)
            .to_owned(),
    }
}

/// An element of a pipeline whose text we wrote.
pub(in crate::transcode) fn named(pipeline: &gst::Pipeline, name: &str) -> gst::Element {
    pipeline
        .by_name(name)
        .expect("the pipeline's text names this element")
}

/// An appsrc of a pipeline whose text we wrote.
pub(in crate::transcode) fn source(pipeline: &gst::Pipeline, name: &str) -> gst_app::AppSrc {
    named(pipeline, name)
        .downcast()
        .expect("the pipeline's text says that it is an appsrc")
}

/// An appsink of a pipeline whose text we wrote.
pub(in crate::transcode) fn sink(pipeline: &gst::Pipeline, name: &str) -> gst_app::AppSink {
    named(pipeline, name)
        .downcast()
        .expect("the pipeline's text says that it is an appsink")
}

/// Starts a pipeline.
pub(in crate::transcode) fn play(pipeline: &gst::Pipeline) -> Result<(), Error> {
    pipeline
        .set_state(gst::State::Playing)
        .map(|_| ())
        .map_err(|error| Error::Element {
            element: pipeline.name().to_string(),
            text: error.to_string(),
        })
}
