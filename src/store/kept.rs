//! Connections of SQLite for one statement at a time. The driver's pool asks each connection for a sign of life
//! whenever it comes back, by a task of its own: with a database that is a file this costs about as much as the
//! statement did.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions, Connection, Sqlite};
use tokio::sync::{Semaphore, SemaphorePermit};

type Statement = Query<'static, Sqlite, SqliteArguments>;

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

    /// Keeps a connection, unless more than its statement failed.
    fn give<T>(&self, connection: SqliteConnection, done: &Result<T, sqlx::Error>) {
        if matches!(done, Ok(_) | Err(sqlx::Error::Database(_))) {
            self.idle().push(connection);
        }
    }

    /// Rows of a statement.
    pub(super) async fn fetch_all(&self, query: Statement) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let (_turn, mut connection) = self.take().await?;
        let rows = query.fetch_all(&mut connection).await;
        self.give(connection, &rows);
        rows
    }

    /// Runs a statement. Says how many rows it touched.
    pub(super) async fn execute(&self, query: Statement) -> Result<u64, sqlx::Error> {
        let (_turn, mut connection) = self.take().await?;
        let done = query.execute(&mut connection).await;
        self.give(connection, &done);
        Ok(done?.rows_affected())
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
