//! What becomes of a file that was uploaded.

use super::*;

/// Whether a process is there, and more than what nobody has asked about its end yet (proc(5), "state").
fn is_running(process: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(process).join("stat"));
    let state = stat.ok().and_then(|stat| {
        let (_, behind) = stat.rsplit_once(')')?;
        behind.trim_start().chars().next()
    });
    state.is_some_and(|state| state != 'Z')
}

/// Frames enough that a preparation is met in its middle, and few enough that it ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_preparation_goes_on_after_a_stop_and_after_a_kill() {
    let folder = Folder::new();
    let mut gateway = folder.serve(&[]).await;
    let owner = Owner::new(&gateway).await;
    let long = media(
        &folder,
        "long.mp4",
        &[
            "-vf",
            "loop=14:50,setpts=N/25/TB",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-an",
        ],
    );
    let answer = owner.send(gateway.http(), "a.mp4", &long.await).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut orphans = Vec::new();
    for stops_well in [true, false] {
        let address = gateway.http();
        gateway
            .until("a preparation that goes on", async || {
                let file = owner.file(address).await;
                let percent = file["progress"].as_u64().unwrap();
                let is_on = file["state"] == "preparing" || file["state"] == "prepared";
                (is_on && percent > 0).then_some(())
            })
            .await;
        let children = gateway.children();
        match stops_well {
            true => {
                // It reads what strangers sent: 4 GiB that it writes to, 16 GiB of addresses, behind all others.
                for child in &children {
                    let Ok(limits) = std::fs::read_to_string(format!("/proc/{child}/limits"))
                    else {
                        continue;
                    };
                    let bounds = limits.lines().filter(|line| {
                        line.starts_with("Max data size") && line.contains(" 4294967296 ")
                            || line.starts_with("Max address space")
                                && line.contains(" 17179869184 ")
                    });
                    assert!(limits.is_empty() || bounds.count() == 2, "{limits}");
                }
                gateway.stop().await;
                for child in children {
                    assert!(!Path::new("/proc").join(&child).exists(), "{child} is left");
                }
            }
            false => {
                gateway.kill().await;
                orphans = children;
            }
        }
        gateway = folder.serve(&[]).await;
        gateway
            .until("the end of a killed gateway's children", async || {
                (!orphans.iter().any(|child| is_running(child))).then_some(())
            })
            .await;
    }
    let address = gateway.http();
    gateway
        .until("a film", async || {
            let file = owner.file(address).await;
            assert_ne!(file["state"], "failed", "{file}");
            (file["state"] == "prepared").then_some(())
        })
        .await;
    let file = owner.file(address).await;
    assert_eq!(file["progress"], 100);
    assert!(
        (29.0..31.0).contains(&file["duration"].as_f64().unwrap()),
        "{file}"
    );
    assert!(gateway.children().is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_breaks_off_has_a_sentence_that_says_so() {
    let folder = Folder::new();
    let gateway = folder.serve(&[]).await;
    let address = gateway.http();
    let owner = Owner::new(&gateway).await;
    let options = [
        "-vf",
        "loop=14:10,setpts=N/25/TB",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-movflags",
        "+faststart",
        "-an",
    ];
    let whole = media(&folder, "whole.mp4", &options).await;
    // Its head states all of it, so it is taken; the second half is missing.
    let answer = owner
        .send(address, "a.mp4", &whole[..whole.len() / 2])
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    gateway
        .until("a preparation that fails", async || {
            let file = owner.file(address).await;
            assert_ne!(file["state"], "prepared", "{file}");
            (file["state"] == "failed").then_some(())
        })
        .await;
    let file = owner.file(address).await;
    let error = file["error"].as_str().unwrap();
    assert!(
        error.starts_with("cannot decode the file: it breaks off after "),
        "{error}"
    );
    // Nothing can be decoded of this one, which is known at once.
    let mut noise = whole;
    let head = noise.windows(4).position(|name| name == b"mdat").unwrap() + 4;
    noise[head..].fill(0xff);
    let answer = owner.send(address, "a.mp4", &noise).await;
    assert_eq!(answer.status, 415, "{}", answer.text());
    assert!(
        answer.text().contains("cannot be read"),
        "{}",
        answer.text()
    );
    assert!(gateway.children().is_empty());
    gateway.stop().await;
}
