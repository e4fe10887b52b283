//! What has been added up, as plain data.

use std::collections::BTreeMap;
use std::sync::Arc;

use infer_core::{Usage, Usd};
use serde::Serialize;
use serde::ser::Serializer;

use super::histogram::Histogram;
use super::record::{Cost, Outcome, RunRecord, Scope};

/// The state of some or all series at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// Grows with every record.
    pub revision: u64,
    /// By provider and model, in their order.
    pub series: Vec<SeriesSnapshot>,
}

impl MetricsSnapshot {
    /// What all of it cost.
    pub fn spend(&self) -> Usd {
        self.series.iter().map(|series| series.stats.spend).sum()
    }

    /// One provider and model.
    pub fn get(&self, provider: &str, model: &str) -> Option<&Stats> {
        let series =
            self.series.iter().find(|series| &*series.provider == provider && &*series.model == model);
        series.map(|series| &series.stats)
    }
}

/// One provider and model.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SeriesSnapshot {
    /// The provider's name in this process.
    #[serde(serialize_with = "text")]
    pub provider: Arc<str>,
    /// The model asked for. The one that served is in the records: errors have none, and would stand apart.
    #[serde(serialize_with = "text")]
    pub model: Arc<str>,
    /// What happened.
    #[serde(flatten)]
    pub stats: Stats,
}

/// What happened since the process began. Counts never fall.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Calls that are over.
    pub calls: Outcomes,
    /// Attempts that are over.
    pub attempts: Outcomes,
    /// Tokens of calls that are over.
    pub tokens: Tokens,
    /// What those calls cost, as far as it is known. Serialises as dollars in decimal text, exactly.
    #[serde(rename = "spend_usd", serialize_with = "dollars")]
    pub spend: Usd,
    /// Calls some of whose tokens were estimated.
    pub estimated_calls: u64,
    /// Calls of which no part of the cost is known, by reason.
    pub unpriced_calls: BTreeMap<&'static str, u64>,
    /// Attempts that used tokens and are not in `spend`.
    pub unpriced_attempts: u64,
    /// From the call to the first content, of every call that had some.
    #[serde(rename = "first_content_seconds")]
    pub first_content: Histogram,
    /// From the call to its end, of completed calls.
    #[serde(rename = "total_seconds")]
    pub total: Histogram,
}

impl Stats {
    /// Adds one record. Money, tokens and times are taken from calls alone, so that nothing is counted twice.
    pub(super) fn add(&mut self, record: &RunRecord) {
        match record.scope {
            Scope::Attempt { .. } => {
                self.attempts.add(record.outcome);
                return;
            }
            Scope::Call => self.calls.add(record.outcome),
        }
        if let Some(usage) = &record.usage {
            self.tokens.add(usage);
        }
        match record.cost {
            Cost::Known(cost) => self.spend = self.spend.saturating_add(cost.total()),
            Cost::Unpriced(reason) => *self.unpriced_calls.entry(reason.name()).or_default() += 1,
        }
        self.estimated_calls += u64::from(record.estimated);
        self.unpriced_attempts += u64::from(record.unpriced_attempts);
        if let Some(first) = record.timing.first_content {
            self.first_content.add(first);
        }
        if record.outcome == Outcome::Completed {
            self.total.add(record.timing.total);
        }
    }
}

/// How runs ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Outcomes {
    /// All of them.
    pub total: u64,
    /// With a whole answer.
    pub completed: u64,
    /// Left, or lost a race.
    pub cancelled: u64,
    /// With an error, by its kind.
    pub failed: BTreeMap<&'static str, u64>,
    /// With an error and another attempt after it, by kind; none of calls.
    pub retried: BTreeMap<&'static str, u64>,
}

impl Outcomes {
    fn add(&mut self, outcome: Outcome) {
        self.total += 1;
        match outcome {
            Outcome::Completed => self.completed += 1,
            Outcome::Cancelled => self.cancelled += 1,
            Outcome::Failed(kind) => *self.failed.entry(kind.name()).or_default() += 1,
            Outcome::Retried(kind) => *self.retried.entry(kind.name()).or_default() += 1,
        }
    }
}

/// Tokens by kind. The details are parts of `input` or `output`; `uncounted_output` alone stands beside them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tokens {
    /// Read.
    pub input: u64,
    /// Written.
    pub output: u64,
    /// Read from a prompt cache.
    pub cached_input: u64,
    /// Written to a prompt cache.
    pub cache_write: u64,
    /// Hidden reasoning.
    pub reasoning: u64,
    /// Billed as output and left out of it.
    pub uncounted_output: u64,
    /// Sound read.
    pub input_audio: u64,
    /// Sound written.
    pub output_audio: u64,
    /// Predicted and used.
    pub accepted_prediction: u64,
    /// Predicted and not used.
    pub rejected_prediction: u64,
}

impl Tokens {
    /// Adds the tokens of one call; counts stop at their maximum.
    pub fn add(&mut self, usage: &Usage) {
        let sums = [
            (&mut self.input, usage.input_tokens),
            (&mut self.output, usage.output_tokens),
            (&mut self.cached_input, usage.cached_input_tokens),
            (&mut self.cache_write, usage.cache_write_tokens),
            (&mut self.reasoning, usage.reasoning_tokens),
            (&mut self.uncounted_output, usage.uncounted_output_tokens),
            (&mut self.input_audio, usage.input_audio_tokens),
            (&mut self.output_audio, usage.output_audio_tokens),
            (&mut self.accepted_prediction, usage.accepted_prediction_tokens),
            (&mut self.rejected_prediction, usage.rejected_prediction_tokens),
        ];
        for (sum, tokens) in sums {
            *sum = sum.saturating_add(tokens);
        }
    }
}

fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// `"0.0000015"`: a number would lose digits in most readers.
fn dollars<S: Serializer>(amount: &Usd, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(amount.to_string().trim_start_matches('$'))
}
