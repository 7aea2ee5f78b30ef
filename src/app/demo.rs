//! `forebay demo`: a moving test picture with a clock and a beep, published into the default channel the
//! way an encoder would, over RTMP.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::process::{Child, Command};

use super::App;

/// How long the publisher may take to end its stream cleanly.
const GOODBYE: Duration = Duration::from_secs(2);

/// The running test picture.
pub struct Picture(Child);

/// Starts `gst-launch-1.0` as the encoder. The address carries the stream key, so it is handed over in
/// the environment of the child and not on its command line, where every user could read it.
pub fn start(app: &App) -> anyhow::Result<Picture> {
    let address = app.rtmp.first().context("demo needs FOREBAY_RTMP")?;
    let location = format!(
        "rtmp://{}/ingest/{}",
        super::listeners::reachable(*address),
        app.credentials.stream_key.expose()
    );
    let pipeline = "exec gst-launch-1.0 -q -e \
        videotestsrc is-live=true pattern=smpte horizontal-speed=2 ! video/x-raw,width=1280,height=720,framerate=30/1 \
        ! timeoverlay font-desc='Sans 32' halignment=center ! clockoverlay font-desc='Sans 32' valignment=bottom halignment=center \
        ! x264enc bitrate=2500 speed-preset=veryfast tune=zerolatency key-int-max=60 ! video/x-h264,profile=high \
        ! h264parse ! queue ! mux. \
        audiotestsrc is-live=true wave=ticks ! audio/x-raw,rate=48000,channels=2 ! audioconvert ! avenc_aac bitrate=128000 \
        ! queue ! flvmux name=mux streamable=true ! rtmp2sink location=\"$FOREBAY_DEMO_LOCATION\"";
    let child = Command::new("sh")
        .args(["-c", pipeline])
        .env("FOREBAY_DEMO_LOCATION", location)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    Ok(Picture(child.context(
        "demo needs gst-launch-1.0 (Debian: gstreamer1.0-tools)",
    )?))
}

impl Picture {
    /// Ends the picture.
    pub async fn stop(mut self) {
        // The gateway stops next and closes the connection: killing it loses nothing.
        let _ = self.0.start_kill();
        let _ = tokio::time::timeout(GOODBYE, self.0.wait()).await;
    }
}
