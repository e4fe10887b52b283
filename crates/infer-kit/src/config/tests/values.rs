//! Variables, files and overrides, and what is shown of them.

use super::*;

#[test]
fn a_missing_variable_is_named_with_its_place_and_no_value_is_ever_shown() {
    let text = "providers:\n  openai:\n    api_key: ${OPENAI_KEY}\n    timeout: ${WAIT}\n    retry: {attempts: \"${TRIES}\"}\n    base_url: ${URL}\n    prices: ${PRICES}\n    weight: ${WEIGHT}\n    headers: {x-a: [\"${H}\"]}\n";
    let pairs = [
        ("WAIT", "sk-wait"),
        ("TRIES", "sk-tries"),
        ("URL", "sk-url"),
        ("PRICES", "sk-prices"),
        ("WEIGHT", "sk-weight"),
        ("H", "sk-h"),
    ];
    let given = faults_with(text, &pairs);
    assert!(!given.contains("sk-"), "{given}");
    let lines: Vec<_> = given.lines().collect();
    assert_eq!(lines.len(), 7, "{given}");
    assert_eq!(
        lines[0],
        "llm.yaml:3:14: providers.openai.api_key: environment variable OPENAI_KEY is not set: export it or write \
         ${OPENAI_KEY:-default}"
    );
    assert_eq!(
        lines[1],
        "llm.yaml:4:14: providers.openai.timeout: \"***\" is not a duration such as 30s or 500ms: expected number at 0"
    );
    assert_eq!(
        lines[2],
        "llm.yaml:5:23: providers.openai.retry.attempts: must be a whole number, not below 0"
    );
    assert!(lines[3].starts_with("llm.yaml:6:15: providers.openai.base_url: base URL \"***\": "), "{given}");
    assert!(
        lines[4].starts_with("llm.yaml:7:13: providers.openai.prices: must be one of auto, published, none"),
        "{given}"
    );
    assert!(
        lines[5].starts_with("llm.yaml:8:13: providers.openai.weight: must be a number above 0"),
        "{given}"
    );
    assert_eq!(lines[6], "llm.yaml:9:20: providers.openai.headers.x-a: must be text");
    let given = faults_with(
        "providers: {openai: {base_url: \"${URL}\", retry: {attempts: \"${N}\"}}}",
        &[("URL", "sk-url"), ("N", "0")],
    );
    assert!(!given.contains("sk-url") && given.contains("base URL \"***\""), "{given}");
    assert!(given.contains("retry.attempts: must be at least 1") && !given.contains("got"), "{given}");
}

#[test]
fn a_value_from_a_variable_is_not_shown_by_what_is_said_of_the_list_it_is_in() {
    let text =
        "providers: {openai: {}}\nroutes:\n  b: {targets: [{provider: \"${P}\"}], fallback: [\"${F}\"]}\n";
    let given = faults_with(text, &[("P", "sk-provider"), ("F", "sk-fallback")]);
    assert!(given.lines().count() == 2 && !given.contains("sk-"), "{given}");
}

#[test]
fn values_from_variables_take_the_type_that_is_wanted() {
    let config = read(
        "providers:\n  openai:\n    api_key: ${KEY}\n    timeout: ${T:-30}\n    max_retries: ${R:-5}\n    weight: ${W}\n    circuit_breaker: {enabled: ${ON:-false}, failure_rate: ${RATE:-0.25}}\n    organization: ${ORG:-}\n    project: ${PROJECT:-12345}\n"
            .replace("{enabled: ${ON:-false}, failure_rate: ${RATE:-0.25}}", "\n      enabled: ${ON:-false}\n      failure_rate: ${RATE:-0.25}")
            .as_str(),
        &[("KEY", "12345678"), ("W", "0.5")],
    );
    let entry = &config.providers["openai"];
    let settings = format!("{:?}", entry.settings);
    for part in [
        "total: Some(30s)",
        "attempts: 6",
        "enabled: false",
        "failure_rate: 0.25",
        "organization: None",
        "project: Some(\"12345\")",
        "Inline",
    ] {
        assert!(settings.contains(part), "{part} missing in {settings}");
    }
    assert_eq!(entry.weight, 0.5);
}

