//! Where boxes stand that are joined by arrows from row to row, so that arrows cross seldom and run through no box.
//!
//! The usual way in three steps: an arrow over several rows gets a lane in each row between, the order within rows is
//! improved by looking at neighbours, and then everything moves towards its neighbours as far as there is room.

use std::collections::BTreeMap;

/// Room for an arrow that passes through a row, in pixels.
const LANE: i32 = 10;
/// Enough for a few dozen boxes; more changes nothing.
const SWEEPS: usize = 24;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Layers<'a> {
    /// The left edge of each box.
    pub(super) places: BTreeMap<&'a str, i32>,
    /// The rows that an arrow passes through, from its begin on, and where.
    pub(super) lanes: BTreeMap<(&'a str, &'a str), Vec<(usize, i32)>>,
    /// The right edge of the last one.
    pub(super) width: i32,
}

/// A box, or the lane of an arrow in a row.
#[derive(Debug)]
struct Item {
    width: i32,
    /// Its left edge.
    x: i32,
    above: Vec<usize>,
    below: Vec<usize>,
}

impl Item {
    const fn middle(&self) -> i32 {
        self.x + self.width / 2
    }
}

/// Places boxes of these `widths` in their `rows`, 0 at the bottom, `gap` apart. Arrows lead downwards; others are left out.
pub(super) fn lay_out<'a>(
    rows: &BTreeMap<&'a str, usize>,
    widths: &BTreeMap<&'a str, i32>,
    arrows: &[(&'a str, &'a str)],
    gap: i32,
) -> Layers<'a> {
    let mut grid = Grid::default();
    let mut boxes = BTreeMap::new();
    for (name, row) in rows {
        boxes.insert(*name, grid.add(*row, widths.get(name).copied().unwrap_or_default()));
    }
    let mut lanes = BTreeMap::new();
    for (from, to) in arrows {
        let (Some(top), Some(bottom)) = (rows.get(from), rows.get(to)) else { continue };
        let (Some(mut last), Some(end)) = (boxes.get(from).copied(), boxes.get(to).copied()) else {
            continue;
        };
        let mut passed = Vec::new();
        for row in (bottom + 1..*top).rev() {
            let lane = grid.add(row, LANE);
            grid.join(last, lane);
            passed.push((row, lane));
            last = lane;
        }
        grid.join(last, end);
        lanes.insert((*from, *to), passed);
    }
    grid.order();
    grid.place(gap);
    let at = |item: &usize| grid.items.get(*item);
    Layers {
        places: boxes.iter().filter_map(|(name, item)| Some((*name, at(item)?.x))).collect(),
        lanes: lanes
            .into_iter()
            .map(|(arrow, passed)| {
                (arrow, passed.iter().filter_map(|(row, item)| Some((*row, at(item)?.middle()))).collect())
            })
            .collect(),
        width: grid.items.iter().map(|item| item.x + item.width).max().unwrap_or_default(),
    }
}

#[derive(Debug, Default)]
struct Grid {
    items: Vec<Item>,
    /// The items of each row, from left to right.
    rows: Vec<Vec<usize>>,
}

impl Grid {
    fn add(&mut self, row: usize, width: i32) -> usize {
        let item = self.items.len();
        self.items.push(Item { width, x: 0, above: Vec::new(), below: Vec::new() });
        if self.rows.len() <= row {
            self.rows.resize_with(row + 1, Vec::new);
        }
        if let Some(row) = self.rows.get_mut(row) {
            row.push(item);
        }
        item
    }

    fn join(&mut self, above: usize, below: usize) {
        if let Some(item) = self.items.get_mut(above) {
            item.below.push(below);
        }
        if let Some(item) = self.items.get_mut(below) {
            item.above.push(above);
        }
    }

