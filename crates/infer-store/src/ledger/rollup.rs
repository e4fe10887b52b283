//! Sums by hour and by day, kept up in the same commit as the rows they count.
//!
//! A bucket that still grows has one entry a group, so that a commit rewrites only what it touches. Once its time is
//! over it is sealed: packed into pages without gaps. A row that comes late opens the bucket again; readers add both, and
//! the next sealing packs the rest.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::config::LedgerConfig;
use super::names::{OTHER, SERVED};
use super::pack::Numbers;
use super::sums::Sums;
use crate::codec::{Reader, put_number};

pub(super) const OPEN: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("open");
pub(super) const SEALED: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("sealed");

/// A sealed page ends before this, so that with its key it fills 4 KiB.
const MAX_PAGE: usize = 4_000;

/// How long a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Level {
    Hour,
    Day,
}

impl Level {
    pub(super) const ALL: [Self; 2] = [Self::Hour, Self::Day];

    /// The bucket of an hour since 1970.
    pub(super) const fn bucket(self, hour: u32) -> u32 {
        match self {
            Self::Hour => hour,
            Self::Day => hour / 24,
        }
    }

    /// The first hour of a bucket.
    pub(super) const fn first_hour(self, bucket: u32) -> u32 {
        match self {
            Self::Hour => bucket,
            Self::Day => bucket.saturating_mul(24),
        }
    }
}

/// The numbers of a group's names, by dimension.
pub(super) type Group = [u32; SERVED];

/// Sums that a commit adds, by bucket and group.
pub(super) type Delta = HashMap<(Level, u32, Group), Sums>;

/// The group a row counts in.
pub(super) fn group(numbers: &Numbers) -> Group {
    let mut group = [OTHER; SERVED];
    for (place, number) in group.iter_mut().zip(numbers) {
        *place = number.unwrap_or(OTHER);
    }
    group
}

/// How many groups the open buckets hold, so that callers who invent names cannot fill the disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts(HashMap<(Level, u32), usize>);

/// Adds `delta` to the open buckets.
pub(super) fn apply(
    write: &WriteTransaction,
    delta: Delta,
    counts: &mut Counts,
    config: &LedgerConfig,
) -> Result<(), redb::Error> {
    let mut open = write.open_table(OPEN)?;
    let mut ordered: Vec<_> =
        delta.into_iter().map(|((level, bucket, group), sums)| (level, bucket, group, sums)).collect();
    // Neighbours in the tree are touched together, and the same rows give the same file.
    ordered.sort_unstable_by_key(|(level, bucket, group, _)| (*level as u8, *bucket, *group));
    for (level, bucket, group, mut sums) in ordered {
        let limit = match level {
            Level::Hour => config.max_groups_per_hour,
            Level::Day => config.max_groups_per_day,
        };
        let count = match counts.0.entry((level, bucket)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let (from, to) = (prefix(level, bucket), prefix(level, bucket.saturating_add(1)));
                unknown.insert(open.range::<&[u8]>(from.as_slice()..to.as_slice())?.count())
            }
        };
        let mut stored = None;
        for candidate in narrowed(group) {
            let key = key(level, bucket, &candidate);
            let known = open.get(key.as_slice())?.map(|value| Sums::read(&mut Reader::new(value.value())));
            match known {
                Some(known) => {
                    sums.add(&known.ok_or_else(|| damaged("a sum"))?);
                    stored = Some(key);
                    break;
                }
                None if *count < limit || candidate == [OTHER; SERVED] => {
                    *count += 1;
                    stored = Some(key);
                    break;
                }
                None => {}
            }
        }
        let mut value = Vec::with_capacity(48);
        sums.write(&mut value);
        if let Some(key) = stored {
            open.insert(key.as_slice(), value.as_slice())?;
        }
    }
    Ok(())
}

/// The group itself, then what it becomes when its bucket is full: first without the names that callers choose freely,
/// at last without any.
fn narrowed(group: Group) -> [Group; 3] {
    let [route, provider, model, key, ..] = group;
    [group, [route, provider, model, key, OTHER, OTHER], [OTHER; SERVED]]
}

