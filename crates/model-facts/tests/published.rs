//! The published table against what was read, by hand.

#![expect(clippy::panic, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};

use model_facts::{
    Ability, FactTable, ModelFacts, ModelKind, Status, capabilities_of, estimate_tokens, facts_of, fits,
};
use proptest::prelude::*;

const FILE: &str = include_str!("../facts.tsv");

fn rows() -> Vec<Vec<&'static str>> {
    let lines = FILE.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split('\t').collect()).collect()
}

fn of(name: &str) -> &'static ModelFacts {
    facts_of(name).unwrap_or_else(|| panic!("{name} is not found"))
}

#[test]
fn the_published_table_reads_and_names_its_source_and_day() {
    let table = FactTable::parse(FILE).unwrap();
    assert_eq!(&table, FactTable::published());
    assert_eq!(table.len(), 127);
    assert!(table.source().contains("public"), "{}", table.source());
    assert_eq!(table.as_of().unwrap().to_string(), "2026-11-21");
}

#[test]
fn rows_are_sorted_and_unique() {
    let keys: Vec<(&str, &str)> = rows().iter().map(|row| (row[0], row[1])).collect();
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn there_are_as_many_rows_of_each_kind_as_were_read() {
    let mut by_provider = BTreeMap::new();
    for facts in FactTable::published().iter() {
        *by_provider.entry(facts.provider.as_str()).or_insert(0) += 1;
    }
    let others =
        [("cerebras", 1), ("deepseek", 4), ("fireworks", 1), ("groq", 3), ("minimax", 3), ("mistral", 4)];
    let more = [("openai", 72), ("openrouter", 5), ("together", 1), ("xai", 2), ("azure", 31)];
    assert_eq!(by_provider, others.into_iter().chain(more).collect());

    let embeddings: BTreeSet<String> = FactTable::published()
        .iter()
        .filter(|facts| facts.kind == ModelKind::Embedding)
        .map(|facts| format!("{}/{}", facts.provider, facts.model))
        .collect();
    assert_eq!(embeddings.len(), 7);
    assert!(embeddings.contains("mistral/mistral-embed"));
    let with = |status| FactTable::published().iter().filter(|facts| facts.status == status).count();
    let counts = [Some(Status::Current), Some(Status::Ending), Some(Status::Retired), None].map(with);
    assert_eq!(counts, [27, 42, 34, 24]);
}

#[test]
fn numbers_are_those_that_were_read() {
    for (name, window, input, output) in [
        ("gpt-4o", Some(128_000), Some(128_000), Some(16_384)),
        ("gpt-4o-2024-05-13", Some(128_000), Some(128_000), Some(4_096)),
        ("gpt-4.1-mini", Some(1_047_576), Some(1_047_576), Some(32_768)),
        ("gpt-5", Some(400_000), Some(272_000), Some(128_000)),
        ("gpt-5-pro", Some(400_000), Some(272_000), Some(272_000)),
        ("gpt-5.4", Some(1_050_000), Some(922_000), Some(128_000)),
        ("gpt-3.5-turbo", Some(16_385), Some(16_385), Some(4_096)),
        ("o1-mini", Some(128_000), Some(128_000), Some(65_536)),
        ("text-embedding-3-large", Some(8_191), Some(8_191), None),
        ("azure/text-embedding-3-large", None, Some(8_192), None),
        ("azure/gpt-5", Some(400_000), Some(272_000), Some(128_000)),
        ("groq/openai/gpt-oss-120b", None, Some(131_072), Some(65_536)),
        ("cerebras/gpt-oss-120b", None, Some(131_072), Some(32_768)),
        ("deepseek-v4-flash", None, Some(1_000_000), Some(393_216)),
        ("openrouter/deepseek/deepseek-v3.2", None, None, None),
    ] {
        let facts = of(name);
        assert_eq!(
            (facts.context_window, facts.max_input_tokens, facts.max_output_tokens),
            (window, input, output),
            "{name}"
        );
    }
    assert_eq!(of("text-embedding-3-large").dimensions, Some(3_072));
}

#[test]
fn abilities_and_lives_are_those_that_were_read() {
    for (name, ability, can) in [
        ("gpt-4o", Ability::Vision, Some(true)),
        ("gpt-4o", Ability::Reasoning, Some(false)),
        ("gpt-4o-2024-05-13", Ability::JsonSchema, Some(false)),
        ("o1", Ability::ParallelToolCalls, Some(false)),
        ("o1-pro", Ability::Streaming, Some(false)),
        ("o1-pro", Ability::ChatCompletions, Some(false)),
        ("o1-mini", Ability::SystemMessages, Some(false)),
        ("azure/gpt-4o", Ability::Tools, Some(true)),
        ("azure/gpt-4o", Ability::ResponsesApi, None),
        ("groq/openai/gpt-oss-20b", Ability::JsonObject, None),
        ("openrouter/anthropic/claude-sonnet-4.6", Ability::Vision, None),
        ("text-embedding-ada-002", Ability::Dimensions, Some(false)),
        ("text-embedding-3-small", Ability::Dimensions, Some(true)),
    ] {
        assert_eq!(of(name).can(ability), can, "{name} {ability:?}");
    }
    for (name, status, shutdown) in [
        ("gpt-4o", Some(Status::Current), None),
        ("o3", Some(Status::Ending), Some("2026-12-11")),
        ("gpt-4", Some(Status::Retired), Some("2026-10-23")),
        ("o1-preview", Some(Status::Retired), None),
        ("azure/o3", Some(Status::Retired), Some("2026-11-19")),
        ("azure/gpt-4o", Some(Status::Ending), Some("2027-04-14")),
        ("grok-4.5", None, None),
    ] {
        let facts = of(name);
        let day = facts.shutdown.map(|day| day.to_string());
        assert_eq!((facts.status, day.as_deref()), (status, shutdown), "{name}");
    }
}

#[test]
fn a_status_agrees_with_its_shutdown_day() {
    let today = FactTable::published().as_of().unwrap();
    for facts in FactTable::published().iter() {
        if let Some(gone) = facts.is_shut_down(today) {
            let status = if gone { Status::Retired } else { Status::Ending };
            assert_eq!(facts.status, Some(status), "{} {}", facts.provider, facts.model);
        }
    }
}

#[test]
fn every_row_is_found_by_its_provider_and_by_its_name() {
    for facts in FactTable::published().iter() {
        let qualified = format!("{}/{}", facts.provider, facts.model);
        assert_eq!(of(&qualified), facts);
        assert_eq!(FactTable::published().facts_at(&facts.provider, &facts.model), Some(facts));
        let last = facts.model.rsplit('/').next().unwrap();
        assert!(facts_of(&facts.model).is_some() && facts_of(last).is_some(), "{qualified}");
    }
}

#[test]
fn names_are_read_in_the_order_that_is_documented() {
    for (name, provider, model) in [
        ("gpt-4o", "openai", "gpt-4o"),
        ("openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("openrouter/openai/gpt-4o-mini", "openrouter", "openai/gpt-4o-mini"),
        ("azure/gpt-4o-2031-01-01", "azure", "gpt-4o"),
        ("gpt-4o-2024-08-06", "openai", "gpt-4o-2024-08-06"),
        ("gpt-35-turbo", "openai", "gpt-3.5-turbo"),
        ("azure/gpt-35-turbo", "openai", "gpt-3.5-turbo"),
        ("gpt-35-turbo-0125", "openai", "gpt-3.5-turbo-0125"),
        ("ft:gpt-4.1-2025-04-14:acme:bot:Ab1", "openai", "gpt-4.1-2025-04-14"),
        ("proxy/ft:gpt-4.1-nano:acme::Ab1", "openai", "gpt-4.1-nano"),
        ("openai/gpt-oss-120b", "groq", "openai/gpt-oss-120b"),
        ("gpt-oss-120b", "cerebras", "gpt-oss-120b"),
        ("gpt-oss-20b", "groq", "openai/gpt-oss-20b"),
        ("claude-sonnet-4.6", "openrouter", "anthropic/claude-sonnet-4.6"),
        ("some/proxy/gpt-5", "openai", "gpt-5"),
    ] {
        let facts = of(name);
        assert_eq!((facts.provider.as_str(), facts.model.as_str()), (provider, model), "{name}");
    }
    for unknown in [
        "",
        "/",
        "gpt",
        "gpt-4o-next",
        "gpt-4o-0613",
        "ft:",
        "ft::",
        "openai/",
        "/gpt-9",
        "-2024-05-13",
        "GPT-4O",
    ] {
        assert_eq!(facts_of(unknown), None, "{unknown}");
    }
}

#[test]
fn capabilities_are_given_for_known_models_only() {
    let capabilities = capabilities_of("o3-mini").unwrap();
    assert!(capabilities.tools && capabilities.reasoning && !capabilities.vision && !capabilities.embeddings);
    assert!(capabilities_of("text-embedding-3-small").unwrap().embeddings);
    assert_eq!(capabilities_of("our-own-model"), None);
    assert_eq!(capabilities_of("openrouter/openai/gpt-4o-mini"), None);
}

#[test]
fn a_router_learns_which_window_fits() {
    assert_eq!(fits("gpt-5", 272_000, 128_000), Some(true));
    assert_eq!(fits("gpt-5", 272_001, 0), Some(false));
    assert_eq!(fits("groq/openai/gpt-oss-120b", 131_000, 1_000), None);
    assert_eq!(fits("our-own-model", 1, 1), None);
}

proptest! {
    /// Law: a name with an ISO date knows what its family knows, unless it has a row of its own.
    #[test]
    fn a_dated_alias_is_its_family(row in 0_usize..127, year in 2028_u16..2100, month in 1_u8..=12, day in 1_u8..=28) {
        let facts = FactTable::published().iter().nth(row).unwrap();
        prop_assert_eq!(facts_of(&format!("{}/{}-{year}-{month:02}-{day:02}", facts.provider, facts.model)), Some(facts));
        let plain = format!("{}-{year}-{month:02}-{day:02}", facts.model);
        prop_assert_eq!(facts_of(&plain), facts_of(&facts.model));
    }

    /// Law: any name is looked up without a panic.
    #[test]
    fn any_name_is_looked_up(name in "(ft:|gpt-35-|openai/|gpt-4o|[-/:0-9é]|.){0,8}") {
        if let Some(facts) = facts_of(&name) {
            prop_assert!(!facts.model.is_empty());
        }
        prop_assert!(estimate_tokens(&name) <= 2 * name.len() as u64);
    }
}
