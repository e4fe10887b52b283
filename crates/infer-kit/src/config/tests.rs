//! Whole configurations: what loads, and what exactly is said about what does not.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

mod observability;
mod section;

type Variables = BTreeMap<String, String>;

fn variables(pairs: &[(&str, &str)]) -> Variables {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn faults(text: &str) -> String {
    faults_with(text, &[])
}

fn faults_with(text: &str, pairs: &[(&str, &str)]) -> String {
    let source = Source::text(text, Format::Yaml).named("llm.yaml");
    Reader::default().read(&source, &variables(pairs)).unwrap_err().to_string()
}

fn read(text: &str, pairs: &[(&str, &str)]) -> Config {
    Config::check(text, &variables(pairs)).unwrap_or_else(|faults| panic!("{faults}"))
}

/// Text that every reader of this file sees as the shape people come with.
const PLAIN: &str = "\
providers:
  openai:
    api_key: ${OPENAI_API_KEY:-}
    base_url: https://api.openai.com/v1
    rate_limit:
      requests_per_second: 2.0
";

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

/// Each broken file, and everything that is said about it; nothing where one line is enough.
const BROKEN: &[(&str, &[&str])] = &[
    ("", &["1:1: is empty: name at least one provider under providers:"]),
    ("# nothing\n", &["1:1: is empty: name at least one provider under providers:"]),
    ("- openai\n", &["1:1: must be a table of settings that begins with a key such as providers:"]),
    ("model: gpt-4o\n", &["1:1: providers: is missing: name at least one provider, such as openai:"]),
    ("providers: {}\n", &["1:12: providers: is empty: name at least one provider, such as openai:"]),
    (
        "providers: [openai]\n",
        &["1:12: providers: must be a table: name at least one provider, such as openai:"],
    ),
    ("providers: {openai: {}}\nprovidres: {}\n", &["2:1: providres: unknown key; did you mean providers?"]),
    (
        "providers:\n  openai: {}\n  local: {type: openai}\n  openai: {}\n  local: {}\n",
        &[
            "4:3: providers.openai: is there twice: keep one",
            "5:3: providers.local: is there twice: keep one",
        ],
    ),
    (
        "providers:\n  opnai: {}\n",
        &["2:10: providers.opnai.type: needs a type, one of KINDS; did you mean openai?"],
    ),
    (
        "providers:\n  a: {type: opena}\n",
        &["2:13: providers.a.type: must be one of KINDS, got \"opena\"; did you mean openai?"],
    ),
    ("providers:\n  openai: sk-key\n", &["2:11: providers.openai: must be a table of settings"]),
    (
        "providers:\n  a/b: {type: openai}\n",
        &["2:3: providers.a/b: a name has 1 to 64 letters, digits, dots, dashes and underscores"],
    ),
    (
        "providers:\n  openai:\n    weight: 0\n",
        &[
            "3:13: providers.openai.weight: must be a number above 0, got 0: leave the provider out to send it nothing",
        ],
    ),
    (
        "providers:\n  openai:\n    weight: -1.5\n    priority: high\n",
        &[
            "3:13: providers.openai.weight: must be a number above 0, got -1.5: leave the provider out to send it nothing",
            "4:15: providers.openai.priority: must be a whole number, not below 0",
        ],
    ),
    (
        "providers:\n  openai:\n    api_key: k\n    base_url: x\n    rate_limit:\n      x: 1\n      requests_per_second: -2\n",
        &[
            "4:15: providers.openai.base_url: base URL \"x\": relative URL without a base: write it like https://api.openai.com/v1 or http://localhost:11434/v1",
            "6:7: providers.openai.rate_limit.x: unknown key: known are requests_per_second; other limits are set in rate_limits",
            "7:28: providers.openai.rate_limit.requests_per_second: must be above 0, got -2",
        ],
    ),
    (
        "providers:\n  openai:\n    timeout: 5s\n    timeouts: {total: 6s}\n    max_retries: -1\n",
        &[
            "3:5: providers.openai.timeout: says the same as timeouts.total: keep one of them",
            "5:18: providers.openai.max_retries: must be a whole number from 0 to 1000, got -1",
        ],
    ),
    (
        "providers:\n  openai:\n    timeout: soon\n",
        &[
            "3:14: providers.openai.timeout: \"soon\" is not a duration such as 30s or 500ms: expected number at 0",
        ],
    ),
    ("providers:\n  openai:\n    timeout: 0s\n", &["3:14: providers.openai.timeout: must be above 0s"]),
    (
        "providers:\n  openai:\n    retry: {attempts: 0, base: 0s, atempts: 3}\n    retries: 2\n    timeouts: {connect: 5, total: [1]}\n",
        &[
            "3:23: providers.openai.retry.attempts: must be at least 1, got 0",
            "3:32: providers.openai.retry.base: must be above 0s: without a wait, retries melt an upstream",
            "3:36: providers.openai.retry.atempts: unknown key; did you mean attempts?",
            "4:5: providers.openai.retries: unknown key; did you mean max_retries?",
            "5:25: providers.openai.timeouts.connect: must be text: write a time like 30s, and a number that is meant as text in quotes, got 5",
            "5:35: providers.openai.timeouts.total: must be text, got a list",
        ],
    ),
    (
        "providers:\n  openai:\n    retry: 3\n    prices: free\n    circuit_breaker: {enabled: yes}\n    max_embed_inputs: -3\n",
        &[
            "3:12: providers.openai.retry: must be a table of settings, got 3",
            "4:13: providers.openai.prices: must be one of auto, published, none, got \"free\"",
            "5:32: providers.openai.circuit_breaker.enabled: must be true or false, got \"yes\"",
            "6:23: providers.openai.max_embed_inputs: must be a whole number, not below 0, got -3",
        ],
    ),
    (
        "providers:\n  openai:\n    base_url: http://a\n    endpoint: http://b\n",
        &["3:5: providers.openai: says endpoint twice, by two of its names: keep one"],
    ),
    (
        "providers:\n  openai: {api_key: {enw: X}}\n",
        &[
            "2:21: providers.openai.api_key: expected a key, { env: NAME }, { file: PATH } or { command: [PROGRAM, ARGUMENT] }",
        ],
    ),
    (
        "providers:\n\topenai: {}\n",
        &["2:2: cannot be read: tabs disallowed within this context (block indentation)"],
    ),
    ("providers: {a: [1, 2}\n", &[]),
    ("a: 1\n---\nb: 2\n", &[]),
];

#[test]
fn every_fault_is_one_line_with_its_place_its_path_and_the_way_out() {
    let kinds = kind::Kinds::default().iter().map(kind::Kind::name).collect::<Vec<_>>().join(", ");
    for (text, expect) in BROKEN {
        let given = faults(text);
        let expect: Vec<String> =
            expect.iter().map(|line| format!("llm.yaml:{}", line.replace("KINDS", &kinds))).collect();
        if expect.is_empty() {
            assert_eq!(given.lines().count(), 1, "{text}\n{given}");
        } else {
            assert_eq!(given, expect.join("\n"), "{text}");
        }
    }
}

#[test]
fn faults_of_routes_budgets_and_ledger_stand_where_they_are() {
    let table: &[(&str, &[&str])] = &[
        (
            "model: {provider: opnai, model: m}\n",
            &["2:19: model.provider: there is no provider \"opnai\"; did you mean openai?"],
        ),
        (
            "routes:\n  a:\n    targets:\n    - {provider: opnai, weight: 0}\n    - {provider: openai, wieght: 1}\n  b: {targets: [], fallback: [nowhere]}\nmax_cooldown_wait: never\n",
            &[
                "5:18: routes.a.targets[0].provider: there is no provider \"opnai\"; did you mean \"openai\"?",
                "5:33: routes.a.targets[0].weight: must be above 0 and finite, got 0",
                "6:26: routes.a.targets[1].wieght: unknown key; did you mean weight?",
                "7:16: routes.b.targets: must have at least one target",
                "7:30: routes.b.fallback: there is no route \"nowhere\"",
                "8:20: max_cooldown_wait: \"never\" is not a duration such as 30s or 500ms: expected number at 0",
            ],
        ),
        (
            "routes:\n  a: {targets: [{provider: openai}], fallback: [b]}\n  b: {targets: [{provider: openai}], fallback: [a]}\n",
            &["3:48: routes.a.fallback: goes in a circle: a -> b -> a"],
        ),
        (
            "routes: {a: {targets: [{provider: openai, weight: -1}], policy: wieghted}}\n",
            &[
                "2:51: routes.a.targets[0].weight: must be above 0 and finite, got -1",
                "2:65: routes.a.policy: must be one of priority, weighted, least_in_flight, lowest_latency, lowest_cost, sticky, got \"wieghted\"; did you mean weighted?",
            ],
        ),
        (
            "budgets:\n  limits:\n  - {name: a, every: week, usd: 1}\n  - {every: day, usd: -1}\n  - {name: c, every: day, usd: -1}\nledger: {queue_rows: 0, keep_hour: 3d}\ncache: {ttl: 0s}\n",
            &[
                "4:22: budgets.limits[0].every: must be one of hour, day, month, total, got \"week\"",
                "5:5: budgets.limits[1]: needs name",
                "6:32: budgets.limits[2].usd: must be above 0 and at most 1e15, got -1",
                "7:22: ledger.queue_rows: must be from 1 to 16777216, got 0",
                "7:25: ledger.keep_hour: unknown key; did you mean keep_hours?",
                "8:14: cache.ttl: must be above 0s and at most 100years, got 0s",
            ],
        ),
        (
            "aliases: {cheap: openai/m}\nbudgets:\n  limits:\n  - {name: a, every: day, usd: 1, on_exceed: {downgrade: chaep}}\n  - {every: day}\n  - name: c\n    every: day\n    usd: 0\n    on_exceed:\n      downgrade: nowhere\n  - {name: d, every: day, usd: 1, on_exceed: {downgrade: cheap}}\n",
            &[
                "5:58: budgets.limits[0].on_exceed.downgrade: there is no route \"chaep\": did you mean cheap?",
                "6:5: budgets.limits[1]: needs name",
                "9:10: budgets.limits[2].usd: must be above 0 and at most 1e15, got 0",
                "11:18: budgets.limits[2].on_exceed.downgrade: there is no route \"nowhere\": add it, or name another",
            ],
        ),
        (
            "routes: {cheap: {targets: 3}}\nbudgets: {limits: [{name: a, every: day, usd: 1, on_exceed: {downgrade: cheap}}]}\n",
            &["2:27: routes.cheap.targets: must be a list, got 3"],
        ),
    ];
    for (text, expect) in table {
        let expect: Vec<String> = expect.iter().map(|line| format!("llm.yaml:{line}")).collect();
        assert_eq!(faults(&format!("providers: {{openai: {{}}}}\n{text}")), expect.join("\n"), "{text}");
    }
}

#[test]
fn faults_of_toml_and_json_stand_where_they_are() {
    let of = |text: &str, format| {
        Reader::default().read(&Source::text(text, format), &Variables::new()).unwrap_err().to_string()
    };
    let toml = "[providers.openai]\ntimeout = \"5s\"\nretry = { atempts = 3 }\n[providers.openai.timeouts]\nconnect = 5\n";
    assert_eq!(
        of(toml, Format::Toml),
        "3:11: providers.openai.retry.atempts: unknown key; did you mean attempts?\n5:11: \
         providers.openai.timeouts.connect: must be text: write a time like 30s, and a number that is meant as text in quotes, got 5"
    );
    let twice = of("[providers.a]\n[providers.a]\nb = \n", Format::Toml);
    assert!(twice.contains("2:12: cannot be read: duplicate key") && twice.contains("3:"), "{twice}");
    assert!(of("providers: {}", Format::Json).starts_with("1:1: is not JSON: expected value"));
    assert_eq!(
        of("{\n \"providers\": {\"openai\": {\"retries\": 1}}}", Format::Json),
        "2:27: providers.openai.retries: unknown key; did you mean max_retries?"
    );
    let deep = format!("a = {}1{}", "[".repeat(70), "]".repeat(70));
    assert!(
        of(&deep, Format::Toml).contains("stands deeper")
            || of(&deep, Format::Toml).contains("cannot be read")
    );
}

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
fn files_that_are_none_are_one_clear_fault_each() {
    let dir = tempfile::tempdir().unwrap();
    let fault = |path: &Path| {
        let faults = Config::from_file(path).unwrap_err();
        assert_eq!(faults.iter().count(), 1, "{faults}");
        faults.to_string()
    };
    assert!(
        fault(&dir.path().join("none.yaml"))
            .ends_with("none.yaml:1:1: there is no such file: check the path")
    );
    let large = dir.path().join("large.yaml");
    std::fs::File::create(&large).unwrap().set_len(100 << 20).unwrap();
    assert!(
        fault(&large)
            .ends_with("large.yaml:1:1: is longer than 16 MiB: a configuration is smaller, check the path")
    );
    let empty = dir.path().join("empty.toml");
    std::fs::write(&empty, "").unwrap();
    assert!(fault(&empty).ends_with("empty.toml:1:1: is empty: name at least one provider under providers:"));
    let binary = dir.path().join("binary.yaml");
    std::fs::write(&binary, [0xff, 0xfe, 0x00]).unwrap();
    assert!(fault(&binary).contains("is not UTF-8 text"));
    fault(dir.path());
}

#[test]
fn anchors_that_multiply_are_refused() {
    let mut bomb = String::from("a: &a [x,x,x,x,x,x,x,x,x]\n");
    for (from, to) in ["a", "b", "c", "d", "e", "f", "g"].iter().zip(["b", "c", "d", "e", "f", "g", "h"]) {
        bomb.push_str(&[to, ": &", to, " [", &vec![format!("*{from}"); 9].join(","), "]\n"].concat());
    }
    let given = faults(&bomb);
    assert!(given.contains("cannot be read: budget breached") && given.lines().count() == 1, "{given}");
    let deep = "[".repeat(100_000);
    assert_eq!(faults(&deep).lines().count(), 1);
}

#[test]
fn the_schema_knows_every_setting_and_where_a_variable_may_stand() {
    let schema = Config::schema();
    let openai = &schema["$defs"]["openai"]["properties"];
    for key in
        ["type", "timeout", "max_retries", "rate_limit", "api_key", "base_url", "endpoint", "retry", "weight"]
    {
        assert!(openai.get(key).is_some(), "{key} missing in {openai}");
    }
    assert_eq!(openai["retry"]["properties"]["attempts"]["anyOf"][0]["type"], "integer");
    assert_eq!(openai["timeouts"]["properties"]["connect"]["type"], "string");
    assert_eq!(openai["base_url"]["type"], "string");
    assert_eq!(openai["prices"]["enum"], serde_json::json!(["auto", "published", "none"]));
    assert_eq!(openai["retry"]["additionalProperties"], false);
    let sections = &schema["properties"];
    assert!(sections.get("model").is_some());
    let target = &sections["routes"]["additionalProperties"]["properties"]["targets"]["items"];
    assert_eq!(target["properties"]["provider"]["type"], "string");
    assert_eq!(target["properties"]["max_output_tokens"]["anyOf"][0]["type"], "integer");
    let budget = &sections["budgets"]["properties"]["limits"]["items"]["properties"];
    assert_eq!(budget["every"]["enum"], serde_json::json!(["hour", "day", "month", "total"]));
    assert_eq!(sections["ledger"]["properties"]["keep_rows"]["type"], "string");
}

#[test]
fn the_schema_says_what_each_setting_of_a_provider_is_for() {
    let schema = Config::schema();
    for (kind, provider) in schema["$defs"].as_object().unwrap() {
        for (name, setting) in provider["properties"].as_object().unwrap() {
            let has_help = setting["description"].as_str().or(setting["anyOf"][0]["description"].as_str());
            assert!(has_help.is_some_and(|text| text.len() > 8), "{kind}.{name}: {setting}");
        }
    }
    let openai = &schema["$defs"]["openai"]["properties"];
    let address =
        "The base URL, with or without a trailing slash; without a path it gets `/v1`. OpenAI when empty.";
    assert_eq!(
        (&openai["base_url"]["description"], &openai["endpoint"]["description"]),
        (&address.into(), &address.into())
    );
    assert_eq!(openai["retry"]["description"], "Whether and how calls are repeated.");
}

#[test]
fn a_kind_that_is_added_takes_the_place_of_its_namesake() {
    let reader = Reader::default().with_kind::<runtime_openai::OpenAiConfig>();
    assert_eq!(reader.schema(), Config::schema());
    let faults =
        reader.read(&Source::text("providers: {openai: {retries: 1}}", Format::Yaml), &Variables::new());
    assert!(faults.unwrap_err().to_string().contains("did you mean max_retries?"));
}

/// A configuration that uses most of what there is.
const RICH: &str = "\
# all of it
providers:
  openai:
    api_key: ${OPENAI_API_KEY:-}
    timeout: 30s
    retry: { attempts: 3, base: 250ms }
    headers:
      x-team: blue
    price_overrides:
      gpt-4.1: { input_per_mtok_usd: 1.5, output_per_mtok_usd: 2 }
  local: &local
    type: openai
    base_url: 'http://localhost:11434/v1'
    weight: 0.5
model: { provider: openai, model: gpt-4o }
";

#[test]
fn the_configuration_that_is_edited_at_random_is_right_before() {
    read(RICH, &[]);
}

proptest! {
    /// Whatever is done to a file: no panic, and faults lie inside it, on one line each.
    #[test]
    fn any_edit_gives_a_configuration_or_faults_inside_the_file(
        at in 0..RICH.len(),
        remove in 0_usize..40,
        insert in prop_oneof!["[ -~\n]{0,12}", "\\PC{0,4}", Just("${".to_owned()), Just("\t".to_owned()), Just("- *local\n".to_owned())],
        format in prop_oneof![Just(Format::Yaml), Just(Format::Json), Just(Format::Toml)],
    ) {
        let end = (at + remove).min(RICH.len());
        let text = format!("{}{insert}{}", &RICH[..at], &RICH[end..]);
        if let Err(faults) = Reader::default().read(&Source::text(text.clone(), format), &Variables::new()) {
            let lengths: Vec<_> = text.split('\n').map(|line| line.chars().count() as u64).collect();
            let lines = lengths.len() as u64;
            for fault in &faults {
                let Place::File { line, column } = &fault.place else { panic!("{fault}") };
                prop_assert!((1..=lines + 1).contains(line), "{fault}\n{text}");
                let length = lengths.iter().zip(1..).find(|(_, number)| number == line).map_or(0, |(length, _)| *length);
                prop_assert!((1..=length + 2).contains(column), "{fault} in {length}\n{text}");
                prop_assert!(!fault.to_string().contains('\n'));
            }
        }
    }

    /// Whatever a variable holds, it stays one value and changes nothing around it.
    #[test]
    fn a_variable_cannot_become_structure(value in prop_oneof!["\\PC{0,40}", "[ -~\n\t]{0,40}", Just("x\nproviders: {}".to_owned()), Just("}: [*a, !!x".to_owned())]) {
        let pairs = variables(&[("ORG", &value)]);
        for (text, format) in [
            ("providers:\n  openai:\n    organization: ${ORG}\n", Format::Yaml),
            ("providers: {openai: {organization: \"${ORG}\"}}\n", Format::Yaml),
            (r#"{"providers": {"openai": {"organization": "${ORG}"}}}"#, Format::Json),
            ("[providers.openai]\norganization = '${ORG}'\n", Format::Toml),
        ] {
            match Reader::default().read(&Source::text(text, format), &pairs) {
                Ok(config) => {
                    let entry = &config.tree.entries()[0].1.entries()[0].1.entries()[0].1;
                    prop_assert!(matches!(&entry.value, Value::Text(text) if *text == value));
                    prop_assert_eq!(config.providers.len(), 1);
                }
                // A header cannot carry everything; that is said without the value.
                Err(faults) => {
                    prop_assert_eq!(faults.iter().count(), 1);
                    prop_assert!(value.len() < 4 || !faults.to_string().contains(&value), "{}", faults);
                }
            }
        }
    }

    /// An override is a value too.
    #[test]
    fn an_override_cannot_become_structure(value in "\\PC{0,40}") {
        let pairs = variables(&[("INFER__PROVIDERS__OPENAI__ORGANIZATION", &value)]);
        if let Ok(config) = Config::check("providers: {openai: {}}", &pairs) {
            let entry = &config.tree.entries()[0].1.entries()[0].1.entries()[0].1;
            prop_assert!(matches!(&entry.value, Value::Text(text) if *text == value));
        }
    }
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
