//! A source that is not there, comes and goes: with simulated time and a far side in memory.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;
use crate::base::clock::Wall;

/// What a far side does when it is visited.
#[derive(Clone, Copy, Debug)]
enum Act {
    Refuse(&'static str),
    /// Sends for so many milliseconds, then goes.
    Send(u64),
    /// Stays for ever.
    Stay,
}

/// A far side with a plan; the last act is repeated. Tells when it was visited, and at which address.
struct Far {
    plan: Vec<Act>,
    visits: mpsc::Sender<(Instant, SocketAddr)>,
    left: Arc<Mutex<bool>>,
    clock: Clock,
}

/// Notes that a visit was dropped.
struct Guard(Arc<Mutex<bool>>);

impl Drop for Guard {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = true;
    }
}

impl Fetch for Far {
    async fn visit(&mut self, address: SocketAddr) -> Visit {
        let now = Instant::now();
        self.visits.send((now, address)).await.unwrap();
        let act = self.plan[0];
        if self.plan.len() > 1 {
            self.plan.remove(0);
        }
        let ended = |delivered, reason: &str| Visit {
            delivered,
            reason: reason.to_owned(),
        };
        match act {
            Act::Refuse(reason) => ended(false, reason),
            Act::Send(millis) => {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                self.clock.advance(Duration::from_millis(millis));
                ended(true, "closed by the far side")
            }
            Act::Stay => {
                let _guard = Guard(self.left.clone());
                std::future::pending().await
            }
        }
    }
}

/// Answers with these addresses, in turn; the last answer is repeated.
struct Names(Vec<&'static str>);

impl Resolve for Names {
    async fn look_up(&mut self, _host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let answer = self.0[0];
        if self.0.len() > 1 {
            self.0.remove(0);
        }
        let addresses = answer.split_whitespace();
        Ok(addresses
            .map(|text| SocketAddr::new(text.parse().unwrap(), port))
            .collect())
    }
}

struct Bench {
    visits: mpsc::Receiver<(Instant, SocketAddr)>,
    left: Arc<Mutex<bool>>,
    tasks: Tasks,
}

fn start(plan: &[Act], names: &[&'static str]) -> Bench {
    let (sender, visits) = mpsc::channel(1000);
    let left = Arc::default();
    let clock = Clock::simulated(Wall(0));
    let far = Far {
        plan: plan.to_vec(),
        visits: sender,
        left: Arc::clone(&left),
        clock: clock.clone(),
    };
    let config = Config {
        private: Private {
            networks: Vec::new(),
            setting: "FOREBAY_PULL_PRIVATE",
        },
        srt_latency: Duration::from_millis(120),
        clock,
    };
    let source = Source::parse("srt://camera:9000").unwrap();
    let tasks = Tasks::new();
    let run = pull(source, config, far, Names(names.to_vec()), 7, tasks.clone());
    tasks.spawn(run);
    Bench {
        visits,
        left,
        tasks,
    }
}

impl Bench {
    /// Milliseconds between the next visits.
    async fn pauses(&mut self, count: usize) -> Vec<u128> {
        let mut last = self.visits.recv().await.unwrap().0;
        let mut pauses = Vec::new();
        for _ in 0..count {
            let (at, _) = self.visits.recv().await.unwrap();
            pauses.push((at - last).as_millis());
            last = at;
        }
        pauses
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_refuses_is_tried_for_ever_at_pauses_that_grow_to_a_cap() {
    let mut bench = start(&[Act::Refuse("no such stream")], &["1.1.1.1"]);
    let pauses = bench.pauses(200).await;
    for (pause, longest) in pauses.iter().zip([1000, 2000, 4000, 8000]) {
        assert!((longest / 2..=longest + 1).contains(pause), "{pauses:?}");
    }
    assert!(
        pauses[4..]
            .iter()
            .all(|pause| (5000..=10_001).contains(pause))
    );
    bench.tasks.finish().await;
}

#[tokio::test(start_paused = true)]
async fn after_media_the_first_pause_is_a_short_one_again() {
    let mut plan = vec![Act::Refuse("away"); 6];
    plan.extend([Act::Send(60_000), Act::Refuse("away")]);
    let mut bench = start(&plan, &["1.1.1.1"]);
    let pauses = bench.pauses(8).await;
    assert!(pauses[5] >= 5000, "{pauses:?}");
    assert!((60_500..=61_001).contains(&pauses[6]), "{pauses:?}");
    assert!((1000..=2001).contains(&pauses[7]), "{pauses:?}");
    bench.tasks.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_far_side_that_hangs_up_at_once_is_not_called_each_second() {
    let mut bench = start(&[Act::Send(100)], &["1.1.1.1"]);
    let pauses = bench.pauses(20).await;
    assert!(pauses[4..].iter().all(|pause| *pause >= 5000), "{pauses:?}");
    bench.tasks.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_host_is_looked_up_for_each_attempt_and_every_answer_is_checked() {
    // The second answer is the one of a name that was moved to this machine, and is never visited.
    let names = ["1.1.1.1", "127.0.0.1", "8.8.8.8 ::1 2606:4700::1"];
    let mut bench = start(&[Act::Refuse("away")], &names);
    let mut visited = Vec::new();
    for _ in 0..3 {
        visited.push(bench.visits.recv().await.unwrap().1.to_string());
    }
    assert_eq!(
        visited,
        ["1.1.1.1:9000", "8.8.8.8:9000", "[2606:4700::1]:9000"]
    );
    bench.tasks.finish().await;
}

#[tokio::test(start_paused = true)]
async fn the_address_that_has_media_is_the_last_one_of_an_attempt() {
    let plan = [Act::Refuse("no answer"), Act::Send(10), Act::Stay];
    let mut bench = start(&plan, &["1.1.1.1 8.8.8.8 9.9.9.9"]);
    let mut visited = Vec::new();
    for _ in 0..3 {
        visited.push(bench.visits.recv().await.unwrap().1.ip().to_string());
    }
    assert_eq!(visited, ["1.1.1.1", "8.8.8.8", "1.1.1.1"]);
    bench.tasks.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_visit_and_a_pause_at_once() {
    let mut bench = start(&[Act::Stay], &["1.1.1.1"]);
    bench.visits.recv().await.unwrap();
    bench.tasks.finish().await;
    assert!(*bench.left.lock().unwrap());

    let mut bench = start(&[Act::Refuse("away")], &["1.1.1.1"]);
    let (before, _) = bench.visits.recv().await.unwrap();
    bench.tasks.finish().await;
    assert!(
        before.elapsed() < Duration::from_millis(1),
        "time would have passed in a pause"
    );
    assert!(bench.visits.recv().await.is_none());
}
