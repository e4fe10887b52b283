//! Keys that stand in the configuration.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use serde::Deserialize;

use super::secret::{LONGEST, SHORTEST};
use super::{KeyBudget, KeyHash, KeyLimits, KeySecret, KeySpec, time};
use crate::StoreError;

/// The keys of a configuration: a list under `keys`.
///
/// ```
/// let config: infer_store::KeysConfig = serde_json::from_str(
///     r#"[{"name": "team-a", "secret": "0123456789abcdef", "routes": ["gpt-4o*"], "budget": [{"usd": 5, "every": "day"}]}]"#,
/// )?;
/// config.validate()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct KeysConfig {
    /// The keys.
    pub keys: Vec<StaticKey>,
}

/// A key of the configuration: what [`KeySpec`] says, with a secret or its hash.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticKey {
    /// What its calls are counted under: letters, digits and `-_.@/+`, at most 64.
    pub name: String,
    /// Its secret, 16 to 256 bytes; either this or `hash`.
    #[serde(default)]
    pub secret: Option<KeySecret>,
    /// The BLAKE3 hash of its secret, 64 hexadecimal digits; either this or `secret`.
    #[serde(default)]
    pub hash: Option<KeyHash>,
    /// From when on it opens nothing; a day such as `2027-01-01`, or a moment such as `2027-01-01T12:00:00Z`.
    #[serde(default, with = "time::maybe")]
    pub expires: Option<SystemTime>,
    /// The models and routes it may use, `*` for any text; all when empty.
    #[serde(default)]
    pub routes: Vec<String>,
    /// How much at a time.
    #[serde(default)]
    pub limits: KeyLimits,
    /// How much in all; a call must fit every one.
    #[serde(default)]
    pub budget: Vec<KeyBudget>,
    /// What its calls are marked with.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whatever its owner wants to remember of it.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Whether it may administer the gateway.
    #[serde(default)]
    pub admin: bool,
}

impl KeysConfig {
    /// Checks every value and reports all faults at once, without quoting secrets.
    ///
    /// # Errors
    /// [`StoreError::Config`].
    pub fn validate(&self) -> Result<(), StoreError> {
        let mut faults = Vec::new();
        let (mut names, mut secrets) = (HashMap::new(), HashMap::new());
        for (place, key) in self.keys.iter().enumerate() {
            let at = format!("keys[{place}].");
            if names.insert(key.name.as_str(), place).is_some() {
                faults.push(format!("{at}name: {:?} is taken: give every key its own", key.name));
            }
            if let Some(hash) = key.plain_hash()
                && let Some(other) = secrets.insert(hash, place)
            {
                faults.push(format!("{at}secret: is that of keys[{other}]: give every key its own"));
            }
            key.faults(&at, &mut faults);
        }
        StoreError::faults(&faults)
    }
}

impl StaticKey {
    fn faults(&self, at: &str, faults: &mut Vec<String>) {
        self.spec().faults(at, faults);
        match (&self.secret, &self.hash) {
            (Some(secret), None) => {
                let (text, bytes) = (secret.reveal(), secret.reveal().len());
                if !(SHORTEST..=LONGEST).contains(&bytes) {
                    faults.push(format!("{at}secret: must be {SHORTEST} to {LONGEST} bytes, got {bytes}"));
                } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                    faults.push(format!(
                        "{at}secret: must be ASCII without white space, since it travels in a header"
                    ));
                }
            }
            (None, Some(_)) => {}
            _ => faults.push(format!("{at}secret: needs either secret or hash")),
        }
    }

    /// What it is beside its secret.
    pub(super) fn spec(&self) -> KeySpec {
        KeySpec {
            name: self.name.clone(),
            expires: self.expires,
            routes: self.routes.clone(),
            limits: self.limits,
            budget: self.budget.clone(),
            tags: self.tags.clone(),
            metadata: self.metadata.clone(),
            admin: self.admin,
        }
    }

    /// The hash of its secret alone.
    pub(super) fn plain_hash(&self) -> Option<KeyHash> {
        self.hash.or_else(|| self.secret.as_ref().map(|secret| KeyHash::of(secret.reveal())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_reported_at_once_by_place_and_no_secret_is_quoted() {
        let config: KeysConfig = serde_json::from_str(
            r#"[
                {"name": "a", "secret": "hunter2"},
                {"name": "a", "secret": "0123456789abcdef", "hash": "0000000000000000000000000000000000000000000000000000000000000000"},
                {"name": "b", "secret": "fedcba9876543210"},
                {"name": "b c", "secret": "fedcba9876543210", "limits": {"concurrency": 0}, "routes": [" "]},
                {"name": "d", "budget": [{"every": "day"}, {"usd": -1, "every": "day"}], "tags": ["a\nb"]},
                {"name": "e", "secret": "hunter2 hunter2 hunter2"}
            ]"#,
        )
        .unwrap();
        let line = config.validate().unwrap_err().to_string();
        for words in [
            "keys[0].secret: must be 16 to 256 bytes, got 7",
            "keys[1].name: \"a\" is taken",
            "keys[1].secret: needs either secret or hash",
            "keys[3].secret: is that of keys[2]",
            "keys[3].name: must be 1 to 64 letters",
            "keys[3].limits.concurrency: must be above 0",
            "keys[3].routes[0]: must name",
            "keys[4].secret: needs either",
            "keys[4].budget[0]: needs either usd or tokens",
            "keys[4].budget[1]: usd must be above 0",
            "keys[4].tags[0]: must be",
            "keys[5].secret: must be ASCII",
        ] {
            assert!(line.contains(words), "{words} is not in {line}");
        }
        assert!(!line.contains("hunter2") && !line.contains("fedcba"), "{line}");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_key_that_is_spelled_wrong_is_refused() {
        assert!(serde_json::from_str::<KeysConfig>(r#"[{"name": "a", "route": ["x"]}]"#).is_err());
        let until: KeysConfig =
            serde_json::from_str(r#"[{"name": "a", "secret": "0123456789abcdef", "expires": "2027-01-01"}]"#)
                .unwrap();
        assert!(until.validate().is_ok() && until.keys[0].expires.is_some());
    }
}
