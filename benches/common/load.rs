//! Many publishers in one process of their own, whose CPU is nobody's figure. They send a clip again and
//! again by its timestamps, their beginnings spread over a GOP so that they do not march in step.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::clip::{self, LIVE_SECONDS};
use super::rtmp::{Clip, Publisher};

/// First argument of a bench's program when it is started as the load.
const WORD: &str = "publish-load";
/// Beginnings are spread over this long: the clip's GOP.
const SPREAD: Duration = Duration::from_secs(2);
/// A write that takes longer was held up by the server.
const STALL: Duration = Duration::from_millis(50);

/// A running load; ended with the value.
pub struct Load {
    child: Child,
    out: BufReader<ChildStdout>,
}

/// What the publishers saw.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Connections that broke.
    pub lost: usize,
    /// Writes that the server held up.
    pub stalls: usize,
    /// 99th percentile of how late a tag was sent, milliseconds: the load's own trouble.
    pub late_p99_ms: f64,
}

impl Load {
    /// Publishes to the keys `prefix0`, `prefix1`, …; returns when all were accepted and all play.
    pub fn start(address: SocketAddr, application: &str, prefix: &str, count: usize) -> Load {
        let clip = (clip::live(), LIVE_SECONDS);
        Load::of_clip(address, application, prefix, count, clip)
    }

    /// The same with a clip and its length in seconds.
    pub fn of_clip(
        address: SocketAddr,
        application: &str,
        prefix: &str,
        count: usize,
        (clip, seconds): (PathBuf, u32),
    ) -> Load {
        let mut child = Command::new(std::env::current_exe().expect("running"))
            .args([WORD, &address.to_string(), application, prefix])
            .arg(count.to_string())
            .arg(clip)
            .arg(seconds.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started again");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        let _ = out.read_line(&mut line);
        assert_eq!(line.trim(), "ready", "the server takes {count} publishers");
        Load { child, out }
    }

    pub fn stop(mut self) -> Outcome {
        drop(self.child.stdin.take());
        let mut text = String::new();
        let _ = self.out.read_to_string(&mut text);
        let mut numbers = text
            .split_whitespace()
            .map(|word| word.parse().unwrap_or(f64::NAN));
        let mut next = || numbers.next().unwrap_or(f64::NAN);
        Outcome {
            lost: next() as usize,
            stalls: next() as usize,
            late_p99_ms: next(),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// To be called first in `main`: true when this process was the load, and is done.
pub fn was_asked_for() -> bool {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [word, address, application, prefix, count, clip, seconds] = &words[..] else {
        return false;
    };
    if word != WORD {
        return false;
    }
    let address = address.parse().expect("an address");
    let count = count.parse().expect("a number");
    let seconds: u32 = seconds.parse().expect("a number");
    let clip = Clip::read(Path::new(clip), seconds * 1000);
    publish(address, application, prefix, count, &clip);
    true
}

struct Playing {
    publisher: Option<Publisher>,
    start: Instant,
    round: u32,
    next: usize,
}

fn publish(address: SocketAddr, application: &str, prefix: &str, count: usize, clip: &Clip) {
    let mut playing = Vec::new();
    for index in 0..count {
        let key = format!("{prefix}{index}");
        let publisher =
            Publisher::connect(address, application, &key).expect("a publish is accepted");
        playing.push(publisher);
    }
    let begin = Instant::now();
    let spread = SPREAD / u32::try_from(count.max(1)).expect("few");
    let mut playing: Vec<Playing> = playing
        .into_iter()
        .zip(0_u32..)
        .map(|(publisher, index)| Playing {
            publisher: Some(publisher),
            start: begin + spread * index,
            round: 0,
            next: 0,
        })
        .collect();
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = stopped.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stop.store(true, Ordering::Relaxed);
    });
    let mut due: BinaryHeap<Reverse<(Instant, usize)>> = playing
        .iter()
        .enumerate()
        .map(|(index, playing)| Reverse((playing.start, index)))
        .collect();
    let (mut lost, mut stalls, mut begun) = (0, 0, 0);
    let mut late = Vec::new();
    while let Some(Reverse((at, index))) = due.pop() {
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        let now = Instant::now();
        if at > now {
            std::thread::sleep(at - now);
        }
        late.push((Instant::now() - at).as_secs_f64() * 1000.0);
        let one = &mut playing[index];
        let Some(publisher) = &mut one.publisher else {
            continue;
        };
        let began = Instant::now();
        let mut sent = Ok(());
        if one.round == 0 && one.next == 0 {
            for tag in &clip.setup {
                sent = sent.and_then(|()| publisher.send(tag, 0));
            }
            begun += 1;
        }
        let tag = &clip.media[one.next];
        let time = tag.time_ms + one.round * clip.length_ms;
        sent = sent.and_then(|()| publisher.send(tag, time));
        stalls += usize::from(began.elapsed() > STALL);
        if sent.is_err() {
            lost += 1;
            one.publisher = None;
            continue;
        }
        if begun == count {
            println!("ready");
            begun = 0;
        }
        one.next += 1;
        if one.next == clip.media.len() {
            one.next = 0;
            one.round += 1;
        }
        let time = clip.media[one.next].time_ms + one.round * clip.length_ms;
        due.push(Reverse((
            one.start + Duration::from_millis(u64::from(time)),
            index,
        )));
    }
    let late = super::quantile(&mut late, 0.99);
    println!("{lost} {stalls} {late}");
}
