//! The schema that editors complete by.

use super::*;

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
    assert_eq!(
        (&openai["base_url"]["type"], &openai["endpoint"]["type"]),
        (&"string".into(), &"string".into())
    );
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
