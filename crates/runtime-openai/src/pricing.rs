//! OpenAI's list prices.

use std::sync::LazyLock;

use infer_core::PriceTable;

/// OpenAI's list prices, as of the date in the table.
#[derive(Debug)]
pub struct OpenAiPricing;

impl OpenAiPricing {
    /// The published table. Operators' own prices go into [`OpenAiConfig::price_overrides`](crate::OpenAiConfig).
    pub fn published() -> &'static PriceTable {
        // A test reads the table, so an empty one is never shipped.
        static TABLE: LazyLock<PriceTable> =
            LazyLock::new(|| PriceTable::parse(include_str!("../prices.tsv")).unwrap_or_default());
        &TABLE
    }
}
