//! Names for calls.

use std::collections::hash_map::RandomState;
use std::fmt::{self, Write as _};
use std::hash::{BuildHasher, Hasher};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::InferenceError;

/// Our name for one call, the same over all its attempts: 1 to 128 letters, digits, `-`, `_` and `.`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A name that no other call of any process is likely to have.
    pub fn generate() -> Self {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let process = PROCESS.get_or_init(|| RandomState::new().build_hasher().finish());
        let mut name = String::with_capacity(LONGEST_OWN);
        // Writing to a string cannot fail.
        _ = write!(name, "req-{process:016x}-{:x}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self(name.into())
    }

    /// The name of one of several requests that a call was split into, from 1.
    #[must_use]
    pub fn part(&self, number: usize) -> Self {
        self.with_end(&format!(".{number}"))
    }

    /// The name of a copy of the call that is sent to a second target and whose answer nobody reads.
    ///
    /// Whoever adds up costs can tell such copies by [`RequestId::is_shadow`].
    #[must_use]
    pub fn shadow(&self) -> Self {
        self.with_end(SHADOW)
    }

    /// Whether it names a copy made by [`RequestId::shadow`], or a part of one.
    pub fn is_shadow(&self) -> bool {
        let whole = self.0.trim_end_matches(|end: char| end.is_ascii_digit());
        [whole.strip_suffix('.').unwrap_or(whole), &self.0].iter().any(|name| name.ends_with(SHADOW))
    }

    fn with_end(&self, end: &str) -> Self {
        let kept = self.0.get(..128 - end.len()).filter(|_| self.0.len() + end.len() > 128);
        Self(format!("{}{end}", kept.unwrap_or(&self.0)).into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The length of a name made here, at most.
const LONGEST_OWN: usize = "req--".len() + 16 + 16;
/// The end of the name of a copy.
const SHADOW: &str = ".shadow";

impl FromStr for RequestId {
    type Err = InferenceError;

    fn from_str(text: &str) -> Result<Self, InferenceError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.is_empty() || text.len() > 128 || !text.bytes().all(fits) {
            return Err(InferenceError::invalid_request(
                "request id: must be 1 to 128 letters, digits, '-', '_' or '.'",
            ));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_a_name_of_its_own_that_reads_back() {
        let (a, b) = (RequestId::generate(), RequestId::generate());
        assert_ne!(a, b);
        assert_eq!(a.as_str().parse::<RequestId>().unwrap(), a);
        let long: RequestId = "x".repeat(128).parse().unwrap();
        for part in [a.part(1), long.part(2), long.part(10)] {
            assert_eq!(part.as_str().parse::<RequestId>().unwrap(), part);
        }
    }

    #[test]
    fn a_copy_is_known_by_its_name_also_in_parts() {
        let id = RequestId::generate();
        assert!(!id.is_shadow() && !id.part(3).is_shadow());
        assert!(id.shadow().is_shadow() && id.shadow().part(12).is_shadow());
        assert_eq!(id.shadow().as_str(), format!("{id}.shadow"));
        let long: RequestId = "x".repeat(128).parse().unwrap();
        assert_eq!((long.shadow().as_str().len(), long.shadow().is_shadow()), (128, true));
    }

    #[test]
    fn a_request_id_that_could_break_a_header_is_refused() {
        for bad in ["", "a b", "a\r\nx: y", "é", &"x".repeat(129)] {
            assert!(bad.parse::<RequestId>().is_err(), "{bad:?}");
        }
    }
}
