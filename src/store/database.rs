//! SQLite or PostgreSQL behind one set of calls: SQL that both understand, parameters and columns of
//! four types. In: text with `$1` and values. Out: rows. Not here: what any table means.
//!
//! One writer at a time changes channels and applications ([`Database::begin`]): SQLite has no more than
//! one, and in PostgreSQL an advisory lock stands for it, so that what a writer has read holds until it
//! commits, on both alike. What touches single rows only ([`Database::begin_rows`]) leaves PostgreSQL to
//! its row locks.
//!
//! The driver's futures for a connection are large, so they are boxed here, and nobody else has to.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Decode, Encode, Postgres, Row as _, SqlSafeStr, SqlStr, Sqlite,
    Type,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::kept::Kept;
use super::{DEADLINE, Error, timed};
use crate::base::secret::Secret;

/// Connections of a pool. SQLite has one writer; the others are for what reads several times as of one moment.
const CONNECTIONS: u32 = 4;
/// Connections of SQLite for what reads once. More than that many do not read at the same time.
const READERS: u32 = 3;
/// Reaching the server at start.
const CONNECT_DEADLINE: Duration = Duration::from_secs(60);
/// How often it is told that migrations are still running.
pub(super) const MIGRATING: Duration = Duration::from_secs(60);
/// Waiting for another process's lock. Below the deadline of a call, so that the answer says why.
const BUSY_TIMEOUT: Duration = Duration::from_millis(1500);
/// Name by which PostgreSQL's `pg_stat_activity` shows us.
const APPLICATION_NAME: &str = "forebay";
/// The writers' lock in PostgreSQL, of all gateways on one database: "forebay" in ASCII.
const LOCK: &str = "SELECT pg_advisory_xact_lock(28834209770856825)";

/// The oldest major version whose SQL we use: `EXECUTE FUNCTION` of triggers.
pub const OLDEST_POSTGRESQL: i64 = 11;

/// Parameters of a PostgreSQL URL, as libpq names them.
const PARAMETERS: [&str; 9] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "dbname",
    "user",
    "password",
];

/// Where the tables are. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct Database {
    pool: Pool,
    /// Writers of this process wait here in order, and not by asking the database again and again.
    turn: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
enum Pool {
    Sqlite(Sqlites),
    Postgres(PgPool),
}

/// Connections to one file, by what they are for.
#[derive(Clone, Debug)]
struct Sqlites {
    /// Transactions.
    pool: SqlitePool,
    readers: Arc<Kept>,
    /// For whose turn it is.
    writer: Arc<Kept>,
}

/// Changes that are made together or not at all. Dropping it undoes them.
pub(super) struct Transaction {
    inner: Inner,
    /// Given back last, so that the next writer finds the connection free.
    turn: Option<OwnedSemaphorePermit>,
}

enum Inner {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

/// One row of an answer.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// A parameter.
pub(super) enum Value {
    Integer(Option<i64>),
    Boolean(bool),
    Text(Option<String>),
    Bytes(Vec<u8>),
}

/// A statement with its parameters.
pub(super) struct Query {
    sql: SqlStr,
    values: Vec<Value>,
}

/// A statement of fixed text.
pub(super) fn query(sql: &'static str) -> Query {
    Query {
        sql: sql.into_sql_str(),
        values: Vec::new(),
    }
}

/// A statement whose text was put together from constants and numbers of parameters, never from values.
pub(super) fn query_of(sql: String) -> Query {
    Query {
        sql: AssertSqlSafe(sql).into_sql_str(),
        values: Vec::new(),
    }
}

impl Query {
    /// Adds the next parameter.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Query {
        self.values.push(value.into());
        self
    }

    /// PostgreSQL's text holds no zero byte; SQLite's must not either, or it could not be moved.
    fn check(&self) -> Result<(), Error> {
        let zero = |value: &Value| matches!(value, Value::Text(Some(text)) if text.contains('\0'));
        match self.values.iter().any(zero) {
            true => Err(Error::ZeroByte),
            false => Ok(()),
        }
    }

