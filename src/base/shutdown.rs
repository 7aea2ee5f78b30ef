//! Tasks that are tracked, told to stop, and joined.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

/// Spawns tasks and ends them together. Cloning shares the set.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    /// Where the set was made: a task on a [lane](super::lanes) does not spawn onto its lane, unless it says so.
    home: Option<Handle>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// An empty set.
    pub fn new() -> Tasks {
        Tasks {
            home: Handle::try_current().ok(),
            ..Tasks::default()
        }
    }

    /// A set that stops when this one stops, is joined with it, and can be stopped alone.
    pub fn child(&self) -> Tasks {
        Tasks {
            home: self.home.clone(),
            tracker: self.tracker.clone(),
            stop: self.stop.child_token(),
        }
    }

    /// The same set, whose tasks run where this is called: small ones that wake one another stay on one lane.
    pub fn here(&self) -> Tasks {
        Tasks {
            home: Handle::try_current().ok(),
            ..self.clone()
        }
    }

    /// Runs a task that [`Tasks::finish`] waits for, on the runtime on which the set was made.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match &self.home {
            Some(home) => self.tracker.spawn_on(task, home),
            None => self.tracker.spawn(task),
        }
    }

    /// The same on another runtime.
    pub fn spawn_on<F>(&self, runtime: &Handle, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn_on(task, runtime)
    }

    /// Resolves when the tasks are asked to stop.
    pub fn stopped(&self) -> WaitForCancellationFuture<'_> {
        self.stop.cancelled()
    }

    /// Whether the tasks were asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Asks every task to stop, without waiting.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Asks every task to stop and waits until the last one has ended.
    pub async fn finish(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
