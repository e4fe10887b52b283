//! The tables that are shipped, and which of their rows a call is priced by.

#![expect(clippy::unwrap_used, reason = "a test")]

use infer_core::{PriceTable, Rates};
use remote_core::{ProviderConfig as _, RemoteProvider as _};
use runtime_azure::config::SecretRef;
use runtime_azure::{Azure, AzureCloud, AzureConfig, PriceScope};

fn azure(change: impl FnOnce(&mut AzureConfig)) -> Azure {
    let mut config = AzureConfig::new("res", "gpt-4o", SecretRef::None);
    change(&mut config);
    config.into_provider("azure").unwrap()
}

/// What a million tokens of input cost, if that is known.
fn input(azure: &Azure, model: &str) -> Option<f64> {
    azure.price(model).map(|price| price.standard.input_per_mtok_usd)
}

#[test]
fn every_published_table_can_be_read_and_has_all_its_rows() {
    let tables = [
        (PriceScope::Global, include_str!("../prices/global.tsv"), 30, 61),
        (PriceScope::DataZoneUs, include_str!("../prices/data_zone_us.tsv"), 29, 60),
        (PriceScope::DataZoneEu, include_str!("../prices/data_zone_eu.tsv"), 29, 59),
        (PriceScope::DataZoneApac, include_str!("../prices/data_zone_apac.tsv"), 1, 1),
        (PriceScope::UsGovernment, include_str!("../prices/us_government.tsv"), 4, 4),
    ];
    for (scope, text, models, rows) in tables {
        let read = PriceTable::parse(text).unwrap();
        assert_eq!(scope.published(), Some(&read), "{scope:?}");
        assert_eq!(read.as_of(), "2026-11-21");
        let lines = || text.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(lines().filter(|line| line.contains("\tstandard\t")).count(), models, "{scope:?}");
        assert_eq!(lines().count(), rows, "{scope:?}");
    }
    assert_eq!(PriceScope::Regional.published(), None);
}

#[test]
fn each_scope_has_its_own_rates() {
    let found = [
        (PriceScope::Global, "gpt-4o-mini", 0.15, 0.6),
        (PriceScope::DataZoneEu, "o1-mini", 1.21, 4.84),
        (PriceScope::DataZoneUs, "o1-preview", 16.5, 66.0),
        (PriceScope::DataZoneEu, "gpt-6-sol", 2.4, 12.0),
        (PriceScope::DataZoneApac, "gpt-6.1-sol", 2.4, 12.0),
        (PriceScope::UsGovernment, "gpt-5.1", 1.718_75, 13.75),
    ];
    for (scope, model, input, output) in found {
        let rates = scope.published().unwrap().get(model).unwrap();
        assert_eq!((rates.input_per_mtok_usd, rates.output_per_mtok_usd), (input, output), "{model}");
    }
    let tiers = PriceScope::Global.published().unwrap().price("gpt-5.4").unwrap();
    assert!(tiers.batch.is_some() && tiers.priority.is_some());
}

#[test]
fn the_answers_model_is_priced_and_a_deployments_name_is_not() {
    let azure = azure(|_| ());
    assert_eq!(input(&azure, "gpt-4o-2024-11-20"), Some(2.5));
    assert_eq!(input(&azure, "text-embedding-3-small"), Some(0.022));
    for name in ["gpt-4o", "gpt-4-turbo", "chat", "gpt-nonsense-2024-11-20"] {
        assert_eq!(input(&azure, name), None, "{name}");
    }
}

#[test]
fn the_model_in_the_settings_is_priced_whatever_the_deployment_is_called() {
    let known = azure(|config| config.model = Some("gpt-4.1-mini".to_owned()));
    assert_eq!(input(&known, "chat"), Some(0.4));
    assert_eq!(input(&known, "gpt-4o-2024-11-20"), Some(0.4));
    let unknown = azure(|config| config.model = Some("gpt-nonsense".to_owned()));
    assert_eq!(input(&unknown, "gpt-4o-2024-11-20"), None);
}

#[test]
fn an_operators_price_of_the_deployment_or_of_the_model_goes_first() {
    let own = azure(|config| {
        config.price_overrides.insert("chat".to_owned(), Rates::new(7.0, 7.0));
        config.price_overrides.insert("gpt-4o".to_owned(), Rates::new(8.0, 8.0));
    });
    assert_eq!(input(&own, "chat"), Some(7.0));
    assert_eq!(input(&own, "gpt-4o-2024-11-20"), Some(8.0));
    let known = azure(|config| {
        config.model = Some("gpt-4.1-mini".to_owned());
        config.price_overrides.insert("gpt-4.1-mini".to_owned(), Rates::new(9.0, 9.0));
    });
    assert_eq!(input(&known, "chat"), Some(9.0));
}

#[test]
fn list_prices_follow_the_address_unless_the_scope_is_set() {
    let model = "gpt-5.1-2025-11-13";
    let endpoint = |endpoint: &'static str, scope| {
        azure(move |config| {
            config.resource.clear();
            config.endpoint = endpoint.to_owned();
            config.scope = scope;
        })
    };
    assert_eq!(input(&azure(|_| ()), model), Some(1.25));
    assert_eq!(input(&azure(|config| config.cloud = AzureCloud::UsGovernment), model), Some(1.718_75));
    assert_eq!(input(&azure(|config| config.cloud = AzureCloud::China), model), None);
    assert_eq!(input(&azure(|config| config.scope = Some(PriceScope::DataZoneEu)), model), Some(1.375));
    assert_eq!(input(&azure(|config| config.scope = Some(PriceScope::Regional)), model), None);
    assert_eq!(input(&endpoint("https://x.services.ai.azure.com", None), model), Some(1.25));
    for host in ["http://localhost:1", "https://openai.azure.com.evil.example", "https://xazure.com"] {
        assert_eq!(input(&endpoint(host, None), model), None, "{host}");
    }
    assert_eq!(input(&endpoint("https://gateway.example", Some(PriceScope::Global)), model), Some(1.25));
}
