//! Names for calls.

use std::collections::hash_map::RandomState;
use std::fmt;
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
        Self(format!("req-{process:016x}-{:x}", NEXT.fetch_add(1, Ordering::Relaxed)).into())
    }

    /// The name of one of several requests that a call was split into, from 1.
    #[must_use]
    pub fn part(&self, number: usize) -> Self {
        let end = format!(".{number}");
        let kept = self.0.get(..128 - end.len()).unwrap_or(&self.0);
        Self(format!("{kept}{end}").into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

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
    fn a_request_id_that_could_break_a_header_is_refused() {
        for bad in ["", "a b", "a\r\nx: y", "é", &"x".repeat(129)] {
            assert!(bad.parse::<RequestId>().is_err(), "{bad:?}");
        }
    }
}
