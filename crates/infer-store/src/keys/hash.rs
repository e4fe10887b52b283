//! Hashes of secrets: all that is kept of them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq as _;

use super::KeyError;

/// The hash of a secret, as 64 hexadecimal digits where it is written. Its `Debug` is redacted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The BLAKE3 hash of `secret` alone, which is what a configuration may hold instead of the secret; `b3sum` computes
    /// the same.
    ///
    /// It is as good as the secret is long: what a person made up can be guessed from it.
    pub fn of(secret: &str) -> Self {
        Self(*blake3::hash(secret.as_bytes()).as_bytes())
    }

    /// Compares in a time that tells nothing.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// The digits.
impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Never quoted: who mistakes the field writes a secret here.
        let hash = blake3::Hash::from_hex(text.as_bytes())
            .map_err(|_| serde::de::Error::custom("must be 64 hexadecimal digits, as b3sum prints them"))?;
        Ok(Self(*hash.as_bytes()))
    }
}

/// What hashes are keyed with, so that those of two installations cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Salt(KeyHash);

impl Salt {
    /// One that nobody else has.
    pub(crate) fn generate() -> Result<Self, KeyError> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).map_err(|error| KeyError::NoRandomness { detail: error.to_string() })?;
        Ok(Self(KeyHash(bytes)))
    }

    /// The keyed hash of `secret`.
    pub(crate) fn hash(&self, secret: &str) -> KeyHash {
        KeyHash(*blake3::keyed_hash(&self.0.0, secret.as_bytes()).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_survives_its_digits_and_a_wrong_one_is_not_quoted() {
        let hash = KeyHash::of("ik-secret");
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<KeyHash>(&json).unwrap(), hash);
        assert_eq!(json, format!("\"{}\"", blake3::hash(b"ik-secret")));
        let line = serde_json::from_str::<KeyHash>("\"ik-secret\"").unwrap_err().to_string();
        assert!(line.contains("64 hexadecimal digits") && !line.contains("ik-secret"), "{line}");
        assert_eq!(format!("{hash:?}"), "KeyHash(..)");
    }

    #[test]
    fn two_installations_hash_one_secret_differently() {
        let (one, other) = (Salt::generate().unwrap(), Salt::generate().unwrap());
        assert_ne!(one.hash("ik-secret"), other.hash("ik-secret"));
        assert!(one.hash("ik-secret").is(&one.hash("ik-secret")));
        assert_ne!(one.hash("ik-secret"), KeyHash::of("ik-secret"));
    }
}
