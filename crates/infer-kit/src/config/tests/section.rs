//! Sections that a program adds.

use infer_core::InferenceError;
use serde::Deserialize;
use serde_json::json;

use super::*;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Gateway {
    listen: String,
    max_body_bytes: u64,
    api_key: Option<String>,
    allow: Vec<String>,
}

fn check(gateway: &Gateway) -> Result<(), InferenceError> {
    let mut faults = Vec::new();
    if gateway.max_body_bytes > 10 {
        faults.push(format!("gateway.max_body_bytes: must be at most 10, got {}", gateway.max_body_bytes));
    }
    for (index, name) in gateway.allow.iter().enumerate().filter(|(_, name)| name.is_empty()) {
        faults.push(format!("gateway.allow[{index}]: must not be empty, got {name:?}"));
    }
    if faults.is_empty() { Ok(()) } else { Err(InferenceError::config(faults.join("; "))) }
}

fn reader() -> Reader {
    Reader::default().with_section(Section::of("gateway", check).with_description("The door."))
}

fn with_gateway(text: &str, pairs: &[(&str, &str)]) -> Result<Config, String> {
    let source = Source::text(format!("providers: {{openai: {{}}}}\n{text}"), Format::Yaml).named("llm.yaml");
    reader().read(&source, &variables(pairs)).map_err(|faults| faults.to_string())
}

#[test]
fn an_added_section_is_read_with_variables_and_overrides() {
    let text = "gateway:\n  listen: ${HOST}:80\n  max_body_bytes: ${SIZE:-7}\n";
    let pairs =
        [("HOST", "localhost"), ("INFER__GATEWAY__ALLOW", "a, b"), ("INFER__GATEWAY__API_KEY", "sk-gateway")];
    let config = with_gateway(text, &pairs).unwrap();
    let gateway = config.section::<Gateway>().unwrap();
    let expect = Gateway {
        listen: "localhost:80".to_owned(),
        max_body_bytes: 7,
        api_key: Some("sk-gateway".to_owned()),
        allow: vec!["a".to_owned(), "b".to_owned()],
    };
    assert_eq!(*gateway, expect);
    let shown = config.show_json();
    assert_eq!(shown["gateway"]["listen"], "localhost:80");
    assert_eq!(shown["gateway"]["api_key"], "***");
    assert_eq!(config.section::<String>(), None, "nobody added a section of this type");
}

#[test]
fn a_file_without_the_section_gets_its_default_and_an_override_alone_makes_one() {
    assert_eq!(*with_gateway("", &[]).unwrap().section::<Gateway>().unwrap(), Gateway::default());
    let config = with_gateway("", &[("INFER__GATEWAY__LISTEN", "here")]).unwrap();
    assert_eq!(config.section::<Gateway>().unwrap().listen, "here");
    let optional = Reader::default().with_section(Section::of::<Option<Gateway>>("gateway", |_| Ok(())));
    for (text, is_there) in [("", false), ("gateway: {}", true), ("gateway: {listen: x}", true)] {
        let source = Source::text(format!("providers: {{openai: {{}}}}\n{text}"), Format::Yaml);
        let config = optional.read(&source, &Variables::new()).unwrap();
        assert_eq!(config.section::<Option<Gateway>>().unwrap().is_some(), is_there, "{text}");
    }
}

#[test]
fn faults_of_an_added_section_stand_where_they_are_beside_all_others() {
    let text =
        "gateway:\n  lisen: x\n  max_body_bytes: 11\n  allow: [a, '']\nbudgets: {limit: []}\ngatway: {}\n";
    assert_eq!(
        with_gateway(text, &[]).unwrap_err(),
        "llm.yaml:3:3: gateway.lisen: unknown key; did you mean listen?\n\
         llm.yaml:4:19: gateway.max_body_bytes: must be at most 10, got 11\n\
         llm.yaml:5:14: gateway.allow[1]: must not be empty, got \"\"\n\
         llm.yaml:6:11: budgets.limit: unknown key; did you mean limits?\n\
         llm.yaml:7:1: gatway: unknown key; did you mean gateway?"
    );
    assert_eq!(
        with_gateway("gateway: {max_body_bytes: many}\n", &[("INFER__GATEWAY__ALOW", "x")]).unwrap_err(),
        "llm.yaml:2:27: gateway.max_body_bytes: must be a whole number, not below 0, got \"many\"\n\
         environment variable INFER__GATEWAY__ALOW: gateway.alow: unknown key; did you mean allow?"
    );
    let hidden = with_gateway("gateway: {max_body_bytes: \"${N}\"}\n", &[("N", "12345678")]).unwrap_err();
    assert_eq!(hidden, "llm.yaml:2:27: gateway.max_body_bytes: must be at most 10");
}

#[test]
fn the_schema_has_an_added_section_and_its_description() {
    let schema = reader().schema();
    let gateway = &schema["properties"]["gateway"];
    assert_eq!(gateway["description"], "The door.");
    assert_eq!(gateway["properties"]["listen"]["type"], "string");
    assert_eq!(gateway["additionalProperties"], false);
}

#[test]
fn a_program_without_a_gateway_reads_a_file_that_has_one() {
    let config = read(&format!("{PLAIN}gateway: {{listen: 1}}\nkeys: [{{name: a}}]\n"), &[]);
    assert_eq!(config.section::<Gateway>(), None);
    let schema = Config::schema();
    assert_eq!(schema["properties"]["keys"], json!({"description": "Read by the gateway alone."}));
}

#[test]
fn a_built_in_section_cannot_be_replaced_and_an_added_one_can() {
    let reader = Reader::default().with_section(Section::of::<Gateway>("cache", |_| Ok(())));
    let faults = reader.read(&Source::text(PLAIN, Format::Yaml), &Variables::new()).unwrap_err();
    assert_eq!(
        faults.to_string(),
        "1:1: cache: is built in: the program that adds a section of this name must call it otherwise"
    );
    let open = self::reader().with_section(Section::of::<Gateway>("gateway", |_| Ok(())));
    let source = Source::text(format!("{PLAIN}gateway: {{max_body_bytes: 11}}\n"), Format::Yaml);
    let config = open.read(&source, &Variables::new()).unwrap();
    assert_eq!(config.section::<Gateway>().unwrap().max_body_bytes, 11);
}
