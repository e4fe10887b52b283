//! Records of calls as OpenTelemetry's metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use infer_core::ErrorKind;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use opentelemetry::{KeyValue, Value};
use remote_core::meter::{Cost, MetricsSink, OTHER, Outcome, RunRecord, Scope, genai};

/// How many pairs of provider and model have series of their own; the rest are counted as [`OTHER`].
const MAX_MODELS: usize = 200;

/// A longer name is no model's.
const MAX_LABEL_BYTES: usize = 256;

const TIME_TO_FIRST_CHUNK: &str = "gen_ai.client.operation.time_to_first_chunk";
const TOKEN_TYPE: &str = "gen_ai.token.type";
const SPEND: &str = "infer.client.cost";
const UNPRICED: &str = "infer.client.unpriced_calls";

/// The conventions' own bounds (their repository, read 2026-11-21).
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
const SECONDS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// Writes calls down as metrics. Attempts are parts of calls and are left out, so that nothing is counted twice.
pub(super) struct OtelSink {
    tokens: Histogram<u64>,
    duration: Histogram<f64>,
    first_chunk: Histogram<f64>,
    spend: Counter<f64>,
    unpriced: Counter<u64>,
    models: Mutex<Models>,
}

impl OtelSink {
    pub(super) fn new(meter: &Meter) -> Self {
        let seconds = |name, what| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(what);
            histogram.with_boundaries(SECONDS.to_vec()).build()
        };
        Self {
            tokens: meter
                .u64_histogram(genai::METRIC_TOKEN_USAGE)
                .with_unit("{token}")
                .with_description("Tokens read and written by a call.")
                .with_boundaries(TOKENS.to_vec())
                .build(),
            duration: seconds(genai::METRIC_OPERATION_DURATION, "A call from its beginning to its end."),
            first_chunk: seconds(
                TIME_TO_FIRST_CHUNK,
                "A streamed call from its beginning to its first content.",
            ),
            spend: meter
                .f64_counter(SPEND)
                .with_unit("{USD}")
                .with_description("What calls cost, as far as it is known.")
                .build(),
            unpriced: meter
                .u64_counter(UNPRICED)
                .with_unit("{call}")
                .with_description("Calls whose cost nobody can say, by reason.")
                .build(),
            models: Mutex::new(Models::default()),
        }
    }

    fn model(&self, record: &RunRecord) -> Option<Value> {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.label(record).map(Value::from)
    }
}

impl MetricsSink for OtelSink {
    fn record(&self, record: &RunRecord) {
        if !matches!(record.scope, Scope::Call) {
            return;
        }
        let subject = &record.subject;
        let mut labels = Vec::with_capacity(7);
        labels.push(KeyValue::new(genai::OPERATION_NAME, subject.operation.name()));
        labels.push(KeyValue::new(genai::PROVIDER_NAME, subject.kind));
        labels.push(KeyValue::new(genai::PROVIDER, Arc::clone(&subject.provider)));
        if let Some(model) = self.model(record) {
            labels.push(KeyValue::new(genai::REQUEST_MODEL, model));
        }
        let with = |more: KeyValue| [&labels[..], &[more]].concat();
        if let Some(usage) = &record.usage {
            let written = usage.output_tokens.saturating_add(usage.uncounted_output_tokens);
            for (kind, tokens) in [("input", usage.input_tokens), ("output", written)] {
                self.tokens.record(tokens, &with(KeyValue::new(TOKEN_TYPE, kind)));
            }
        }
        match record.cost {
            Cost::Known(cost) => self.spend.add(cost.total().as_usd().max(0.0), &labels),
            Cost::Unpriced(reason) if subject.operation.is_billed() => {
                self.unpriced.add(1, &with(KeyValue::new(genai::UNPRICED, reason.name())));
            }
            _ => {}
        }
        // An answer in one piece has no first chunk.
        if let Some(first) = record.timing.first_content.filter(|_| record.chunks > 1) {
            self.first_chunk.record(first.as_secs_f64(), &labels);
        }
        labels.push(KeyValue::new(genai::OUTCOME, record.outcome.name()));
        if let Some(kind) = record.outcome.error() {
            labels.push(KeyValue::new(genai::ERROR_TYPE, kind.name()));
        }
        self.duration.record(record.timing.total.as_secs_f64(), &labels);
    }
}

impl fmt::Debug for OtelSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtelSink").finish_non_exhaustive()
    }
}

/// The models that have series of their own, by provider. Callers choose names, and each one costs memory for ever.
#[derive(Default)]
struct Models {
    count: usize,
    known: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
}

impl Models {
    /// The label of the record's model; `None` where a call has none.
    fn label(&mut self, record: &RunRecord) -> Option<Arc<str>> {
        let subject = &record.subject;
        let model = subject.model.as_str();
        if model.is_empty() {
            return None;
        }
        let known = self.known.get(&subject.provider).and_then(|models| models.get(model));
        if let Some(known) = known {
            return Some(Arc::clone(known));
        }
        // A name that the upstream does not know was made up by a caller.
        let is_made_up = record.outcome == Outcome::Failed(ErrorKind::ModelNotFound);
        if self.count >= MAX_MODELS || model.len() > MAX_LABEL_BYTES || is_made_up {
            return Some(OTHER.into());
        }
        self.count += 1;
        let label: Arc<str> = model.into();
        self.known.entry(Arc::clone(&subject.provider)).or_default().insert(Arc::clone(&label));
        Some(label)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use infer_core::RequestId;
    use proptest::prelude::*;
    use remote_core::Operation;
    use remote_core::meter::Subject;

    use super::*;

    fn record(model: &str, outcome: Outcome) -> RunRecord {
        let subject = Subject::new("openai", "eu", Operation::Generate, model, RequestId::generate());
        let mut record = RunRecord::new(Scope::Call, Arc::new(subject), SystemTime::UNIX_EPOCH);
        record.outcome = outcome;
        record
    }

    #[test]
    fn a_name_that_is_no_models_has_no_series_of_its_own() {
        let mut models = Models::default();
        let mut label = |name: &str, outcome| models.label(&record(name, outcome));
        assert_eq!(label("", Outcome::Completed), None);
        assert_eq!(label(&"x".repeat(257), Outcome::Completed).as_deref(), Some(OTHER));
        let unknown = Outcome::Failed(ErrorKind::ModelNotFound);
        assert_eq!(label("gpt", unknown).as_deref(), Some(OTHER));
        assert_eq!(label("gpt", Outcome::Completed).as_deref(), Some("gpt"));
        assert_eq!(label("gpt", unknown).as_deref(), Some("gpt"), "known by then");
    }

    proptest! {
        // Whatever callers ask for, the number of labels is bounded, and a label is the name or `other`.
        #[test]
        fn labels_are_bounded(names in proptest::collection::vec("[a-z]{1,3}", 1..600)) {
            let mut models = Models::default();
            let mut labels = BTreeSet::new();
            for name in names {
                let label = models.label(&record(&name, Outcome::Completed)).unwrap();
                prop_assert!(*name == *label || &*label == OTHER);
                labels.insert(label);
            }
            prop_assert!(labels.len() <= MAX_MODELS + 1);
        }
    }
}
