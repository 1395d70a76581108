//! Deletes dead letters for good, in steps with rests between them, so that others can write meanwhile.

use std::time::Instant;

use super::{OperateError, Operations, Run, Until};
use crate::record::{Filter, rest};

impl Operations {
    /// Deletes what `filter` lets through. `told` hears after each step how many it were so far.
    ///
    /// # Errors
    /// When the store does not do it.
    pub async fn purge(
        &self,
        filter: &Filter,
        until: Until,
        mut told: impl FnMut(u64) + Send,
    ) -> Result<Run, OperateError> {
        let (mut run, mut after) = (Run::default(), None);
        loop {
            let began = Instant::now();
            let purged = self.letters.purge_page(filter, after).await?;
            run.count += purged.removed;
            told(run.count);
            after = purged.next;
            run.is_done = after.is_none();
            if run.is_done || until.is_over() {
                return Ok(run);
            }
            rest(began).await;
        }
    }
}
