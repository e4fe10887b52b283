//! Whole configurations.

use std::collections::BTreeMap;

use super::*;

mod edits;
mod faults;
mod observability;
mod schema;
mod section;
mod shape;
mod values;

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
