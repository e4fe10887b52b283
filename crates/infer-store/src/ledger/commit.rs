//! One commit: rows, sums, names and upkeep, all of it or nothing.

use std::sync::Arc;
use std::time::Duration;

use redb::{Database, ReadableTable, WriteTransaction};

use super::config::LedgerConfig;
use super::pack::{self, Block, Numbers};
use super::recover::{NAMES, ROWS, note};
use super::rollup::{self, Counts, Delta, Level, damaged};
use super::row::LedgerRow;
use super::sums::Sums;
use crate::clock;

/// How many blocks one commit forgets at most, so that none takes long.
const MAX_FORGOTTEN: usize = 2_048;

/// What the writer knows between commits. A failed commit leaves it as it was.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) tail: Block,
    pub(super) counts: Counts,
    /// The hour in which old things were last put away; `None` when there is more to do.
    pub(super) kept_in: Option<u32>,
    pub(super) hours_from: u32,
}

impl State {
    pub(super) fn new(next: u64, hours_from: u32) -> Self {
        Self { tail: Block::new(next), counts: Counts::default(), kept_in: None, hours_from }
    }
}

/// Writes `rows` and the names that are new in them, and returns the state after.
pub(super) fn commit(
    database: &Database,
    state: &State,
    rows: &[(&LedgerRow, Numbers)],
    names: &[(u64, Arc<str>)],
    hour: u32,
    config: &LedgerConfig,
) -> Result<State, redb::Error> {
    let mut state = state.clone();
    let write = database.begin_write()?;
    let mut delta = Delta::new();
    {
        let mut blocks = write.open_table(ROWS)?;
        for (row, numbers) in rows {
            if !state.tail.push(row, numbers) {
                blocks.insert(state.tail.first, state.tail.to_bytes().as_slice())?;
                state.tail = Block::new(state.tail.next_sequence());
                state.tail.push(row, numbers);
            }
            let (sums, group, at) = (Sums::of(row), rollup::group(numbers), clock::hour(row.at));
            for level in Level::ALL {
                delta.entry((level, level.bucket(at), group)).or_default().add(&sums);
            }
        }
        if !state.tail.is_empty() {
            blocks.insert(state.tail.first, state.tail.to_bytes().as_slice())?;
        }
    }
    {
        let mut stored = write.open_table(NAMES)?;
        for (place, name) in names {
            stored.insert(place, name.as_ref())?;
        }
    }
    rollup::apply(&write, delta, &mut state.counts, config)?;
    if state.kept_in != Some(hour) {
        put_away(&write, &mut state, hour, config)?;
    }
    write.commit()?;
    Ok(state)
}

/// Forgets rows and hours that were kept long enough, and seals buckets whose time is over.
fn put_away(
    write: &WriteTransaction,
    state: &mut State,
    hour: u32,
    config: &LedgerConfig,
) -> Result<(), redb::Error> {
    let more = forget_rows(write, state, hour, config)?;
    let kept_hours = u32::try_from(config.keep_hours.as_secs() / 3_600).unwrap_or(u32::MAX);
    // Whole days, so that the days before are the whole truth about them.
    let hours_from = (hour.saturating_sub(kept_hours) / 24 * 24).max(state.hours_from);
    if hours_from > state.hours_from {
        rollup::forget(write, Level::Hour, hours_from)?;
        note(write, "hours_from", u64::from(hours_from))?;
        state.hours_from = hours_from;
    }
    // The last hour stays open: calls that end late still count in it.
    rollup::seal(write, Level::Hour, hour.saturating_sub(1), &mut state.counts)?;
    rollup::seal(write, Level::Day, hour.saturating_sub(1) / 24, &mut state.counts)?;
    state.kept_in = (!more).then_some(hour);
    Ok(())
}

/// Forgets blocks from the front whose rows are all too old; whether there are more.
fn forget_rows(
    write: &WriteTransaction,
    state: &State,
    hour: u32,
    config: &LedgerConfig,
) -> Result<bool, redb::Error> {
    let now = clock::hour_start(hour);
    let Some(limit) = now.checked_sub(config.keep_rows.min(Duration::from_secs(1 << 40))) else {
        return Ok(false);
    };
    let limit = clock::micros(limit);
    let mut blocks = write.open_table(ROWS)?;
    let mut old = Vec::new();
    for entry in blocks.iter()?.take(MAX_FORGOTTEN) {
        let (first, block) = entry?;
        let (_, latest) = pack::head(block.value()).ok_or_else(|| damaged("a block of rows"))?;
        if latest >= limit || first.value() == state.tail.first {
            break;
        }
        old.push(first.value());
    }
    for first in &old {
        blocks.remove(first)?;
    }
    if !old.is_empty() {
        // The numbers of rows go on even when none is left.
        note(write, "next", state.tail.next_sequence())?;
    }
    Ok(old.len() == MAX_FORGOTTEN)
}
