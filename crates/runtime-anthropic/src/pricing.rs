//! Anthropic's list prices.

use std::sync::LazyLock;

use infer_core::PriceTable;

/// The table as text.
pub(crate) const LIST: &str = include_str!("../prices.tsv");

/// Anthropic's list prices, as of the date in the table.
#[derive(Debug)]
pub struct AnthropicPricing;

impl AnthropicPricing {
    /// The published table, for a runner on Anthropic's own host. Operators' own prices go into
    /// [`AnthropicConfig::price_overrides`](crate::AnthropicConfig).
    pub fn published() -> &'static PriceTable {
        // A test reads the table, so an empty one is never shipped.
        static TABLE: LazyLock<PriceTable> = LazyLock::new(|| PriceTable::parse(LIST).unwrap_or_default());
        &TABLE
    }
}
