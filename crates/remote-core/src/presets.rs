//! Named settings: an upstream as data.
//!
//! A preset is a JSON object of a provider's own settings, so every setting can be in it and none needs code. Beside
//! them it may say things about itself, which are no settings.

use std::collections::BTreeMap;

use infer_core::InferenceError;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::provider::{ProviderConfig, read_settings};

/// The member of settings that names a preset.
const MEMBER: &str = "preset";
/// A name with more wrong letters than this is another name.
const MAX_WRONG: usize = 3;

/// The presets of one provider.
///
/// ```
/// use remote_core::Presets;
/// use serde_json::json;
///
/// let presets = Presets::parse(
///     r#"{"hill": {"about": {"title": "Hill", "aliases": ["mound"]}, "endpoint": "http://hill", "retry": {"attempts": 2}}}"#,
/// )?;
/// // What is said explicitly wins.
/// let settings = presets.fill(json!({"preset": "mound", "endpoint": "http://mine"}))?;
/// assert_eq!(settings, json!({"endpoint": "http://mine", "retry": {"attempts": 2}}));
///
/// let error = presets.fill(json!({"preset": "hil"})).unwrap_err().to_string();
/// assert!(error.contains("did you mean hill?"), "{error}");
/// # Ok::<(), infer_core::InferenceError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Presets(BTreeMap<String, Preset>);

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Preset {
    /// What it says about itself.
    #[serde(default)]
    pub about: About,
    /// The settings.
    #[serde(flatten)]
    pub settings: Map<String, Value>,
}

/// What a preset says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct About {
    /// The upstream's name as people write it.
    pub title: String,
    /// What somebody should know who uses it.
    pub notes: String,
    /// Where this is known from, with the day it was read.
    pub source: String,
    /// Where its prices are from, with the day they were read.
    pub prices: String,
    /// Further names it goes by.
    pub aliases: Vec<String>,
}

impl Presets {
    /// Reads an object of presets by name.
    ///
    /// # Errors
    /// [`InferenceError::Config`] with the place of what cannot be read.
    pub fn parse(json: &str) -> Result<Self, InferenceError> {
        serde_json::from_str(json)
            .map(Self)
            .map_err(|error| InferenceError::config(format!("presets cannot be read: {error}")))
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The preset called `name`, with its own name for itself. Case, dots, dashes and spaces do not count.
    ///
    /// # Errors
    /// [`InferenceError::Config`] that names those which are spelled nearly so, and lists all.
    pub fn find(&self, name: &str) -> Result<(&str, &Preset), InferenceError> {
        let wanted = plain(name);
        let names = |(known, preset): &(&String, &Preset)| {
            plain(known) == wanted || preset.about.aliases.iter().any(|alias| plain(alias) == wanted)
        };
        let found = self.0.iter().find(names).map(|(known, preset)| (known.as_str(), preset));
        found.ok_or_else(|| self.unknown(name, &wanted))
    }

    /// Settings with the preset they name laid under them; without one they stay as they are.
    ///
    /// Of two objects of one name, such as `timeouts`, members are taken one by one, the explicit one first; any other
    /// value replaces that of the preset. So does `api_key`, which names one place.
    ///
    /// # Errors
    /// [`InferenceError::Config`] for a preset that is not there.
    pub fn fill(&self, settings: Value) -> Result<Value, InferenceError> {
        let Value::Object(mut given) = settings else { return Ok(settings) };
        let Some(name) = given.remove(MEMBER) else { return Ok(Value::Object(given)) };
        let Value::String(name) = name else {
            return Err(InferenceError::config(format!("{MEMBER}: must be a name, got {name}")));
        };
        let found = self.find(&name).map_err(|error| match error {
            InferenceError::Config { what } => InferenceError::config(format!("{MEMBER}: {what}")),
            error => error,
        });
        let mut filled = found?.1.settings.clone();
        for (name, value) in given {
            match (filled.get_mut(&name), value) {
                (Some(Value::Object(under)), Value::Object(over)) if name != "api_key" => under.extend(over),
                (_, value) => drop(filled.insert(name, value)),
            }
        }
        Ok(Value::Object(filled))
    }

    /// The settings of the preset called `name`, with its name as that of the provider.
    ///
    /// # Errors
    /// As for [`find`](Self::find), and for a preset whose settings are none of `C`.
    pub fn settings<C: ProviderConfig>(&self, name: &str) -> Result<C, InferenceError> {
        let (name, preset) = self.find(name)?;
        let mut settings = preset.settings.clone();
        settings.insert("name".to_owned(), name.into());
        read_settings(&format!("presets.{name}"), Value::Object(settings))
    }

    fn unknown(&self, name: &str, wanted: &str) -> InferenceError {
        if self.0.is_empty() {
            return InferenceError::config("this provider has no presets: leave it out");
        }
        let spellings = self.0.iter().flat_map(|(known, preset)| {
            std::iter::once(known).chain(&preset.about.aliases).map(move |spelling| (known, plain(spelling)))
        });
        let mut near: Vec<_> = spellings
            .map(|(known, spelling)| (strsim::osa_distance(wanted, &spelling), known.as_str()))
            .filter(|(wrong, known)| *wrong <= MAX_WRONG.min(known.len() / 2))
            .collect();
        near.sort_unstable();
        let nearest = near.first().map_or(0, |(wrong, _)| *wrong);
        near.retain(|(wrong, _)| *wrong == nearest);
        near.dedup();
        let near: Vec<_> = near.into_iter().map(|(_, known)| known).collect();
        let hint =
            if near.is_empty() { String::new() } else { format!("did you mean {}? ", near.join(" or ")) };
        let all = self.names().collect::<Vec<_>>().join(", ");
        let name: String = name.chars().filter(|char| !char.is_control()).take(40).collect();
        InferenceError::config(format!("there is no preset called {name:?}; {hint}there are {all}"))
    }
}

/// A name without what people spell differently, and no longer than a name can be.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|char| !matches!(char, '-' | '_' | '.' | ' '));
    letters.flat_map(char::to_lowercase).take(64).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn presets() -> Presets {
        let text = json!({
            "groq": {"endpoint": "http://g", "api_key": {"env": "G"}, "timeouts": {"idle": "1s", "total": "2s"}},
            "llamacpp": {"about": {"aliases": ["llama-server"]}, "endpoint": "http://l"},
            "xai": {},
        });
        Presets::parse(&text.to_string()).unwrap()
    }

