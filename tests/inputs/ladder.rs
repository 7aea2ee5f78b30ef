//! Every picture on its way through the ladder.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn no_picture_is_lost_on_the_way_through_the_ladder() {
    comes_through_the_ladder(async |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_picture_is_lost_when_the_worker_is_killed() {
    comes_through_the_ladder(async |server| {
        let timeline = server.timeline().await;
        server
            .until("a segment of a rung", || {
                let description = timeline.description()?;
                let rung = description.video.iter().find(|rung| !rung.source)?;
                let segments = &timeline.snapshot(&rung.name)?.segments;
                (segments.len() > 1).then_some(())
            })
            .await;
        let is_worker = |id: &String| {
            let command = std::fs::read_to_string(format!("/proc/{id}/cmdline"));
            command.is_ok_and(|command| command.ends_with("worker\0"))
        };
        let mut workers = children(std::process::id());
        workers.retain(is_worker);
        assert_eq!(workers.len(), 1);
        let mut kill = std::process::Command::new("kill");
        assert!(kill.args(["-9", &workers[0]]).status().unwrap().success());
    })
    .await;
}

/// Publishes eight seconds and compares what comes out of every rung with them, whatever is done
/// meanwhile. At 25 fps every rung has the full rate.
async fn comes_through_the_ladder(meanwhile: impl AsyncFnOnce(&Server)) {
    let mut clip = Clip::h264(200, 50);
    clip.rate = "25";
    let source = clip.file();
    // On a busy machine a rung would go on without a picture that is late.
    let server = Server::start(|config| config.publish.on_loss = "gap".to_owned()).await;
    let publishing = server.publish(&source, "-re");
    meanwhile(&server).await;
    publishing.finish().await.unwrap();
    server.published().await;
    let timeline = server.timeline().await;
    let description = timeline.description().expect("a listed stream");
    let before = lip_offsets(&flashes(&pictures(&source)), &beeps(&source));
    let sound = beeps(&server.download("audio").await);
    let rungs = description.video.iter().filter(|rung| !rung.source);
    let names: Vec<&str> = rungs.map(|rung| &*rung.name).collect();
    assert!(!names.is_empty(), "no rung of {source:?}");
    for name in names {
        // The worker goes on for a moment after the publisher.
        server
            .until(&format!("end of {name}"), || {
                let snapshot = timeline.snapshot(name)?;
                let parts = &snapshot.segments;
                let last = parts.last()?;
                let end = (last.start + last.duration).0 - parts.first()?.start.0;
                (end >= 8 * 90_000 - 100).then_some(())
            })
            .await;
        let seen = pictures(&server.download(name).await);
        all_in_order(&clip, &seen);
        cadence_is_kept(&clip, &seen, &pictures(&source), None);
        together(&clip, &lip_offsets(&flashes(&seen), &sound), &before);
    }
    server.stop().await;
}
