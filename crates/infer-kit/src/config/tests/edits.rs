//! Files that are edited at random.

use proptest::prelude::*;

use super::*;

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