/// Packs the buckets of `level` before `until`.
pub(super) fn seal(
    write: &WriteTransaction,
    level: Level,
    until: u32,
    counts: &mut Counts,
) -> Result<(), redb::Error> {
    let mut open = write.open_table(OPEN)?;
    let mut sealed = write.open_table(SEALED)?;
    let mut packed: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut keys: Vec<Vec<u8>> = Vec::new();
    for entry in open.range::<&[u8]>(prefix(level, 0).as_slice()..prefix(level, until).as_slice())? {
        let (entry_key, value) = entry?;
        let (bucket, group) = split(entry_key.value()).ok_or_else(|| damaged("a sum's key"))?;
        let size = group.len() + value.value().len();
        match packed.last_mut() {
            Some((last, page)) if *last == bucket && page.len() + size <= MAX_PAGE => {
                page.extend_from_slice(group);
            }
            _ => packed.push((bucket, group.to_vec())),
        }
        if let Some((_, page)) = packed.last_mut() {
            page.extend_from_slice(value.value());
        }
        keys.push(entry_key.value().to_vec());
    }
    for (bucket, page) in packed {
        let place = sealed
            .range(page_key(level, bucket, 0)..page_key(level, bucket.saturating_add(1), 0))?
            .next_back()
            .transpose()?
            .map_or(page_key(level, bucket, 0), |(last, _)| last.value().saturating_add(1));
        sealed.insert(place, page.as_slice())?;
    }
    for key in &keys {
        open.remove(key.as_slice())?;
    }
    counts.0.retain(|(of, bucket), _| *of != level || *bucket >= until);
    Ok(())
}

/// Forgets the buckets of `level` before `until`.
pub(super) fn forget(write: &WriteTransaction, level: Level, until: u32) -> Result<(), redb::Error> {
    let mut open = write.open_table(OPEN)?;
    let (from, to) = (prefix(level, 0), prefix(level, until));
    open.retain_in::<&[u8], _>(from.as_slice()..to.as_slice(), |_, _| false)?;
    let mut sealed = write.open_table(SEALED)?;
    sealed.retain_in(page_key(level, 0, 0)..page_key(level, until, 0), |_, _| false)?;
    Ok(())
}

/// Hands every group of `level` in `buckets` to `each`: the bucket, the group, its sums. A group may come twice.
pub(super) fn scan(
    open: &impl ReadableTable<&'static [u8], &'static [u8]>,
    sealed: &impl ReadableTable<u64, &'static [u8]>,
    level: Level,
    buckets: std::ops::Range<u32>,
    mut each: impl FnMut(u32, &Group, &Sums),
) -> Result<(), redb::Error> {
    if buckets.is_empty() {
        return Ok(());
    }
    for entry in sealed.range(page_key(level, buckets.start, 0)..page_key(level, buckets.end, 0))? {
        let (place, page) = entry?;
        #[expect(clippy::cast_possible_truncation, reason = "32 bits are kept")]
        let bucket = (place.value() >> 16) as u32;
        let mut reader = Reader::new(page.value());
        while !reader.is_empty() {
            let group = read_group(&mut reader).ok_or_else(|| damaged("a page of sums"))?;
            let sums = Sums::read(&mut reader).ok_or_else(|| damaged("a page of sums"))?;
            each(bucket, &group, &sums);
        }
    }
    for entry in
        open.range::<&[u8]>(prefix(level, buckets.start).as_slice()..prefix(level, buckets.end).as_slice())?
    {
        let (entry_key, value) = entry?;
        let (bucket, rest) = split(entry_key.value()).ok_or_else(|| damaged("a sum's key"))?;
        let group = read_group(&mut Reader::new(rest)).ok_or_else(|| damaged("a sum's key"))?;
        let sums = Sums::read(&mut Reader::new(value.value())).ok_or_else(|| damaged("a sum"))?;
        each(bucket, &group, &sums);
    }
    Ok(())
}

pub(super) fn damaged(what: &str) -> redb::Error {
    redb::Error::Corrupted(format!("{what} does not read"))
}

fn prefix(level: Level, bucket: u32) -> [u8; 5] {
    let [a, b, c, d] = bucket.to_be_bytes();
    [level as u8, a, b, c, d]
}

fn key(level: Level, bucket: u32, group: &Group) -> Vec<u8> {
    let mut key = Vec::with_capacity(16);
    key.extend_from_slice(&prefix(level, bucket));
    for number in group {
        put_number(&mut key, *number);
    }
    key
}

fn split(key: &[u8]) -> Option<(u32, &[u8])> {
    let (_, rest) = key.split_first()?;
    let (bucket, group) = rest.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*bucket), group))
}

fn read_group(reader: &mut Reader<'_>) -> Option<Group> {
    let mut group = Group::default();
    for number in &mut group {
        *number = reader.id()?;
    }
    Some(group)
}

/// Sixteen bits for the pages of one bucket: 260 MB of sums.
fn page_key(level: Level, bucket: u32, page: u16) -> u64 {
    (level as u64) << 56 | u64::from(bucket) << 16 | u64::from(page)
}
