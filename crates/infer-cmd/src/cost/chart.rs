//! Spend as bars.

use comfy_table::{Cell, Color, Table};
use infer_core::Usd;

use super::groups::{Spend, known};
use super::table::{NO_NAME, cost, right};
use crate::look::{Look, text};
use crate::terminal::one_line;

/// Where nobody says how wide it may be.
const WIDTH: u16 = 80;
/// The shortest that a full bar is drawn.
const LEAST: usize = 8;
/// From nothing to a whole column, by eighths.
const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// One bar a group; the largest cost fills the width.
pub(super) fn draw(spend: &Spend, look: Look) -> String {
    let look = Look { width: Some(look.width.unwrap_or(WIDTH)), ..look };
    let width = usize::from(look.width.unwrap_or(WIDTH));
    let rows: Vec<(String, Option<Usd>, String)> = spend
        .groups
        .iter()
        .map(|group| {
            let labels = spend.labels(group);
            let labels: Vec<_> =
                labels.iter().map(|label| one_line(label.as_deref().unwrap_or(NO_NAME))).collect();
            let label = cut(&labels.join(" · "), width / 3);
            let more = match (known(&group.sums), group.sums.unpriced) {
                (Some(_), 0) => String::new(),
                (Some(_), unpriced) => format!(" and {unpriced} unpriced"),
                (None, unpriced) => format!(" ({unpriced})"),
            };
            (label, known(&group.sums), cost(&group.sums) + &more)
        })
        .collect();
    let most = rows.iter().filter_map(|(_, cost, _)| *cost).max().unwrap_or_default();
    let cells = room(&rows, width);
    let mut table = look.table();
    for (label, cost, shown) in rows {
        let bar = bar(cost.unwrap_or_default(), most, cells);
        // Nothing needs no colour; a terminal would get its codes all the same.
        let bar = if bar.is_empty() { Cell::new_owned(bar) } else { Cell::new_owned(bar).fg(Color::Cyan) };
        table.add_row([Cell::new_owned(label), right(shown), bar]);
    }
    text(&mut table)
}

/// Columns that are left for the bars. Measured by the table, which knows how wide characters are.
fn room(rows: &[(String, Option<Usd>, String)], width: usize) -> usize {
    let mut table = Table::new();
    for (label, _, shown) in rows {
        table.add_row([label, shown]);
    }
    let taken: usize =
        table.column_max_content_widths().into_iter().map(|width| usize::from(width) + 2).sum();
    width.saturating_sub(taken).max(LEAST)
}

/// A bar for `cost` where `most` fills `cells` columns. Whatever costs something shows.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a terminal's width")]
fn bar(cost: Usd, most: Usd, cells: usize) -> String {
    if cost == Usd::ZERO {
        return String::new();
    }
    let eighths = (cost.as_usd() / most.as_usd() * cells as f64 * 8.0).round() as usize;
    let eighths = eighths.clamp(1, cells * 8);
    let part = PARTS.get(eighths % 8).copied().unwrap_or_default();
    "█".repeat(eighths / 8) + part
}

/// `text` in at most `length` characters.
fn cut(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        None => text.to_owned(),
        Some(_) => text.chars().take(length.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::groups::By;
    use super::super::groups::tests::spend;
    use super::*;

    #[test]
    fn the_largest_fills_the_width_and_what_is_unpriced_has_no_bar() {
        let rows: [(&[&str], _, _, _); 4] = [
            (&["big"], 1, 0, 2_000_000_000_000),
            (&["half"], 2, 1, 1_000_000_000_000),
            (&["tiny"], 1, 0, 1),
            (&["who-knows"], 3, 3, 0),
        ];
        let drawn = draw(&spend(&[By::Model], &rows), Look { width: Some(48), is_styled: false });
        let full = "█".repeat(18);
        let expect = [
            format!("big                       $2  {full}"),
            format!("half       $1 and 1 unpriced  {}", "█".repeat(9)),
            "tiny         $0.000000000001  ▏".to_owned(),
            "who-knows       unpriced (3)".to_owned(),
        ];
        assert_eq!(drawn.lines().collect::<Vec<_>>(), expect);
    }

    #[test]
    fn only_bars_are_coloured() {
        let rows: [(&[&str], _, _, _); 2] = [(&["a"], 1, 0, 5), (&["b"], 1, 1, 0)];
        let drawn = draw(&spend(&[By::Model], &rows), Look { width: Some(40), is_styled: true });
        let lines: Vec<_> = drawn.lines().collect();
        assert!(lines[0].contains("\u{1b}[") && !lines[1].contains('\u{1b}'), "{drawn:?}");
    }

    #[test]
    fn a_long_name_leaves_room_for_its_bar() {
        let drawn = draw(&spend(&[By::Model], &[(&[&"x".repeat(200)], 1, 0, 5)]), Look::default());
        assert!(drawn.starts_with(&format!("{}…", "x".repeat(25))) && drawn.contains('█'), "{drawn}");
        assert_eq!((drawn.lines().count(), drawn.chars().count()), (1, 80), "{drawn}");
    }

    proptest! {
        /// A bar shows whatever costs something, keeps to its room, and is no shorter than that of a smaller cost.
        #[test]
        fn a_bar_grows_with_its_cost(one in any::<u128>(), other in any::<u128>(), cells in 8_usize..400) {
            let (less, more) = (one.min(other), one.max(other));
            let eighths = |picos| {
                let bar = bar(Usd::from_picos(picos), Usd::from_picos(more), cells);
                prop_assert!(bar.chars().count() <= cells);
                prop_assert_eq!(bar.is_empty(), picos == 0);
                Ok(bar.chars().map(|c| if c == '█' { 8 } else { PARTS.iter().position(|part| part.starts_with(c)).unwrap() }).sum::<usize>())
            };
            prop_assert!(eighths(less)? <= eighths(more)?);
        }
    }
}
