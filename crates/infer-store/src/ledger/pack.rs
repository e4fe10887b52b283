//! Rows as bytes: blocks of about one page, each readable by itself.
//!
//! A row keeps what differs from the row before it in its block, names as numbers and ids packed, which makes it a
//! fifth of its JSON.

use infer_core::{ErrorKind, Usage, Usd};

use super::names::{DRAWERS, Dimension, Names, OTHER, SERVED, WORD, kept};
use super::row::{LedgerRow, Outcome, RowCost};
use crate::clock::{micros, moment};
use crate::codec::{Reader, put_number, put_signed, put_text};

/// A block ends before it grows beyond this, so that with its key it fills one page of 4 KiB.
const MAX_BLOCK: usize = 3_900;
/// Version, count, the latest time.
const HEAD: usize = 1 + 2 + 8;
const VERSION: u8 = 1;

const FAILED: u8 = 3;
const PRICED: u8 = 1 << 2;
const UNPRICED: u8 = 2 << 2;
const ESTIMATED: u8 = 1 << 4;
const UPSTREAM_ID: u8 = 1 << 5;

/// The block that is being filled.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    /// The sequence number of its first row.
    pub(super) first: u64,
    count: u16,
    latest: u64,
    body: Vec<u8>,
    context: Context,
}

/// What the next row of a block may refer to.
#[derive(Clone, Copy, Debug, Default)]
struct Context {
    at: u64,
    process: u64,
}

/// The numbers of a row's names; `None` for one that must be written out.
pub(super) type Numbers = [Option<u32>; DRAWERS];

impl Block {
    pub(super) fn new(first: u64) -> Self {
        Self { first, ..Self::default() }
    }

    /// Adds a row, or says that it needs a new block.
    pub(super) fn push(&mut self, row: &LedgerRow, numbers: &Numbers) -> bool {
        let (length, context) = (self.body.len(), self.context);
        write_row(&mut self.body, &mut self.context, row, numbers);
        if self.count > 0 && (HEAD + self.body.len() > MAX_BLOCK || self.count == u16::MAX) {
            self.body.truncate(length);
            self.context = context;
            return false;
        }
        self.count += 1;
        self.latest = self.latest.max(self.context.at);
        true
    }

