//! Logs and telemetry in the file.

use super::*;

fn with_section(text: &str, pairs: &[(&str, &str)]) -> Result<Config, String> {
    let source = Source::text(format!("providers: {{openai: {{}}}}\n{text}"), Format::Yaml);
    Reader::default().read(&source, &variables(pairs)).map_err(|faults| faults.to_string())
}

#[test]
fn logs_are_as_the_file_and_the_environment_want_them() {
    let log = |text, pairs: &[_]| with_section(text, pairs).unwrap().observability.log;
    assert_eq!((log("", &[]).level, log("", &[]).format), (None, LogFormat::Text));
    let written = log("observability: {log: {level: debug, format: json}}\n", &[]);
    assert_eq!((written.level, written.format), (Some(LogLevel::Debug), LogFormat::Json));
    let overridden =
        log("observability: {log: {level: debug}}\n", &[("INFER__OBSERVABILITY__LOG__LEVEL", "off")]);
    assert_eq!(overridden.level, Some(LogLevel::Off));
    assert_eq!(
        with_section("observability: {log: {level: verbose, form: x}, capture_content: true}\n", &[])
            .unwrap_err()
            .lines()
            .map(|line| line.split_once(": ").unwrap().1)
            .map(|line| line.split(':').next().unwrap())
            .collect::<Vec<_>>(),
        ["observability.log.level", "observability.log.form", "observability.capture_content"]
    );
    let schema = Config::schema();
    let log = &schema["properties"]["observability"]["properties"]["log"]["properties"];
    assert_eq!(log["format"]["enum"], serde_json::json!(["text", "json"]));
}

#[cfg(feature = "otel")]
#[test]
fn faults_of_telemetry_stand_where_they_are_and_hold_no_key() {
    let text = "observability:\n  otel:\n    endpoint: http://user:sk-hidden@host\n    headers: {\"bad name\": sk-hidden}\n    \
                sample_ratio: 2\n    capture_content: true\n    timeout: 0s\n";
    let given = with_section(text, &[]).unwrap_err();
    let lines: Vec<_> = given.lines().collect();
    assert_eq!(lines.len(), 5, "{given}");
    for (line, begins) in lines.iter().zip([
        "4:15: observability.otel.endpoint: must have a host and no user name",
        "5:27: observability.otel.headers.bad name: ",
        "6:19: observability.otel.sample_ratio: must be from 0 to 1, got 2",
        "7:5: observability.otel.capture_content: unknown key",
        "8:14: observability.otel.timeout: must be above 0s",
    ]) {
        assert!(line.starts_with(begins), "{line}");
    }
    assert!(!given.contains("sk-hidden"), "{given}");
    let hidden = with_section("observability: {otel: {sample_ratio: \"${R}\"}}\n", &[("R", "77")]);
    assert!(!hidden.unwrap_err().contains("77"));
    let config = with_section("observability: {otel: {headers: {x-key: sk-hidden-too}}}\n", &[]).unwrap();
    assert!(!config.show().contains("sk-hidden") && config.observability.otel.is_some());
    assert_eq!(with_section("observability: {log: {}}\n", &[]).unwrap().observability.otel, None);
    let schema = Config::schema();
    let otel = &schema["properties"]["observability"]["properties"]["otel"]["properties"];
    assert_eq!(otel["endpoint"]["type"], "string");
}

#[cfg(not(feature = "otel"))]
#[test]
fn telemetry_that_is_not_compiled_in_is_a_fault_that_names_the_feature() {
    let says = "observability.otel: this build has no telemetry: build with the feature otel";
    assert_eq!(
        with_section("observability: {otel: {endpoint: x}}\n", &[]).unwrap_err(),
        format!("2:17: {says}")
    );
    let name = "INFER__OBSERVABILITY__OTEL__ENDPOINT";
    assert_eq!(with_section("", &[(name, "x")]).unwrap_err(), format!("environment variable {name}: {says}"));
    with_section("observability: {otel: null}\n", &[]).unwrap();
}