#[test]
fn a_file_can_hold_a_value() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key"), "sk-from-a-file\n").unwrap();
    let text =
        format!("providers:\n  openai:\n    organization: ${{file:{}}}\n", dir.path().join("key").display());
    let path = dir.path().join("llm.yaml");
    std::fs::write(&path, &text).unwrap();
    let config = Config::from_file(&path).unwrap();
    assert!(format!("{:?}", config.providers["openai"].settings).contains("Some(\"sk-from-a-file\")"));
    std::fs::remove_file(dir.path().join("key")).unwrap();
    let fault = Config::from_file(&path).unwrap_err().to_string();
    assert!(
        fault.contains("llm.yaml:3:19: providers.openai.organization: file ")
            && fault.contains("cannot be read"),
        "{fault}"
    );
}

#[test]
fn variables_override_what_the_file_says() {
    let text = "providers:\n  openai:\n    timeout: 5s\n  OpenAI-EU:\n    type: openai\n";
    let config = read(
        text,
        &[
            ("INFER__PROVIDERS__OPENAI__TIMEOUT", "30s"),
            ("INFER__PROVIDERS__OPENAI__RETRY__ATTEMPTS", "7"),
            ("INFER__PROVIDERS__OPENAI_EU__WEIGHT", "0.25"),
            ("INFER__PROVIDERS__OPENAI_EU__API_KEY", "${NOT_EXPANDED}"),
            ("INFER_OTHER", "is none of ours"),
        ],
    );
    let settings = format!("{:?}", config.providers["openai"].settings);
    assert!(settings.contains("total: Some(30s)") && settings.contains("attempts: 7"), "{settings}");
    assert_eq!(config.providers["OpenAI-EU"].weight, 0.25);
}

#[test]
fn an_override_of_nothing_known_names_the_variable_and_what_is_near() {
    let given = faults_with(
        "providers:\n  openai:\n    timeout: 5s\n",
        &[
            ("INFER__PROVIDERS__OPENAI__TIMEUOT", "30s"),
            ("INFER__PROVIDERS__OPNAI__TIMEOUT", "30s"),
            ("INFER__PROVIDERS__OPENAI__RETRY__ATTEMPTS", "sk-many"),
            ("INFER__PROVIDERS__OPENAI__TIMEOUT__X", "1"),
            ("INFER__PROVDERS__OPENAI", "1"),
            ("INFER__PROVIDERS____X", "1"),
        ],
    );
    let expect = [
        "environment variable INFER__PROVDERS__OPENAI: provders: unknown key; did you mean providers?",
        "environment variable INFER__PROVIDERS__OPENAI__RETRY__ATTEMPTS: providers.openai.retry.attempts: must be a whole number, not below 0",
        "environment variable INFER__PROVIDERS__OPENAI__TIMEOUT__X: providers.openai.timeout: is one value and has no settings below it",
        "environment variable INFER__PROVIDERS__OPENAI__TIMEUOT: providers.openai.timeuot: unknown key; did you mean timeout?",
        "environment variable INFER__PROVIDERS__OPNAI__TIMEOUT: providers.opnai: the file has no such entry; did you mean openai?",
        "environment variable INFER__PROVIDERS____X: names no setting: write it like INFER__PROVIDERS__OPENAI__TIMEOUT",
    ];
    assert_eq!(given, expect.join("\n"));
}

#[test]
fn what_is_shown_holds_no_secret() {
    let text = "providers:\n  openai:\n    api_key: sk-very-secret\n    base_url: http://localhost/${TENANT}\n    headers: {x-auth: header-secret}\n    query: {code: '12345'}\n    organization: with sk-very-secret in it\n  local:\n    type: openai\n    api_key: {env: LOCAL_KEY}\n";
    let config = read(text, &[("TENANT", "acme")]);
    for shown in [config.show(), config.show_json().to_string(), format!("{config:?}")] {
        assert!(!shown.contains("secret") && !shown.contains("12345"), "{shown}");
        assert!(
            shown.contains("***") && shown.contains("LOCAL_KEY") && shown.contains("localhost/acme"),
            "{shown}"
        );
    }
    let printed = format!("{:?}", config.providers);
    assert!(!printed.contains("header-secret") && !printed.contains("sk-very-secret\","), "{printed}");
}
