//! Tables of an operator's own.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use model_facts::{Ability, FactError, FactTable, ModelFacts, ModelKind};
use proptest::prelude::*;

const HEAD: &str = "# source: here\n# as-of: 2026-11-21\n";

fn table(rows: &str) -> Result<FactTable, FactError> {
    FactTable::parse(&format!("{HEAD}{rows}"))
}

#[test]
fn a_bad_line_is_named_with_the_way_out() {
    for (row, what) in [
        ("p\tm\tchat\n", "needs 10 columns separated by tabs, got 3"),
        ("p\tm\tpoem\t-\t-\t-\t-\t-\t-\t-\n", "unknown kind \"poem\": use chat or embedding"),
        ("p\tm\tchat\t0\t-\t-\t-\t-\t-\t-\n", "context window: must be above 0"),
        ("p\tm\tchat\t-\t-1\t-\t-\t-\t-\t-\n", "max input: not a whole number: \"-1\""),
        ("p\tm\tchat\t-\t-\t1e9\t-\t-\t-\t-\n", "max output: not a whole number"),
        ("p\tm\tchat\t-\t-\t99999999999999999999\t-\t-\t-\t-\n", "max output: not a whole number"),
        ("p\tm\tchat\t-\t-\t-\tx\t-\t-\t-\n", "dimensions: not a whole number"),
        ("p\tm\tchat\t10\t11\t-\t-\t-\t-\t-\n", "max input: must be at most the context window (10), got 11"),
        ("p\tm\tchat\t-\t-\t-\t-\tflies\t-\t-\n", "unknown ability \"flies\""),
        ("p\tm\tchat\t-\t-\t-\t-\t-\tgone\t-\n", "unknown status \"gone\""),
        ("p\tm\tchat\t-\t-\t-\t-\t-\t-\t2026-02-30\n", "not a day: \"2026-02-30\""),
        ("p\t\tchat\t-\t-\t-\t-\t-\t-\t-\n", "model: needs a name"),
        ("p/q\tm\tchat\t-\t-\t-\t-\t-\t-\t-\n", "provider: needs a name"),
    ] {
        let error = table(&format!("# a comment\n\n{row}")).unwrap_err();
        assert_eq!(error.line, 5, "{error}");
        assert!(error.to_string().starts_with(&format!("fact table line 5: {what}")), "{error}");
        assert!(!error.to_string().contains('\n'));
    }
    let twice = "p\tm\tchat\t-\t-\t-\t-\t-\t-\t-\n".repeat(2);
    assert_eq!(table(&twice).unwrap_err().to_string(), "fact table line 4: p: m: given twice");
    assert!(FactTable::parse("# source: x\n").unwrap_err().what.contains("as-of"));
    assert!(FactTable::parse("# as-of: 2026-11-21\n").unwrap_err().what.contains("source"));
    assert_eq!(FactTable::parse("# source: x\n# as-of: soon\n").unwrap_err().line, 2);
}

#[test]
fn an_operators_row_replaces_the_published_one_of_the_same_provider() {
    let mine = table("openai\tgpt-4o\tchat\t64000\t-\t-\t-\t-\t-\t-\n").unwrap();
    let both = FactTable::published().clone().with(mine);
    assert_eq!(both.facts("gpt-4o").unwrap().context_window, Some(64_000));
    assert_eq!(both.facts("azure/gpt-4o").unwrap().context_window, Some(128_000));
    assert_eq!(both.len(), FactTable::published().len());
    assert_eq!(both.source(), FactTable::published().source());
}

#[test]
fn a_row_without_a_provider_goes_before_all_others_for_a_plain_name() {
    let mine = table("-\tgpt-4o\tchat\t64000\t-\t-\t-\t-\t-\t-\n").unwrap();
    let both = FactTable::published().clone().with(mine);
    assert_eq!(both.facts("gpt-4o").unwrap().context_window, Some(64_000));
    assert_eq!(both.facts("openai/gpt-4o").unwrap().context_window, Some(128_000));
}

#[test]
fn a_fine_tuned_model_may_have_a_row_of_its_own() {
    let mine = table("-\tft:gpt-4o:acme::1\tchat\t-\t-\t9\t-\t-\t-\t-\n").unwrap();
    let both = FactTable::published().clone().with(mine);
    assert_eq!(both.facts("ft:gpt-4o:acme::1").unwrap().max_output_tokens, Some(9));
    assert_eq!(both.facts("ft:gpt-4o:acme::2").unwrap().max_output_tokens, Some(16_384));
}

#[test]
fn a_row_made_in_code_is_checked_like_one_that_was_read() {
    let mut table = FactTable::default();
    let mut facts = ModelFacts::new("lab", "m", ModelKind::Chat);
    facts.context_window = Some(0);
    assert!(table.set(facts.clone()).unwrap_err().contains("context window"));
    assert!(table.is_empty());
    facts.context_window = Some(10);
    facts.abilities = facts.abilities.with(Ability::Tools, true);
    table.set(facts).unwrap();
    assert_eq!(table.facts_at("lab", "m-2026-01-01").unwrap().can(Ability::Tools), Some(true));
    assert_eq!(table.facts_at("elsewhere", "m"), None);
}

proptest! {
    /// Law: any text is a table or a fault on one of its lines, in one line.
    #[test]
    fn any_text_is_a_table_or_a_fault(rows in "(-|\t|m|chat|9|tools|!|\n|#|2026-01-01|.){0,60}") {
        if let Err(error) = table(&rows) {
            prop_assert!(error.line >= 1 && error.line <= 2 + rows.lines().count().max(1));
            prop_assert!(!error.to_string().contains(['\n', '\r']), "{}", error);
        }
    }

    /// Law: merging finds every row of the second table and, of the first, those the second does not replace.
    #[test]
    fn the_later_table_wins(first in rows(), second in rows()) {
        let (a, b) = (made_of(&first), made_of(&second));
        let both = a.clone().with(b.clone());
        for facts in b.iter() {
            prop_assert_eq!(both.facts_at(&facts.provider, &facts.model), Some(facts));
        }
        for facts in a.iter() {
            let wins = b.facts_at(&facts.provider, &facts.model).unwrap_or(facts);
            prop_assert_eq!(both.facts_at(&facts.provider, &facts.model), Some(wins));
        }
    }
}

fn rows() -> impl Strategy<Value = Vec<(usize, usize, u64)>> {
    proptest::collection::vec((0_usize..4, 0_usize..4, 1_u64..1000), 0..12)
}

fn made_of(rows: &[(usize, usize, u64)]) -> FactTable {
    let mut table = FactTable::default();
    for (provider, model, window) in rows {
        let mut facts =
            ModelFacts::new(["", "openai", "azure", "lab"][*provider], format!("m{model}"), ModelKind::Chat);
        facts.context_window = Some(*window);
        table.set(facts).unwrap();
    }
    table
}
