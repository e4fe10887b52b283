//! The keys that are stored, and how they change. What does I/O is elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::hash::{KeyHash, Salt};
use super::{KeyError, KeyOrigin, KeyRecord, KeySecret, KeySpec, KeyState, time};
use crate::clock::{micros, moment};

/// Secrets of one key that are in their time of grace.
const MOST_OLD_SECRETS: usize = 16;

/// All that is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stored {
    /// What the hashes are keyed with; made with the first key.
    pub(crate) salt: Option<Salt>,
    pub(crate) keys: BTreeMap<Arc<str>, StoredKey>,
}

/// A key with the hashes of its secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredKey {
    pub(crate) record: Arc<KeyRecord>,
    /// The present one first.
    pub(crate) secrets: Vec<StoredSecret>,
}

/// What is kept of a secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredSecret {
    pub(crate) hash: KeyHash,
    /// When it ends, if that is before its key does.
    #[serde(default, with = "time::maybe", skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<SystemTime>,
}

/// A change that can be made again on what somebody else has changed meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    pub(crate) change: Change,
    pub(crate) now: SystemTime,
    /// For the first key.
    pub(crate) salt: Salt,
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Create { spec: KeySpec, secret: KeySecret },
    Revoke { name: String },
    Rotate { name: String, secret: KeySecret, grace: Duration },
}

impl Stored {
    /// Makes the change, or none, and returns the key as it is then.
    pub(crate) fn apply(&mut self, edit: &Edit) -> Result<Arc<KeyRecord>, KeyError> {
        // Files have microseconds: what is in force must be what is read back.
        let now = whole(edit.now);
        let salt = self.salt.unwrap_or(edit.salt);
        let key = match &edit.change {
            Change::Create { spec, secret } => {
                spec.validate()?;
                if self.keys.contains_key(spec.name.as_str()) {
                    return Err(KeyError::Taken { name: spec.name.clone() });
                }
                let mut record = KeyRecord::new(spec.clone(), secret.prefix(), KeyOrigin::Stored);
                record.created = Some(now);
                record.expires = record.expires.map(whole);
                let secrets = vec![StoredSecret { hash: salt.hash(secret.reveal()), until: None }];
                StoredKey { record: Arc::new(record), secrets }
            }
            Change::Revoke { name } => {
                let mut key = self.key(name)?.clone();
                let record = Arc::make_mut(&mut key.record);
                record.revoked = record.revoked.or(Some(now));
                key
            }
            Change::Rotate { name, secret, grace } => {
                self.key(name)?.rotated(salt.hash(secret.reveal()), secret.prefix(), now, *grace)?
            }
        };
        let record = key.record.clone();
        self.salt = Some(salt);
        self.keys.insert(record.name.clone(), key);
        Ok(record)
    }

    fn key(&self, name: &str) -> Result<&StoredKey, KeyError> {
        self.keys.get(name).ok_or_else(|| no_such_key(name, self.keys.keys().map(|name| &**name)))
    }

    /// What is wrong with keys that were read; hands may have written them.
    pub(crate) fn fault(&self) -> Option<String> {
        let mut hashes = std::collections::HashSet::new();
        if self.salt.is_none() && !self.keys.is_empty() {
            return Some("there are keys and no salt".to_owned());
        }
        self.keys.values().find_map(|key| {
            let mut faults = Vec::new();
            key.record.faults(&mut faults);
            if !key.secrets.iter().all(|secret| hashes.insert(secret.hash)) {
                faults.push("one hash stands twice".to_owned());
            }
            (!faults.is_empty()).then(|| format!("key {:?}: {}", key.record.name, faults.join("; ")))
        })
    }
}

impl StoredKey {
    /// The same key with another secret; no older one outlives `now` by more than `grace`.
    fn rotated(
        &self,
        hash: KeyHash,
        prefix: String,
        now: SystemTime,
        grace: Duration,
    ) -> Result<Self, KeyError> {
        let name = || self.record.name.to_string();
        match self.record.state(now) {
            KeyState::Active => {}
            KeyState::Revoked => return Err(KeyError::IsRevoked { name: name() }),
            KeyState::Expired => {
                let what = format!("key {:?} has expired: create another", self.record.name);
                return Err(KeyError::Invalid { what });
            }
        }
        let end = now.checked_add(grace).map_or_else(|| moment(u64::MAX), whole);
        let ends = self.secrets.iter().map(|old| StoredSecret {
            hash: old.hash,
            until: Some(old.until.map_or(end, |until| until.min(end))),
        });
        let old: Vec<_> = ends.filter(|old| old.until.is_some_and(|until| until > now)).collect();
        if old.len() > MOST_OLD_SECRETS {
            let what = format!(
                "key {:?} has {MOST_OLD_SECRETS} older secrets that still open it: end them with a grace of 0s",
                self.record.name
            );
            return Err(KeyError::Invalid { what });
        }
        let mut record = KeyRecord::clone(&self.record);
        (record.prefix, record.rotated) = (prefix, Some(now));
        let secrets = [StoredSecret { hash, until: None }].into_iter().chain(old).collect();
        Ok(Self { record: Arc::new(record), secrets })
    }
}

/// To the microsecond, as it is written.
fn whole(at: SystemTime) -> SystemTime {
    moment(micros(at))
}

/// The error that names the most similar key.
pub(super) fn no_such_key<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> KeyError {
    let given: String = name.chars().take(64).collect();
    let near = known
        .map(|known| (strsim::damerau_levenshtein(&given, known), known))
        .filter(|(distance, known)| *distance <= 1 + given.len().max(known.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known.to_owned());
    KeyError::NoSuchKey { name: given, near }
}
