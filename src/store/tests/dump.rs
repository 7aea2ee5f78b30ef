//! All that is in the database, for tests of what must not have changed.

use super::*;
use crate::store::database::query_of;

impl Store {
    /// Every row of every table, a line each. SQLite only.
    pub(crate) async fn every_row(&self) -> Vec<String> {
        let tables = "SELECT name AS line FROM sqlite_master
             WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name";
        let mut lines = Vec::new();
        for table in self.texts(tables.to_owned()).await {
            let columns = format!("SELECT name AS line FROM pragma_table_info('{table}')");
            let columns = self.texts(columns).await.into_iter();
            let columns: Vec<String> = columns.map(|name| format!("quote(\"{name}\")")).collect();
            let line = columns.join(" || '|' || ");
            let rows =
                format!("SELECT '{table} ' || {line} AS line FROM \"{table}\" ORDER BY line");
            lines.extend(self.texts(rows).await);
        }
        lines
    }

    async fn texts(&self, sql: String) -> Vec<String> {
        let rows = self.database.fetch_all(query_of(sql)).await.unwrap();
        rows.iter().map(|row| row.get("line").unwrap()).collect()
    }
}
