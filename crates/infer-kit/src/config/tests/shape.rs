//! What loads.

use super::*;

#[test]
fn the_shape_with_a_rate_limit_loads_with_and_without_a_key() {
    for (pairs, key) in
        [(&[][..], "None"), (&[("OPENAI_API_KEY", "sk-1")][..], "Inline { secret: Secret(..) }")]
    {
        let config = read(PLAIN, pairs);
        let openai = &config.providers["openai"];
        let settings = format!("{:?}", openai.settings);
        assert!(settings.contains("requests_per_minute: Some(120)"), "{settings}");
        assert!(settings.contains("endpoint: \"https://api.openai.com/v1\""), "{settings}");
        assert!(settings.contains(&format!("api_key: {key},")), "{settings}");
        assert_eq!((openai.kind.as_str(), openai.priority, openai.weight), ("openai", 1, 1.0));
    }
}

#[test]
fn the_shape_with_type_priority_and_retries_loads() {
    let config = read(
        "providers:\n  openai-gpt4:\n    type: openai\n    model: gpt-4\n    priority: 1\n    weight: 0.7\n    timeout: 30.0\n    max_retries: 3\n",
        &[],
    );
    let entry = &config.providers["openai-gpt4"];
    assert_eq!((entry.kind.as_str(), entry.priority, entry.weight), ("openai", 1, 0.7));
    assert_eq!(entry.model.as_deref(), Some("gpt-4"));
    let settings = format!("{:?}", entry.settings);
    assert!(settings.contains("total: Some(30s)") && settings.contains("attempts: 4"), "{settings}");
}

#[test]
fn a_model_is_chosen_by_name_or_by_provider_and_name() {
    let with = |model: &str| read(&format!("{PLAIN}{model}"), &[]).model.unwrap().address();
    assert_eq!(with("model:\n  provider: openai\n  model: gpt-4o\n"), "openai/gpt-4o");
    assert_eq!(with("model: openai/gpt-4o\n"), "openai/gpt-4o");
    assert_eq!(with("model: fast\n"), "fast");
}

#[test]
fn there_is_a_cache_only_where_the_file_has_one() {
    assert_eq!(read(PLAIN, &[]).cache, None);
    let cache = read(&format!("{PLAIN}cache: {{ttl: 5m}}\n"), &[]).cache.unwrap();
    assert_eq!(cache.ttl, std::time::Duration::from_secs(300));
}

#[test]
fn json_and_toml_say_the_same_as_yaml() {
    let json = r#"{"providers": {"openai": {"api_key": "${OPENAI_API_KEY:-}", "base_url": "https://api.openai.com/v1",
        "rate_limit": {"requests_per_second": 2.0}}}}"#;
    let toml = "[providers.openai]\napi_key = \"${OPENAI_API_KEY:-}\"\nbase_url = \"https://api.openai.com/v1\"\nrate_limit.requests_per_second = 2.0\n";
    let yaml = read(PLAIN, &[]);
    for (text, format) in [(json, Format::Json), (toml, Format::Toml)] {
        let config = Reader::default().read(&Source::text(text, format), &Variables::new()).unwrap();
        assert_eq!(config.show(), yaml.show(), "{format:?}");
        assert_eq!(
            config.providers["openai"].fingerprint, yaml.providers["openai"].fingerprint,
            "{format:?}"
        );
    }
}

#[test]
fn the_fingerprint_changes_with_any_setting_and_not_with_their_order() {
    let of = |text: &str, key: &str| read(text, &[("KEY", key)]).providers["openai"].fingerprint;
    let base = of("providers:\n  openai:\n    api_key: ${KEY}\n    timeout: 5s\n", "one");
    assert_eq!(
        base,
        of("# note\nproviders:\n  openai: {timeout: 5s, weight: 3, api_key: \"${KEY}\"}\n", "one")
    );
    assert_ne!(base, of("providers:\n  openai:\n    api_key: ${KEY}\n    timeout: 5s\n", "two"));
    assert_ne!(base, of("providers:\n  openai:\n    api_key: ${KEY}\n    timeout: 6s\n", "one"));
}

#[test]
fn a_known_upstream_is_named_by_its_type_its_preset_or_its_own_name_and_what_is_written_wins() {
    let fills = [
        "groq: {}",
        "groq: {api_key: {env: OTHER}, dialect: {developer_role: keep}}",
        "x: {type: groq, base_url: http://here}",
        "x: {preset: Groq, timeout: 3s}",
        "openai: {preset: groq}",
    ];
    let read = |provider: &str| {
        let text = format!("providers: {{{provider}}}");
        Reader::default().read(&Source::text(text, Format::Yaml), &Variables::new())
    };
    let settings = |provider: &str| {
        let config = read(provider).unwrap();
        let entry = config.providers.values().next().unwrap();
        assert_eq!(entry.kind, "openai");
        format!("{:?}", entry.settings)
    };
    for fill in fills {
        let settings = settings(fill);
        assert_eq!(settings.contains("api.groq.com"), !fill.contains("http://here"), "{settings}");
        assert_eq!(settings.contains("GROQ_API_KEY"), !fill.contains("OTHER"), "{settings}");
        assert_eq!(settings.contains("AsSystem"), !fill.contains("keep"), "{settings}");
        assert!(settings.contains("logit_bias"), "{settings}");
    }
    for (wrong, says) in [
        ("grok: {}", "did you mean groq?"),
        ("x: {type: grooq}", "did you mean groq?"),
        ("openai: {preset: grooq}", "providers.openai.preset: "),
        ("openai: {preset: 3}", "providers.openai.preset: must be a name, such as groq"),
    ] {
        let faults = read(wrong).unwrap_err().to_string();
        assert!(faults.contains(says), "{wrong}: {faults}");
    }
}
