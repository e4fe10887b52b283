//! What stands where limits of keys are shared with nobody: this process counts alone.

use std::time::Duration;

use inference::Inference;
use inference::remote::limit::RateLimitConfig;

use crate::denial::Denial;

/// Where limits are shared: nowhere.
#[derive(Debug)]
pub(crate) struct Place;

#[expect(clippy::unused_self, reason = "as where limits are shared")]
impl Place {
    pub(crate) fn new(_: Inference) -> Self {
        Self
    }

    pub(crate) fn limit(&self, _: &str, _: &RateLimitConfig) -> Option<SharedLimit> {
        None
    }

    pub(crate) fn is_of(&self, _: Option<&SharedLimit>) -> bool {
        true
    }
}

/// A limit over all replicas.
#[derive(Clone, Debug)]
pub(crate) enum SharedLimit {}

impl SharedLimit {
    #[expect(clippy::unused_async, reason = "as where limits are shared")]
    pub(crate) async fn take(&self, _: u64, _: Duration) -> Result<Turn, Denial> {
        match *self {}
    }
}

/// What a call took.
#[derive(Debug)]
pub(crate) enum Turn {}

impl Turn {
    pub(crate) fn settle(self, _: u64) {
        match self {}
    }
}
