//! Encoders of the soak: a camera that films a clock, by ffmpeg, and real OBS.

use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::livekit::world::World;

/// Pictures a second, of cameras and of OBS.
pub const RATE: u32 = 30;

/// How a camera films.
pub struct Film {
    pub width: u32,
    pub height: u32,
    /// What x264 is told beside the size.
    pub video: &'static str,
}

/// 720p30 of 2.5 Mb/s without B-frames, with a key unit every two seconds. Encoded with little effort: camera, gateway,
/// server and viewers are on one machine.
pub const SIMPLE: Film = Film {
    width: 1280,
    height: 720,
    video: "-preset ultrafast -tune zerolatency -g 60 -keyint_min 60 -b:v 2500k -maxrate 2500k -bufsize 2500k",
};

/// A camera whose picture has the time in it, and flashes while a tone sounds at every full second. Ends with this.
pub struct Camera {
    _source: Child,
    _encoder: Child,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Camera {
    pub fn start<S>(world: &World<S>, film: &Film) -> Camera {
        let size = format!("{}x{}", film.width, film.height);
        let mut source = Command::new("node")
            .arg(root().join("tests/players/source.mjs"))
            .args([
                "--size",
                &size,
                "--fps",
                &RATE.to_string(),
                "--clock",
                "--flash",
                "6",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let picture = source.stdout.take().expect("it is piped");
        let picture: Stdio = picture.try_into().expect("a pipe");
        let sound = "aevalsrc='if(lt(mod(t,1),0.2),0.5*sin(2*PI*1000*t),0)':s=48000";
        let url = format!("rtmp://{}/live/{}", world.gateway.rtmp(), world.stream_key);
        // Without "nobuffer": what was probed is thrown away with it, and the picture is a frame early.
        let encoder = Command::new("ffmpeg")
            .args("-v error -probesize 32 -analyzeduration 0".split(' '))
            .args(["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", &size])
            .args(["-r", &RATE.to_string()])
            .args("-i - -re -f lavfi -i".split(' '))
            .arg(sound)
            .args("-map 0:v -map 1:a -c:v libx264 -pix_fmt yuv420p".split(' '))
            .args(film.video.split(' '))
            .args("-c:a aac -b:a 128k -ac 2 -flush_packets 1 -f flv".split(' '))
            .arg(url)
            .stdin(picture)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .expect("ffmpeg starts");
        Camera {
            _source: source,
            _encoder: encoder,
        }
    }
}

/// Real OBS as it comes out of the box: B-frames, and a key unit in eight seconds. Ends with this: who starts it
/// ends it when nobody holds its standard input any more.
pub struct Obs {
    _starter: Child,
}

impl Obs {
    pub fn start<S>(world: &World<S>) -> Obs {
        let server = format!("rtmp://{}/live", world.gateway.rtmp());
        let starter = Command::new("node")
            .arg(root().join("tests/soak/obs_publisher.mjs"))
            .args([&server, &world.stream_key])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("node starts");
        Obs { _starter: starter }
    }
}
