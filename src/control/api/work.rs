//! Work that takes a processor for a while: passwords, phone numbers of an address book. In: closures. Out:
//! what they give. A bounded number runs at a time, on threads of its own, and a bounded number waits.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::Error;

/// How many run at a time: media have the processors first. Each password takes 19 MiB meanwhile.
const PARALLEL: usize = 2;
/// How many run or wait: a few seconds of work.
const MAX_WAITING: usize = 128;

/// The turns of such work.
#[derive(Debug)]
pub(in crate::control) struct Work {
    turns: Arc<Semaphore>,
    places: Semaphore,
}

impl Default for Work {
    fn default() -> Work {
        Work {
            turns: Arc::new(Semaphore::new(PARALLEL)),
            places: Semaphore::new(MAX_WAITING),
        }
    }
}

impl Work {
    /// Does it when its turn comes. It keeps its turn to its end, also when nobody waits for it any more.
    pub(in crate::control) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let full =
            |_| Error::Capacity("too many passwords and address books are being read".to_owned());
        let _place = self.places.try_acquire().map_err(full)?;
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        let job = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            job()
        });
        // A panic in there was logged as one.
        job.await.map_err(|_| Error::Internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_wait_than_there_are_places_and_a_panic_takes_no_turn_along() {
        let work = Arc::new(Work::default());
        let panicked = work.run(|| panic!("on purpose")).await;
        assert_eq!(panicked, Err::<(), _>(Error::Internal));
        let held = work.turns.clone().acquire_many_owned(2).await.unwrap();
        let waiting: Vec<_> = (0..MAX_WAITING)
            .map(|number| {
                let work = work.clone();
                #[expect(clippy::disallowed_methods, reason = "joined below")]
                tokio::spawn(async move { work.run(move || number).await })
            })
            .collect();
        while work.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(work.run(|| 0).await, Err(Error::Capacity(_))));
        drop(held);
        for (number, task) in waiting.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), Ok(number));
        }
        assert_eq!(work.run(|| 7).await, Ok(7));
    }
}
