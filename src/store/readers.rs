//! Connections of SQLite that only read, one statement at a time. The driver's pool asks each connection for a
//! sign of life whenever it comes back, by a task of its own: with a database that is a file this would cost as
//! much again as the reading.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions, Connection, Sqlite};
use tokio::sync::Semaphore;

/// Connections, each with a thread of its own: more than that many do not read at once.
const READERS: usize = 3;

/// Opened when they are needed, and kept.
#[derive(Debug)]
pub(super) struct Readers {
    options: SqliteConnectOptions,
    turns: Semaphore,
    idle: Mutex<Vec<SqliteConnection>>,
}

impl Readers {
    pub(super) fn new(options: SqliteConnectOptions) -> Readers {
        Readers {
            options,
            turns: Semaphore::new(READERS),
            idle: Mutex::default(),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<SqliteConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rows of a statement. The connection of one that failed or was given up is not used again.
    pub(super) async fn fetch_all(
        &self,
        query: Query<'static, Sqlite, SqliteArguments>,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let turn = self.turns.acquire().await;
        let _turn = turn.map_err(|_| sqlx::Error::PoolClosed)?;
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        let rows = query.fetch_all(&mut connection).await?;
        self.idle().push(connection);
        Ok(rows)
    }

    /// Waits for those that read, and closes all of them.
    pub(super) async fn close(&self) {
        let all = u32::try_from(READERS).unwrap_or(u32::MAX);
        let turns = self.turns.acquire_many(all).await;
        self.turns.close();
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            // The pool's last one completes the file.
            let _ = connection.close().await;
        }
        drop(turns);
    }
}
