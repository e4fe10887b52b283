//! The table that is shipped.

use infer_core::PriceTable;
use runtime_openai::OpenAiPricing;

#[test]
fn the_published_table_can_be_read_and_prices_the_usual_models() {
    let read = PriceTable::parse(include_str!("../prices.tsv")).unwrap();
    assert_eq!(&read, OpenAiPricing::published());
    assert_eq!(read.as_of(), "2026-11-21");
    for model in ["gpt-4o", "gpt-4o-mini", "gpt-4-turbo", "o1-preview", "o1-mini", "gpt-4o-2024-08-06"] {
        assert!(read.get(model).is_some(), "{model}");
    }
    assert_eq!(read.get("gpt-4o-nonsense"), None);
    let tiers = read.price("gpt-5.4").unwrap();
    assert!(tiers.batch.is_some() && tiers.priority.is_some() && tiers.long_context.is_some());
}
