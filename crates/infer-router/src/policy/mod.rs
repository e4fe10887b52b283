//! How one target is chosen among several that could all take the call.
//!
//! Each policy is a pure function or a machine: time and dice are arguments.

pub(crate) mod cheapest;
pub(crate) mod latency;
pub(crate) mod least;
pub(crate) mod smooth;
pub(crate) mod sticky;

/// Dice for one choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rolls(pub(crate) u64, pub(crate) u64);

/// The place `roll` falls on among `places`; 0 when there are none.
pub(crate) fn place(roll: u64, places: usize) -> usize {
    // The high half of the product: even to within 2^-64 times the number of places.
    let product = u128::from(roll) * places as u128;
    usize::try_from(product >> 64).unwrap_or_default()
}