    pub(super) fn next_sequence(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.body.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&self.latest.to_le_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// How many rows a stored block holds, and the latest time among them.
pub(super) fn head(bytes: &[u8]) -> Option<(u16, u64)> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? != VERSION {
        return None;
    }
    let count = u16::from_le_bytes(reader.bytes(2)?.try_into().ok()?);
    Some((count, u64::from_le_bytes(reader.bytes(8)?.try_into().ok()?)))
}

/// The rows of a stored block in order; `None` when it cannot be read.
pub(super) fn rows(bytes: &[u8], names: &Names) -> Option<Vec<LedgerRow>> {
    let (count, _) = head(bytes)?;
    let mut reader = Reader::new(bytes.get(HEAD..)?);
    let mut context = Context::default();
    (0..count).map(|_| read_row(&mut reader, &mut context, names)).collect()
}

/// What a row says in each drawer.
pub(super) fn words(row: &LedgerRow) -> [Option<&str>; DRAWERS] {
    let word = match (&row.outcome, &row.cost) {
        (Outcome::Failed(kind), _) => Some(kind.as_str()),
        (_, RowCost::Unpriced(reason)) => Some(reason.as_str()),
        _ => None,
    };
    [
        row.route.as_deref(),
        row.provider.as_deref(),
        Some(row.model.as_str()),
        row.key.as_deref(),
        row.user.as_deref(),
        row.tag.as_deref(),
        row.served_model.as_deref(),
        word,
    ]
    .map(|word| word.map(kept))
}

fn write_row(out: &mut Vec<u8>, context: &mut Context, row: &LedgerRow, numbers: &Numbers) {
    let outcome = match row.outcome {
        Outcome::Answered => 0,
        Outcome::Cached => 1,
        Outcome::Left => 2,
        Outcome::Failed(_) => FAILED,
    };
    let cost = match row.cost {
        RowCost::Priced(_) => PRICED,
        RowCost::Unpriced(_) => UNPRICED,
        RowCost::Nothing => 0,
    };
    let estimated = if row.estimated { ESTIMATED } else { 0 };
    let upstream = if row.upstream_request_id.is_some() { UPSTREAM_ID } else { 0 };
    out.push(outcome | cost | estimated | upstream);
    let at = micros(row.at);
    put_signed(out, at.wrapping_sub(context.at).cast_signed());
    context.at = at;
    for (word, number) in words(row).into_iter().zip(numbers) {
        match (word, number) {
            (_, Some(number)) => put_number(out, *number),
            (None, None) => put_number(out, 0_u32),
            (Some(word), None) => {
                put_number(out, OTHER);
                put_text(out, word);
            }
        }
    }
    // A failed call without a price has two words to say; the drawer holds the kind of error.
    if let (Outcome::Failed(_), RowCost::Unpriced(reason)) = (&row.outcome, &row.cost) {
        put_text(out, kept(reason));
    }
    write_usage(out, &row.usage);
    if let RowCost::Priced(usd) = row.cost {
        put_number(out, usd.picos());
    }
    write_own_id(out, context, kept(&row.request_id));
    if let Some(id) = &row.upstream_request_id {
        write_id(out, kept(id));
    }
}

fn read_row(reader: &mut Reader<'_>, context: &mut Context, names: &Names) -> Option<LedgerRow> {
    let flags = reader.byte()?;
    context.at = context.at.wrapping_add(reader.signed()?.cast_unsigned());
    let mut words: [Option<String>; DRAWERS] = Default::default();
    for (drawer, word) in words.iter_mut().enumerate() {
        *word = match reader.id()? {
            0 => None,
            OTHER => Some(reader.text()?.to_owned()),
            number => Some(names.name(drawer, number)?.as_ref().to_owned()),
        };
    }
    let [route, provider, model, key, user, tag, served_model, mut word] = words;
    let outcome = match flags & 3 {
        0 => Outcome::Answered,
        1 => Outcome::Cached,
        2 => Outcome::Left,
        _ => Outcome::Failed(word.take().unwrap_or_default()),
    };
    let unpriced = flags & UNPRICED != 0;
    if unpriced && matches!(outcome, Outcome::Failed(_)) {
        word = Some(reader.text()?.to_owned());
    }
    let usage = read_usage(reader)?;
    let cost = if unpriced {
        RowCost::Unpriced(word.unwrap_or_default())
    } else if flags & PRICED != 0 {
        RowCost::Priced(Usd::from_picos(reader.large()?))
    } else {
        RowCost::Nothing
    };
    let request_id = read_own_id(reader, context)?;
    let upstream_request_id = if flags & UPSTREAM_ID == 0 { None } else { Some(read_id(reader)?) };
    Some(LedgerRow {
        at: moment(context.at),
        key,
        user,
        tag,
        route,
        provider,
        model: model.unwrap_or_default(),
        served_model,
        usage,
        cost,
        estimated: flags & ESTIMATED != 0,
        request_id,
        upstream_request_id,
        outcome,
    })
}

/// Where the total stands among the counts.
const TOTAL: usize = 2;
/// The bit of the reported cost. Counts from this place on were added later: they have the bits, and stand, after it.
const REPORTED: usize = 11;
const _: () = assert!(Usage::COUNTS.len() > REPORTED);

/// The bit of a count by its place in [`Usage::COUNTS`].
const fn bit(place: usize) -> u32 {
    1 << if place < REPORTED { place } else { place + 1 }
}

/// A bit for every count that is not what it is for most calls, then those counts.
fn write_usage(out: &mut Vec<u8>, usage: &Usage) {
    let mut said = usage.counts().map(|count| (count != 0).then_some(count));
    let sum = usage.input_tokens.saturating_add(usage.output_tokens);
    said[TOTAL] = (usage.total_tokens != sum).then_some(usage.total_tokens);
    let reported = if usage.reported_cost.is_some() { 1 << REPORTED } else { 0 };
    let bits = said.iter().enumerate().filter(|(_, count)| count.is_some()).map(|(place, _)| bit(place));
    put_number(out, bits.fold(reported, |present, bit| present | bit));
    let (first, later) = said.split_at(REPORTED);
    for count in first.iter().flatten() {
        put_number(out, *count);
    }
    if let Some(cost) = usage.reported_cost {
        put_number(out, cost.picos());
    }
    for count in later.iter().flatten() {
        put_number(out, *count);
    }
}

fn read_usage(reader: &mut Reader<'_>) -> Option<Usage> {
    let present = reader.id()?;
    let (mut counts, mut cost) = ([0_u64; Usage::COUNTS.len()], None);
    for place in 0..counts.len() {
        if place == REPORTED && present & (1 << REPORTED) != 0 {
            cost = Some(Usd::from_picos(reader.large()?));
        }
        let usual = if place == TOTAL { counts[0].saturating_add(counts[1]) } else { 0 };
        *counts.get_mut(place)? = if present & bit(place) == 0 { usual } else { reader.number()? };
    }
    let mut usage = Usage::from_counts(counts);
    usage.reported_cost = cost;
    Some(usage)
}

/// Ids made here are a process and a count: a dozen bytes, or three after another of the same process.
fn write_own_id(out: &mut Vec<u8>, context: &mut Context, id: &str) {
    let Some((process, count)) = own_id(id) else {
        out.push(0);
        return write_id(out, id);
    };
    if process == context.process {
        out.push(1);
    } else {
        out.push(2);
        out.extend_from_slice(&process.to_le_bytes());
        context.process = process;
    }
    put_number(out, count);
}

fn read_own_id(reader: &mut Reader<'_>, context: &mut Context) -> Option<String> {
    match reader.byte()? {
        0 => return read_id(reader),
        1 => {}
        2 => context.process = u64::from_le_bytes(reader.bytes(8)?.try_into().ok()?),
        _ => return None,
    }
    Some(format!("req-{:016x}-{:x}", context.process, reader.number()?))
}

fn own_id(id: &str) -> Option<(u64, u64)> {
    let (process, count) = id.strip_prefix("req-")?.split_once('-')?;
    // Only what prints back the same may be packed.
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_ours = process.len() == 16 && is_hex(process) && is_hex(count);
    if !is_ours || (count.starts_with('0') && count != "0") {
        return None;
    }
    Some((u64::from_str_radix(process, 16).ok()?, u64::from_str_radix(count, 16).ok()?))
}

/// A text whose end, if it is a long hexadecimal number as in most upstreams' ids, takes half the room.
fn write_id(out: &mut Vec<u8>, id: &str) {
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    let run = id.bytes().rev().take_while(|byte| is_hex(byte)).count() & !1;
    let (text, hex) = if run >= 8 { id.split_at(id.len() - run) } else { (id, "") };
    put_text(out, text);
    put_number(out, (hex.len() / 2) as u64);
    for pair in hex.as_bytes().chunks_exact(2) {
        let pair = std::str::from_utf8(pair).unwrap_or_default();
        out.push(u8::from_str_radix(pair, 16).unwrap_or_default());
    }
}

fn read_id(reader: &mut Reader<'_>) -> Option<String> {
    use std::fmt::Write as _;
    let mut id = reader.text()?.to_owned();
    let count = reader.number()?.try_into().ok()?;
    for byte in reader.bytes(count)? {
        let _ = write!(id, "{byte:02x}");
    }
    Some(id)
}

/// Gives numbers to a row's names. `served` and `word` have drawers of their own that no sum is kept by.
pub(super) fn numbers(row: &LedgerRow, names: &mut Names) -> Numbers {
    // A name that led to no provider may be made up by a caller: it is kept in the row, and by number only if known.
    let made_up = row.provider.is_none() && row.outcome == Outcome::failed(ErrorKind::ModelNotFound);
    let mut numbers = [None; DRAWERS];
    for (drawer, (number, word)) in numbers.iter_mut().zip(words(row)).enumerate() {
        debug_assert!(drawer <= WORD.max(SERVED));
        let asked = [Dimension::Route as usize, Dimension::Model as usize].contains(&drawer);
        *number = match word {
            None => Some(super::names::NONE),
            Some(word) if made_up && asked => names.numbered(drawer, word),
            Some(word) => names.number(drawer, word),
        };
    }
    numbers
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usage() -> impl Strategy<Value = Usage> {
        let counts = any::<([u32; Usage::COUNTS.len()], [bool; Usage::COUNTS.len()])>();
        (counts, proptest::option::of(any::<u64>())).prop_map(|((counts, said), cost)| {
            let mut counts = counts.map(u64::from);
            for (count, said) in counts.iter_mut().zip(said) {
                *count *= u64::from(said);
            }
            let mut usage = Usage::from_counts(counts);
            usage.reported_cost = cost.map(|picos| Usd::from_picos(picos.into()));
            usage
        })
    }

    prop_compose! {
        fn row()(
            at in 0_u64..1 << 51,
            names in proptest::collection::vec(proptest::option::of("[a-zé]{0,6}"), 6),
            model in "[a-z0-9-]{0,9}",
            usage in usage(),
            cost in prop_oneof![
                Just(RowCost::Nothing),
                any::<u128>().prop_map(|picos| RowCost::Priced(Usd::from_picos(picos))),
                "[a-z ]{0,8}".prop_map(RowCost::Unpriced),
            ],
            outcome in prop_oneof![
                Just(Outcome::Answered),
                Just(Outcome::Cached),
                Just(Outcome::Left),
                Just(Outcome::failed(infer_core::ErrorKind::Timeout)),
            ],
            estimated: bool,
            request_id in prop_oneof!["req-[0-9a-f]{16}-[0-9a-f]{1,9}", "[a-zA-Z0-9_.-]{0,40}"],
            upstream in proptest::option::of(prop_oneof!["chatcmpl-[0-9a-f]{32}", "req_[0-9a-zA-Z]{0,30}", ".{0,9}"]),
        ) -> LedgerRow {
            let mut row = LedgerRow::new(moment(at), model, request_id);
            let mut names = names.into_iter();
            let mut next = || names.next().flatten();
            (row.route, row.provider, row.key, row.user, row.tag) = (next(), next(), next(), next(), next());
            row.served_model = next();
            (row.usage, row.cost, row.outcome) = (usage, cost, outcome);
            (row.estimated, row.upstream_request_id) = (estimated, upstream);
            row
        }
    }

    proptest! {
        /// Rows come back as they went in, whatever came before them and whether or not their names have numbers.
        #[test]
        fn packing_loses_nothing(all in proptest::collection::vec(row(), 1..60), room in 0_usize..6) {
            let mut names = Names::new(room);
            let mut blocks = vec![Block::new(7)];
            for row in &all {
                let numbers = numbers(row, &mut names);
                let last = blocks.last_mut().unwrap();
                if !last.push(row, &numbers) {
                    let mut next = Block::new(last.next_sequence());
                    prop_assert!(next.push(row, &numbers));
                    blocks.push(next);
                }
            }
            let stored: Vec<Vec<u8>> = blocks.iter().map(Block::to_bytes).collect();
            prop_assert!(stored.iter().all(|bytes| bytes.len() <= MAX_BLOCK));
            let back: Vec<LedgerRow> =
                stored.iter().flat_map(|bytes| rows(bytes, &names).unwrap()).collect();
            prop_assert_eq!(back, all);
            let latest = stored.iter().map(|bytes| head(bytes).unwrap().1).max();
            prop_assert_eq!(blocks.last().unwrap().next_sequence(), 7 + stored.iter().map(|b| u64::from(head(b).unwrap().0)).sum::<u64>());
            prop_assert!(latest.is_some());
        }

        /// A damaged block is refused, never a panic.
        #[test]
        fn damaged_blocks_are_refused_without_a_panic(mut bytes: Vec<u8>) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            let _ = rows(&bytes, &Names::new(10));
        }
    }

