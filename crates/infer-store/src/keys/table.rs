//! Who opens what: found by the hash of what is presented.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::hash::{KeyHash, Salt};
use super::secret::LONGEST;
use super::stored::Stored;
use super::{KeyOrigin, KeyRecord, KeyState, KeysConfig, Refusal};

/// All keys in force at one time.
#[derive(Debug, Default)]
pub(super) struct Table {
    shelves: Vec<Shelf>,
    /// By name.
    records: Vec<Arc<KeyRecord>>,
}

/// Keys whose secrets are hashed in one way.
#[derive(Debug)]
struct Shelf {
    /// What they are keyed with; plain hashes without.
    salt: Option<Salt>,
    slots: HashMap<KeyHash, Slot>,
}

#[derive(Debug)]
struct Slot {
    record: Arc<KeyRecord>,
    /// When this secret ends before its key does.
    until: Option<SystemTime>,
}

impl Table {
    /// The keys of the configuration, their secrets hashed with `salt`, and those that are stored. A stored key of the same
    /// name as one of the configuration opens nothing.
    pub(super) fn new(config: &KeysConfig, salt: Salt, stored: &Stored) -> Self {
        let mut records: HashMap<Arc<str>, Arc<KeyRecord>> = HashMap::new();
        let (mut keyed, mut plain, mut kept) = (HashMap::new(), HashMap::new(), HashMap::new());
        for key in &config.keys {
            let prefix = key.secret.as_ref().map(super::KeySecret::prefix).unwrap_or_default();
            let record = Arc::new(KeyRecord::new(key.spec(), prefix, KeyOrigin::Config));
            let slot = Slot { record: record.clone(), until: None };
            match (&key.secret, key.hash) {
                (Some(secret), _) => keyed.insert(salt.hash(secret.reveal()), slot),
                (None, Some(hash)) => plain.insert(hash, slot),
                (None, None) => continue,
            };
            records.insert(record.name.clone(), record);
        }
        for key in stored.keys.values() {
            if records.contains_key(&key.record.name) {
                tracing::warn!(
                    key = %key.record.name,
                    "a stored key has the name of one in the configuration and opens nothing"
                );
                continue;
            }
            for secret in &key.secrets {
                kept.insert(secret.hash, Slot { record: key.record.clone(), until: secret.until });
            }
            records.insert(key.record.name.clone(), key.record.clone());
        }
        let shelves = [(Some(salt), keyed), (stored.salt, kept), (None, plain)];
        let shelves = shelves.into_iter().filter(|(_, slots)| !slots.is_empty());
        let mut records: Vec<_> = records.into_values().collect();
        records.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Self { shelves: shelves.map(|(salt, slots)| Shelf { salt, slots }).collect(), records }
    }

    pub(super) fn records(&self) -> &[Arc<KeyRecord>] {
        &self.records
    }

    pub(super) fn record(&self, name: &str) -> Option<&Arc<KeyRecord>> {
        let place = self.records.binary_search_by(|record| (*record.name).cmp(name)).ok()?;
        self.records.get(place)
    }

    /// The key that `secret` opens at `now`.
    pub(super) fn authenticate(&self, secret: &str, now: SystemTime) -> Result<Arc<KeyRecord>, Refusal> {
        if secret.is_empty() || secret.len() > LONGEST {
            return Err(Refusal::Unknown);
        }
        for Shelf { salt, slots } in &self.shelves {
            let hash = salt.map_or_else(|| KeyHash::of(secret), |salt| salt.hash(secret));
            // Where a hash is looked for depends on it, but not on anything that a caller could predict without the salt.
            if let Some((known, slot)) = slots.get_key_value(&hash)
                && known.is(&hash)
            {
                return slot.open(now);
            }
        }
        Err(Refusal::Unknown)
    }
}

impl Slot {
    fn open(&self, now: SystemTime) -> Result<Arc<KeyRecord>, Refusal> {
        match self.record.state(now) {
            KeyState::Revoked => Err(Refusal::Revoked),
            KeyState::Expired => Err(Refusal::Expired),
            KeyState::Active if self.until.is_some_and(|until| now >= until) => Err(Refusal::Expired),
            KeyState::Active => Ok(self.record.clone()),
        }
    }
}
