//! Which gateway sends a show on: every one of a database plays it, and only one may be in its room. Whoever
//! has it says so again and again; one that is not heard of loses it.

use std::time::Duration;

use super::database::query;
use super::{Error, Store, timed};
use crate::base::id::Uuid;

/// How long a gateway that is not heard of keeps a show: several times what it takes to say so again, and
/// hosts' clocks may differ a little.
const LEASE: Duration = Duration::from_secs(10);

impl Store {
    /// Takes a show for this gateway, or keeps it; false: another one has it, or it does not exist. Who comes
    /// `first` takes it from who does not: of two that do, the first one keeps it.
    pub async fn claim_show(&self, stream: Uuid, first: bool) -> Result<bool, Error> {
        let now = self.now_us();
        let lease = i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX);
        let claim = query(
            "UPDATE shows SET screened_by = $2, screened_until_us = $3, screened_first = $5
             WHERE stream_id = $1
                 AND (screened_by IS NULL OR screened_by = $2 OR screened_until_us <= $4
                     OR ($5 AND NOT screened_first))",
        );
        let claim = claim
            .bind(stream.to_string())
            .bind(&*self.node)
            .bind(now.saturating_add(lease))
            .bind(now)
            .bind(first);
        Ok(timed(self.database.execute(claim)).await? > 0)
    }

    /// Gives a show away, if this gateway has it.
    pub async fn release_show(&self, stream: Uuid) -> Result<(), Error> {
        let release = query(
            "UPDATE shows SET screened_by = NULL, screened_until_us = 0
             WHERE stream_id = $1 AND screened_by = $2",
        );
        let release = release.bind(stream.to_string()).bind(&*self.node);
        timed(self.database.execute(release)).await?;
        Ok(())
    }
}
