//! The secrets of keys: made, held and never shown.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::KeyError;

/// What every secret that is made here begins with.
const MARK: &str = "ik-";

/// Letters after the mark: 43 of 62 hold 256 bits.
const LETTERS: usize = 43;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Shorter secrets can be guessed; in bytes.
pub(crate) const SHORTEST: usize = 16;

/// Longer secrets are unknown unread; in bytes.
pub(crate) const LONGEST: usize = 256;

/// The secret of a key. It has no `Display` and no `Serialize`, its `Debug` is redacted, and its memory is wiped when the
/// last copy goes.
#[derive(Clone)]
pub struct KeySecret(Arc<Zeroizing<String>>);

impl KeySecret {
    /// Takes `text` as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    /// A secret of 256 bits from the system's random numbers: `ik-` and 43 letters and digits.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`] when the system gives none.
    pub fn generate() -> Result<Self, KeyError> {
        let mut text = Zeroizing::new(String::with_capacity(MARK.len() + LETTERS));
        text.push_str(MARK);
        while text.len() < MARK.len() + LETTERS {
            let mut dice = Zeroizing::new([0_u8; 64]);
            getrandom::fill(dice.as_mut_slice())
                .map_err(|error| KeyError::NoRandomness { detail: error.to_string() })?;
            let wanted = MARK.len() + LETTERS - text.len();
            // Above the last multiple of 62 some letters would be likelier than others.
            let letters = dice.iter().filter(|byte| **byte < 248);
            let letters = letters.filter_map(|byte| ALPHABET.get(usize::from(byte % 62)));
            text.extend(letters.take(wanted).map(|letter| char::from(*letter)));
        }
        Ok(Self(Arc::new(text)))
    }

    /// The secret itself, to be handed to whoever will use it. Never log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// As much as may be shown to tell keys apart: at most a sixth of the secret.
    pub(crate) fn prefix(&self) -> String {
        let shown = if self.0.len() >= 40 { MARK.len() + 4 } else { 2 };
        self.0.chars().take(shown).filter(|char| !char.is_control()).collect()
    }
}

/// Takes as long for secrets that are nearly equal as for others of the same length.
impl PartialEq for KeySecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for KeySecret {}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecret(..)")
    }
}

impl<'de> Deserialize<'de> for KeySecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_secret_is_new_and_uses_the_whole_alphabet() {
        let secrets: HashSet<String> =
            (0..1_000).map(|_| KeySecret::generate().unwrap().reveal().to_owned()).collect();
        assert_eq!(secrets.len(), 1_000);
        let mut letters: HashSet<char> = HashSet::new();
        for secret in &secrets {
            assert_eq!(secret.len(), 46);
            letters.extend(secret.strip_prefix("ik-").unwrap().chars());
        }
        assert_eq!(letters.len(), 62);
    }

    #[test]
    fn no_more_than_a_glimpse_of_a_secret_is_shown() {
        let secret = KeySecret::generate().unwrap();
        assert_eq!(secret.prefix(), secret.reveal()[..7]);
        assert_eq!(KeySecret::new("0123456789abcdef").prefix(), "01");
        let debug = format!("{secret:?}");
        assert_eq!(debug, "KeySecret(..)");
    }
}
