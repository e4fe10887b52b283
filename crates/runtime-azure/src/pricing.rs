//! Azure's list prices.

use std::sync::LazyLock;

use infer_core::PriceTable;
use serde::Deserialize;

/// Where a deployment may be served, which its price depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceScope {
    /// Anywhere: what the list quotes where it names no scope.
    Global,
    /// Within the United States.
    DataZoneUs,
    /// Within the European Union.
    DataZoneEu,
    /// Within Asia and the Pacific.
    DataZoneApac,
    /// In the cloud of the government of the United States.
    UsGovernment,
    /// In one region. The list does not say what that costs, so only own prices count.
    Regional,
}

impl PriceScope {
    /// The published prices, as of the date in the table; `None` where there are none. Models that were shut down keep theirs.
    pub fn published(self) -> Option<&'static PriceTable> {
        // A test reads the tables, so an empty one is never shipped.
        static TABLES: LazyLock<[PriceTable; 5]> = LazyLock::new(|| {
            [
                include_str!("../prices/global.tsv"),
                include_str!("../prices/data_zone_us.tsv"),
                include_str!("../prices/data_zone_eu.tsv"),
                include_str!("../prices/data_zone_apac.tsv"),
                include_str!("../prices/us_government.tsv"),
            ]
            .map(|text| PriceTable::parse(text).unwrap_or_default())
        });
        TABLES.get(self as usize)
    }
}
