//! Tables of text for people.

use std::fmt::Write as _;

/// Rows of cells below each other: every column as wide as its widest cell, nothing behind the last word of a line.
pub(crate) fn aligned<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) -> String {
    let rows: Vec<_> = rows.into_iter().collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_a_column_begin_below_each_other_and_lines_end_with_a_word() {
        let rows = [["model", "rate", ""], ["é", "1.25", "new"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(rows), "model  rate\né      1.25  new\n");
        assert_eq!(aligned::<2>([]), "");
    }
}