    /// Sorts every row by the mean place of its neighbours, and keeps the order with the fewest crossings.
    fn order(&mut self) {
        let mut best = (self.crossings(), self.rows.clone());
        for sweep in 0..SWEEPS {
            let upwards = sweep % 2 == 0;
            let count = self.rows.len();
            for step in 1..count {
                let row = if upwards { step } else { count - 1 - step };
                let places = self.ranks();
                let Some(mut items) = self.rows.get(row).cloned() else { continue };
                // Whole numbers, so that every machine sorts alike.
                items.sort_by_key(|item| {
                    let neighbours = self.neighbours(*item, upwards);
                    let own = places.get(item).copied().unwrap_or_default();
                    mean(neighbours.iter().filter_map(|next| places.get(next).copied())).unwrap_or(own)
                });
                if let Some(row) = self.rows.get_mut(row) {
                    *row = items;
                }
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.rows.clone());
            }
        }
        self.rows = best.1;
    }

    fn neighbours(&self, item: usize, below: bool) -> &[usize] {
        self.items.get(item).map_or(&[], |item| if below { &item.below } else { &item.above })
    }

    /// Where each item stands in its row, in thousandths of the row, so that long rows and short ones compare.
    fn ranks(&self) -> BTreeMap<usize, i32> {
        let mut ranks = BTreeMap::new();
        for row in &self.rows {
            let count = i32::try_from(row.len()).unwrap_or(i32::MAX);
            for (place, item) in (0..).zip(row) {
                ranks.insert(*item, (2 * place + 1) * 100_000 / (2 * count));
            }
        }
        ranks
    }

    fn crossings(&self) -> usize {
        let ranks = self.ranks();
        let rank = |item: &usize| ranks.get(item).copied().unwrap_or_default();
        let mut count = 0;
        for row in &self.rows {
            let mut arrows: Vec<(i32, i32)> = Vec::new();
            for item in row {
                arrows.extend(self.neighbours(*item, true).iter().map(|below| (rank(item), rank(below))));
            }
            for (place, one) in arrows.iter().enumerate() {
                let later = arrows.iter().skip(place + 1);
                count += later
                    .filter(|other| {
                        (one.0 < other.0 && one.1 > other.1) || (one.0 > other.0 && one.1 < other.1)
                    })
                    .count();
            }
        }
        count
    }

    /// Gives every item its place: close to its neighbours, in the order of its row, `gap` apart.
    fn place(&mut self, gap: i32) {
        let rows = self.rows.clone();
        for row in &rows {
            let mut x = 0;
            for item in row {
                x = self.put(*item, x) + gap;
            }
        }
        // As wide as its widest row has to be, and no wider.
        let right = self.items.iter().map(|item| item.x + item.width).max().unwrap_or_default();
        for sweep in 0..SWEEPS {
            for row in &rows {
                self.pull(row, sweep % 2 == 0, gap, right);
            }
        }
    }

    /// Moves the items of a row towards the middle of their neighbours, aside where two want the same place, and into what
    /// lies between 0 and `right`.
    fn pull(&mut self, row: &[usize], upwards: bool, gap: i32, right: i32) {
        let mut free = right;
        for item in row.iter().rev() {
            let (near, far) = (self.neighbours(*item, upwards), self.neighbours(*item, !upwards));
            let neighbours = if near.is_empty() { far } else { near };
            let (here, width) = self.items.get(*item).map_or((0, 0), |item| (item.x, item.width));
            let middles = neighbours.iter().filter_map(|next| self.items.get(*next).map(Item::middle));
            let wanted = mean(middles).map_or(here, |middle| middle - width / 2);
            let x = wanted.min(free - width);
            self.put(*item, x);
            free = x - gap;
        }
        let mut free = 0;
        for item in row {
            let x = self.items.get(*item).map_or(0, |item| item.x).max(free);
            free = self.put(*item, x) + gap;
        }
    }

    /// Puts an item at `x` and says where it ends.
    fn put(&mut self, item: usize, x: i32) -> i32 {
        self.items.get_mut(item).map_or(x, |item| {
            item.x = x;
            x + item.width
        })
    }
}

fn mean(values: impl Iterator<Item = i32>) -> Option<i32> {
    let (mut sum, mut count) = (0_i64, 0_i64);
    for value in values {
        sum += i64::from(value);
        count += 1;
    }
    (count > 0).then(|| i32::try_from(sum / count).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

    proptest! {
        /// Boxes of a row never overlap, and no arrow's lane lies under a box.
        #[test]
        fn nothing_in_a_row_overlaps(
            rows in prop::collection::vec((0..5_usize, 10..200_i32), 1..12),
            joins in prop::collection::vec((0..12_usize, 0..12_usize), 0..30),
        ) {
            let names: BTreeMap<&str, usize> = NAMES.iter().zip(&rows).map(|(name, (row, _))| (*name, *row)).collect();
            let widths: BTreeMap<&str, i32> = NAMES.iter().zip(&rows).map(|(name, (_, width))| (*name, *width)).collect();
            let mut arrows: Vec<(&str, &str)> = joins.iter().map(|(from, to)| (NAMES[*from], NAMES[*to])).collect();
            arrows.retain(|(from, to)| names.get(from) > names.get(to) && names.contains_key(to));
            arrows.sort_unstable();
            arrows.dedup();
            let layers = lay_out(&names, &widths, &arrows, 6);
            let again = lay_out(&names, &widths, &arrows, 6);
            prop_assert_eq!(&layers.places, &again.places);
            prop_assert_eq!(layers.lanes.len(), arrows.len());
            for row in 0..5 {
                let boxes = names.iter().filter(|(_, at)| **at == row);
                let mut spans: Vec<(i32, i32)> = boxes.map(|(name, _)| (layers.places[name], layers.places[name] + widths[name])).collect();
                spans.extend(layers.lanes.values().flatten().filter(|(at, _)| *at == row).map(|(_, x)| (*x, *x)));
                spans.sort_unstable();
                for pair in spans.windows(2) {
                    prop_assert!(pair[0].1 < pair[1].0, "{:?} in row {row}", spans);
                }
                prop_assert!(spans.iter().all(|(from, to)| *from >= 0 && *to <= layers.width));
            }
        }
    }

    #[test]
    fn arrows_that_need_not_cross_do_not() {
        let rows = BTreeMap::from([("a", 1), ("b", 1), ("x", 0), ("y", 0)]);
        let widths = rows.keys().map(|name| (*name, 20)).collect();
        let layers = lay_out(&rows, &widths, &[("a", "y"), ("b", "x")], 10);
        assert_eq!(layers.places["a"] < layers.places["b"], layers.places["y"] < layers.places["x"]);
    }
}
