//! How many retries a runner may afford, over all its calls.
//!
//! When an upstream fails for everybody, retries only make it worse. A retry costs tokens, a success brings some back;
//! with none left, calls fail with the error they have.

use serde::{Deserialize, Serialize};

/// The retry budget of a runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetConfig {
    /// Tokens at the start and at the most. 500; 0 forbids retries.
    pub capacity: u32,
    /// What a retry after throttling costs. 5.
    pub throttle_cost: u32,
    /// What any other retry costs. 14.
    pub cost: u32,
    /// What a call that succeeds at once brings back. A retry that succeeds brings back what it cost. 1.
    pub success: u32,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { capacity: 500, throttle_cost: 5, cost: 14, success: 1 }
    }
}

/// What is left of a budget.
#[derive(Debug)]
pub struct Budget {
    config: BudgetConfig,
    left: u32,
}

impl Budget {
    /// A full budget.
    pub fn new(config: BudgetConfig) -> Self {
        let left = config.capacity;
        Self { config, left }
    }

    /// Pays for a retry and says what it cost, or `None` when too little is left.
    pub fn pay(&mut self, throttled: bool) -> Option<u32> {
        let cost = if throttled { self.config.throttle_cost } else { self.config.cost };
        self.left = self.left.checked_sub(cost)?;
        Some(cost)
    }

    /// A call succeeded; `paid` is what its last retry cost, 0 without one.
    pub fn deposit(&mut self, paid: u32) {
        let gain = paid.max(self.config.success);
        self.left = self.left.saturating_add(gain).min(self.config.capacity);
    }

    /// What is left.
    pub fn left(&self) -> u32 {
        self.left
    }
}
