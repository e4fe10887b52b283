//! Single rows, for as long as they are kept.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::PoisonError;
use std::time::SystemTime;

use redb::{ReadableDatabase, ReadableTable};
use serde::Serialize;

use super::recover::ROWS;
use super::rollup::damaged;
use super::row::{LedgerRow, RowCost};
use super::{Ledger, pack};
use crate::StoreError;
use crate::clock;

/// A row as one line of JSON. Money is text, in dollars with every digit: JSON numbers would round it.
#[derive(Serialize)]
struct Line<'a> {
    sequence: u64,
    at: String,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    served_model: Option<&'a str>,
    input_tokens: u64,
    output_tokens: u64,
    cached_input_tokens: u64,
    cache_write_tokens: u64,
    reasoning_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unpriced: Option<&'a str>,
    estimated: bool,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_request_id: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn of(sequence: u64, row: &'a LedgerRow) -> Self {
        let (cost_usd, unpriced) = match &row.cost {
            RowCost::Priced(usd) => (Some(*usd), None),
            RowCost::Nothing => (Some(infer_core::Usd::ZERO), None),
            RowCost::Unpriced(reason) => (None, Some(reason.as_str())),
        };
        Self {
            sequence,
            at: jiff::Timestamp::try_from(row.at).map(|at| at.to_string()).unwrap_or_default(),
            outcome: row.outcome.as_str(),
            key: row.key.as_deref(),
            user: row.user.as_deref(),
            tag: row.tag.as_deref(),
            route: row.route.as_deref(),
            provider: row.provider.as_deref(),
            model: &row.model,
            served_model: row.served_model.as_deref(),
            input_tokens: row.usage.input_tokens,
            output_tokens: row.usage.billed_output_tokens(),
            cached_input_tokens: row.usage.cached_input_tokens,
            cache_write_tokens: row.usage.cache_write_tokens,
            reasoning_tokens: row.usage.reasoning_tokens,
            cost_usd: cost_usd.map(|usd| usd.to_string().trim_start_matches('$').to_owned()),
            unpriced,
            estimated: row.estimated,
            request_id: &row.request_id,
            upstream_request_id: row.upstream_request_id.as_deref(),
        }
    }
}

impl Ledger {
    /// Hands every kept row to `each` in the order of their numbers, until it breaks off.
    ///
    /// Sees the rows acknowledged before and none after. Reads the disk, so call it where blocking is allowed.
    ///
    /// # Errors
    /// Why the ledger cannot be read.
    pub fn rows(&self, mut each: impl FnMut(u64, LedgerRow) -> ControlFlow<()>) -> Result<(), StoreError> {
        let shared = &self.handle.shared;
        let database = shared.database()?;
        let mut scan = || -> Result<(), redb::Error> {
            let blocks = database.begin_read()?.open_table(ROWS)?;
            for entry in blocks.iter()? {
                let (first, block) = entry?;
                let rows = {
                    let names = shared.names.read().unwrap_or_else(PoisonError::into_inner);
                    pack::rows(block.value(), &names).ok_or_else(|| damaged("a block of rows"))?
                };
                for (sequence, row) in (first.value()..).zip(rows) {
                    if each(sequence, row).is_break() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        };
        scan().map_err(|error| shared.fault(&error))
    }

    /// Writes every kept row from `from` up to `to` as lines of JSON; absent ends are open. Returns how many.
    ///
    /// # Errors
    /// Why the ledger cannot be read, or `out` not written.
    pub fn export(
        &self,
        out: &mut dyn Write,
        from: Option<SystemTime>,
        to: Option<SystemTime>,
    ) -> Result<u64, StoreError> {
        let (mut written, mut fault) = (0, None);
        self.rows(|sequence, row| {
            if from.is_some_and(|from| row.at < from) || to.is_some_and(|to| row.at >= to) {
                return ControlFlow::Continue(());
            }
            let line =
                serde_json::to_writer(&mut *out, &Line::of(sequence, &row)).map_err(std::io::Error::from);
            match line.and_then(|()| out.write_all(b"\n")) {
                Ok(()) => {
                    written += 1;
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    fault = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        match fault {
            Some(error) => Err(StoreError::io(std::path::Path::new("export"), &error)),
            None => Ok(written),
        }
    }

    /// The moment from which sums by hour are there; before it there are only days.
    pub fn hours_kept_from(&self) -> SystemTime {
        clock::hour_start(self.handle.shared.hours_from.load(std::sync::atomic::Ordering::Acquire))
    }
}
