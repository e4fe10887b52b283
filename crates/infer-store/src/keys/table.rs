//! Who opens what: found by the hash of what is presented.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::SystemTime;

use super::hash::{KeyHash, Salt};
use super::secret::LONGEST;
use super::stored::Stored;
use super::{KeyOrigin, KeyRecord, KeysConfig, Refusal};

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
    slots: Slots,
}

type Slots = HashMap<KeyHash, Slot, BuildHasherDefault<FirstBytes>>;

/// What a secret opens, and whether it does, without a look at the record, which is far away in memory.
#[derive(Debug)]
struct Slot {
    record: Arc<KeyRecord>,
    is_revoked: bool,
    /// When its key ends, or this secret before it.
    until: Option<SystemTime>,
}

/// Hashes are spread already: eight bytes of one tell the place.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    // The length comes first, the bytes themselves last.
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }
}

impl Table {
    /// The keys of the configuration, their secrets hashed with `salt`, and those that are stored. A stored key of the same
    /// name as one of the configuration opens nothing.
    pub(super) fn new(config: &KeysConfig, salt: Salt, stored: &Stored) -> Self {
        let mut records: HashMap<Arc<str>, Arc<KeyRecord>> = HashMap::new();
        let (mut keyed, mut plain, mut kept) = (Slots::default(), Slots::default(), Slots::default());
        for key in &config.keys {
            let prefix = key.secret.as_ref().map(super::KeySecret::prefix).unwrap_or_default();
            let record = Arc::new(KeyRecord::new(key.spec(), prefix, KeyOrigin::Config));
            let slot = Slot::new(&record, None);
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
                kept.insert(secret.hash, Slot::new(&key.record, secret.until));
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
    fn new(record: &Arc<KeyRecord>, until: Option<SystemTime>) -> Self {
        let until = [record.expires, until].into_iter().flatten().min();
        Self { record: record.clone(), is_revoked: record.revoked.is_some(), until }
    }

    fn open(&self, now: SystemTime) -> Result<Arc<KeyRecord>, Refusal> {
        if self.is_revoked {
            Err(Refusal::Revoked)
        } else if self.until.is_some_and(|until| now >= until) {
            Err(Refusal::Expired)
        } else {
            Ok(self.record.clone())
        }
    }
}
