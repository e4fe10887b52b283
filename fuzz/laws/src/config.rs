//! Configurations.

use std::io;
use std::path::Path;
use std::sync::LazyLock;

use inference::Config;
use inference::config::{Faults, Format, Place, Reader, Source, Surroundings};

/// What every variable holds.
const CANARY: &str = "sk-canary-3f9d2";

/// Making one costs more than reading a small text.
static READER: LazyLock<Reader> = LazyLock::new(Reader::default);

/// A text is a configuration or has faults, in each of the formats: those faults name a place in it, say so on one line and do
/// not repeat what came from the environment. No file is opened.
///
/// # Panics
/// When that does not hold.
pub fn llm_yaml(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for format in [Format::Yaml, Format::Json, Format::Toml] {
        for around in [Around { value: None }, Around { value: Some(CANARY) }] {
            let read = || READER.read(&Source::text(text, format).named("llm"), &around);
            match read() {
                Ok(config) => {
                    let shown = config.show();
                    is_shown_without_secrets(&config, &shown);
                    assert_eq!(
                        read().map(|config| config.show()).ok(),
                        Some(shown),
                        "read twice, it is another"
                    );
                }
                Err(faults) => {
                    can_be_worked_on(text, &faults);
                    assert_eq!(read().err(), Some(faults), "read twice, it has other faults");
                }
            }
        }
    }
    json_is_yaml(text);
}

/// No files, and every variable or none.
#[derive(Debug)]
struct Around {
    value: Option<&'static str>,
}

impl Surroundings for Around {
    fn variable(&self, _: &str) -> Option<String> {
        self.value.map(str::to_owned)
    }

    fn variables(&self, _: &str) -> Vec<(String, String)> {
        Vec::new()
    }

    fn file(&self, _: &Path, _: u64) -> io::Result<String> {
        match self.value {
            Some(value) => Ok(value.to_owned()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn can_be_worked_on(text: &str, faults: &Faults) {
    assert!(faults.iter().next().is_some(), "refused without a fault");
    let last = text.split(['\n', '\r']).count() as u64 + 1;
    for fault in faults {
        let line = fault.to_string();
        assert!(!fault.message.trim().is_empty() && line.lines().count() == 1, "{line:?} is not one line");
        assert!(!line.contains(CANARY) || text.contains(CANARY), "{line:?} repeats a variable");
        let is_in_text =
            matches!(fault.place, Place::File { line, column } if (1..=last).contains(&line) && column > 0);
        assert!(is_in_text, "{line:?} is not in the text");
    }
}

fn is_shown_without_secrets(config: &Config, shown: &str) {
    assert!(!config.providers.is_empty(), "no providers");
    assert!(!shown.is_empty(), "nothing to show");
    assert_eq!(format!("{config:?}"), format!("Config({})", config.show_json()));
}

/// What reads as JSON says the same as YAML.
fn json_is_yaml(text: &str) {
    let around = Around { value: None };
    let read = |format| READER.read(&Source::text(text, format), &around);
    if let Ok(json) = read(Format::Json) {
        let yaml = read(Format::Yaml).map(|config| config.show_json());
        assert_eq!(yaml.ok(), Some(json.show_json()));
    }
}