    /// Rows as earlier versions packed them: with a cost reported, and before and after long cache writes were counted.
    #[test]
    fn usage_packed_by_earlier_versions_still_reads() {
        let read = |bytes: &[u8]| read_usage(&mut Reader::new(bytes)).unwrap();
        let mut usage = Usage::new(5, 2);
        assert_eq!(read(&[0b11, 5, 2]), usage);
        usage.cached_input_tokens = 3;
        usage.reported_cost = Some(Usd::from_picos(9));
        assert_eq!(read(&[0x8b, 0x10, 5, 2, 3, 9]), usage);
        usage.long_cache_write_tokens = 4;
        assert_eq!(read(&[0x8b, 0x30, 5, 2, 3, 9, 4]), usage);
        let mut bytes = Vec::new();
        write_usage(&mut bytes, &usage);
        assert_eq!(bytes, [0x8b, 0x30, 5, 2, 3, 9, 4]);
    }

    #[test]
    fn the_longest_row_still_fits_a_block() {
        let long = "n".repeat(10_000);
        let mut row = LedgerRow::new(moment(1), long.clone(), long.clone());
        for place in [&mut row.key, &mut row.user, &mut row.tag, &mut row.route, &mut row.provider] {
            *place = Some(long.clone());
        }
        (row.served_model, row.upstream_request_id) = (Some(long.clone()), Some(long.clone()));
        row.cost = RowCost::Unpriced(long.clone());
        row.outcome = Outcome::Failed(long);
        let mut names = Names::new(0);
        let numbers = numbers(&row, &mut names);
        let mut block = Block::new(0);
        assert!(block.push(&row, &numbers));
        assert!(block.to_bytes().len() <= MAX_BLOCK);
    }
}
