//! How wide and how colourful standard output is.

use std::io;

use anstream::{AutoStream, ColorChoice};
use comfy_table::{ContentArrangement, Table, presets};

/// How something is drawn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    /// Columns there are; as many as need be when absent.
    pub(crate) width: Option<u16>,
    /// Whether colours are wanted.
    pub(crate) is_styled: bool,
}

impl Look {
    /// That of standard output. Colours go to terminals that have and want them: `NO_COLOR` says that they do not.
    pub(crate) fn of_stdout() -> Self {
        let is_styled = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
        Self { width: Table::new().width(), is_styled }
    }

    /// A table without borders.
    pub(crate) fn table(self) -> Table {
        let mut table = Table::new();
        // Asking the terminal is over: this way the same arguments draw the same everywhere.
        table.load_style(presets::NOTHING).force_no_tty();
        if self.is_styled {
            table.enforce_styling();
        }
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        table
    }
}

/// The table as text; no line has spaces at its end.
pub(crate) fn text(table: &mut Table) -> String {
    let last = table.column_count().saturating_sub(1);
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if place == last { 0 } else { 2 }));
    }
    table.trim_fmt()
}
