//! What exactly is said about what does not load.

use super::*;

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
}

#[test]
fn a_fault_is_one_line_whatever_a_name_holds() {
    let given = faults("providers:\n  \"a\\nllm.yaml:1:1: all is well\\e[0m\": {}\n  \"b\\r\": {}\n");
    assert!(given.contains(r"providers.a\nllm.yaml:1:1: all is well\u{1b}[0m: "), "{given}");
    assert!(
        given.contains(r"providers.b\r: ") && given.lines().all(|line| line.starts_with("llm.yaml:")),
        "{given}"
    );
}

// The threads of tests have 2 MiB of stack, as those of a runtime have.
#[test]
fn what_stands_too_deep_is_refused_in_every_format_before_the_stack_ends() {
    let of = |text: &str, format| {
        Reader::default().read(&Source::text(text, format), &Variables::new()).unwrap_err().to_string()
    };
    let deep = |before: &str, depth: usize, after: &str| {
        [before, &"[".repeat(depth), "1", &"]".repeat(depth), after].concat()
    };
    for depth in [33, 50, 64, 80, 200] {
        for (text, format) in [
            (deep("a: ", depth, ""), Format::Yaml),
            (deep("{\"a\": ", depth, "}"), Format::Json),
            (deep("a = ", depth, ""), Format::Toml),
        ] {
            let fault = of(&text, format);
            assert!(fault.lines().count() == 1, "{fault}");
            assert!(
                ["stands deeper", "cannot be read", "is not JSON"].iter().any(|part| fault.contains(part)),
                "{fault}"
            );
        }
    }
    for (text, format) in [(deep("a: ", 31, ""), Format::Yaml), (deep("a = ", 31, ""), Format::Toml)] {
        assert!(of(&text, format).contains("a: unknown key"), "{}", of(&text, format));
    }
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
