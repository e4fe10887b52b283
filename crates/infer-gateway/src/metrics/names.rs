//! Which names may become labels. Whoever calls the gateway chooses model names, and each label costs memory for ever, here
//! and in every database that scrapes it, so only names with a reason get one, and never more than a fixed number.

use std::collections::HashSet;

use arc_swap::ArcSwap;
use inference::remote::meter::{Cost, Outcome, RunRecord};

/// The label of everything without one of its own.
pub(super) const OTHER: &str = "other";
/// Pairs of provider and model with series of their own.
pub(super) const MAX_MODELS: usize = 200;
/// Providers with series of their own.
pub(super) const MAX_PROVIDERS: usize = 100;
/// Keys with series of their own.
pub(super) const MAX_KEYS: usize = 200;
/// A longer name is no model's.
const MAX_BYTES: usize = 128;

/// The models that the configuration names.
#[derive(Debug, Default)]
pub(super) struct Configured(ArcSwap<HashSet<String>>);

impl Configured {
    /// Puts other names in the place of those before. Series that there are stay.
    pub(super) fn replace(&self, models: impl Iterator<Item = String>) {
        let models: HashSet<String> =
            models.filter(|model| !model.is_empty() && !model.contains('*')).collect();
        if **self.0.load() != models {
            self.0.store(models.into());
        }
    }

    /// The name that the model of `record` may be counted under, if any.
    ///
    /// A name of the configuration; else the name by which an upstream itself says that it answered, unless it may only
    /// have repeated what it was told: then a price must prove that there is such a model.
    pub(super) fn model<'a>(&self, record: &'a RunRecord) -> Option<&'a str> {
        let asked = record.subject.model.as_str();
        if self.0.load().contains(asked) {
            return Some(asked);
        }
        let served = record.served.model.as_deref()?;
        let is_whole =
            record.outcome == Outcome::Completed && !served.is_empty() && served.len() <= MAX_BYTES;
        let is_real = served != asked && !served.contains(asked) || matches!(record.cost, Cost::Known(_));
        (is_whole && is_real).then_some(served)
    }
}
