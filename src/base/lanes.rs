//! Threads that each run many small connections alone. A runtime with several workers wakes a second
//! worker whenever two tasks are ready at once; for tasks that copy a few kilobytes and sleep again, as
//! publishers are, those wake-ups cost more than the work. A lane has its own event loop and wakes nobody.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::task;
use tokio_util::sync::CancellationToken;

use super::shutdown::Tasks;

/// Places of a lane: the more tasks share one, the more events one wake-up finds. Full, it takes about an eighth
/// of a core.
const FULL: usize = 128;

/// Places of who copies the media of one stream, such as a publisher of 2.5 Mb/s.
pub const COPIER: usize = 1;
/// Places of who encrypts or decrypts each of its packets.
pub const PEER: usize = 16;

/// Where to run small tasks, for as long as the [`Threads`] are there. Cloning shares them.
#[derive(Clone, Default)]
pub struct Lanes(Arc<[Lane]>);

/// The threads of lanes, joined when this is dropped, with what still runs there: none of it may be at work
/// when the process ends, since C libraries take themselves apart then. Clones of the lanes cannot say when
/// to end, because tasks on them hold some.
#[derive(Debug)]
pub struct Threads {
    end: CancellationToken,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.end.cancel();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of small tasks panicked");
            }
        }
    }
}

struct Lane {
    runtime: Handle,
    load: Arc<AtomicUsize>,
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes")
            .field("threads", &self.0.len())
            .finish()
    }
}

impl Lanes {
    /// No threads: tasks run where they are spawned.
    pub fn none() -> Lanes {
        Lanes::default()
    }

    /// Starts `count` threads, at least one.
    pub fn start(count: usize) -> io::Result<(Lanes, Threads)> {
        let mut threads = Threads {
            end: CancellationToken::new(),
            threads: Vec::new(),
        };
        let lanes = (0..count.max(1)).map(|index| threads.add_lane(index));
        let lanes = lanes.collect::<io::Result<_>>()?;
        Ok((Lanes(lanes), threads))
    }

    /// Runs a task that takes so many places on the first lane that has them, else on the one with the most.
    pub fn spawn<F>(&self, tasks: &Tasks, places: usize, task: F) -> task::JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let load = |lane: &&Lane| lane.load.load(Ordering::Relaxed);
        let roomy = self.0.iter().find(|lane| load(lane) + places <= FULL);
        let Some(lane) = roomy.or_else(|| self.0.iter().min_by_key(load)) else {
            return tasks.spawn(task);
        };
        let taken = Taken::take(&lane.load, places);
        tasks.spawn_on(&lane.runtime, async move {
            let _taken = taken;
            task.await;
        })
    }
}

/// Places of a task until it ends, in whatever way.
struct Taken {
    load: Arc<AtomicUsize>,
    places: usize,
}

impl Taken {
    fn take(load: &Arc<AtomicUsize>, places: usize) -> Taken {
        load.fetch_add(places, Ordering::Relaxed);
        let load = load.clone();
        Taken { load, places }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.load.fetch_sub(self.places, Ordering::Relaxed);
    }
}

impl Threads {
    fn add_lane(&mut self, index: usize) -> io::Result<Lane> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let end = self.end.clone();
        let thread = std::thread::Builder::new()
            .name(format!("lane-{index}"))
            .spawn(move || runtime.block_on(end.cancelled()))?;
        self.threads.push(thread);
        Ok(Lane {
            runtime: handle,
            load: Arc::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, watch};

    use super::*;

    #[tokio::test]
    async fn lanes_are_filled_one_after_another_and_places_are_given_back() {
        let (lanes, _threads) = Lanes::start(2).unwrap();
        let tasks = Tasks::new();
        let (open, gate) = watch::channel(false);
        let (name, mut names) = mpsc::channel(2 * FULL);
        for _ in 0..=FULL {
            let (mut gate, name) = (gate.clone(), name.clone());
            lanes.spawn(&tasks, 1, async move {
                let thread = std::thread::current().name().map(str::to_owned);
                name.send(thread).await.unwrap();
                let _ = gate.wait_for(|open| *open).await;
            });
        }
        drop(name);
        let mut counts = [0, 0];
        while let Some(thread) = names.recv().await {
            counts[usize::from(thread.as_deref() == Some("lane-1"))] += 1;
            if counts == [FULL, 1] {
                open.send_replace(true);
            }
        }
        assert_eq!(counts, [FULL, 1]);
        tasks.finish().await;
        let loads = lanes.0.iter();
        let loads = loads.map(|lane| lane.load.load(Ordering::Relaxed));
        assert!(loads.eq([0, 0]));
    }

    #[tokio::test]
    async fn who_takes_many_places_leaves_fewer_to_others() {
        let (lanes, _threads) = Lanes::start(2).unwrap();
        let tasks = Tasks::new();
        let (name, mut names) = mpsc::channel(1);
        let mut threads = Vec::new();
        for places in [FULL - 1, PEER, COPIER] {
            let name = name.clone();
            lanes.spawn(&tasks, places, async move {
                let thread = std::thread::current().name().map(str::to_owned);
                name.send(thread.unwrap_or_default()).await.unwrap();
                std::future::pending().await
            });
            threads.push(names.recv().await.unwrap());
        }
        assert_eq!(threads, ["lane-0", "lane-1", "lane-0"]);
    }

    #[tokio::test]
    async fn what_a_task_on_a_lane_spawns_runs_at_home_unless_it_is_to_stay() {
        let (lanes, _threads) = Lanes::start(1).unwrap();
        let tasks = Tasks::new();
        let (name, mut names) = mpsc::channel(2);
        let set = tasks.clone();
        lanes.spawn(&tasks, 1, async move {
            for set in [set.clone(), set.here()] {
                let name = name.clone();
                let told = set.spawn(async move {
                    let thread = std::thread::current().name().map(str::to_owned);
                    name.send(thread).await.unwrap();
                });
                told.await.unwrap();
            }
        });
        let [there, here] = [names.recv().await.unwrap(), names.recv().await.unwrap()];
        assert_ne!(there.as_deref(), Some("lane-0"));
        assert_eq!(here.as_deref(), Some("lane-0"));
        tasks.finish().await;
    }

    #[tokio::test]
    async fn what_runs_on_lanes_ends_with_their_threads_although_it_holds_them() {
        let (lanes, threads) = Lanes::start(2).unwrap();
        let tasks = Tasks::new();
        let held = Arc::new(());
        let (started, mut start) = mpsc::channel(1);
        let (own, holds) = (lanes.clone(), held.clone());
        lanes.spawn(&tasks, 1, async move {
            let _own = (own, holds);
            started.send(()).await.unwrap();
            std::future::pending().await
        });
        start.recv().await.unwrap();
        drop(threads);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
