//! How often a stranger may try keys for `/admin`: a few times at once, then slowly.
//!
//! Counted by address, so that nobody locks the operator out from elsewhere. Behind a proxy all callers have its address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Failures at once.
const BURST: f64 = 10.0;

/// The time after which one more may fail.
const EACH: Duration = Duration::from_secs(3);

/// Addresses that are told apart; more share one place.
const MOST: usize = 1024;

/// Failed attempts of late.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<HashMap<IpAddr, Bucket>>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn now(self, now: Instant) -> f64 {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() / EACH.as_secs_f64();
        (self.left + gained).min(BURST)
    }
}

impl Attempts {
    /// Whether `from` may try, or how long to wait.
    ///
    /// # Errors
    /// The wait.
    pub(crate) fn may_try(&self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = known.get(&place(&known, from)).map_or(BURST, |bucket| bucket.now(now));
        if left >= 1.0 { Ok(()) } else { Err(EACH.mul_f64(1.0 - left)) }
    }

    /// Notes that `from` tried a wrong key.
    pub(crate) fn failed(&self, from: IpAddr, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, bucket| bucket.now(now) < BURST);
        }
        let place = place(&known, from);
        let bucket = known.entry(place).or_insert(Bucket { left: BURST, at: now });
        *bucket = Bucket { left: (bucket.now(now) - 1.0).max(0.0), at: now };
    }
}

/// Where `from` is counted: a network of IPv6 belongs to one customer.
fn place(known: &HashMap<IpAddr, Bucket>, from: IpAddr) -> IpAddr {
    let network = match from.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    };
    let has_room = known.len() < MOST || known.contains_key(&network);
    if has_room { network } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + number).to_be_bytes())
    }

    #[test]
    fn after_ten_failures_one_more_may_fail_every_three_seconds_and_others_are_not_touched() {
        let (attempts, begun) = (Attempts::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(attempts.may_try(address(1), begun), Ok(()));
            attempts.failed(address(1), begun);
        }
        assert_eq!(attempts.may_try(address(1), begun), Err(EACH));
        assert_eq!(attempts.may_try(address(2), begun), Ok(()));
        let later = begun + EACH;
        assert_eq!(attempts.may_try(address(1), later), Ok(()));
        attempts.failed(address(1), later);
        assert!(attempts.may_try(address(1), later).is_err());
    }

    #[test]
    fn addresses_without_end_take_no_memory_and_a_network_counts_as_one() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..5_000 {
            attempts.failed(address(number), now);
        }
        assert!(attempts.0.lock().unwrap().len() <= MOST + 1);
        assert!(attempts.may_try(address(4_999), now).is_err(), "those without room share one place");
        assert_eq!(attempts.may_try(address(3), now), Ok(()));

        let attempts = Attempts::default();
        for number in 1..=10_u16 {
            attempts.failed(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, number).into(), now);
        }
        assert!(attempts.may_try(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 9, 9, 9, 9).into(), now).is_err());
    }
}
