//! The table that is shipped.

use infer_core::{PriceTable, Rates};
use runtime_anthropic::AnthropicPricing;

#[test]
fn the_published_table_can_be_read_and_prices_the_usual_models_with_and_without_a_date() {
    let read = PriceTable::parse(include_str!("../prices.tsv")).unwrap();
    assert_eq!(&read, AnthropicPricing::published());
    assert_eq!(read.as_of(), "2026-11-21");
    for model in
        ["claude-opus-5-5", "claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001", "claude-fable-5"]
    {
        assert!(read.get(model).is_some(), "{model}");
    }
    assert_eq!(read.get("claude-sonnet-4-6").unwrap().output_per_mtok_usd, 15.0);
    for unknown in ["claude-next", "claude-3-opus-20240229", "claude-sonnet", "gpt-4o", ""] {
        assert_eq!(read.get(unknown), None, "{unknown}");
    }
}

/// The price page's rules (read 2026-11-21): writing costs 1.25 times the input, for an hour twice, and a batch half.
#[test]
fn every_row_keeps_to_the_rules_of_the_price_page() {
    let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
    for (model, price) in AnthropicPricing::published().iter() {
        let long = price.long_context.map(|long| long.rates);
        for rates in [Some(price.standard), price.batch, long].into_iter().flatten() {
            let input = rates.input_per_mtok_usd;
            assert!(near(rates.cache_write_per_mtok_usd.unwrap(), 1.25 * input), "{model}");
            assert!(near(rates.long_cache_write_per_mtok_usd.unwrap(), 2.0 * input), "{model}");
            assert!(rates.cached_input_per_mtok_usd.unwrap() <= 0.1 * input + 1e-9, "{model}");
            assert!(near(rates.output_per_mtok_usd, 5.0 * input), "{model}");
        }
        let half =
            |rates: Rates| (rates.input_per_mtok_usd / 2.0, rates.cached_input_per_mtok_usd.unwrap() / 2.0);
        let batch = price.batch.unwrap();
        let (input, cached) = half(price.standard);
        assert!(near(batch.input_per_mtok_usd, input), "{model}");
        assert!(near(batch.cached_input_per_mtok_usd.unwrap(), cached), "{model}");
    }
}

#[test]
fn a_long_prompt_costs_more_only_where_the_page_says_so() {
    let table = AnthropicPricing::published();
    let input = |model: &str, tokens| table.price(model).unwrap().rates(None, tokens).input_per_mtok_usd;
    assert_eq!((input("claude-haiku-5-5", 100_000), input("claude-haiku-5-5", 100_001)), (0.1, 0.5));
    assert_eq!((input("claude-sonnet-4-6", 1_000), input("claude-sonnet-4-6", 900_000)), (3.0, 3.0));
}