    /// The statement for one of the drivers.
    fn build<D: sqlx::Database>(self) -> Result<sqlx::query::Query<'static, D, D::Arguments>, Error>
    where
        Option<i64>: Encode<'static, D> + Type<D>,
        Option<String>: Encode<'static, D> + Type<D>,
        Vec<u8>: Encode<'static, D> + Type<D>,
        bool: Encode<'static, D> + Type<D>,
    {
        self.check()?;
        let query = sqlx::query::<D>(self.sql);
        Ok(self
            .values
            .into_iter()
            .fold(query, |query, value| match value {
                Value::Integer(value) => query.bind(value),
                Value::Boolean(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
            }))
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Integer(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Value {
        Value::Integer(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Boolean(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::Text(Some(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::Text(Some(value))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Value {
        Value::Text(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Value {
        // A hash; the driver's thread keeps it.
        Value::Bytes(value.to_vec())
    }
}

impl Row {
    /// The value of a column.
    pub(super) fn get<'r, T>(&'r self, column: &'static str) -> Result<T, Error>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        let value = match self {
            Row::Sqlite(row) => row.try_get(column),
            Row::Postgres(row) => row.try_get(column),
        };
        Ok(value?)
    }
}

impl Database {
    /// Opens a file of SQLite, which exists, and brings its tables up to date.
    pub(super) async fn open_sqlite(file: &Path) -> Result<Database, Error> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .journal_mode(SqliteJournalMode::Wal)
            // With WAL a commit is in the log file before it is answered, so that a killed process
            // loses none. Only a power cut can take the last ones; the database stays whole.
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(DEADLINE)
            // A file does not go away as a server does.
            .test_before_acquire(false)
            .connect_with(options.clone())
            .await?;
        let tables = sqlx::migrate!("src/store/migrations/sqlite");
        migrated(Box::pin(tables.run(&pool))).await?;
        Ok(Database::of(Pool::Sqlite(Sqlites {
            pool,
            readers: Arc::new(Kept::new(options.clone(), READERS)),
            writer: Arc::new(Kept::new(options, 1)),
        })))
    }

    /// Connects to PostgreSQL and brings its tables up to date. `sslmode` of the URL says how the
    /// connection is protected.
    pub(super) async fn open_postgres(url: &Secret) -> Result<Database, Error> {
        let options = options_of(url)?;
        // Of its own, because those of the pool have limits.
        let connect = tokio::time::timeout(CONNECT_DEADLINE, options.connect());
        let connect = connect
            .await
            .map_err(|_| Error::Timeout(CONNECT_DEADLINE))?;
        let mut connection = connect?;
        let tables = sqlx::migrate!("src/store/migrations/postgres");
        migrated(Box::pin(tables.run(&mut connection))).await?;
        sqlx::Connection::close(connection).await?;
        // Nobody waits for an answer after the deadline, and a gateway that vanished in the middle of a
        // change must not keep the others from theirs.
        let limit = |span: Duration| format!("{}ms", span.as_millis());
        let options = options.options([
            ("statement_timeout", limit(DEADLINE)),
            ("lock_timeout", limit(BUSY_TIMEOUT)),
            ("idle_in_transaction_session_timeout", limit(DEADLINE * 2)),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(DEADLINE)
            .connect_with(options)
            .await?;
        Ok(Database::of(Pool::Postgres(pool)))
    }

    fn of(pool: Pool) -> Database {
        let turn = Arc::new(Semaphore::new(1));
        Database { pool, turn }
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        match &self.pool {
            Pool::Sqlite(sqlites) => {
                sqlites.readers.close().await;
                sqlites.writer.close().await;
                sqlites.pool.close().await;
            }
            Pool::Postgres(pool) => pool.close().await,
        }
    }

    /// Rows of a statement that only reads.
    pub(super) async fn fetch_all(&self, query: Query) -> Result<Vec<Row>, Error> {
        Ok(match &self.pool {
            Pool::Sqlite(sqlites) => {
                let rows = Box::pin(sqlites.readers.fetch_all(query.build()?)).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Pool::Postgres(pool) => {
                let rows = query.build()?.fetch_all(pool).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The first row of a statement that only reads.
    pub(super) async fn fetch_optional(&self, query: Query) -> Result<Option<Row>, Error> {
        Ok(self.fetch_all(query).await?.into_iter().next())
    }

    /// Runs one statement that touches single rows. Says how many.
    pub(super) async fn execute(&self, query: Query) -> Result<u64, Error> {
        Ok(match &self.pool {
            Pool::Sqlite(sqlites) => {
                let _turn = self.turn().await;
                Box::pin(sqlites.writer.execute(query.build()?)).await?
            }
            Pool::Postgres(pool) => query.build()?.execute(pool).await?.rows_affected(),
        })
    }

    /// A transaction of the one writer. It has the lock at once: SQLite refuses one that reads first and
    /// writes later without waiting when another has written in between.
    pub(super) async fn begin(&self) -> Result<Transaction, Error> {
        let turn = Some(self.turn().await);
        let inner = match &self.pool {
            Pool::Sqlite(sqlites) => {
                let begin = sqlites.pool.begin_with("BEGIN IMMEDIATE");
                Inner::Sqlite(Box::pin(begin).await?)
            }
            Pool::Postgres(pool) => {
                let mut transaction = Box::pin(pool.begin()).await?;
                sqlx::query(LOCK).execute(&mut *transaction).await?;
                Inner::Postgres(transaction)
            }
        };
        Ok(Transaction { inner, turn })
    }

    /// A transaction whose rows nobody else counts on.
    pub(super) async fn begin_rows(&self) -> Result<Transaction, Error> {
        match &self.pool {
            Pool::Sqlite(..) => self.begin().await,
            Pool::Postgres(pool) => {
                let inner = Inner::Postgres(Box::pin(pool.begin()).await?);
                Ok(Transaction { inner, turn: None })
            }
        }
    }

    /// A transaction that reads everything as of one moment.
    pub(super) async fn snapshot(&self) -> Result<Transaction, Error> {
        let inner = match &self.pool {
            Pool::Sqlite(sqlites) => Inner::Sqlite(Box::pin(sqlites.pool.begin()).await?),
            Pool::Postgres(pool) => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                Inner::Postgres(Box::pin(pool.begin_with(begin)).await?)
            }
        };
        Ok(Transaction { inner, turn: None })
    }

    /// Waits until this process has no other writer, and keeps it so until the permit is dropped.
    pub(super) async fn turn(&self) -> OwnedSemaphorePermit {
        let turn = self.turn.clone().acquire_owned().await;
        turn.expect("the semaphore is never closed")
    }
}

impl Transaction {
    /// Rows of a statement.
    pub(super) async fn fetch_all(&mut self, query: Query) -> Result<Vec<Row>, Error> {
        Ok(match &mut self.inner {
            Inner::Sqlite(transaction) => {
                let rows = query.build()?.fetch_all(&mut **transaction).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Inner::Postgres(transaction) => {
                let rows = query.build()?.fetch_all(&mut **transaction).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The row of a statement that has at most one.
    pub(super) async fn fetch_optional(&mut self, query: Query) -> Result<Option<Row>, Error> {
        Ok(self.fetch_all(query).await?.pop())
    }

    /// The row of a statement that always has one.
    pub(super) async fn fetch_one(&mut self, query: Query) -> Result<Row, Error> {
        let row = self.fetch_optional(query).await?;
        row.ok_or(Error::Database(sqlx::Error::RowNotFound))
    }

    /// Runs a statement. Says how many rows it touched.
    pub(super) async fn execute(&mut self, query: Query) -> Result<u64, Error> {
        Ok(match &mut self.inner {
            Inner::Sqlite(transaction) => {
                let done = query.build()?.execute(&mut **transaction).await?;
                done.rows_affected()
            }
            Inner::Postgres(transaction) => {
                let done = query.build()?.execute(&mut **transaction).await?;
                done.rows_affected()
            }
        })
    }

    /// Makes the changes last. The writer's turn goes on until what this returns is dropped.
    pub(super) async fn commit(self) -> Result<Option<OwnedSemaphorePermit>, Error> {
        match self.inner {
            Inner::Sqlite(transaction) => transaction.commit().await?,
            Inner::Postgres(transaction) => transaction.commit().await?,
        }
        Ok(self.turn)
    }
}

/// Runs migrations to their end. They may rewrite tables, and one that was cut off would begin anew at every
/// start, so there is no deadline.
async fn migrated(
    mut migrations: Pin<Box<impl Future<Output = Result<(), MigrateError>>>>,
) -> Result<(), Error> {
    loop {
        match tokio::time::timeout(MIGRATING, &mut migrations).await {
            Ok(done) => return Ok(done?),
            Err(_) => tracing::warn!("tables are still being brought up to date"),
        }
    }
}

/// A PostgreSQL server, as one of its users sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its version, such as `15.18`.
    pub version: String,
    /// Whether it is not older than [`OLDEST_POSTGRESQL`].
    pub is_new_enough: bool,
    /// Who is asking.
    pub user: String,
    /// Whether the user may make tables.
    pub may_create: bool,
}

/// Asks a PostgreSQL server who it is. Changes nothing there.
pub async fn probe(url: &Secret) -> Result<Server, Error> {
    let select = "SELECT split_part(version(), ' ', 2) AS version,
             CAST(current_setting('server_version_num') AS BIGINT) AS number,
             CAST(current_user AS TEXT) AS who,
             COALESCE(has_schema_privilege(current_schema(), 'CREATE'), FALSE) AS may_create";
    let options = options_of(url)?;
    timed(async {
        let mut connection = options.connect().await?;
        let row = sqlx::query(select).fetch_one(&mut connection).await?;
        sqlx::Connection::close(connection).await?;
        let number: i64 = row.try_get("number")?;
        Ok(Server {
            version: row.try_get("version")?,
            // Two digits of the number are the minor version, and two are none since version 10.
            is_new_enough: number / 10_000 >= OLDEST_POSTGRESQL,
            user: row.try_get("who")?,
            may_create: row.try_get("may_create")?,
        })
    })
    .await
}

fn options_of(url: &Secret) -> Result<PgConnectOptions, Error> {
    check_url(url.expose())?;
    let options = PgConnectOptions::from_str(url.expose())?.application_name(APPLICATION_NAME);
    // At every start the server would tell that the tables are there already.
    Ok(options.options([("client_min_messages", "warning")]))
}

/// Refuses parameters that the driver does not know: it would log them with their values, and a mistyped
/// one may be a password.
fn check_url(url: &str) -> Result<(), Error> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let names = query.split('&').filter(|parameter| !parameter.is_empty());
    let mut names = names.map(|parameter| parameter.split('=').next().unwrap_or_default());
    match names.find(|name| !PARAMETERS.contains(name)) {
        Some(name) => Err(Error::Parameter(name.to_owned())),
        None => Ok(()),
    }
}