    #[test]
    fn a_name_is_found_however_people_write_it() {
        for name in ["llamacpp", "llama.cpp", "Llama-CPP", "llama server", "LLAMA_SERVER"] {
            assert_eq!(presets().find(name).unwrap().0, "llamacpp", "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_one_line_with_the_nearest_and_all() {
        for (name, near) in [
            ("grok", Some("did you mean groq?")),
            ("lama.cpp", Some("did you mean llamacpp?")),
            ("llama-srver", Some("did you mean llamacpp?")),
            ("zzz", None),
            ("", None),
        ] {
            let error = presets().find(name).unwrap_err().to_string();
            assert!(error.contains(&format!("{name:?}")) && error.contains("groq, llamacpp, xai"), "{error}");
            match near {
                Some(near) => assert!(error.contains(near), "{error}"),
                None => assert!(!error.contains("did you mean"), "{error}"),
            }
            assert!(!error.contains('\n'), "{error}");
        }
        let long = "\u{1b}[2J\n".repeat(100_000);
        let error = presets().find(&long).unwrap_err().to_string();
        assert!(error.len() < 200 && !error.contains(char::is_control), "{error}");
    }

    #[test]
    fn what_is_explicit_lies_over_the_preset_member_by_member() {
        let filled = presets().fill(json!({
            "preset": "groq", "api_key": {"file": "/k"}, "timeouts": {"total": "9s"}, "retry": {"attempts": 1},
        }));
        let expect = json!({
            "endpoint": "http://g", "api_key": {"file": "/k"}, "timeouts": {"idle": "1s", "total": "9s"},
            "retry": {"attempts": 1},
        });
        assert_eq!(filled.unwrap(), expect);
        let off = presets().fill(json!({"preset": "groq", "timeouts": null, "endpoint": ""})).unwrap();
        assert_eq!((&off["timeouts"], &off["endpoint"]), (&Value::Null, &json!("")));
    }

    #[test]
    fn settings_that_name_no_preset_stay_as_they_are() {
        for settings in [json!({"endpoint": "x", "about": 1}), json!(null), json!([1])] {
            assert_eq!(presets().fill(settings.clone()).unwrap(), settings);
        }
        let error = presets().fill(json!({"preset": 5})).unwrap_err().to_string();
        assert!(error.contains("must be a name, got 5"), "{error}");
        let error = Presets::default().fill(json!({"preset": "groq"})).unwrap_err().to_string();
        assert!(error.contains("preset: this provider has no presets"), "{error}");
    }

    #[test]
    fn a_preset_that_says_something_unknown_about_itself_is_an_error() {
        assert!(Presets::parse(r#"{"a": {"about": {"titel": "A"}}}"#).is_err());
        assert!(Presets::parse("[]").unwrap_err().to_string().contains("presets cannot be read"));
    }
}
