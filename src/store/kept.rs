//! Connections of SQLite for one statement at a time. The driver's pool asks each connection for a sign of life
//! whenever it comes back, by a task of its own: with a database that is a file this costs about as much as the
//! statement did.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures_util::StreamExt;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions, Connection, Either, Executor, Sqlite};
use tokio::sync::{Semaphore, SemaphorePermit};

/// How often it is looked, between other tasks, whether the next row is there before the task sleeps. Rows follow
/// each other within microseconds, and to be woken by the driver's thread for each costs more than they do.
const LOOKS: usize = 12;

type Statement = Query<'static, Sqlite, SqliteArguments>;
/// Rows, and how many were touched.
type Done = (Vec<SqliteRow>, u64);

/// Some of them: opened when they are needed, and kept. Who finds none free waits.
#[derive(Debug)]
pub(super) struct Kept {
    options: SqliteConnectOptions,
    most: u32,
    turns: Semaphore,
    idle: Mutex<Vec<SqliteConnection>>,
}

impl Kept {
    /// `most`: each has a thread of its own.
    pub(super) fn new(options: SqliteConnectOptions, most: u32) -> Kept {
        Kept {
            options,
            most,
            turns: Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX)),
            idle: Mutex::default(),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<SqliteConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection, and the turn to use it. What is given up meanwhile takes it along.
    async fn take(&self) -> Result<(SemaphorePermit<'_>, SqliteConnection), sqlx::Error> {
        let turn = self.turns.acquire().await;
        let turn = turn.map_err(|_| sqlx::Error::PoolClosed)?;
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        Ok((turn, connection))
    }

    async fn run(&self, query: Statement) -> Result<Done, sqlx::Error> {
        let (_turn, mut connection) = self.take().await?;
        let done = to_its_end(&mut connection, query).await;
        // Otherwise more has failed than the statement.
        if matches!(done, Ok(_) | Err(sqlx::Error::Database(_))) {
            self.idle().push(connection);
        }
        done
    }

    /// Rows of a statement.
    pub(super) async fn fetch_all(&self, query: Statement) -> Result<Vec<SqliteRow>, sqlx::Error> {
        Ok(self.run(query).await?.0)
    }

    /// Runs a statement. Says how many rows it touched.
    pub(super) async fn execute(&self, query: Statement) -> Result<u64, sqlx::Error> {
        Ok(self.run(query).await?.1)
    }

    /// Waits for those that are at work, and closes all of them.
    pub(super) async fn close(&self) {
        let turns = self.turns.acquire_many(self.most).await;
        self.turns.close();
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            // The pool's last one completes the file.
            let _ = connection.close().await;
        }
        drop(turns);
    }
}

async fn to_its_end(
    connection: &mut SqliteConnection,
    query: Statement,
) -> Result<Done, sqlx::Error> {
    let mut steps = connection.fetch_many(query);
    let (mut rows, mut touched) = (Vec::new(), 0);
    let mut next = steps.next().await;
    while let Some(step) = next {
        match step? {
            Either::Left(done) => touched += done.rows_affected(),
            Either::Right(row) => rows.push(row),
        }
        next = soon(steps.next()).await;
    }
    Ok((rows, touched))
}

/// Waits for what is nearly there.
async fn soon<F: Future + Unpin>(mut coming: F) -> F::Output {
    for _ in 0..LOOKS {
        let look = poll_fn(|cx| Poll::Ready(Pin::new(&mut coming).poll(cx)));
        if let Poll::Ready(come) = look.await {
            return come;
        }
        tokio::task::yield_now().await;
    }
    coming.await
}
