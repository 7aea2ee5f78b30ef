//! The picture that fills long holes: the channel's own image, or one that is drawn with its name.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::elements;
use super::output::Output;
use crate::transcode::Error;
use crate::transcode::protocol::{Colour, Message, Setup, Slate};

/// Largest image file, bytes.
const MAX_FILE: u64 = 16 << 20;
/// Longest side of an image, pixels: 8K. Bounds memory before anything is decoded.
const MAX_SIDE: u32 = 8192;
/// How long drawing may take, seconds: fonts are looked up, on a machine that is busy. Past it the last
/// picture is shown until the slate is there.
const DRAW_S: u64 = 2;
/// Characters of a name that are drawn.
const MAX_NAME: usize = 80;
/// How long the drawing itself may take, seconds, on a machine that is very busy.
const FIRST_PICTURE_S: u64 = 20;
/// The line below the name of a channel.
const LINE: &str = "Back in a moment";
/// The colour behind the text, ARGB: a dark blue grey.
const GROUND: u32 = 0xff18_1e26;

/// A slate that is drawn aside, from the first hole on: there is time until it is needed.
#[derive(Debug)]
pub(super) struct Drawing {
    coming: Option<Receiver<gst::Sample>>,
    drawn: Option<gst::Sample>,
    /// How long it is still waited for.
    patience: Duration,
}

impl Drawing {
    /// Starts to draw, in the size of the first rung and in the colour of all.
    pub(super) fn start(slate: Slate, setup: &Setup, colour: &Colour, output: &Output) -> Drawing {
        let (tell, coming) = sync_channel(1);
        let form = form(setup, colour);
        let output = output.clone();
        let drawing = std::thread::Builder::new()
            .name("slate".to_owned())
            .spawn(move || {
                match draw(&slate, LINE, &form, &output) {
                    // Room for the one picture that there will be.
                    Ok(sample) => drop(tell.try_send(sample)),
                    Err(error) => drop(output.send(Message::Warning(format!("slate: {error}")))),
                }
            });
        Drawing {
            // Without a thread there is no slate, and the last picture stays.
            coming: drawing.ok().map(|_| coming),
            drawn: None,
            patience: Duration::from_secs(DRAW_S),
        }
    }

    /// The slate, if there is one by now. Waits once.
    pub(super) fn picture(&mut self) -> Option<gst::Sample> {
        let limit = std::mem::take(&mut self.patience);
        if let Some(coming) = &self.coming
            && let Ok(sample) = coming.recv_timeout(limit)
        {
            self.drawn = Some(sample);
            self.coming = None;
        }
        self.drawn.clone()
    }
}

/// What a slate looks like to the encoders.
pub(in crate::transcode) fn form(setup: &Setup, colour: &Colour) -> String {
    let (width, height) = setup
        .video
        .first()
        .map_or((0, 0), |rung| (rung.width, rung.height));
    let site = colour.chroma_site.as_ref();
    let site = site.map_or_else(String::new, |site| format!(",chroma-site={site}"));
    format!(
        "video/x-raw,format=I420,width={width},height={height},pixel-aspect-ratio=1/1,\
         colorimetry=(string){}{site},interlace-mode=progressive",
        colour.colorimetry
    )
}

/// Draws a slate with a line below its name, or none.
pub(in crate::transcode) fn draw(
    slate: &Slate,
    line: &str,
    form: &str,
    output: &Output,
) -> Result<gst::Sample, Error> {
    if let Some(path) = &slate.image {
        match image(path, form) {
            Ok(sample) => return Ok(sample),
            Err(error) => {
                let text = format!("slate image {}: {error}", path.display());
                output.send(Message::Warning(text));
            }
        }
    }
    let overlay = if elements::exists("textoverlay") {
        "textoverlay name=text halignment=center valignment=center font-desc=\"Sans 20\" \
         shaded-background=false draw-shadow=false draw-outline=false ! "
    } else {
        ""
    };
    let pipeline = elements::parse(&format!(
        "videotestsrc num-buffers=1 pattern=solid-color foreground-color={GROUND} ! {form} ! \
         {overlay}{form} ! appsink name=out sync=false"
    ))?;
    if let Some(text) = pipeline.by_name("text") {
        text.set_property("text", markup(&slate.name, line));
    }
    first_picture(&pipeline)
}

/// The text of a drawn slate, as Pango reads it.
fn markup(name: &str, line: &str) -> String {
    let name: String = name.chars().take(MAX_NAME).collect();
    let name = gst::glib::markup_escape_text(&name);
    let name = format!("<span color=\"#e8ecf0\" weight=\"bold\">{name}</span>");
    match line {
        "" => name,
        line => format!("{name}\n<span color=\"#9aa6b2\" size=\"small\">{line}</span>"),
    }
}

/// An image file, with borders where its shape is another.
fn image(path: &Path, form: &str) -> Result<gst::Sample, Error> {
    let unreadable = |source| Error::Io {
        doing: "read",
        source,
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let mut magic = [0_u8; 2];
    file.read_exact(&mut magic).map_err(unreadable)?;
    let refuse = |text: String| Error::Element {
        element: "image".to_owned(),
        text,
    };
    if length > MAX_FILE {
        return Err(refuse(format!("{length} bytes are above {MAX_FILE}")));
    }
    let decoder = match magic {
        // PNG §5.2; JPEG's start of image, ITU-T T.81 table B.1
        [0x89, b'P'] => "pngdec",
        [0xff, 0xd8] => "jpegdec",
        _ => return Err(refuse("neither PNG nor JPEG".to_owned())),
    };
    let pipeline = elements::parse(&format!(
        "filesrc name=file ! {decoder} ! video/x-raw,width=[1,{MAX_SIDE}],height=[1,{MAX_SIDE}] ! \
         videoconvertscale add-borders=true method=lanczos ! {form} ! appsink name=out sync=false"
    ))?;
    elements::named(&pipeline, "file").set_property("location", path);
    first_picture(&pipeline)
}

fn first_picture(pipeline: &gst::Pipeline) -> Result<gst::Sample, Error> {
    let sink = elements::sink(pipeline, "out");
    let played = elements::play(pipeline);
    let sample = sink.try_pull_sample(gst::ClockTime::from_seconds(FIRST_PICTURE_S));
    let said = pipeline
        .bus()
        .and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
    let _ = pipeline.set_state(gst::State::Null);
    played?;
    sample.ok_or_else(|| {
        let text = said.and_then(|message| match message.view() {
            gst::MessageView::Error(error) => Some(error.error().to_string()),
            _ => None,
        });
        Error::Element {
            element: "slate".to_owned(),
            text: text.unwrap_or_else(|| "no picture".to_owned()),
        }
    })
}
