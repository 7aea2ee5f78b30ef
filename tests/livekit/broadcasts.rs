//! Media of broadcasts, judged by LiveKit's own library on one side and by playlists on the other (contract,
//! broadcasts, N-4 and N-5).

use std::process::Stdio;

use tokio::process::{Child, Command};

use super::world::World;
use crate::common::livekit::clients::{Client, median};

/// An encoder as OBS is: AAC, and a picture that flashes while a tone sounds, for the first 200 ms of each
/// second. Ends with the test.
fn encoder<S>(world: &World<S>) -> Child {
    let picture = "color=black:s=320x180:r=30,drawbox=c=white:t=fill:enable='lt(mod(t,1),0.2)'";
    let sound = "aevalsrc=if(lt(mod(t\\,1)\\,0.2)\\,0.6*sin(2*PI*1000*t)\\,0):s=48000";
    let url = format!("rtmp://{}/live/{}", world.gateway.rtmp(), world.stream_key);
    Command::new("ffmpeg")
        .args([
            "-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", picture,
        ])
        .args(["-re", "-f", "lavfi", "-i", sound])
        .args("-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 30 -bf 2 -b:v 500k".split(' '))
        .args("-c:a aac -b:a 128k -ar 48000 -ac 2 -f flv".split(' '))
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .expect("ffmpeg starts")
}

/// The variants of the broadcast, once they are listed with AAC.
async fn variants<S>(world: &World<S>) -> String {
    let path = format!("/hls/{}/index.m3u8", world.room);
    let listed = async || {
        let answer = world.gateway.get(&path).await;
        let text = answer.text();
        (answer.status == 200 && text.contains("mp4a.40.2")).then(|| text.to_owned())
    };
    world.gateway.until("variants with AAC", listed).await
}

/// The newest media sequence of the sound, and whether the stream is over.
async fn sound<S>(world: &World<S>) -> Option<(u64, bool)> {
    let variants = variants(world).await;
    let name = variants.split("URI=\"").nth(1)?.split('"').next()?;
    let answer = world
        .gateway
        .get(&format!("/hls/{}/{name}", world.room))
        .await;
    let text = answer.text();
    let first = text
        .split("#EXT-X-MEDIA-SEQUENCE:")
        .nth(1)?
        .lines()
        .next()?;
    let segments = text.matches("#EXTINF:").count() as u64;
    Some((
        first.parse::<u64>().ok()? + segments,
        text.contains("#EXT-X-ENDLIST"),
    ))
}

/// Waits until who is on air comes over `proto`, and for two segments of it.
async fn on_air<S>(world: &World<S>, proto: &str) -> u64 {
    let has_the_air = async || (world.publishers().await.0.as_deref() == Some(proto)).then_some(());
    world.gateway.until(proto, has_the_air).await;
    let (from, _) = sound(world).await.expect("a playlist");
    let goes_on = async || {
        let (newest, is_over) = sound(world).await?;
        assert!(!is_over, "the stream ended at {newest}");
        (newest >= from + 2).then_some(newest)
    };
    world.gateway.until("new segments", goes_on).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_of_a_broadcast_is_in_its_room_by_itself() {
    an_encoder_is_in_the_room(World::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_publishes_in_the_room_is_played_with_aac_and_takes_turns_with_an_encoder() {
    a_host_takes_turns_with_an_encoder(World::with_ladder("auto").await).await;
}

pub async fn an_encoder_is_in_the_room<S>(world: World<S>) {
    let encoder = encoder(&world);
    let (url, token) = world.token("viewer", "subscriber").await;
    let mut viewer = Client::python("view", &url, &token, "").await;
    viewer.event("connected").await;
    let figures = viewer.pictures("forebay", 240).await;
    let offsets = viewer.lip_offsets("forebay");
    let offset = median(&offsets);
    show(&format!(
        "{figures}\nsound {:.0} ms after the picture of {} flashes",
        offset * 1000.0,
        offsets.len()
    ));
    assert!(offsets.len() >= 3, "{:#?}", viewer.said);
    // What a viewer's buffers make of it depends on how busy the machine is; the gateway's own share is held to
    // a millisecond by sender reports (`forwards::picture_and_sound_are_on_one_clock`).
    assert!(offset.abs() < 0.35, "sound {offset} s after the picture");
    assert!(variants(&world).await.contains("avc1."));
    viewer.leave().await;
    drop(encoder);
    world.gateway.stop().await;
}

pub async fn a_host_takes_turns_with_an_encoder<S>(world: World<S>) {
    let (url, token) = world.token("host", "publisher").await;
    let mut host = Client::python("publish", &url, &token, "").await;
    host.event("connected").await;
    let listed = variants(&world).await;
    assert!(listed.contains("avc1."), "{listed}");
    assert!(!listed.contains("opus"), "{listed}");
    let of_the_room = on_air(&world, "livekit").await;
    let _encoder = encoder(&world);
    let joined = async || (world.publishers().await.1.len() == 2).then_some(());
    world.gateway.until("both", joined).await;
    host.leave().await;
    let of_the_encoder = on_air(&world, "rtmp").await;
    assert!(
        of_the_encoder > of_the_room,
        "{of_the_encoder} after {of_the_room}"
    );
    world.gateway.stop().await;
}

/// A figure for whoever reads the output of the test.
fn show(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}
