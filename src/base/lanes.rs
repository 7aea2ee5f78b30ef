//! Threads that each run many small connections alone. A runtime with several workers wakes a second
//! worker whenever two tasks are ready at once; for tasks that copy a few kilobytes and sleep again, as
//! publishers are, those wake-ups cost more than the work. A lane has its own event loop and wakes nobody.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::shutdown::Tasks;

/// Tasks that a lane takes before the next one is used: the more share a lane, the more events one
/// wake-up finds. 128 publishers of 2.5 Mb/s take about an eighth of a core.
const FULL: usize = 128;

/// Where to run small tasks. Cloning shares the threads; they end with the last clone.
#[derive(Clone, Default)]
pub struct Lanes(Option<Arc<Threads>>);

struct Threads {
    lanes: Vec<Lane>,
    _end: DropGuard,
}

struct Lane {
    runtime: Handle,
    load: Arc<AtomicUsize>,
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.as_ref().map_or(0, |threads| threads.lanes.len());
        f.debug_struct("Lanes").field("threads", &count).finish()
    }
}

impl Lanes {
    /// No threads: tasks run where they are spawned.
    pub fn none() -> Lanes {
        Lanes::default()
    }

    /// Starts `count` threads, at least one.
    pub fn start(count: usize) -> io::Result<Lanes> {
        let end = CancellationToken::new();
        let lanes = (0..count.max(1)).map(|index| lane(index, end.clone()));
        let lanes = lanes.collect::<io::Result<Vec<Lane>>>()?;
        let threads = Threads {
            lanes,
            _end: end.drop_guard(),
        };
        Ok(Lanes(Some(Arc::new(threads))))
    }

    /// Runs a task on the first lane that has room, else on the one with the fewest.
    pub fn spawn<F>(&self, tasks: &Tasks, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(threads) = &self.0 else {
            tasks.spawn(task);
            return;
        };
        let load = |lane: &&Lane| lane.load.load(Ordering::Relaxed);
        let lanes = &threads.lanes;
        let roomy = lanes.iter().find(|lane| load(lane) < FULL);
        let lane = roomy.or_else(|| lanes.iter().min_by_key(load));
        let lane = lane.expect("there is at least one lane");
        let place = Place::take(&lane.load);
        tasks.spawn_on(&lane.runtime, async move {
            let _place = place;
            task.await;
        });
    }
}

/// Counts a task until it ends, in whatever way.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(load: &Arc<AtomicUsize>) -> Place {
        load.fetch_add(1, Ordering::Relaxed);
        Place(load.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lane(index: usize, end: CancellationToken) -> io::Result<Lane> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name(format!("lane-{index}"))
        .spawn(move || runtime.block_on(end.cancelled()))?;
    Ok(Lane {
        runtime: handle,
        load: Arc::default(),
    })
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, watch};

    use super::*;

    #[tokio::test]
    async fn lanes_are_filled_one_after_another_and_places_are_given_back() {
        let lanes = Lanes::start(2).unwrap();
        let tasks = Tasks::new();
        let (open, gate) = watch::channel(false);
        let (name, mut names) = mpsc::channel(2 * FULL);
        for _ in 0..=FULL {
            let (mut gate, name) = (gate.clone(), name.clone());
            lanes.spawn(&tasks, async move {
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
        let threads = lanes.0.as_ref().unwrap();
        let loads = threads.lanes.iter();
        assert!(
            loads
                .map(|lane| lane.load.load(Ordering::Relaxed))
                .eq([0, 0])
        );
    }

    #[tokio::test]
    async fn what_a_task_on_a_lane_spawns_runs_at_home() {
        let lanes = Lanes::start(1).unwrap();
        let tasks = Tasks::new();
        let (name, mut names) = mpsc::channel(1);
        let set = tasks.clone();
        lanes.spawn(&tasks, async move {
            set.spawn(async move {
                let thread = std::thread::current().name().map(str::to_owned);
                name.send(thread).await.unwrap();
            });
        });
        let thread = names.recv().await.unwrap();
        assert_ne!(thread.as_deref(), Some("lane-0"));
        tasks.finish().await;
    }
}
